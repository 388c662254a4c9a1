//! The one way in which anything changes: a record is appended, and then applied.

use std::sync::Arc;

use journal::{Record, Sequence};

use super::error::Error;
use super::open::{Overlay, now};
use super::state::{Purpose, State};
use super::types::Access;

impl Overlay {
    /// Appends a record and applies it: the one way in which anything changes.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`] once a sync has failed; the journal's.
    pub(super) fn commit(&self, state: &mut State, record: &Record) -> Result<Sequence, Error> {
        self.commit_for(state, record, Purpose::Change)
    }

    /// The same; what frees space may use the journal's reserve.
    pub(super) fn commit_for(
        &self,
        state: &mut State,
        record: &Record,
        purpose: Purpose,
    ) -> Result<Sequence, Error> {
        if is_edit(record) {
            self.check_edits()?;
        }
        let sequence = self.append_for(record, purpose)?;
        state.absorb(sequence, record, now())?;
        if record.is_pending_work() {
            self.wake_replay();
        }
        Ok(sequence)
    }

    /// Why nothing can change any more, if that is so: the sync that failed. Opening anew is the cure;
    /// it finds everything that was acknowledged, unless the disk has lost it.
    pub fn failure(&self) -> Option<Arc<std::io::Error>> {
        self.ledger.failure().or_else(|| self.journal.failure())
    }

    /// Succeeds where edits are taken.
    ///
    /// # Errors
    ///
    /// [`Error::NoEdits`].
    pub fn check_edits(&self) -> Result<(), Error> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::NoEdits),
        }
    }

    pub(super) fn check_writable(&self) -> Result<(), Error> {
        match self.failure() {
            Some(_) => Err(Error::ReadOnly),
            None => Ok(()),
        }
    }
}

/// Whether a record changes the tree, and does not only say what becomes of earlier ones.
fn is_edit(record: &Record) -> bool {
    matches!(
        record,
        Record::Adopt { .. }
            | Record::Create { .. }
            | Record::Link { .. }
            | Record::Remove { .. }
            | Record::Rename { .. }
            | Record::Write { .. }
            | Record::SetAttributes { .. }
            | Record::SetXattr { .. }
            | Record::RemoveXattr { .. }
    )
}
