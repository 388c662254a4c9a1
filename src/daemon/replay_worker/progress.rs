//! What a replay worker tells of itself.

use std::time::Instant;

use journal::replay::{Event, Failure};

use super::kept::Kept;
use crate::daemon::status::{Cause, CredentialTrouble, RepoState};

/// How a replay stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::daemon) struct Progress {
    /// What keeps work from being pushed; `None` when nothing does.
    pub(in crate::daemon) blocked: Option<RepoState>,
    /// The last failure, in words.
    pub(in crate::daemon) reason: Option<String>,
    /// What the last failure was about.
    pub(in crate::daemon) cause: Option<Cause>,
    /// Since when `blocked` is what it is.
    pub(in crate::daemon) since: Option<Instant>,
    /// What is wrong with the credential.
    pub(in crate::daemon) credential: Option<CredentialTrouble>,
    /// What the server cannot hold.
    pub(in crate::daemon) kept: Kept,
    /// Why the bookmark does not get what was pushed, before something changes.
    pub(in crate::daemon) diverged: Option<String>,
    /// Why it did not get it so far.
    pub(in crate::daemon) unpublished: Option<String>,
    /// How attempts ended.
    pub(in crate::daemon) pushes: Pushes,
}

/// How attempts to push ended, since the repository was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::daemon) struct Pushes {
    accepted: u64,
    backoff: u64,
    auth: u64,
    conflict: u64,
    refused: u64,
}

impl Pushes {
    /// Counts the end of an attempt; other events are none.
    pub(super) fn count(&mut self, event: Event) {
        match event {
            Event::Accepted => self.accepted += 1,
            Event::Failed(Failure::Transient { .. }) => self.backoff += 1,
            Event::Failed(Failure::Auth) => self.auth += 1,
            Event::Failed(Failure::Conflict) => self.conflict += 1,
            Event::Failed(Failure::Refused) => self.refused += 1,
            _ => {}
        }
    }

    /// Every outcome with its name.
    pub(in crate::daemon) fn all(&self) -> [(&'static str, u64); 5] {
        [
            ("accepted", self.accepted),
            ("backoff", self.backoff),
            ("auth", self.auth),
            ("conflict", self.conflict),
            ("refused", self.refused),
        ]
    }
}

impl Progress {
    /// Notes what keeps work from being pushed now, and since when that is so.
    pub(super) fn stand(&mut self, blocked: Option<RepoState>) {
        if self.blocked != blocked {
            self.since = blocked.map(|_| Instant::now());
        }
        self.blocked = blocked;
    }
}
