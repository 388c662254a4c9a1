//! What has to be done now and then: syncing what is old, checkpoints, compaction.

use journal::Sequence;
use journal::failpoint::limit;

use super::error::Error;
use super::open::Overlay;
use crate::failpoints;

/// A log below this is not worth compacting; nor is one that is shorter than the snapshot that it
/// would be folded into, so that compacting costs at most as much again as appending did.
const COMPACT_BYTES_MIN: u64 = 16 << 20;

/// How much of the journal survives a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durability {
    /// The last record that does.
    pub synced: Sequence,
    /// The last record.
    pub head: Sequence,
    /// Syncs of the journal's file since it was opened; those who wait at the same time share one.
    pub syncs: u64,
}

impl Overlay {
    /// How much of the journal survives a power cut.
    pub fn durability(&self) -> Durability {
        Durability {
            // In this order, so that what is called synced is never beyond the head.
            synced: self.journal.synced(),
            head: self.journal.head(),
            syncs: self.journal.syncs(),
        }
    }

    /// Makes what is older than the commit interval survive a power cut, and deletes bodies that
    /// nothing can bring back. Call it once an interval.
    ///
    /// # Errors
    ///
    /// A sync that failed, which is final.
    pub fn sync_in_background(&self) -> Result<(), Error> {
        // What a killed process left is in the page cache, journaled or not, and nobody has synced it.
        if self.ledger.has_unsynced() || self.journal.synced() < self.journal.head() {
            return self.sync_all();
        }
        self.ledger.sweep_graves(self.journal.synced());
        Ok(())
    }

    /// How often [`Overlay::sync_in_background`] is wanted.
    pub fn commit_interval(&self) -> std::time::Duration {
        self.commit_interval
    }

    /// Brings the index up to the journal's head, so that the next opening reads little.
    ///
    /// # Errors
    ///
    /// The index or the disk; the journal has everything all the same.
    pub fn checkpoint(&self) -> Result<(), Error> {
        let index = self.index.lock();
        let (reaches, checkpoint) = {
            let mut state = self.state.lock();
            let reaches = self.journal.head();
            (reaches, state.upper.checkpoint(reaches))
        };
        failpoints::CHECKPOINT_TAKEN.reach();
        let written = self.journal.sync(reaches).map_err(Error::from);
        failpoints::CHECKPOINT_JOURNALED.reach();
        let written = written.and_then(|()| Ok(index.write(&checkpoint)?));
        if written.is_err() {
            // What was taken must come with the next one.
            self.state.lock().upper.mark_all_changed();
        }
        written
    }

    /// Rewrites the journal as the shortest one that rebuilds the state and what is to be pushed, if
    /// it has grown large. A push may be on its way meanwhile, or announced for days.
    ///
    /// # Errors
    ///
    /// The journal's; the old one is in force then.
    pub fn compact_if_large(&self) -> Result<bool, Error> {
        let sizes = self.journal.sizes();
        let bytes_min = limit("MESA_TEST_COMPACT_BYTES", COMPACT_BYTES_MIN);
        if sizes.log < bytes_min.max(sizes.snapshot) {
            return Ok(false);
        }
        self.compact()?;
        Ok(true)
    }

    /// Compacts now.
    ///
    /// # Errors
    ///
    /// As [`Overlay::compact_if_large`].
    pub fn compact(&self) -> Result<(), Error> {
        let (through, records) = {
            let state = self.state.lock();
            let mut records = state.upper.snapshot();
            records.extend(state.unsent_records());
            (self.journal.head(), records)
        };
        self.sync_all()?;
        self.journal.compact(through, &mut records.into_iter())?;
        Ok(())
    }
}
