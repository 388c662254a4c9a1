//! What a power cut may take of the bodies although records tell of it, and what becomes of it then.
//!
//! Two kinds of records promise something that the body may not have on the disk yet:
//!
//! - **A copy of a lower file.** The first write to it makes its body a copy of the lower layer's bytes.
//!   Waiting for the disk there would make each such write some hundred times as slow, so the copy is
//!   synced with everything else. Until then the kernel may have written the records and not the copy,
//!   and neither the size of the body (ext4 writes it before the blocks are filled) nor anything else
//!   about it tells. So a [`Record::CopyUp`] comes before the body counts; after a power cut the copy-up
//!   is undone: the file shows the lower layer's bytes again, as before a write that nobody had synced.
//! - **Bytes that an fsync promised.** A few small writes are synced with the journal, as
//!   [`Record::Bytes`]: one wait for the disk instead of three (body, its name, journal). After a power
//!   cut they are written to the body once more. This is what a file system does that journals data.
//!
//! Once the bodies are synced themselves, a [`Record::BodiesDurable`] ends both. That is done at every
//! commit interval, and before a push is announced: else the remote could have bytes that this side gave
//! up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::{Record, Sequence};

use super::dirty::Dirty;
use super::error::Error;
use super::open::Overlay;
use super::witness::Left;
use crate::failpoints;
use crate::tree::{Ino, Timestamp};
use crate::upper::{Bodies, Upper, journal_time, timestamp};

/// How far copies and bytes were told of, and how far the bodies are durable: sequences of records.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    copies: AtomicU64,
    bytes: AtomicU64,
    durable: AtomicU64,
}

impl Doubts {
    /// Notes that a copy was told of.
    pub(super) fn note_copy(&self, at: Sequence) {
        self.copies.fetch_max(at.0, Ordering::AcqRel);
    }

    /// Whether a power cut would undo a copy-up.
    pub(super) fn has_copies(&self) -> bool {
        self.copies.load(Ordering::Acquire) > self.durable.load(Ordering::Acquire)
    }

    /// Whether any body is behind the records.
    pub(super) fn has_any(&self) -> bool {
        self.has_copies()
            || self.bytes.load(Ordering::Acquire) > self.durable.load(Ordering::Acquire)
    }
}

impl Overlay {
    /// Makes every body durable itself, and everything else.
    ///
    /// # Errors
    ///
    /// As [`Overlay::sync_all`].
    pub(super) fn settle_bodies(&self) -> Result<(), Error> {
        let through = self.journal.head();
        // Bytes may be newer than the last record, so the bodies do not wait for the journal's call.
        self.ledger.sync_settling().map_err(Error::Body)?;
        let noted = self.note_durable_bodies(through);
        self.sync_journal()?;
        noted
    }

    /// Ends every doubt with the next sync of the journal, which is the caller's.
    ///
    /// # Errors
    ///
    /// As [`Overlay::sync_all`].
    pub(super) fn end_doubts(&self) -> Result<(), Error> {
        if !self.doubts.has_any() {
            return Ok(());
        }
        let through = self.journal.head();
        self.ledger.sync_settling().map_err(Error::Body)?;
        self.note_durable_bodies(through)
    }

    /// Makes the records durable, and with them removals, whose bodies can go.
    fn sync_journal(&self) -> Result<(), Error> {
        self.journal.sync(self.journal.head())?;
        self.ledger.sweep_graves(self.journal.synced());
        Ok(())
    }

    fn note_durable_bodies(&self, through: Sequence) -> Result<(), Error> {
        if !self.doubts.has_any() {
            return Ok(());
        }
        failpoints::BODIES_SYNCED.reach();
        // Not by way of the state, whose lock a caller on a full disk may hold: it has nothing of it.
        let record = Record::BodiesDurable { through };
        self.journal.append_freeing(&record)?;
        self.doubts.durable.fetch_max(through.0, Ordering::AcqRel);
        failpoints::BODIES_NOTED.reach();
        Ok(())
    }

    /// Makes everything durable by the journal's sync alone, if a few small writes are all there is;
    /// says whether that was so.
    pub(super) fn sync_by_journal(&self) -> Result<bool, Error> {
        // Where each append waits for the disk, it would wait for this sync to end.
        if self.commit_interval.is_zero() || self.doubts.has_copies() {
            return Ok(false);
        }
        {
            let _no_other_sync = self.ledger.exclude_syncs().map_err(Error::Body)?;
            let Some(dirty) = self.ledger.take_small() else {
                return Ok(false);
            };
            if let Err(error) = self.tell_bytes(&dirty) {
                tracing::debug!(%error, "bodies are synced instead");
                self.ledger.put_back(dirty);
                return Ok(false);
            }
            self.ledger.note_told(dirty.into_keys());
        }
        self.sync_journal().map(|()| true)
    }

    fn tell_bytes(&self, dirty: &HashMap<Ino, Dirty>) -> Result<(), Error> {
        for (ino, dirty) in dirty {
            let body = match self.ledger.bodies.file(*ino) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                body => body.map_err(Error::Body)?,
            };
            for record in bytes_of(*ino, &body, dirty).map_err(Error::Body)? {
                let told = self.journal.append(&record)?;
                self.doubts.bytes.fetch_max(told.0, Ordering::AcqRel);
            }
        }
        failpoints::BYTES_TOLD.reach();
        Ok(())
    }
}

/// What of a body is dirty, as records; one at least, for its size.
fn bytes_of(ino: Ino, body: &File, dirty: &Dirty) -> io::Result<Vec<Record>> {
    let metadata = body.metadata()?;
    let (size, time) = (metadata.len(), Timestamp::from(metadata.modified()?));
    let mut ranges = dirty.ranges().unwrap_or_default().to_vec();
    if ranges.is_empty() {
        ranges.push(0..0);
    }
    let mut kept = dirty.kept();
    let mut records = Vec::new();
    for range in ranges {
        // Whoever cuts it meanwhile has not been promised anything.
        let (start, end) = (range.start.min(size), range.end.min(size));
        let mut data = vec![0; usize::try_from(end - start).unwrap_or_default()];
        body.read_exact_at(&mut data, start)?;
        records.push(Record::Bytes {
            inode: ino.0,
            kept,
            size,
            offset: start,
            time: journal_time(time),
            data,
        });
        kept = size;
    }
    Ok(records)
}

/// What records tell of and no record says to be durable.
#[derive(Default)]
pub(super) struct InDoubt<'a> {
    copies: BTreeMap<Ino, Sequence>,
    bytes: Vec<(Sequence, &'a Record)>,
}

impl<'a> InDoubt<'a> {
    /// Of all records that there are.
    pub(super) fn of(records: &'a [(Sequence, Record)]) -> InDoubt<'a> {
        let mut found = InDoubt::default();
        let mut durable = Sequence::ZERO;
        for (sequence, record) in records {
            match record {
                Record::CopyUp { inode } => {
                    found.copies.insert(Ino(*inode), *sequence);
                }
                Record::CopyUpUndone { inode } => {
                    found.copies.remove(&Ino(*inode));
                }
                Record::Bytes { .. } => found.bytes.push((*sequence, record)),
                // Two that were appended at once may stand in the other order.
                Record::BodiesDurable { through } => durable = durable.max(*through),
                _ => {}
            }
        }
        found.copies.retain(|_, sequence| *sequence > durable);
        found.bytes.retain(|(sequence, _)| *sequence > durable);
        found
    }

    /// The same, if the plug may have been pulled since; else nothing is lost.
    pub(super) fn after(left: Left, records: &'a [(Sequence, Record)]) -> InDoubt<'a> {
        match left {
            Left::Whole => InDoubt::default(),
            Left::InDoubt => InDoubt::of(records),
        }
    }

    /// What a process that goes on from here has to settle.
    pub(super) fn doubts(&self) -> Doubts {
        let number = |last: Option<Sequence>| AtomicU64::new(last.map_or(0, |last| last.0));
        Doubts {
            copies: number(self.copies.values().copied().max()),
            bytes: number(self.bytes.last().map(|(sequence, _)| *sequence)),
            durable: AtomicU64::new(0),
        }
    }

    /// The files whose copy-up is to be undone.
    pub(super) fn to_undo(&self, upper: &Upper) -> BTreeSet<Ino> {
        let is_copy = |ino: &Ino| {
            let node = upper.node(*ino);
            node.is_some_and(|node| node.body && node.origin.is_some())
        };
        self.copies.keys().copied().filter(is_copy).collect()
    }

    /// The files whose bodies lack what an fsync promised.
    pub(super) fn to_restore(&self, upper: &Upper) -> BTreeSet<Ino> {
        let inodes = self.bytes.iter().filter_map(|(_, record)| match record {
            Record::Bytes { inode, .. } => Some(Ino(*inode)),
            _ => None,
        });
        let has_body = |ino: &Ino| upper.node(*ino).is_some_and(|node| node.body);
        inodes.filter(has_body).collect()
    }

    /// Writes to bodies what fsyncs promised; which ones. Doing it again does no harm.
    pub(super) fn restore(&self, upper: &Upper, bodies: &Bodies) -> io::Result<BTreeSet<Ino>> {
        let inodes = self.to_restore(upper);
        for (_, record) in &self.bytes {
            if let Record::Bytes {
                inode,
                kept,
                size,
                offset,
                time,
                data,
            } = record
                && inodes.contains(&Ino(*inode))
            {
                let time = timestamp(*time).into();
                bodies.restore(Ino(*inode), *kept, *size, *offset, time, data)?;
            }
        }
        Ok(inodes)
    }
}
