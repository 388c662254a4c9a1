//! What has to be done now and then: syncing what is old, checkpoints, compaction.

use journal::failpoint::limit;

use super::error::Error;
use super::open::Overlay;
use crate::failpoints;
use crate::tree::{Ino, Kind, TreePath};

/// A log below this is not worth compacting; nor is one that is shorter than the snapshot that it
/// would be folded into, so that compacting costs at most as much again as appending did.
const COMPACT_BYTES_MIN: u64 = 16 << 20;
/// Records behind the snapshot that are of no more use, being pushed or superseded, from which on
/// compacting is worth it however short the log is: an opening reads as many in some 20 ms.
const COMPACT_NEEDLESS_MIN: u64 = 20_000;

/// Records that an opening had to read before it leaves less to the next one: a daemon that dies every
/// few seconds never lives to see a checkpoint, and each start would be slower than the one before.
const OPENING_RECORDS_MAX: u64 = 20_000;

/// What the kernel holds of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Inodes that it refers to, and what is above them.
    pub inodes: u64,
    /// Opens that it did not release; none where it does not tell of them.
    pub opens: u64,
    /// Bodies that may be written without us.
    pub written_unseen: u64,
}

impl Overlay {
    /// Checkpoints and compacts at once, if the opening had much to read. What fails is left to upkeep,
    /// which tries again and says so.
    pub(super) fn catch_up(&self) {
        let most = limit("MESA_TEST_OPENING_RECORDS", OPENING_RECORDS_MAX);
        let opening = self.opening();
        if (opening.records as u64) < most {
            return;
        }
        let caught_up = match opening.replayed as u64 >= most {
            true => self.checkpoint(),
            false => Ok(()),
        };
        let caught_up = caught_up.and_then(|()| self.compact_if_large().map(drop));
        if let Err(error) = caught_up {
            tracing::warn!(%error, "the next opening reads as much again");
        }
    }

    /// Makes what is older than the commit interval survive a power cut, looks at what the kernel writes
    /// by itself, and deletes bodies that nothing can bring back. Call it once an interval.
    ///
    /// # Errors
    ///
    /// A sync that failed, which is final.
    pub fn sync_in_background(&self) -> Result<(), Error> {
        let idle = self.state.lock().close_idle();
        drop(idle);
        self.settle_writers();
        // What a killed process left is in the page cache, journaled or not, and nobody has synced it.
        if !self.is_durable() || self.doubts.has_any() {
            return self.settle_bodies();
        }
        self.ledger.sweep_graves(self.journal.synced());
        Ok(())
    }

    /// Whether everything that was acknowledged would survive a power cut now.
    pub fn is_durable(&self) -> bool {
        !self.ledger.has_unsynced()
            && !self.doubts.has_copies()
            && self.journal.synced() >= self.journal.head()
    }

    /// What the kernel holds of this tree.
    pub fn usage(&self) -> Usage {
        let state = self.state.lock();
        Usage {
            inodes: state.live.len() as u64,
            opens: state.live.values().map(|live| u64::from(live.opens)).sum(),
            written_unseen: state.standing.len() as u64,
        }
    }

    /// How many nodes the kernel refers to that are the lower layer's alone.
    pub fn lower_nodes(&self) -> usize {
        self.state.lock().lower_nodes
    }

    /// So many of them that the kernel may be asked to forget, or fewer; others each time.
    pub fn idle_nodes(&self, count: usize) -> Vec<Ino> {
        self.state.lock().idle(count)
    }

    /// Whether a node is a regular file.
    pub fn is_file(&self, ino: Ino) -> bool {
        self.state.lock().kind(ino).ok() == Some(Kind::File)
    }

    /// Where a node is seen now; `None` when it has no name any more.
    pub fn path_of(&self, ino: Ino) -> Option<TreePath> {
        self.state.lock().path(ino).ok()
    }

    /// Where the snapshot has what is shown at a path: elsewhere, if that was renamed here. `None` for what
    /// only the local layer has.
    pub fn lower_path(&self, path: &TreePath) -> Option<TreePath> {
        let state = self.state.lock();
        let (mut at, mut below) = (path.clone(), Vec::new());
        loop {
            if let Some(ino) = state.upper.resolve(&at) {
                let origin = state.upper.node(ino)?.origin.as_ref()?;
                let mut names = below.into_iter().rev();
                return names.try_fold(origin.path.clone(), |path, name| path.join(&name).ok());
            }
            let (parent, name) = at.split_last()?;
            below.push(name);
            at = parent;
        }
    }

    /// How often [`Overlay::sync_in_background`] is wanted.
    pub fn commit_interval(&self) -> std::time::Duration {
        self.commit_interval
    }

    /// Brings the index up to the journal's head, so that the next opening reads little.
    ///
    /// # Errors
    ///
    /// The index or the disk; the journal has everything all the same, and the next checkpoint makes
    /// the index anew.
    pub fn checkpoint(&self) -> Result<(), Error> {
        let mut index = self.index.lock();
        let made_anew = index.ensure_open()?;
        let (reaches, checkpoint) = {
            let mut state = self.state.lock();
            if made_anew {
                state.upper.mark_all_changed();
            }
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

    /// Brings everything to rest, so that the next opening is quick and has nothing to doubt. No
    /// byte of a file changes after that.
    ///
    /// # Errors
    ///
    /// The disk's; the journal has everything all the same.
    pub fn close(&self) -> Result<(), Error> {
        {
            let _gate = self.gate.write();
            self.ledger.close();
        }
        self.rest_writers()?;
        self.settle_bodies()?;
        self.witness.at_rest().map_err(Error::Body)?;
        self.checkpoint()?;
        self.compact_if_large().map(drop)
    }

    /// Rewrites the journal as the shortest one that rebuilds the state and what is to be pushed, if
    /// it has grown large, or for the most part needless. A push may be on its way meanwhile, or announced for days.
    ///
    /// # Errors
    ///
    /// The journal's; the old one is in force then.
    pub fn compact_if_large(&self) -> Result<bool, Error> {
        let sizes = self.journal.sizes();
        let bytes_min = limit("MESA_TEST_COMPACT_BYTES", COMPACT_BYTES_MIN);
        let is_large = sizes.log >= bytes_min.max(sizes.snapshot);
        if !is_large && !self.is_mostly_needless() {
            return Ok(false);
        }
        self.compact()?;
        Ok(true)
    }

    /// Whether there are many records that compacting would leave out, and more than it would write.
    fn is_mostly_needless(&self) -> bool {
        let snapshot = self.journal.snapshot();
        let appended = self.journal.head().0.saturating_sub(snapshot.0);
        if appended < COMPACT_NEEDLESS_MIN {
            return false;
        }
        let state = self.state.lock();
        let since_capture = state.since_capture.as_ref();
        let plans = [Some(&state.work), since_capture].into_iter().flatten();
        let pending: usize = plans.map(|work| work.plan.effects().len()).sum();
        let kept = (state.upper.size() + pending) as u64;
        appended.saturating_sub(kept) >= COMPACT_NEEDLESS_MIN.max(kept)
    }

    /// Compacts now.
    ///
    /// # Errors
    ///
    /// As [`Overlay::compact_if_large`].
    pub fn compact(&self) -> Result<(), Error> {
        let (through, records) = {
            let mut state = self.state.lock();
            let mut records = state.upper.snapshot();
            records.extend(state.unsent_records());
            let through = self.journal.head();
            self.stand_again(&mut state)?;
            (through, records)
        };
        self.settle_bodies()?;
        self.journal.compact(through, &mut records.into_iter())?;
        Ok(())
    }
}
