//! What others did to the change that takes our edits, and whether ours can go on top of it.
//!
//! The mount does not show what others did, so a later edit of the same path would go over it without
//! a word from the server: each such commit is remembered, durably, for as long as our edits stand
//! beside it, and every push is compared with all of them. What contradicts is recorded as a conflict
//! before a sibling is forked, so whoever comes after a crash finds the same and tells it once. A
//! conflict takes several records, and a crash may leave only the first of them: one that an earlier
//! process recorded is compared once more, and told anew if it lacks a path.

use journal::ConflictKind;
use uuid::Uuid;

use super::attempt::{Error, Replay};
use crate::remote::{Foreign, Verdict, bounded};
use crate::tree::{ChangeId, Edit, GitOid, Timestamp, TreePath};
use crate::upper::{Conflict, RemoteState};

/// Paths of one conflict that are kept: more do not help a reader, and all of them are in memory.
const CONFLICT_PATHS_MAX: usize = 1_000;
/// Foreign commits beside ours, each of which costs a comparison after every start: whoever writes
/// more often than this into our change gets it, and ours go on in a sibling.
const BESIDE_MAX: usize = 64;

/// What others did that stands beside ours, as far as it was looked at in this process.
#[derive(Debug, Default)]
pub(super) struct Beside {
    known: Foreign,
    looked_at: Vec<[u8; 16]>,
    /// The conflict that waits for a sibling, once this process knows that all of it is recorded.
    told: Option<[u8; 16]>,
}

impl Beside {
    /// What was pushed is ours again.
    pub(super) fn forget(&mut self, edits: &[Edit]) {
        if !self.known.is_empty() {
            edits.iter().for_each(|edit| self.known.forget(edit.path()));
        }
    }
}

/// Whether edits can be pushed.
pub(super) enum Compared {
    /// Nothing of theirs contradicts.
    Fine,
    /// The change moved on meanwhile.
    Moved,
}

impl Replay {
    /// Compares edits with what others did to the change; afterwards they may be pushed on top of it.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`]: they contradict, which is recorded.
    pub(super) fn compare(&mut self, edits: &[Edit]) -> Result<Compared, Error> {
        let remote = self.overlay.remote();
        let Some((change, commit)) = remote.change else {
            return Ok(Compared::Fine);
        };
        let beside: Vec<&Conflict> = remote
            .conflicts
            .iter()
            .filter(|one| one.is_beside())
            .collect();
        if self.theirs.is_none() && beside.is_empty() {
            let Some(known) = remote.conflicts.iter().find(|one| waits(one, change)) else {
                return Ok(Compared::Fine);
            };
            // Nothing is there any more to compare with: it stays as it was recorded.
            self.beside.told = Some(known.id);
            return Err(Error::Foreign { change });
        }
        for known in &beside {
            if self.beside.looked_at.contains(&known.id) {
                continue;
            }
            let commits = (known.base, known.theirs);
            match self.others.between(known.change, commits, edits)? {
                Verdict::Known(mut foreign) => {
                    known.paths.iter().for_each(|path| foreign.forget(path));
                    self.beside.known.join(foreign);
                }
                // A server that shows no commits shows what stands there now, whosever it is.
                Verdict::Moved => self.beside.known = Foreign::TooMuch,
            }
            self.beside.looked_at.push(known.id);
        }
        let mut foreign = self.beside.known.clone();
        if let Some(theirs) = self.theirs {
            match self.others.between(change, (commit, theirs), edits)? {
                Verdict::Known(newest) => foreign.join(newest),
                Verdict::Moved => {
                    self.theirs = None;
                    return Ok(Compared::Moved);
                }
            }
        }
        let paths = self.others.contradictions(edits, &foreign)?;
        let too_often = beside.len() >= BESIDE_MAX && self.theirs.is_some();
        if paths.is_empty() && !too_often {
            for known in remote.conflicts.iter().filter(|one| waits(one, change)) {
                self.overlay.record_conflict_resolved(known.id)?;
            }
            return self.stand_beside(&remote, (change, commit), edits, foreign);
        }
        let first = beside.first().map(|known| known.base);
        let last = beside.last().map(|known| known.theirs);
        let found = conflict(
            change,
            first.unwrap_or(commit),
            self.theirs.or(last).unwrap_or(commit),
        );
        let paths = bounded(paths, CONFLICT_PATHS_MAX);
        self.tell(&remote, Conflict { paths, ..found })?;
        tracing::warn!(%change, "edits of somebody else contradict ours");
        Err(Error::Foreign { change })
    }

    /// Records a conflict; one of this change that waits already stays the one that it is.
    fn tell(&mut self, remote: &RemoteState, found: Conflict) -> Result<(), Error> {
        let known = remote.conflicts.iter().find(|one| waits(one, found.change));
        let found = match known {
            Some(known) => Conflict {
                id: known.id,
                time: known.time,
                ..found
            },
            None => found,
        };
        if known != Some(&found) {
            // Should we die in between, the next attempt finds it once more.
            if let Some(known) = known {
                self.overlay.record_conflict_resolved(known.id)?;
            }
            self.overlay.record_conflict(&found)?;
        }
        self.beside.told = Some(found.id);
        Ok(())
    }

    /// Looks whether somebody rewrote a change of ours that was published, before ours go on from it.
    pub(super) fn look_at_published(&mut self) -> Result<(), Error> {
        let remote = self.overlay.remote();
        let Some((published, commit)) = remote.change.filter(|_| remote.is_published()) else {
            return Ok(());
        };
        if self.theirs.is_none() {
            let current = self.others.current(published)?;
            self.theirs = (current != commit).then_some(current);
        }
        Ok(())
    }

    /// Remembers the newest of theirs, and goes on from it.
    fn stand_beside(
        &mut self,
        remote: &RemoteState,
        (change, commit): (ChangeId, GitOid),
        edits: &[Edit],
        foreign: Foreign,
    ) -> Result<Compared, Error> {
        let Some(theirs) = self.theirs.take() else {
            return Ok(Compared::Fine);
        };
        // The same again, one commit later: an attempt that did not get through remembered it.
        let again = remote
            .conflicts
            .iter()
            .filter(|one| one.is_beside() && one.change == change && one.base == commit);
        for known in again {
            self.overlay.record_conflict_resolved(known.id)?;
        }
        // What both wrote alike is ours as much as theirs, and may be written again.
        let alike = edits
            .iter()
            .map(Edit::path)
            .filter(|path| foreign.is_at(path));
        let known = Conflict {
            sibling: Some(change),
            paths: alike.take(CONFLICT_PATHS_MAX).cloned().collect(),
            ..conflict(change, commit, theirs)
        };
        self.overlay.record_conflict(&known)?;
        self.beside.looked_at.push(known.id);
        self.beside.known = foreign;
        self.base = Some(theirs);
        tracing::info!(%change, %theirs, "nothing contradicts: ours go on top of theirs");
        Ok(Compared::Fine)
    }

    /// Forks a sibling of a change whose conflict is recorded as a whole, if that was not done yet.
    pub(super) fn fork_sibling(&mut self) -> Result<(), Error> {
        let remote = self.overlay.remote();
        let Some((change, _)) = remote.change else {
            return Ok(());
        };
        let told = |one: &Conflict| waits(one, change) && self.beside.told == Some(one.id);
        if !remote.conflicts.iter().any(told) {
            return Ok(());
        }
        // What stands beside ours in the old change is not in the new one.
        for known in remote.conflicts.iter().filter(|one| one.is_beside()) {
            self.overlay.record_conflict_resolved(known.id)?;
        }
        self.beside = Beside::default();
        self.fork(None)?;
        Ok(())
    }
}

/// Whether ours of this change are to go to a sibling.
fn waits(conflict: &Conflict, change: ChangeId) -> bool {
    conflict.waits_for_sibling() && conflict.change == change
}

fn conflict(change: ChangeId, base: GitOid, theirs: GitOid) -> Conflict {
    Conflict {
        id: Uuid::new_v4().into_bytes(),
        kind: ConflictKind::Foreign,
        change,
        base,
        theirs,
        bookmark: None,
        sibling: None,
        time: Timestamp::from(std::time::SystemTime::now()),
        paths: Vec::<TreePath>::new(),
    }
}
