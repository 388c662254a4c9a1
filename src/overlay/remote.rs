//! The remote side of the history: what replay records here, and what is still to be pushed.

use std::collections::HashSet;

use journal::{Effect, Record, Sequence};

use super::error::Error;
use super::ignore::Judge;
use super::ledger::Ledger;
use super::open::{Local, Overlay, now};
use super::state::State;
use crate::failpoints;
use crate::tree::{ChangeId, GitOid, Ino, Kind, Timestamp};
use crate::upper::{RemoteState, journal_path, tree_path};

/// What the remote does not have yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// Records that the remote has not accepted.
    pub operations: u64,
    /// Bytes of the files that they leave to be sent.
    pub bytes: u64,
    /// When the oldest of them was made.
    pub since: Option<Timestamp>,
}

/// How far a journal has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The last record.
    pub head: Sequence,
    /// The last record that survives a power cut.
    pub synced: Sequence,
    /// Syncs since it was opened.
    pub syncs: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// One thing that the remote does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingEffect {
    /// What is to be done.
    pub effect: Effect,
    /// When the change behind it was made; of several, the first.
    pub since: Timestamp,
    /// Bytes of the file that it puts; `None` of what is no file with local bytes.
    pub bytes: Option<u64>,
}

/// What is to be done at the remote, without what is ignored as far as that is known here.
fn wanted(state: &State, overlay: Option<&Overlay>) -> Vec<Effect> {
    let judge = Judge::new(overlay, state);
    let is_ignored = |effect: &Effect| {
        let Ok(path) = tree_path(effect.path()) else {
            return false;
        };
        let ino = state.upper.resolve(&path);
        let node = ino.and_then(|ino| state.upper.node(ino));
        let is_directory = node.is_some_and(|node| node.kind == Kind::Directory);
        judge.surely_ignores(&path, is_directory)
    };
    let mut effects = state.work.plan.effects();
    effects.retain(|effect| !is_ignored(effect));
    effects
}

/// The effects, with the body of each that has one; sizes are still to be read.
fn effects_of(state: &State, overlay: Option<&Overlay>) -> Vec<(PendingEffect, Option<Ino>)> {
    let describe = |effect: Effect| {
        let body = match &effect {
            Effect::Put { path, .. } => tree_path(path)
                .ok()
                .and_then(|path| state.upper.resolve(&path))
                .filter(|ino| state.upper.node(*ino).is_some_and(|node| node.body)),
            Effect::Copy { .. } | Effect::Remove { .. } => None,
        };
        let since = state.work.since(&effect);
        let bytes = None;
        (
            PendingEffect {
                effect,
                since,
                bytes,
            },
            body,
        )
    };
    wanted(state, overlay).into_iter().map(describe).collect()
}

fn measured(effects: Vec<(PendingEffect, Option<Ino>)>, ledger: &Ledger) -> Vec<PendingEffect> {
    let size = |ino| Some(std::fs::metadata(ledger.bodies.path(ino)).ok()?.len());
    let measure = |(effect, body): (PendingEffect, Option<Ino>)| PendingEffect {
        bytes: body.and_then(size),
        ..effect
    };
    effects.into_iter().map(measure).collect()
}

/// What the remote does not have, with the files whose sizes are still to be read.
struct Unsent {
    operations: u64,
    since: Option<Timestamp>,
    bodies: Vec<Ino>,
}

impl Unsent {
    fn of(state: &State, overlay: Option<&Overlay>) -> Unsent {
        let effects = wanted(state, overlay);
        let bodies = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Put { path, .. } => state.upper.resolve(&tree_path(path).ok()?),
                Effect::Copy { .. } | Effect::Remove { .. } => None,
            })
            .filter(|ino| state.upper.node(*ino).is_some_and(|node| node.body))
            .collect();
        let owed = state.ignore.owed().len() as u64;
        // What comes to nothing is no work, however many operations it took.
        let is_work = !effects.is_empty();
        Unsent {
            operations: owed + if is_work { state.work.operations } else { 0 },
            since: state.work.since.filter(|_| is_work),
            bodies,
        }
    }

    /// Reads the sizes: without the state's lock, since it asks the disk.
    fn measure(&self, ledger: &Ledger) -> Pending {
        let size = |ino: &Ino| std::fs::metadata(ledger.bodies.path(*ino)).map_or(0, |m| m.len());
        Pending {
            operations: self.operations,
            bytes: self.bodies.iter().map(size).sum(),
            since: self.since,
        }
    }
}

impl Local {
    /// What the remote does not have yet, or may not have: after a power cut nobody knows.
    pub fn pending(&self) -> Pending {
        let mut unsent = Unsent::of(&self.state, None);
        unsent.operations += self.doubtful.len() as u64;
        unsent.bodies.extend(&self.doubtful);
        unsent.bodies.sort_unstable();
        unsent.bodies.dedup();
        unsent.measure(&self.ledger)
    }

    /// The same, one by one.
    pub fn pending_effects(&self) -> Vec<PendingEffect> {
        measured(effects_of(&self.state, None), &self.ledger)
    }
}

impl Overlay {
    /// What is known of the remote side of this history.
    pub fn remote(&self) -> RemoteState {
        self.state.lock().upper.remote().clone()
    }

    /// Whether the remote lacks anything: costs a look at each body that the kernel writes by itself, where [`Overlay::pending`] measures it.
    pub fn has_pending(&self) -> bool {
        self.looked().has_pending()
    }

    /// What the remote does not have yet, measured: coalesces it and asks the disk for sizes.
    pub fn pending(&self) -> Pending {
        let unsent = Unsent::of(&self.looked(), Some(self));
        unsent.measure(&self.ledger)
    }

    /// What the remote does not have, one by one: for listings. Asks the disk for sizes.
    pub fn pending_effects(&self) -> Vec<PendingEffect> {
        let effects = effects_of(&self.looked(), Some(self));
        measured(effects, &self.ledger)
    }

    /// The journal's records that the remote has not accepted, as they were appended; those that a
    /// compaction folded are there as effects. Reads the journal's files.
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn unpushed_records(&self) -> Result<Vec<(Sequence, Record)>, Error> {
        let (pushed, quiet) = {
            let state = self.looked();
            let quiet = |ino: &&Ino| !state.marked.contains(*ino);
            let quiet = state.standing.keys().filter(quiet);
            let paths = quiet.filter_map(|ino| state.paths(*ino).ok()).flatten();
            let paths = paths.map(|path| journal_path(&path));
            let quiet = paths.filter(|path| !state.work.plan.touches(path));
            let quiet: HashSet<_> = quiet.collect();
            (state.upper.remote().pushed, quiet)
        };
        let journal::Read {
            snapshot,
            mut records,
        } = self.journal.read()?;
        records.retain(|(sequence, record)| {
            let is_work = match record {
                Record::Pending { .. } => true,
                // Of a file that may be written to at any moment, and was not.
                Record::Write { path, .. } if quiet.contains(path) => false,
                record if *sequence <= snapshot => matches!(record, Record::PendingLater { .. }),
                record => record.is_pending_work() || matches!(record, Record::Dropped { .. }),
            };
            is_work && *sequence > pushed
        });
        Ok(records)
    }

    /// A number that grows with every change of a file's bytes that passes us. The first of them after a
    /// push wakes [`Overlay::work`], the others do not.
    pub fn changes(&self) -> u64 {
        self.ledger.changes()
    }

    /// Where the journal stands.
    pub fn position(&self) -> Position {
        Position {
            // In this order, so that what is called synced is never beyond the head.
            synced: self.journal.synced(),
            head: self.journal.head(),
            syncs: self.journal.syncs(),
            bytes: self.journal.sizes().total(),
        }
    }

    /// Records that a change is about to be created under `transaction`: on the pinned one, or on a
    /// published one that it `continues`. Durable on return.
    ///
    /// # Errors
    ///
    /// The journal's; nothing must be sent then.
    pub fn record_fork_intended(
        &self,
        transaction: [u8; 16],
        continues: Option<ChangeId>,
    ) -> Result<(), Error> {
        let continues = continues.map(|change| change.0);
        self.record_durably(&Record::ForkIntended {
            transaction,
            continues,
        })?;
        failpoints::FORK_INTENDED.reach();
        Ok(())
    }

    /// Records the change that takes the edits. Durable on return.
    ///
    /// # Errors
    ///
    /// The journal's.
    pub fn record_forked(&self, change: ChangeId, commit: GitOid) -> Result<(), Error> {
        self.record_durably(&Record::Forked {
            change: change.0,
            commit: commit.0,
        })?;
        failpoints::FORK_RECORDED.reach();
        Ok(())
    }

    /// Records that a push is about to be sent. Durable on return.
    ///
    /// # Errors
    ///
    /// The journal's; nothing must be sent then.
    pub fn record_push_intended(&self, through: Sequence, batch: [u8; 16]) -> Result<(), Error> {
        self.end_doubts()?;
        self.record_durably(&Record::PushIntended { through, batch })?;
        failpoints::PUSH_INTENDED.reach();
        Ok(())
    }

    /// Records that the remote has everything up to `through`: after the push that was captured
    /// last, or after settling one that an earlier process announced. Durable on return.
    ///
    /// # Errors
    ///
    /// The journal's; the push then counts as not settled, and asking the remote settles it.
    pub fn record_pushed(&self, through: Sequence, commit: GitOid) -> Result<(), Error> {
        self.record_durably(&Record::Pushed {
            through,
            commit: commit.0,
        })?;
        failpoints::PUSH_RECORDED.reach();
        let mut state = self.state.lock();
        if let Some(rest) = state.since_capture.take() {
            state.work = rest;
        }
        state.ignore.settle();
        Ok(())
    }

    /// Says that what was captured last was not accepted: it is still to be pushed.
    pub fn abandon_capture(&self) {
        self.state.lock().since_capture = None;
    }

    pub(super) fn record_durably(&self, record: &Record) -> Result<(), Error> {
        let sequence = self.commit(&mut self.state.lock(), record)?;
        self.journal.sync(sequence)?;
        Ok(())
    }

    /// Seconds since a point in time, by the clock that records use.
    pub fn age_seconds(since: Timestamp) -> u64 {
        now()
            .seconds
            .saturating_sub(since.seconds)
            .max(0)
            .unsigned_abs()
    }
}
