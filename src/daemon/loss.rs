//! What would be lost if this machine vanished now, and what it waits for: pure, from what is known
//! of each repository.
//!
//! ```text
//!            +-> pending       a pause in the edits, or the push that is on its way
//! not pushed +-> blocked       the network, a credential, a permission, this machine; goes on by itself
//!            +-> held          a person, who said so
//!            +-> conflicted    a person: somebody else edited the same path; both sides are kept
//!            +-> quarantined   a person: the server never takes it as it is
//! ```
//!
//! None of these means lost: they say what keeps the only copy on this machine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::EntryState;
use super::status::{PendingWork, RepoState, RepoStatus};

/// What blocks a push, if it goes on by itself once that is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A credential that is missing, expired, revoked or unknown.
    Auth,
    /// The way to the server, or the server.
    Network,
    /// The credential is good, and does not allow it.
    Forbidden,
    /// This machine: its disk, for one.
    Local,
    /// Nothing is mounted that would push it.
    Unmounted,
}

/// What work waits for, and since when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// What it waits for.
    pub state: EntryState,
    /// What blocks it; `null` in every other state.
    pub cause: Option<Cause>,
    /// The same in words.
    pub reason: Option<String>,
    /// Whole seconds since it is so; since its first edit, when it is merely pending.
    pub age_seconds: Option<u64>,
    /// Repositories that it is so for.
    pub repos: u64,
    /// Operations that wait for it; of conflicts, how many there are.
    pub operations: u64,
}

/// All repositories together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Operations that only this machine has.
    pub operations: u64,
    /// Bytes of file contents in them.
    pub bytes: u64,
    /// Age of the oldest, in whole seconds.
    pub oldest_age_seconds: Option<u64>,
    /// Paths that the server cannot hold, so that only this machine has them.
    pub kept_local: u64,
    /// Repositories whose local state cannot be read, so that nobody knows.
    pub unreadable: u64,
    /// Whether all of it would survive a power cut now; `null` when nobody knows, since no daemon
    /// has the repository open.
    pub durable: Option<bool>,
    /// Records that would not survive it.
    pub operations_not_durable: u64,
    /// What it waits for.
    pub waiting: Vec<Waiting>,
}

impl Totals {
    /// Adds up what is known of each repository.
    pub fn of(repos: &[RepoStatus]) -> Totals {
        let mut totals = Totals {
            durable: Some(true),
            ..Totals::default()
        };
        for repo in repos {
            totals.add(repo);
        }
        totals
    }

    fn add(&mut self, repo: &RepoStatus) {
        let PendingWork {
            operations, bytes, ..
        } = repo.pending;
        self.operations += operations;
        self.bytes += bytes;
        self.oldest_age_seconds = self.oldest_age_seconds.max(repo.pending.oldest_age_seconds);
        self.kept_local += repo.kept_local.len() as u64;
        let is_unreadable = repo.state == RepoState::Closed && repo.reason.is_some();
        self.unreadable += u64::from(is_unreadable);
        match &repo.journal {
            Some(journal) => {
                self.operations_not_durable += journal.head.saturating_sub(journal.synced);
                self.durable = self.durable.map(|durable| durable && journal.durable);
            }
            None if operations > 0 || is_unreadable => self.durable = None,
            None => {}
        }
        for waiting in &repo.waiting {
            self.wait(waiting);
        }
    }

    fn wait(&mut self, one: &Waiting) {
        let same = |known: &&mut Waiting| (known.state, known.cause) == (one.state, one.cause);
        let Some(known) = self.waiting.iter_mut().find(same) else {
            return self.waiting.push(one.clone());
        };
        known.repos += one.repos;
        known.operations += one.operations;
        known.age_seconds = known.age_seconds.max(one.age_seconds);
        if known.reason.is_none() {
            known.reason.clone_from(&one.reason);
        }
    }

    /// Whether the end of this machine would cost anything.
    pub fn is_loss(&self) -> bool {
        self.operations > 0 || self.kept_local > 0 || self.unreadable > 0
    }

    /// Whether work waits for a credential, which waiting alone does not bring.
    pub fn needs_credential(&self) -> bool {
        let causes = self.waiting.iter().filter_map(|waiting| waiting.cause);
        self.operations > 0 && causes.into_iter().any(|cause| cause == Cause::Auth)
    }
}

/// How the pushing of one repository stands.
pub(super) struct Stand<'a> {
    /// What keeps work from being pushed.
    pub(super) blocked: Option<RepoState>,
    /// What the last failure was about.
    pub(super) cause: Option<Cause>,
    /// The last failure, in words.
    pub(super) reason: Option<&'a str>,
    /// How long it is so.
    pub(super) blocked_for: Option<Duration>,
    /// What is not pushed.
    pub(super) pending: PendingWork,
    /// The ages of conflicts that nobody has settled, in seconds.
    pub(super) conflicts: Vec<u64>,
}

/// What the work of a repository waits for.
pub(super) fn waiting(stand: &Stand<'_>) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    let operations = stand.pending.operations;
    if operations > 0 {
        let (state, cause) = match stand.blocked {
            None | Some(RepoState::Clean | RepoState::Pending) => (EntryState::Pending, None),
            Some(RepoState::Quarantined) => (EntryState::Quarantined, None),
            Some(RepoState::Held) => (EntryState::Held, None),
            Some(RepoState::AuthNeeded) => (
                EntryState::Blocked,
                Some(stand.cause.unwrap_or(Cause::Auth)),
            ),
            Some(RepoState::Offline) => (
                EntryState::Blocked,
                Some(stand.cause.unwrap_or(Cause::Network)),
            ),
            Some(RepoState::ReadOnly) => (EntryState::Blocked, Some(Cause::Local)),
            Some(RepoState::Closed) => (EntryState::Blocked, Some(Cause::Unmounted)),
        };
        let merely = state == EntryState::Pending;
        let since_blocked = stand.blocked_for.map(|blocked| blocked.as_secs());
        waiting.push(Waiting {
            state,
            cause,
            // What went wrong before does not matter to what is on its way.
            reason: stand.reason.filter(|_| !merely).map(str::to_owned),
            age_seconds: match merely {
                true => stand.pending.oldest_age_seconds,
                false => since_blocked.or(stand.pending.oldest_age_seconds),
            },
            repos: 1,
            operations,
        });
    }
    if !stand.conflicts.is_empty() {
        waiting.push(Waiting {
            state: EntryState::Conflicted,
            cause: None,
            reason: Some("see `mesa conflicts list`".to_owned()),
            age_seconds: stand.conflicts.iter().max().copied(),
            repos: 1,
            operations: stand.conflicts.len() as u64,
        });
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::super::status::JournalProgress;
    use super::*;

    fn stand(blocked: Option<RepoState>, cause: Option<Cause>) -> Stand<'static> {
        Stand {
            blocked,
            cause,
            reason: Some("words"),
            blocked_for: Some(Duration::from_secs(9)),
            pending: PendingWork {
                operations: 2,
                bytes: 10,
                oldest_age_seconds: Some(60),
            },
            conflicts: Vec::new(),
        }
    }

    fn repo(stand: &Stand<'_>, journal: Option<(u64, u64, bool)>) -> RepoStatus {
        RepoStatus {
            org: "local".into(),
            name: "app".into(),
            state: RepoState::Pending,
            base: None,
            change: None,
            pending: stand.pending,
            reason: None,
            kept_local: Vec::new(),
            ignored: Vec::new(),
            conflicts: stand.conflicts.len() as u64,
            publish: None,
            journal: journal.map(|(synced, head, durable)| JournalProgress {
                synced,
                head,
                syncs: 0,
                durable,
            }),
            waiting: waiting(stand),
        }
    }

    #[test]
    fn each_obstacle_is_one_state_with_its_cause_and_age() {
        let cases = [
            (None, None, EntryState::Pending, None),
            (
                Some(RepoState::Offline),
                None,
                EntryState::Blocked,
                Some(Cause::Network),
            ),
            (
                Some(RepoState::Offline),
                Some(Cause::Local),
                EntryState::Blocked,
                Some(Cause::Local),
            ),
            (
                Some(RepoState::AuthNeeded),
                None,
                EntryState::Blocked,
                Some(Cause::Auth),
            ),
            (
                Some(RepoState::AuthNeeded),
                Some(Cause::Forbidden),
                EntryState::Blocked,
                Some(Cause::Forbidden),
            ),
            (
                Some(RepoState::ReadOnly),
                None,
                EntryState::Blocked,
                Some(Cause::Local),
            ),
            (
                Some(RepoState::Closed),
                None,
                EntryState::Blocked,
                Some(Cause::Unmounted),
            ),
            (Some(RepoState::Held), None, EntryState::Held, None),
            (
                Some(RepoState::Quarantined),
                None,
                EntryState::Quarantined,
                None,
            ),
        ];
        for (blocked, known, state, cause) in cases {
            let [one] = &waiting(&stand(blocked, known))[..] else {
                panic!("not one entry for {blocked:?}");
            };
            assert_eq!((one.state, one.cause), (state, cause), "{blocked:?}");
            let (age, reason) = match state {
                EntryState::Pending => (60, None),
                _ => (9, Some("words")),
            };
            assert_eq!(one.age_seconds, Some(age), "{blocked:?}");
            assert_eq!(one.reason.as_deref(), reason, "{blocked:?}");
        }
    }

    #[test]
    fn what_was_pushed_waits_for_nothing_and_a_conflict_is_no_loss() {
        let mut pushed = stand(Some(RepoState::Offline), None);
        pushed.pending = PendingWork::default();
        assert_eq!(waiting(&pushed), []);
        pushed.conflicts = vec![3, 5];
        let conflicted = repo(&pushed, Some((4, 4, true)));
        assert_eq!(conflicted.waiting[0].state, EntryState::Conflicted);
        assert_eq!(conflicted.waiting[0].age_seconds, Some(5));
        let totals = Totals::of(&[conflicted]);
        assert!(!totals.is_loss() && !totals.needs_credential());
        assert_eq!(totals.durable, Some(true));
    }

    #[test]
    fn totals_add_up_and_keep_the_oldest() {
        let offline = repo(&stand(Some(RepoState::Offline), None), Some((3, 5, false)));
        let mut late = stand(Some(RepoState::Offline), None);
        late.blocked_for = Some(Duration::from_secs(30));
        late.pending.oldest_age_seconds = Some(90);
        let late = repo(&late, Some((5, 5, true)));
        let refused = repo(
            &stand(Some(RepoState::AuthNeeded), None),
            Some((5, 5, true)),
        );
        let totals = Totals::of(&[offline, late, refused]);
        assert_eq!((totals.operations, totals.bytes), (6, 30));
        assert_eq!(totals.oldest_age_seconds, Some(90));
        assert_eq!(
            (totals.durable, totals.operations_not_durable),
            (Some(false), 2)
        );
        let network = &totals.waiting[0];
        assert_eq!((network.repos, network.operations), (2, 4));
        assert_eq!(network.age_seconds, Some(30));
        assert!(totals.is_loss() && totals.needs_credential());
    }

    #[test]
    fn what_nobody_can_read_is_never_called_safe() {
        let mut nothing = stand(None, None);
        nothing.pending = PendingWork::default();
        let mut closed = repo(&nothing, None);
        closed.state = RepoState::Closed;
        assert!(!Totals::of(&[closed.clone()]).is_loss());
        closed.reason = Some("the journal is damaged".into());
        let totals = Totals::of(&[closed.clone()]);
        assert!(totals.is_loss());
        assert_eq!((totals.unreadable, totals.durable), (1, None));
        closed.reason = None;
        closed.kept_local = vec!["a.sock".into()];
        assert!(Totals::of(&[closed]).is_loss());
    }
}
