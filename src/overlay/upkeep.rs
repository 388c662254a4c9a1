//! What has to be done now and then: syncing what is old, checkpoints, compaction.

use journal::Record;

use super::error::Error;
use super::open::{Overlay, now};
use crate::upper::journal_time;

/// A journal below this is not worth compacting.
const COMPACT_BYTES_MIN: u64 = 16 << 20;

impl Overlay {
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
        let written = self
            .journal
            .sync(reaches)
            .map_err(Error::from)
            .and_then(|()| Ok(index.write(&checkpoint)?));
        if written.is_err() {
            // What was taken must come with the next one.
            self.state.lock().upper.mark_all_changed();
        }
        written
    }

    /// Rewrites the journal as the shortest one that rebuilds the state and what is to be pushed, if
    /// it has grown large. Not while a push is on its way, whose outcome refers to the old records.
    ///
    /// # Errors
    ///
    /// The journal's; the old one is in force then.
    pub fn compact_if_large(&self) -> Result<bool, Error> {
        if self.journal.bytes() < COMPACT_BYTES_MIN {
            return Ok(false);
        }
        self.compact()
    }

    /// Compacts now. Returns whether it did.
    ///
    /// # Errors
    ///
    /// As [`Overlay::compact_if_large`].
    pub fn compact(&self) -> Result<bool, Error> {
        let (through, records) = {
            let state = self.state.lock();
            let on_its_way = state.since_capture.is_some();
            if on_its_way || state.upper.remote().intended.is_some() {
                return Ok(false);
            }
            let mut records = state.upper.snapshot();
            let since = journal_time(state.work.since.unwrap_or_else(now));
            let effects = state.work.plan.effects().into_iter();
            records.extend(effects.map(|effect| Record::Pending { since, effect }));
            (self.journal.head(), records)
        };
        self.sync_all()?;
        self.journal.compact(through, &mut records.into_iter())?;
        Ok(true)
    }
}
