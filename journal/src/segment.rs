//! A file's name and header.
//!
//! Names sort as their numbers do, and the header repeats what the name says, so that a file that
//! was renamed, or copied from another journal, is not believed.

use std::fmt;

use crate::error::Damage;
use crate::record::Sequence;

pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"MESAJRNL";
const CHECKSUM_AT: usize = 56;
const CHECKSUM_CONTEXT: &str = "mesa journal 2026-11 header checksum";
/// Suffix of a file that is being written and has not been published.
pub(crate) const TEMPORARY_SUFFIX: &str = ".temp";

/// Folders with files that a rebuild replaced begin with this.
const DAMAGED_PREFIX: &str = "damaged-";
const REBUILD_SUFFIX: &str = ".rebuild";

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum FileKind {
    /// Records as they were appended.
    Log,
    /// The records that rebuild the state as of one sequence.
    Snapshot,
}

impl FileKind {
    pub(crate) fn number(self) -> u16 {
        match self {
            FileKind::Log => 1,
            FileKind::Snapshot => 2,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::Snapshot => ".snapshot",
        }
    }
}

/// A published file's name: a log by its first sequence, a snapshot by the sequence it reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileName {
    pub(crate) kind: FileKind,
    pub(crate) sequence: Sequence,
}

impl FileName {
    pub(crate) fn log(first: Sequence) -> FileName {
        FileName {
            kind: FileKind::Log,
            sequence: first,
        }
    }

    pub(crate) fn snapshot(through: Sequence) -> FileName {
        FileName {
            kind: FileKind::Snapshot,
            sequence: through,
        }
    }

    /// The name that `text` is, if it is one that this crate gives.
    pub(crate) fn parse(text: &str) -> Option<FileName> {
        let kind = [FileKind::Log, FileKind::Snapshot]
            .into_iter()
            .find(|kind| text.ends_with(kind.suffix()))?;
        let digits = text.strip_suffix(kind.suffix())?;
        let sequence = Sequence(u64::from_str_radix(digits, 16).ok()?);
        let name = FileName { kind, sequence };
        // Only the one spelling: no sign, no capitals, no missing zeroes.
        (name.to_string() == text).then_some(name)
    }
}

/// The name of what a rebuild has written and not yet put in the place of the damaged files. `n` is
/// also that of the folder `damaged-n` that they go to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RebuildName(pub(crate) u64);

impl RebuildName {
    pub(crate) fn parse(text: &str) -> Option<RebuildName> {
        let number = RebuildName::parse_folder(text.strip_suffix(REBUILD_SUFFIX)?)?;
        Some(RebuildName(number))
    }

    pub(crate) fn parse_folder(text: &str) -> Option<u64> {
        let number = text.strip_prefix(DAMAGED_PREFIX)?.parse().ok()?;
        (RebuildName(number).folder() == text).then_some(number)
    }

    pub(crate) fn folder(self) -> String {
        format!("{DAMAGED_PREFIX}{}", self.0)
    }
}

impl fmt::Display for RebuildName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{REBUILD_SUFFIX}", self.folder())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{}", self.sequence.0, self.kind.suffix())
    }
}

/// The first bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) name: FileName,
    /// The journal that the file belongs to.
    pub(crate) epoch: [u8; 16],
    /// Of a snapshot: how many records it has. Of a log: 0.
    pub(crate) count: u64,
}

/// Why bytes are no header of ours.
pub(crate) enum HeaderFault {
    Version(u16),
    Damage(Damage),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let kind = self.name.kind.number();
        let (first, through) = match self.name.kind {
            FileKind::Log => (self.name.sequence, Sequence::ZERO),
            FileKind::Snapshot => (Sequence(1), self.name.sequence),
        };
        let fields = [
            MAGIC.as_slice(),
            &VERSION.to_le_bytes(),
            &kind.to_le_bytes(),
            &[0; 4],
            &self.epoch,
            &first.0.to_le_bytes(),
            &through.0.to_le_bytes(),
            &self.count.to_le_bytes(),
        ];
        let mut bytes = [0; HEADER_BYTES];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        let (body, checksum) = bytes.split_at_mut(CHECKSUM_AT);
        checksum.copy_from_slice(&header_checksum(body));
        bytes
    }

    /// Writes this version's number over whatever the header says.
    pub(crate) fn set_version(bytes: &mut [u8]) {
        let place = bytes.iter_mut().skip(MAGIC.len());
        for (to, from) in place.zip(VERSION.to_le_bytes()) {
            *to = from;
        }
    }

    /// The name that the header of a snapshot asks for, be it right or wrong.
    pub(crate) fn snapshot_name(bytes: &[u8]) -> FileName {
        let header = bytes.first_chunk::<HEADER_BYTES>();
        let through = header.map_or(0, |bytes| u64::from_le_bytes(field(bytes, 40)));
        FileName::snapshot(Sequence(through))
    }

    /// Reads the header of a file that has this name. The version is looked at before the
    /// checksum, which another version may have elsewhere.
    pub(crate) fn decode(name: FileName, bytes: &[u8]) -> Result<Header, HeaderFault> {
        let damage = HeaderFault::Damage;
        let bytes = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or(damage(Damage::HeaderCut))?;
        if !bytes.starts_with(&MAGIC) {
            return Err(damage(Damage::Magic));
        }
        let version = u16::from_le_bytes(field(bytes, 8));
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let (body, checksum) = bytes.split_at(CHECKSUM_AT);
        if checksum != header_checksum(body) {
            return Err(damage(Damage::HeaderChecksum));
        }
        let header = Header {
            name,
            epoch: field(bytes, 16),
            count: u64::from_le_bytes(field(bytes, 48)),
        };
        // Kind and sequences are not believed but compared: they must be those of the name.
        if header.encode() != *bytes {
            return Err(damage(Damage::HeaderName));
        }
        Ok(header)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

fn header_checksum(body: &[u8]) -> [u8; 8] {
    let mut checksum = [0; 8];
    blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT)
        .update(body)
        .finalize_xof()
        .fill(&mut checksum);
    checksum
}
