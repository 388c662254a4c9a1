//! Copies of lower files that a power cut may take.
//!
//! The first write to a lower file makes its body a copy of the lower layer's bytes. Waiting for the
//! disk there would make each such write some fifty times as slow, so the copy is synced with
//! everything else. Until then the kernel may have written the records and not the copy, and neither
//! the size of the body (ext4 writes it before the blocks are filled) nor anything else about it tells.
//! So a [`Record::CopyUp`] comes before the body counts, and a [`Record::CopiesDurable`] once it is
//! synced. After a power cut, whoever finds the one without the other undoes the copy-up: the file
//! shows the lower layer's bytes again, as it did before a write that nobody had synced.
//!
//! A push waits for the second record: else the remote could have bytes that this side gave up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::{Record, Sequence};

use super::error::Error;
use super::open::Overlay;
use super::witness::{Left, Witness};
use crate::failpoints;
use crate::tree::Ino;
use crate::upper::Upper;

/// How far copies were told of, and how far they are durable: sequences of records.
#[derive(Debug, Default)]
pub(super) struct Copies {
    told: AtomicU64,
    durable: AtomicU64,
}

impl Copies {
    /// As an earlier process left them.
    pub(super) fn left(records: &[(Sequence, Record)]) -> Copies {
        let last = in_doubt(records).into_values().max();
        Copies {
            told: AtomicU64::new(last.map_or(0, |sequence| sequence.0)),
            durable: AtomicU64::new(0),
        }
    }

    /// Notes that a copy was told of.
    pub(super) fn told(&self, at: Sequence) {
        self.told.fetch_max(at.0, Ordering::AcqRel);
    }

    /// Whether a power cut would undo any.
    pub(super) fn are_in_doubt(&self) -> bool {
        self.told.load(Ordering::Acquire) > self.durable.load(Ordering::Acquire)
    }
}

impl Overlay {
    /// Says in the journal that copies are durable, if any were not: all bodies of records up to
    /// `through` are synced.
    pub(super) fn note_durable_copies(&self, through: Sequence) -> Result<(), Error> {
        if !self.copies.are_in_doubt() {
            return Ok(());
        }
        failpoints::COPIES_SYNCED.reach();
        // Not by way of the state, whose lock a caller on a full disk may hold: it has nothing of it.
        let record = Record::CopiesDurable { through };
        self.journal.append_freeing(&record)?;
        self.copies.durable.fetch_max(through.0, Ordering::AcqRel);
        failpoints::COPIES_NOTED.reach();
        Ok(())
    }

    /// Makes the copies durable that records so far tell of, and says so in the journal.
    pub(super) fn settle_copies(&self) -> Result<(), Error> {
        if !self.copies.are_in_doubt() {
            return Ok(());
        }
        let through = self.journal.head();
        self.ledger.sync().map_err(Error::Body)?;
        self.note_durable_copies(through)
    }
}

/// Copies that no record says to be durable, and the record that tells of each.
fn in_doubt(records: &[(Sequence, Record)]) -> BTreeMap<Ino, Sequence> {
    let mut copies = BTreeMap::new();
    for (sequence, record) in records {
        match record {
            Record::CopyUp { inode } => {
                copies.insert(Ino(*inode), *sequence);
            }
            Record::CopyUpUndone { inode } => {
                copies.remove(&Ino(*inode));
            }
            Record::CopiesDurable { through } => copies.retain(|_, at| *at > *through),
            _ => {}
        }
    }
    copies
}

/// The files whose copy-up is to be undone: those in doubt, if the plug may have been pulled since.
pub(super) fn to_undo(
    upper: &Upper,
    records: &[(Sequence, Record)],
    folder: &Path,
) -> BTreeSet<Ino> {
    if Witness::of(folder).look() == Left::Whole {
        return BTreeSet::new();
    }
    let is_copy = |ino: &Ino| {
        let node = upper.node(*ino);
        node.is_some_and(|node| node.body && node.origin.is_some())
    };
    in_doubt(records).into_keys().filter(is_copy).collect()
}
