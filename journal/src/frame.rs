//! One record in a file: a fixed head, the payload, zeroes up to a multiple of eight.
//!
//! The checksum covers head and payload and padding, under a key that only this journal and this
//! kind of file have: bytes of another journal, or of a deleted file that the file system shows
//! again, never pass for a record.

use crate::codec::{self, PAYLOAD_BYTES_MAX};
use crate::record::{Record, Sequence};
use crate::segment::FileKind;
use crate::{Malformed, Unrepresentable};

pub(crate) const HEAD_BYTES: usize = 32;
/// Frames begin at multiples of this, so that recovery can look for one behind a damaged place.
pub(crate) const ALIGNMENT: usize = 8;
pub(crate) const FRAME_BYTES_MAX: usize = HEAD_BYTES + PAYLOAD_BYTES_MAX;

const CHECKSUM_CONTEXT: &str = "mesa journal 2026-11 record checksum";
const CHECKSUM_AT: usize = 24;

/// Seals and checks the frames of one kind of file of one journal.
#[derive(Clone)]
pub(crate) struct Seal {
    key: [u8; 32],
}

impl Seal {
    pub(crate) fn new(epoch: [u8; 16], kind: FileKind) -> Seal {
        let mut hasher = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT);
        hasher.update(&epoch);
        hasher.update(&kind.number().to_le_bytes());
        Seal {
            key: *hasher.finalize().as_bytes(),
        }
    }

    /// Of everything but the checksum's own place.
    fn checksum(&self, before: &[u8], after: &[u8]) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(before);
        hasher.update(after);
        let mut checksum = [0; 8];
        hasher.finalize_xof().fill(&mut checksum);
        checksum
    }

    /// Appends the frame of `record` to `buffer`; on error `buffer` is as it was.
    pub(crate) fn write(
        &self,
        buffer: &mut Vec<u8>,
        sequence: Sequence,
        durable: Sequence,
        record: &Record,
    ) -> Result<(), Unrepresentable> {
        let start = buffer.len();
        buffer.resize(start + HEAD_BYTES, 0);
        let kind = codec::encode(record, buffer).inspect_err(|_| buffer.truncate(start))?;
        let frame_bytes = buffer.len() - start;
        // The bounds of the fields keep every payload below PAYLOAD_BYTES_MAX, which fits.
        let length = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        buffer.resize(start + frame_bytes.next_multiple_of(ALIGNMENT), 0);
        // Kind and the two reserved bytes are one little-endian word.
        let words = [length, u32::from(kind)].map(u32::to_le_bytes);
        let sequences = [sequence.0, durable.0].map(u64::to_le_bytes);
        let fields = words.iter().flatten().chain(sequences.iter().flatten());
        let frame = buffer.get_mut(start..).unwrap_or_default();
        for (to, from) in frame.iter_mut().zip(fields) {
            *to = *from;
        }
        self.reseal(frame);
        Ok(())
    }

    /// Puts the checksum of a frame in its place.
    pub(crate) fn reseal(&self, frame: &mut [u8]) {
        if let Some((head, after)) = frame.split_first_chunk_mut::<HEAD_BYTES>() {
            let (before, checksum) = head.split_at_mut(CHECKSUM_AT);
            checksum.copy_from_slice(&self.checksum(before, after));
        }
    }
}

/// An intact frame.
pub(crate) struct Frame<'a> {
    pub(crate) sequence: Sequence,
    /// Everything up to here had been made durable when the frame was written.
    pub(crate) durable: Sequence,
    /// With its padding.
    pub(crate) bytes: usize,
    kind: u16,
    payload: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn record(&self) -> Result<Record, Malformed> {
        codec::decode(self.kind, self.payload)
    }
}

/// Bytes of the frame that begins here, with its padding, if what it says is so.
pub(crate) fn frame_bytes(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk().copied().map_or(0, u32::from_le_bytes);
    (length as usize)
        .max(HEAD_BYTES)
        .next_multiple_of(ALIGNMENT)
}

/// What stands at a place where a frame may begin.
pub(crate) enum Found<'a> {
    Frame(Frame<'a>),
    /// A length of zero, or the end of the file.
    End,
    /// Neither.
    Junk,
}

impl Seal {
    /// Reads what stands at the front of `bytes`.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8]) -> Found<'a> {
        match bytes.first_chunk::<4>() {
            None => return Found::End,
            Some([0, 0, 0, 0]) => return Found::End,
            Some(_) => {}
        }
        self.frame(bytes).map_or(Found::Junk, Found::Frame)
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Option<Frame<'a>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let (_reserved, rest) = rest.split_first_chunk::<2>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (durable, rest) = rest.split_first_chunk::<8>()?;
        let (checksum, _) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&length) {
            return None;
        }
        let frame = bytes.get(..length.next_multiple_of(ALIGNMENT))?;
        let after = frame.get(HEAD_BYTES..)?;
        if self.checksum(frame.get(..CHECKSUM_AT)?, after) != *checksum {
            return None;
        }
        Some(Frame {
            sequence: Sequence(u64::from_le_bytes(*sequence)),
            durable: Sequence(u64::from_le_bytes(*durable)),
            bytes: frame.len(),
            kind: u16::from_le_bytes(*kind),
            payload: frame.get(HEAD_BYTES..length)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_no_record_has_is_no_frame_however_well_it_is_sealed() {
        let seal = Seal::new([3; 16], FileKind::Log);
        // As FORMAT.md has it, and not as this file computes it.
        let (least, most) = (32, 262_176);
        for length in [least - 1, least, most, most + 1] {
            let mut bytes = vec![0; (length as usize).next_multiple_of(ALIGNMENT)];
            bytes[..4].copy_from_slice(&u32::to_le_bytes(length));
            seal.reseal(&mut bytes);
            let is_frame = matches!(seal.read(&bytes), Found::Frame(_));
            assert_eq!(is_frame, (least..=most).contains(&length), "{length}");
        }
    }
}
