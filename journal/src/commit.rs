//! One thread that makes appended records durable, for all who wait at once.
//!
//! A sync covers everything that had been appended when it began, so however many wait, those who
//! come during one sync share the next. A sync that fails is the last: afterwards nobody can know
//! what the disk holds.
//!
//! The locks are the standard library's, for the sake of its condition variable: that wakes all who
//! wait by one call of the kernel, and they go on on every processor at once. One that hands them
//! the lock in turn makes 64 waiters last as long as 64 wake-ups in a row, several times as long as
//! the sync of a fast disk. Nobody is woken while the lock is held that he needs first.

use std::io;
use std::sync::{Arc, Condvar, LockResult, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::DiskFile;
use crate::error::Error;
use crate::failpoint;
use crate::journal::Barrier;
use crate::record::Sequence;

/// What appenders, waiters and the committer share. Its lock is the innermost.
#[derive(Default)]
pub(crate) struct Commit {
    state: Mutex<State>,
    /// There may be something to sync.
    wanted: Condvar,
    /// A sync has ended.
    ended: Condvar,
    pub(crate) barrier: OnceLock<Arc<dyn Barrier>>,
}

#[derive(Default)]
struct State {
    synced: Sequence,
    /// The highest sequence that someone waits for.
    requested: Sequence,
    /// When the oldest record was appended that no sync has yet begun to cover.
    unsynced_since: Option<Instant>,
    failed: Option<Arc<io::Error>>,
    stopping: bool,
    syncs: u64,
}

/// What the committer does next.
enum Step {
    Sync,
    Stop,
}

impl Commit {
    pub(crate) fn new(synced: Sequence) -> Commit {
        let commit = Commit::default();
        commit.lock().synced = synced;
        commit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    pub(crate) fn synced(&self) -> Sequence {
        self.lock().synced
    }

    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        self.lock().failed.clone()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Succeeds unless a sync has failed; tells what is durable.
    pub(crate) fn check(&self) -> Result<Sequence, Error> {
        let state = self.lock();
        state.check()?;
        Ok(state.synced)
    }

    /// Tells the committer that there is something to sync within the interval.
    pub(crate) fn appended(&self) {
        let mut state = self.lock();
        if state.unsynced_since.is_none() {
            state.unsynced_since = Some(Instant::now());
            drop(state);
            self.wanted.notify_one();
        }
    }

    /// Blocks until everything up to `through`, which has been appended, is durable.
    pub(crate) fn wait(&self, through: Sequence) -> Result<(), Error> {
        let mut state = self.lock();
        if state.requested < through {
            // While more is requested than is synced, the committer is awake.
            let asleep = state.requested <= state.synced;
            state.requested = through;
            if asleep {
                drop(state);
                self.wanted.notify_one();
                state = self.lock();
            }
        }
        while state.synced < through {
            state.check()?;
            state = unpoisoned(self.ended.wait(state));
        }
        Ok(())
    }

    /// Remembers a failed sync for good, and tells all who wait.
    pub(crate) fn fail(&self, error: Arc<io::Error>) {
        self.lock().failed.get_or_insert(error);
        self.ended.notify_all();
    }

    /// Asks the committer for a last sync and its end.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.wanted.notify_one();
    }

    /// The committer thread. `position` is told what is durable, and tells the last record and the
    /// file to sync.
    pub(crate) fn run(
        &self,
        interval: Duration,
        position: impl Fn(Sequence) -> Result<(Sequence, Arc<dyn DiskFile>), Error>,
    ) {
        loop {
            let step = self.next_step(interval);
            let synced = match position(self.synced()) {
                Ok((through, file)) if through > self.synced() => self.sync(through, &*file),
                Ok(_) => Ok(()),
                Err(error) => {
                    self.fail(Arc::new(io::Error::other(error)));
                    Err(())
                }
            };
            if synced.is_err() {
                return;
            }
            if matches!(step, Step::Stop) {
                return;
            }
        }
    }

    fn next_step(&self, interval: Duration) -> Step {
        let mut state = self.lock();
        loop {
            if state.stopping || state.failed.is_some() {
                return Step::Stop;
            }
            let deadline = state.unsynced_since.map(|since| since + interval);
            let due = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if due || state.requested > state.synced {
                // A record appended from here on may miss the sync, and counts as unsynced anew.
                state.unsynced_since = None;
                return Step::Sync;
            }
            state = match deadline {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    unpoisoned(self.wanted.wait_timeout(state, left)).0
                }
                None => unpoisoned(self.wanted.wait(state)),
            };
        }
    }

    fn sync(&self, through: Sequence, file: &dyn DiskFile) -> Result<(), ()> {
        self.check().map_err(drop)?;
        failpoint::COMMIT_BEGUN.reach();
        let synced = match self.barrier.get() {
            Some(barrier) => barrier.before_sync(through),
            None => Ok(()),
        };
        failpoint::COMMIT_BARRED.reach();
        match synced.and_then(|()| file.sync_data()) {
            Ok(()) => {
                failpoint::COMMIT_SYNCED.reach();
                let mut state = self.lock();
                state.synced = state.synced.max(through);
                state.syncs += 1;
                drop(state);
                self.ended.notify_all();
                Ok(())
            }
            Err(error) => {
                self.fail(Arc::new(error));
                Err(())
            }
        }
    }
}

impl State {
    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(Error::SyncFailed(Arc::clone(error))),
            None => Ok(()),
        }
    }
}

/// A panic cannot leave the state half changed: nothing that may panic is called under its lock.
fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
