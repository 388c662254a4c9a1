//! What all files together say: a read-only plan, whose repairs are values that the caller applies.
//!
//! The decisions are those of the table in `FORMAT.md`, which names each.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};

use crate::error::{Damage, Error};
use crate::record::{Record, Sequence};
use crate::scan::{Scan, Source, Tail};
use crate::segment::{FileKind, FileName, Header};

/// Reads published files; so that the plan can be made over any disk.
pub(crate) trait Files {
    fn folder(&self) -> &FilePath;
    fn read(&self, name: FileName) -> Result<Source, Error>;
}

/// What is to be done before the journal may be appended to. Each may be done again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Repair {
    /// A file that a snapshot has replaced.
    Delete { name: FileName },
    /// Bytes behind the last record: zeroes up to the end of the file.
    Erase { name: FileName, from: u64 },
}

/// The segment that appending goes on in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Open {
    pub(crate) name: FileName,
    pub(crate) end: u64,
    /// From here to the end nothing says that the records are durable, though they can be read.
    pub(crate) doubt: u64,
}

/// A segment that takes no more records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Closed {
    pub(crate) name: FileName,
    pub(crate) last: Sequence,
    pub(crate) bytes: u64,
}

/// What a journal's folder holds.
pub(crate) struct Recovery {
    /// Of an existing journal.
    pub(crate) epoch: Option<[u8; 16]>,
    pub(crate) records: Vec<(Sequence, Record)>,
    /// Where the snapshot ends, and its file's bytes.
    pub(crate) snapshot: Option<(Sequence, u64)>,
    pub(crate) head: Sequence,
    pub(crate) closed: Vec<Closed>,
    /// None in an empty folder.
    pub(crate) open: Option<Open>,
    pub(crate) repairs: Vec<Repair>,
}

/// Reads the journal whose published files are `names`.
pub(crate) fn recover(files: &dyn Files, names: &BTreeSet<FileName>) -> Result<Recovery, Error> {
    let mut fault = None;
    for name in names
        .iter()
        .rev()
        .filter(|name| name.kind == FileKind::Snapshot)
    {
        match from_snapshot(files, names, Some(*name)) {
            Ok(recovery) if !recovery.is_short(files, names) => return Ok(recovery),
            Ok(_) => {}
            // An older snapshot with the whole log after it tells the same; if there is none, the
            // newest one's fault is the one to report.
            Err(error @ (Error::Damaged { .. } | Error::MissingSegment { .. })) => {
                fault.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match (from_snapshot(files, names, None), fault) {
        (result, None) => result,
        (Ok(recovery), Some(_)) if !recovery.is_short(files, names) => Ok(recovery),
        (_, Some(fault)) => Err(fault),
    }
}

fn from_snapshot(
    files: &dyn Files,
    names: &BTreeSet<FileName>,
    snapshot: Option<FileName>,
) -> Result<Recovery, Error> {
    let mut recovery = Recovery {
        epoch: None,
        records: Vec::new(),
        snapshot: None,
        head: Sequence::ZERO,
        closed: Vec::new(),
        open: None,
        repairs: Vec::new(),
    };
    if let Some(name) = snapshot {
        recovery.read_snapshot(files, name)?;
    }
    let logs: Vec<FileName> = names
        .iter()
        .filter(|name| name.kind == FileKind::Log)
        .copied()
        .collect();
    // The log to begin with is the last that begins early enough; those before it are replaced.
    let begin = logs
        .iter()
        .rposition(|name| name.sequence <= recovery.head.next());
    let newest_is_snapshot = names.iter().any(|name| name.kind == FileKind::Snapshot);
    let (stale, live) = match begin {
        Some(begin) => logs.split_at_checked(begin).unwrap_or_default(),
        None if logs.is_empty() && !newest_is_snapshot => return Ok(recovery),
        None => return Err(missing(files, recovery.head.next())),
    };
    recovery.delete_stale(names, snapshot, stale);
    for (index, name) in live.iter().enumerate() {
        let source = files.read(*name)?;
        let scan = source.scan()?;
        recovery.check_epoch(&source, &scan)?;
        match live.get(index + 1) {
            Some(next) => recovery.add_closed(&source, scan, *next)?,
            None => recovery.add_open(&source, scan)?,
        }
    }
    Ok(recovery)
}

/// Reads a snapshot, all of it or nothing.
pub(crate) fn scan_snapshot(source: &Source) -> Result<Scan, Error> {
    let scan = source.scan()?;
    let count = scan.records.len() as u64;
    if scan.tail != Tail::Empty {
        return Err(source.damaged(scan.end, Damage::Record));
    }
    if count != scan.header.count {
        let expected = Sequence(count).next();
        return Err(source.damaged(scan.end, Damage::Short { expected }));
    }
    Ok(scan)
}

fn missing(files: &dyn Files, first: Sequence) -> Error {
    Error::MissingSegment {
        folder: PathBuf::from(files.folder()),
        first,
    }
}

impl Recovery {
    fn read_snapshot(&mut self, files: &dyn Files, name: FileName) -> Result<(), Error> {
        let source = files.read(name)?;
        let scan = scan_snapshot(&source)?;
        self.check_epoch(&source, &scan)?;
        self.records = scan
            .records
            .into_iter()
            .map(|(_, record)| (name.sequence, record))
            .collect();
        self.snapshot = Some((name.sequence, source.bytes.len() as u64));
        self.head = name.sequence;
        Ok(())
    }

    /// Older snapshots and replaced logs go. A newer snapshot stays: it is damaged, or it would
    /// have been used, and a damaged file is the user's to look at.
    fn delete_stale(
        &mut self,
        names: &BTreeSet<FileName>,
        used: Option<FileName>,
        logs: &[FileName],
    ) {
        let snapshots = names.iter().filter(|name| {
            name.kind == FileKind::Snapshot && used.is_some_and(|used| **name < used)
        });
        self.repairs = snapshots
            .chain(logs)
            .map(|name| Repair::Delete { name: *name })
            .collect();
    }

    /// Whether a snapshot that is not used tells of durable records that are not here: it is made of
    /// such, and an intact header answers for its name, whatever became of the rest.
    fn is_short(&self, files: &dyn Files, names: &BTreeSet<FileName>) -> bool {
        let header = |name: FileName| {
            let source = files.read(name).ok()?;
            Header::decode(name, &source.bytes).ok()
        };
        names
            .iter()
            .filter(|name| name.kind == FileKind::Snapshot && name.sequence > self.head)
            .filter_map(|name| header(*name))
            .any(|header| Some(header.epoch) == self.epoch)
    }

    fn check_epoch(&mut self, source: &Source, scan: &Scan) -> Result<(), Error> {
        match self.epoch.replace(scan.header.epoch) {
            Some(epoch) if epoch != scan.header.epoch => Err(source.damaged(0, Damage::Foreign)),
            _ => Ok(()),
        }
    }

    /// A segment with another after it was durable before that one had a name.
    fn add_closed(&mut self, source: &Source, scan: Scan, next: FileName) -> Result<(), Error> {
        if scan.tail != Tail::Empty {
            return Err(source.damaged(scan.end, Damage::Record));
        }
        let last = self.add_records(source, scan.records);
        if last.next() < next.sequence {
            let expected = last.next();
            return Err(source.damaged(scan.end, Damage::Short { expected }));
        }
        if last.next() > next.sequence {
            return Err(source.damaged(scan.end, Damage::Record));
        }
        self.closed.push(Closed {
            name: source.name,
            last,
            bytes: source.bytes.len() as u64,
        });
        Ok(())
    }

    fn add_open(&mut self, source: &Source, scan: Scan) -> Result<(), Error> {
        match scan.tail {
            Tail::Empty => {}
            Tail::Torn => self.repairs.push(Repair::Erase {
                name: source.name,
                from: scan.end,
            }),
            Tail::Damaged => return Err(source.damaged(scan.end, Damage::Record)),
        }
        let snapshot = self.head;
        let last = self.add_records(source, scan.records);
        // The snapshot was made of durable records only, so the log reaches at least as far.
        if last < self.head {
            let expected = last.next();
            return Err(source.damaged(scan.end, Damage::Short { expected }));
        }
        self.head = last;
        let durable = scan.durable.max(snapshot);
        self.open = Some(Open {
            name: source.name,
            end: scan.end,
            doubt: source.offset_after(durable, scan.end),
        });
        Ok(())
    }

    /// Keeps what the snapshot does not have; returns the segment's last sequence.
    fn add_records(&mut self, source: &Source, records: Vec<(Sequence, Record)>) -> Sequence {
        let last = records
            .last()
            .map_or(source.name.sequence.previous(), |(sequence, _)| *sequence);
        let snapshot = self.snapshot.map_or(Sequence::ZERO, |(through, _)| through);
        let fresh = records
            .into_iter()
            .filter(|(sequence, _)| *sequence > snapshot);
        self.records.extend(fresh);
        self.head = self.head.max(last);
        last
    }
}
