//! What people decided, what was published, and what contradicts: recorded like any other change, so
//! that it outlives the daemon. Every function here is durable on return.

use std::collections::BTreeSet;

use journal::{Effect, Record};

use super::error::Error;
use super::open::{Overlay, now};
use crate::failpoints;
use crate::tree::{ChangeId, TreePath};
use crate::upper::{Conflict, Publishing, journal_time, records_of, tree_path};

impl Overlay {
    /// Records that nothing is to be pushed until [`Overlay::release`].
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn hold(&self) -> Result<(), Error> {
        let time = journal_time(now());
        self.record_durably(&Record::Held { time })?;
        failpoints::HELD.reach();
        Ok(())
    }

    /// Takes [`Overlay::hold`] back.
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn release_hold(&self) -> Result<(), Error> {
        let time = journal_time(now());
        self.record_durably(&Record::Released { time })?;
        failpoints::RELEASED.reach();
        self.wake_replay();
        Ok(())
    }

    /// Gives up what is pending at a path and below it; the root is everything. The local tree stays
    /// as it is. A directory that came from elsewhere takes the removal there with it. Returns how many
    /// effects that were; a crash before the return may leave some of them.
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn give_up(&self, path: &TreePath) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let mut given_up = BTreeSet::new();
        for effect in state.work.plan.effects() {
            if tree_path(effect.path())?.starts_with(path) {
                given_up.insert(effect.path().clone());
                if let Effect::Copy { from, .. } = effect {
                    given_up.insert(from);
                }
            }
        }
        let time = journal_time(now());
        let mut dropped = 0;
        for path in given_up {
            if state.work.plan.touches(&path) {
                self.commit(&mut state, &Record::Dropped { path, time })?;
                dropped += 1;
                failpoints::DROPPED.reach();
            }
        }
        drop(state);
        self.journal.sync(self.journal.head())?;
        Ok(dropped)
    }

    /// Records a conflict that was found, with its paths.
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn record_conflict(&self, conflict: &Conflict) -> Result<(), Error> {
        let mut state = self.state.lock();
        for record in records_of(conflict) {
            self.commit(&mut state, &record)?;
            failpoints::CONFLICT_IN_PART.reach();
        }
        drop(state);
        self.journal.sync(self.journal.head())?;
        failpoints::CONFLICT_RECORDED.reach();
        Ok(())
    }

    /// Records that a person has settled a conflict.
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn record_conflict_resolved(&self, conflict: [u8; 16]) -> Result<(), Error> {
        let time = journal_time(now());
        self.record_durably(&Record::ConflictResolved { conflict, time })?;
        failpoints::CONFLICT_RESOLVED.reach();
        Ok(())
    }

    /// Records that a bookmark is about to get a change.
    ///
    /// # Errors
    ///
    /// The journal's; nothing must be sent then.
    pub fn record_publish_intended(&self, publishing: &Publishing) -> Result<(), Error> {
        self.record_durably(&Record::PublishIntended {
            publish: publishing.id,
            change: publishing.change.0,
            commit: publishing.commit.0,
            bookmark: publishing.bookmark.clone(),
        })?;
        failpoints::PUBLISH_INTENDED.reach();
        Ok(())
    }

    /// Records that the bookmark has the change.
    ///
    /// # Errors
    ///
    /// The journal's; asking the server settles it then.
    pub fn record_published(&self, change: ChangeId, bookmark: &str) -> Result<(), Error> {
        self.record_durably(&Record::Published {
            change: change.0,
            bookmark: bookmark.to_owned(),
        })?;
        failpoints::PUBLISHED.reach();
        Ok(())
    }
}
