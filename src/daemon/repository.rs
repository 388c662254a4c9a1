//! One open repository: its tree, its replay worker, and what there is to say about it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::control::{JournalListing, JournalRecords, Order, RecordEntry, Remaining, RepoVerified};
use super::journals::{self, LISTED_MAX, Standing, is_within};
use super::profile::Kept;
use super::replay_worker::{
    self, Granted, Handshake, Progress, Pushes, ReplayWorker, Wish, special,
};
use super::status::{
    CredentialTrouble, JournalProgress, PendingWork, PublishState, RepoState, RepoStatus,
};
use super::{at_rest, loss, verification};
use crate::config::Publish;
use crate::fuse::{Opened, Slot};
use crate::lower;
use crate::overlay::{self, Overlay, Position, Usage};
use crate::remote::{ForeignEdits, RepositoryName};
use crate::tree::TreePath;

/// Figures of an open repository.
pub(super) struct Figures {
    /// What the server does not have.
    pub(super) pending: PendingWork,
    /// Conflicts that nobody has settled.
    pub(super) conflicts: u64,
    /// How far the journal is.
    pub(super) position: Position,
    /// What the kernel holds.
    pub(super) usage: Usage,
    /// What the cache had, and what it had to fetch.
    pub(super) cache: lower::Counters,
    /// How attempts to push ended.
    pub(super) pushes: Pushes,
}

/// An open repository.
pub(super) struct Repository {
    name: RepositoryName,
    slot: Slot,
    overlay: Arc<Overlay>,
    worker: ReplayWorker,
    others: ForeignEdits,
    folder: PathBuf,
    publish: Publish,
    profile: Option<Kept>,
}

impl Repository {
    /// Puts the parts together; `folder` is where the local state is.
    pub(super) fn new(
        name: RepositoryName,
        slot: Slot,
        overlay: Arc<Overlay>,
        worker: ReplayWorker,
        others: ForeignEdits,
        folder: PathBuf,
        publish: Publish,
    ) -> Repository {
        Repository {
            name,
            slot,
            overlay,
            worker,
            others,
            folder,
            publish,
            profile: None,
        }
    }

    /// The same, which remembers what is read of it, from now on.
    pub(super) fn remembering(self, profile: Kept) -> Repository {
        profile.begin(self.overlay.lower());
        Repository {
            profile: Some(profile),
            ..self
        }
    }

    /// What is remembered of what is read, if anything is.
    pub(super) fn profile(&self) -> Option<&Kept> {
        self.profile.as_ref()
    }

    /// Makes what was read so far outlive this process.
    pub(super) fn keep_profile(&self) {
        if let Some(profile) = &self.profile {
            profile.keep(self.overlay.lower().reads());
        }
    }

    /// What tells of other people's edits.
    pub(super) fn others(&self) -> &ForeignEdits {
        &self.others
    }

    /// Where the local state is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
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
    pub(super) fn credential(&self) -> Option<CredentialTrouble> {
        self.worker.progress().credential
    }

    /// There is another credential.
    pub(super) fn credential_changed(&self) {
        self.worker.credential_changed();
    }

    /// Whether it has work that a push now would bring to the remote.
    pub(super) fn can_hurry(&self) -> bool {
        let blocked = self.worker.progress().blocked;
        matches!(blocked, None | Some(RepoState::Offline)) && self.overlay.has_pending()
    }

    /// Whether its work waits for the server to come back.
    pub(super) fn is_offline(&self) -> bool {
        self.worker.progress().blocked == Some(RepoState::Offline)
    }

    /// What `mesa status` shows of it.
    pub(super) fn status(&self) -> RepoStatus {
        let remote = self.overlay.remote();
        let position = self.overlay.position();
        let pending = at_rest::work(&self.overlay.pending());
        let Progress {
            blocked,
            reason,
            kept,
            diverged,
            unpublished,
            cause,
            since,
            ..
        } = self.worker.progress();
        let mut publish =
            replay_worker::publishing(self.publish, &remote, pending.operations, diverged);
        if let Some(publish) = &mut publish
            && publish.state == PublishState::Pending
        {
            publish.reason = publish.reason.take().or(unpublished);
        }
        let read_only = self.read_only();
        let conflicts = remote.open_conflicts();
        let waiting = loss::waiting(&loss::Stand {
            blocked: read_only
                .as_ref()
                .map_or(blocked, |_| Some(RepoState::ReadOnly)),
            cause,
            reason: read_only.as_deref().or(reason.as_deref()),
            blocked_for: since.map(|since| since.elapsed()),
            pending,
            conflicts: conflicts
                .map(|one| Overlay::age_seconds(one.time))
                .collect(),
        });
        RepoStatus {
            org: self.name.organization().to_owned(),
            name: self.name.name().to_owned(),
            state: match read_only {
                Some(_) => RepoState::ReadOnly,
                None => state(pending.operations, blocked),
            },
            base: at_rest::base(&remote),
            change: at_rest::change(&remote),
            pending,
            reason: read_only.or(reason),
            // What the server did not take may be known to be such that no server takes it.
            kept_local: special(self.overlay.kept_local())
                .chain(kept.words())
                .collect::<BTreeSet<String>>()
                .into_iter()
                .collect(),
            ignored: self
                .overlay
                .ignored()
                .iter()
                .map(ToString::to_string)
                .collect(),
            conflicts: remote.open_conflicts().count() as u64,
            publish,
            journal: Some(JournalProgress {
                synced: position.synced.0,
                head: position.head.0,
                syncs: position.syncs,
                durable: self.overlay.is_durable(),
            }),
            waiting,
        }
    }

    /// Its figures.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            pending: at_rest::work(&self.overlay.pending()),
            conflicts: self.overlay.remote().open_conflicts().count() as u64,
            position: self.overlay.position(),
            usage: self.overlay.usage(),
            cache: self.overlay.lower().counters(),
            pushes: self.worker.progress().pushes,
        }
    }

    /// Has something published; `None` when that did not happen before the deadline.
    pub(super) fn publish(&self, wish: Wish, deadline: Instant) -> Option<Granted> {
        self.worker.publish(wish).recv_deadline(deadline).ok()
    }

    /// Adds what the remote does not have to a listing, path by path.
    pub(super) fn list(&self, listing: &mut JournalListing) {
        let Progress {
            blocked, reason, ..
        } = self.worker.progress();
        let blocked = self
            .read_only()
            .map_or(blocked, |_| Some(RepoState::ReadOnly));
        let name = (self.name.organization(), self.name.name());
        let standing = Standing::of(blocked, reason).with_conflicts(&self.overlay.remote());
        journals::list(listing, name, self.overlay.pending_effects(), &standing);
    }

    /// The journal's records that the remote does not have, at a path and below it.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub(super) fn records(&self, path: Option<&str>) -> Result<JournalRecords, overlay::Error> {
        let remote = self.overlay.remote();
        let position = self.overlay.position();
        let wanted = |record: &RecordEntry| {
            let within = |at: &Option<String>| {
                at.as_deref()
                    .is_some_and(|at| is_within(path.unwrap_or_default(), at))
            };
            path.is_none() || within(&record.path) || within(&record.from)
        };
        let records = self.overlay.unpushed_records()?;
        let mut records: Vec<RecordEntry> = records
            .iter()
            .map(|(sequence, record)| journals::describe(*sequence, record))
            .filter(wanted)
            .collect();
        // The newest are what somebody looks for.
        let omitted = records.len().saturating_sub(LISTED_MAX);
        records.drain(..omitted);
        Ok(JournalRecords {
            org: self.name.organization().to_owned(),
            name: self.name.name().to_owned(),
            head: position.head.0,
            synced: position.synced.0,
            pushed: remote.pushed.0,
            syncs: position.syncs,
            bytes: position.bytes,
            announced: remote.intended.map(|(through, _)| through.0),
            records,
            omitted: omitted as u64,
        })
    }

    /// Follows an order about pushing; a hold and its end outlive the daemon.
    ///
    /// # Errors
    ///
    /// The journal cannot be written.
    pub(super) fn order(&self, order: Order) -> Result<(), overlay::Error> {
        match order {
            Order::Retry => self.worker.retry(),
            Order::Hold => {
                self.overlay.hold()?;
                self.worker.hold();
            }
            Order::Release => {
                self.overlay.release_hold()?;
                self.worker.release();
            }
        }
        Ok(())
    }

    /// How sound the local state is.
    pub(super) fn verify(&self) -> RepoVerified {
        let outcome = self.overlay.verify().map(|found| (found, None));
        verification::entry(self.name.organization(), self.name.name(), outcome)
    }

    /// Gives up what is pending at a path and below it; returns how many effects that were.
    ///
    /// # Errors
    ///
    /// It is no path, or the journal cannot be written.
    pub(super) fn give_up(&self, path: &str) -> Result<u64, overlay::Error> {
        let path = TreePath::try_from(path.as_bytes())?;
        let dropped = self.overlay.give_up(&path)?;
        // What was refused may be gone.
        self.worker.retry();
        Ok(dropped)
    }

    /// Why nothing can change any more, if that is so.
    fn read_only(&self) -> Option<String> {
        let failure = self.overlay.failure()?;
        Some(format!(
            "edits could not be made durable, so nothing more is taken: {failure}"
        ))
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
            reason: match progress.blocked {
                Some(RepoState::Held) => Some("held: `mesa journal release` ends that".to_owned()),
                _ => progress.reason,
            },
            needs_credential: progress.blocked == Some(RepoState::AuthNeeded),
            journal: Some(Remaining::journal_below(&self.folder)),
        })
    }

    /// Ends the worker, and brings the local state to rest, so that the next opening is quick.
    /// Failures cost nothing but that: the journal has everything.
    pub(super) fn close(&self) {
        self.worker.close();
        self.keep_profile();
        if let Err(error) = self.overlay.close() {
            tracing::warn!(repository = %self.name, error = %error, "closed without a checkpoint");
        }
    }
}

fn state(operations: u64, blocked: Option<RepoState>) -> RepoState {
    match (operations, blocked) {
        (_, Some(RepoState::Held)) => RepoState::Held,
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
