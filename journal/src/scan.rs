//! What one file holds: pure, over its bytes.
//!
//! A log ends at a length of zero. Whatever stands behind its last believable record and is not
//! zero is either a torn tail (the machine stopped while it was being written, so nobody was told
//! that it is durable) or damage. Each frame tells up to where the log was durable when it was
//! written: an intact frame behind the bad place that says the bad place had been durable proves
//! damage. Without such a proof the last segment's tail counts as torn.

use std::path::PathBuf;

use crate::error::{Damage, Error};
use crate::frame::{ALIGNMENT, Found, Seal, frame_bytes};
use crate::record::{Record, Sequence};
use crate::segment::{FileKind, FileName, HEADER_BYTES, Header, HeaderFault};

/// One file, read.
pub(crate) struct Scan {
    pub(crate) header: Header,
    pub(crate) records: Vec<(Sequence, Record)>,
    /// Where the next record would begin.
    pub(crate) end: u64,
    /// The last record that, by what a later one says, was durable.
    pub(crate) durable: Sequence,
    pub(crate) tail: Tail,
}

/// What stands behind the last record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tail {
    /// Zeroes, or nothing.
    Empty,
    /// Something that no promise covers.
    Torn,
    /// Something that had been durable.
    Damaged,
}

/// A file's bytes, and what it is called.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) name: FileName,
    pub(crate) bytes: Vec<u8>,
}

impl Source {
    /// Reads the file up to its last believable record.
    pub(crate) fn scan(&self) -> Result<Scan, Error> {
        let header = Header::decode(self.name, &self.bytes).map_err(|fault| match fault {
            HeaderFault::Version(version) => Error::UnknownVersion {
                path: self.path.clone(),
                version,
            },
            HeaderFault::Damage(damage) => self.damaged(0, damage),
        })?;
        let seal = Seal::new(header.epoch, self.name.kind);
        let mut next = match self.name.kind {
            FileKind::Log => self.name.sequence,
            FileKind::Snapshot => Sequence(1),
        };
        let mut records = Vec::new();
        let mut end = HEADER_BYTES;
        let mut durable = Sequence::ZERO;
        while let Found::Frame(frame) = seal.read(self.rest(end)) {
            if frame.sequence != next {
                break;
            }
            let record = frame.record().map_err(|source| Error::Malformed {
                path: self.path.clone(),
                offset: end as u64,
                sequence: next,
                source,
            })?;
            records.push((next, record));
            durable = durable.max(frame.durable);
            next = next.next();
            end += frame.bytes;
        }
        Ok(Scan {
            header,
            records,
            end: end as u64,
            durable,
            tail: self.tail(&seal, end, next),
        })
    }

    /// Where the first record after this one begins, in a log that was scanned up to `end`.
    pub(crate) fn offset_after(&self, sequence: Sequence, end: u64) -> u64 {
        let mut offset = HEADER_BYTES;
        let mut next = self.name.sequence;
        while next <= sequence && (offset as u64) < end {
            offset += frame_bytes(self.rest(offset));
            next = next.next();
        }
        end.min(offset as u64)
    }

    /// Whether anything but zeroes stands behind `end`; whether it is damage is not looked at.
    pub(crate) fn tail_after(&self, end: u64) -> Tail {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        match without_zeroes(self.rest(end)) {
            [] => Tail::Empty,
            _ => Tail::Torn,
        }
    }

    fn tail(&self, seal: &Seal, end: usize, next: Sequence) -> Tail {
        let rest = without_zeroes(self.rest(end));
        if rest.is_empty() {
            return Tail::Empty;
        }
        // Nothing that was written behind `next` has a sequence further on than there was room for.
        let last = Sequence(next.0.saturating_add((rest.len() / ALIGNMENT) as u64));
        let proof = (0..rest.len()).step_by(ALIGNMENT).any(|at| {
            let candidate = self.rest(end + at);
            // The checksum is dear and the sequence cheap, so that one is looked at first.
            sequence_at(candidate).is_some_and(|sequence| sequence > next && sequence <= last)
                && matches!(seal.read(candidate), Found::Frame(frame) if frame.durable >= next)
        });
        if proof { Tail::Damaged } else { Tail::Torn }
    }

    fn rest(&self, at: usize) -> &[u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    pub(crate) fn damaged(&self, offset: u64, damage: Damage) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            offset,
            damage,
        }
    }
}

/// Without the zeroes at its end: a log is filled with a megabyte of them, so most are looked at in
/// large pieces.
pub(crate) fn without_zeroes(bytes: &[u8]) -> &[u8] {
    const ZEROES: [u8; 4096] = [0; 4096];
    let mut rest = bytes;
    while let Some((head, last)) = rest.split_last_chunk() {
        if *last != ZEROES {
            break;
        }
        rest = head;
    }
    let end = rest.iter().rposition(|byte| *byte != 0);
    end.and_then(|last| rest.get(..=last)).unwrap_or_default()
}

fn sequence_at(frame: &[u8]) -> Option<Sequence> {
    frame
        .get(8..)?
        .first_chunk()
        .map(|bytes| Sequence(u64::from_le_bytes(*bytes)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::{Malformed, Path};

    /// A log with one intact frame, in which `change` may change what the checksum is made over.
    fn log_with(change: impl FnOnce(&mut Vec<u8>)) -> Source {
        let name = FileName::log(Sequence(1));
        let header = Header {
            name,
            epoch: [3; 16],
            count: 0,
        };
        let path = Path(b"path".to_vec());
        let record = Record::Write {
            path,
            inode: 1,
            time: crate::Time::default(),
        };
        let seal = Seal::new(header.epoch, FileKind::Log);
        let mut frame = Vec::new();
        seal.write(&mut frame, Sequence(1), Sequence::ZERO, &record)
            .unwrap();
        change(&mut frame);
        seal.reseal(&mut frame);
        let bytes = [header.encode().as_slice(), &frame].concat();
        Source {
            path: PathBuf::from("log"),
            name,
            bytes,
        }
    }

    #[test]
    fn an_intact_record_of_an_unknown_kind_is_refused_by_name() {
        let error = log_with(|frame| frame.splice(4..6, [99, 0]).for_each(drop))
            .scan()
            .err()
            .unwrap();
        assert!(matches!(
            error,
            Error::Malformed {
                offset: 64,
                sequence: Sequence(1),
                source: Malformed::Kind(99),
                ..
            }
        ));
    }

    #[test]
    fn an_intact_record_of_a_wrong_sequence_ends_the_log() {
        let scan = log_with(|frame| frame.splice(8..9, [5]).for_each(drop))
            .scan()
            .unwrap();
        assert_eq!((scan.records.len(), scan.tail), (0, Tail::Torn));
        let proof = log_with(|frame| {
            frame
                .splice(8..17, [2, 0, 0, 0, 0, 0, 0, 0, 1])
                .for_each(drop)
        });
        assert_eq!(proof.scan().unwrap().tail, Tail::Damaged);
    }

    #[test]
    fn the_place_after_a_record_is_where_the_next_one_was_written() {
        let mut log = log_with(|_| {});
        let seal = Seal::new([3; 16], FileKind::Log);
        let mut edges = vec![log.bytes.len() as u64];
        for (sequence, length) in [(2, 300), (3, 7), (4, 8)] {
            let record = Record::SetXattr {
                path: Path(b"path".to_vec()),
                name: b"user.name".to_vec(),
                value: vec![1; length],
            };
            seal.write(&mut log.bytes, Sequence(sequence), Sequence(1), &record)
                .unwrap();
            edges.push(log.bytes.len() as u64);
        }
        log.bytes.resize(log.bytes.len() + 4096, 0);
        let end = log.scan().unwrap().end;
        let places: Vec<u64> = (1..=4)
            .map(|sequence| log.offset_after(Sequence(sequence), end))
            .collect();
        assert_eq!(places, edges);
        assert_eq!(log.offset_after(Sequence::ZERO, end), 64, "the first");
        assert_eq!(log.offset_after(Sequence(9), end), end, "none is further");
    }

    #[test]
    fn damage_is_proved_by_a_frame_as_far_on_as_there_was_room_for_and_no_further() {
        let seal = Seal::new([3; 16], FileKind::Log);
        let record = Record::InodesTaken { next: 2 };
        let damaged = |sequences: &[(u64, u64)]| {
            let mut log = log_with(|_| {});
            log.bytes.splice(100..101, [0xff]).for_each(drop);
            for (sequence, durable) in sequences.iter().copied() {
                let (sequence, durable) = (Sequence(sequence), Sequence(durable));
                seal.write(&mut log.bytes, sequence, durable, &record)
                    .unwrap();
            }
            log.scan().unwrap().tail
        };
        let unsynced: Vec<(u64, u64)> = (2..40).map(|sequence| (sequence, 0)).collect();
        assert_eq!(damaged(&unsynced), Tail::Torn);
        assert_eq!(damaged(&[unsynced, vec![(40, 1)]].concat()), Tail::Damaged);
        assert_eq!(damaged(&[(40, 1)]), Tail::Torn);
    }

    #[test]
    fn an_untouched_log_is_read() {
        let scan = log_with(|_| {}).scan().unwrap();
        assert_eq!((scan.records.len(), scan.tail), (1, Tail::Empty));
    }
}
