//! One open repository: its tree, its replay worker, and what there is to say about it.

use std::sync::Arc;
use std::time::Instant;

use journal::Effect;

use super::at_rest;
use super::control::{JournalEntry, Remaining};
use super::replay_worker::{Handshake, Progress, ReplayWorker};
use super::status::{CredentialState, RepoState, RepoStatus};
use crate::fuse::{Opened, Slot};
use crate::overlay::Overlay;
use crate::remote::RepositoryName;

/// An open repository.
pub(super) struct Repository {
    name: RepositoryName,
    slot: Slot,
    overlay: Arc<Overlay>,
    worker: ReplayWorker,
}

impl Repository {
    /// Puts the parts together.
    pub(super) fn new(
        name: RepositoryName,
        slot: Slot,
        overlay: Arc<Overlay>,
        worker: ReplayWorker,
    ) -> Repository {
        Repository {
            name,
            slot,
            overlay,
            worker,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// What the file system needs of it.
    pub(super) fn opened(&self) -> Opened {
        Opened {
            slot: self.slot,
            overlay: Arc::clone(&self.overlay),
        }
    }

    /// Its tree.
    pub(super) fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// What is wrong with the credential, if that is what keeps its work from being pushed.
    pub(super) fn credential(&self) -> Option<CredentialState> {
        self.worker.progress().credential
    }

    /// Whether its work waits for the server to come back.
    pub(super) fn is_offline(&self) -> bool {
        self.worker.progress().blocked == Some(RepoState::Offline)
    }

    /// What `mesa status` shows of it.
    pub(super) fn status(&self) -> RepoStatus {
        let remote = self.overlay.remote();
        let pending = at_rest::work(&self.overlay.pending());
        let Progress {
            blocked,
            reason,
            kept_local,
            ..
        } = self.worker.progress();
        RepoStatus {
            org: self.name.organization().to_owned(),
            name: self.name.name().to_owned(),
            state: state(pending.operations, blocked),
            base: at_rest::base(&remote),
            change: at_rest::change(&remote),
            pending,
            reason,
            kept_local,
        }
    }

    /// What the remote does not have, path by path.
    pub(super) fn journal(&self) -> Vec<JournalEntry> {
        let state = match self.worker.progress().blocked {
            None => "pending",
            Some(RepoState::Quarantined) => "quarantined",
            Some(RepoState::AuthNeeded) => "blocked: a credential is needed",
            Some(_) => "blocked: offline",
        };
        let shown = |path: &journal::Path| String::from_utf8_lossy(&path.0).into_owned();
        let entry = |effect: &Effect| {
            let (word, path, from) = match effect {
                Effect::Remove { path } => ("remove", path, None),
                Effect::Put { path, .. } => ("put", path, None),
                Effect::Copy { from, to } => ("copy", to, Some(shown(from))),
            };
            JournalEntry {
                org: self.name.organization().to_owned(),
                name: self.name.name().to_owned(),
                effect: word.to_owned(),
                path: shown(path),
                from,
                state: state.to_owned(),
            }
        };
        self.overlay.pending_effects().iter().map(entry).collect()
    }

    /// Asks the worker to push what there is now, at once.
    pub(super) fn drain(&self, deadline: Instant) -> Handshake {
        self.worker.drain(deadline)
    }

    /// What the remote does not have, if there is such a thing.
    pub(super) fn remaining(&self) -> Option<Remaining> {
        let pending = self.overlay.pending();
        if pending.operations == 0 {
            return None;
        }
        let progress = self.worker.progress();
        Some(Remaining {
            org: self.name.organization().to_owned(),
            name: self.name.name().to_owned(),
            operations: pending.operations,
            bytes: pending.bytes,
            reason: progress.reason,
            needs_credential: progress.blocked == Some(RepoState::AuthNeeded),
        })
    }

    /// Ends the worker, and brings the local state to rest, so that the next opening is quick.
    /// Failures cost nothing but that: the journal has everything.
    pub(super) fn close(&self) {
        self.worker.close();
        let rest = self
            .overlay
            .sync_all()
            .and_then(|()| self.overlay.checkpoint());
        if let Err(error) = rest {
            tracing::warn!(repository = %self.name, error = %error, "closed without a checkpoint");
        }
    }
}

fn state(operations: u64, blocked: Option<RepoState>) -> RepoState {
    match (operations, blocked) {
        (0, _) => RepoState::Clean,
        (_, Some(blocked)) => blocked,
        (_, None) => RepoState::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_push_is_clean_whatever_was_in_the_way() {
        assert_eq!(state(0, Some(RepoState::Offline)), RepoState::Clean);
        assert_eq!(state(1, Some(RepoState::Offline)), RepoState::Offline);
        assert_eq!(state(1, None), RepoState::Pending);
    }
}
