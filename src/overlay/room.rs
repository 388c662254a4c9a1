//! A full disk: what was removed makes room as soon as its removal is durable, so whoever meets the
//! full disk makes it durable and tries once more. Until then the bodies of removed files stay (see
//! `ledger.rs`).

use std::io;

use journal::{Record, Sequence};

use super::error::Error;
use super::locks::MutexGuard;
use super::open::Overlay;
use super::state::{Purpose, State};
use crate::tree::Ino;

impl Overlay {
    /// Frees what removed files still hold; says whether that was anything.
    pub(super) fn make_room(&self) -> bool {
        if !self.ledger.has_graves() {
            return false;
        }
        match self.settle_bodies() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "no room could be made on a full disk");
                false
            }
        }
    }

    /// Adopts, for a change: see [`Overlay::adopt_for`].
    pub(super) fn adopt(&self, state: &mut MutexGuard<'_, State>, ino: Ino) -> Result<(), Error> {
        self.adopt_for(state, ino, Purpose::Change)
    }

    /// Appends a record, which is still to be applied. The state is locked.
    pub(super) fn append_for(&self, record: &Record, purpose: Purpose) -> Result<Sequence, Error> {
        self.check_writable()?;
        let append = || match purpose {
            Purpose::Change => self.journal.append(record),
            Purpose::Freeing => self.journal.append_freeing(record),
        };
        Ok(match append() {
            // The state's lock is held over a sync here, so that the disk is full to everybody.
            Err(journal::Error::NoSpace { .. }) if self.make_room() => append()?,
            appended => appended?,
        })
    }

    /// Does what takes space on the disk, and once more if there was none and some could be made.
    pub(super) fn with_room<T>(&self, attempt: impl Fn() -> io::Result<T>) -> Result<T, Error> {
        let done = match attempt() {
            Err(error) if is_full(&error) && self.make_room() => attempt(),
            done => done,
        };
        done.map_err(Error::Body)
    }
}

/// Whether an error says that the disk, or what of it this user may have, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
