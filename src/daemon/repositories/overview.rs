//! All repositories at one look.

use std::sync::Arc;

use super::OpenRepositories;
use crate::daemon::credentials;
use crate::daemon::repository::Repository;
use crate::daemon::status::{CredentialState, RepoStatus, State, Status, Totals};

impl OpenRepositories {
    /// Everything that `mesa status` shows, but process and mount point.
    pub(in crate::daemon) fn status(&self) -> Status {
        let all = self.all();
        let mut credential = credentials::described(&self.config, self.scope());
        let of_pushes = all.iter().filter_map(|repository| repository.credential());
        for trouble in of_pushes.chain(self.lists.credential()) {
            if credential.trouble.is_none() {
                credential.state = trouble.state();
                credential.trouble = Some(trouble);
            }
        }
        let state = if credential.state != CredentialState::Valid {
            State::AuthNeeded
        } else if self.service.remote().is_offline() || all.iter().any(|one| one.is_offline()) {
            State::Offline
        } else {
            State::Ready
        };
        let repos = self.statuses(&all);
        Status {
            state,
            credential,
            totals: Totals::of(&repos),
            repos,
            pid: None,
            mount_point: None,
            supervisor: None,
        }
    }

    /// The open ones as they are, the others as they were found.
    fn statuses(&self, all: &[Arc<Repository>]) -> Vec<RepoStatus> {
        let mut statuses: Vec<_> = all.iter().map(|repository| repository.status()).collect();
        for closed in self.closed.lock().iter() {
            let is_open =
                |open: &RepoStatus| (&open.org, &open.name) == (&closed.org, &closed.name);
            if !statuses.iter().any(is_open) {
                statuses.push(closed.clone());
            }
        }
        statuses.sort_by(|one, other| (&one.org, &one.name).cmp(&(&other.org, &other.name)));
        statuses
    }
}
