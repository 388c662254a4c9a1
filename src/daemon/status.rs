//! What `mesa status --json` prints: a promise, so fields are added but never renamed or dropped.

use serde::{Deserialize, Serialize};

pub use super::loss::{Cause, Totals, Waiting};
use super::supervisor::SupervisorStatus;

/// How the daemon is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The mount answers, and so did the server, last time.
    Ready,
    /// The server cannot be reached; edits are kept.
    Offline,
    /// The credential does not do; edits are kept.
    AuthNeeded,
    /// The daemon pushes what is left and will end.
    Draining,
    /// No daemon runs.
    Stopped,
}

/// How one repository is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepoState {
    /// The remote has everything.
    Clean,
    /// Edits wait to be pushed, or are being pushed.
    Pending,
    /// The server cannot be reached; tried again by itself.
    Offline,
    /// The credential does not do; goes on once there is a better one.
    AuthNeeded,
    /// The server will never take it as it is; kept, and looked at by somebody.
    Quarantined,
    /// Somebody said that nothing is to be pushed for now: `mesa journal release` ends it.
    Held,
    /// A sync to the local disk failed: nothing changes until it is mounted anew.
    ReadOnly,
    /// Known, and not opened by this daemon so far.
    Closed,
}

/// How the credential is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// Not refused so far.
    Valid,
    /// There is none.
    Missing,
    /// Its time is over.
    Expired,
    /// The server does not take it.
    Refused,
}

/// What is wrong with the credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialTrouble {
    /// There is none.
    Missing,
    /// Its time is over.
    Expired,
    /// It was revoked, or the key that signed it was.
    Revoked,
    /// The server does not know it.
    Unknown,
    /// The server knows it, and does not allow it to do what has to be done.
    Forbidden,
}

impl CredentialTrouble {
    /// The state that it is.
    pub fn state(self) -> CredentialState {
        match self {
            CredentialTrouble::Missing => CredentialState::Missing,
            CredentialTrouble::Expired => CredentialState::Expired,
            CredentialTrouble::Revoked
            | CredentialTrouble::Unknown
            | CredentialTrouble::Forbidden => CredentialState::Refused,
        }
    }
}

/// The credential, without its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credential {
    /// How it is.
    pub state: CredentialState,
    /// When its time is over, RFC 3339 in UTC; `null` when it says nothing about that.
    pub expires_at: Option<String>,
    /// What is wrong with it; `null` when nothing is.
    #[serde(default)]
    pub trouble: Option<CredentialTrouble>,
    /// Whole seconds until its time is over, by the server's clock as far as it is known; 0 when it
    /// is over, `null` when it has no end.
    #[serde(default)]
    pub seconds_left: Option<u64>,
    /// When it was issued, RFC 3339 in UTC, if it says so.
    #[serde(default)]
    pub issued_at: Option<String>,
    /// Why somebody should do something about it soon, in words: the last tenth of its life.
    #[serde(default)]
    pub warning: Option<String>,
    /// `key` or `token`; `null` when there is none.
    #[serde(default)]
    pub kind: Option<String>,
    /// The store that it came from: `environment`, `key-file`, `vault`, `plaintext`, `command` or
    /// `handed-over`.
    #[serde(default)]
    pub store: Option<String>,
    /// The same for people, with the variable or the path.
    #[serde(default)]
    pub origin: Option<String>,
    /// What it is for: `null` for everything, else `org` or `org/repo`.
    #[serde(default)]
    pub scope: Option<String>,
    /// What is wrong with stores of credentials.
    #[serde(default)]
    pub store_troubles: Vec<String>,
}

impl Credential {
    /// What a status says when there is none, before anything else is known.
    pub fn missing() -> Credential {
        Credential {
            state: CredentialState::Missing,
            expires_at: None,
            trouble: Some(CredentialTrouble::Missing),
            seconds_left: None,
            issued_at: None,
            warning: None,
            kind: None,
            store: None,
            origin: None,
            scope: None,
            store_troubles: Vec::new(),
        }
    }
}

/// What the mount shows below the local edits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Base {
    /// The bookmark that named it.
    pub bookmark: Option<String>,
    /// The change.
    pub change_id: String,
    /// The commit that the change had.
    pub commit_oid: String,
}

/// The change that takes the local edits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// Its commit after the last accepted push.
    pub commit_oid: String,
}

/// What the remote does not have yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PendingWork {
    /// Journal records.
    pub operations: u64,
    /// Bytes of file contents.
    pub bytes: u64,
    /// Age of the oldest record, in whole seconds; `null` when there is none.
    pub oldest_age_seconds: Option<u64>,
}

/// How publishing stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishState {
    /// The bookmark has everything that was pushed, and everything was.
    UpToDate,
    /// It will get what it lacks, by itself.
    Pending,
    /// It is elsewhere, and a move would not be forward.
    Diverged,
    /// It has other edits of the same paths.
    Conflicted,
}

/// Whether and how the bookmark follows what is pushed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishStatus {
    /// `fast-forward` or `merge`.
    pub mode: String,
    /// The bookmark; `null` when a change was checked out by its id.
    pub bookmark: Option<String>,
    /// How it stands.
    pub state: PublishState,
    /// Why it is not up to date, in words.
    pub reason: Option<String>,
}

/// How far a repository's journal is, while it is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalProgress {
    /// The last record that survives a power cut.
    pub synced: u64,
    /// The last record.
    pub head: u64,
    /// Syncs of the disk since it was opened: those who wait at the same time share one.
    pub syncs: u64,
    /// Whether records and file contents alike would survive a power cut now.
    #[serde(default)]
    pub durable: bool,
}

/// One repository.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepoStatus {
    /// Organization.
    pub org: String,
    /// Name.
    pub name: String,
    /// How it is.
    pub state: RepoState,
    /// What it shows; `null` before it was ever opened.
    pub base: Option<Base>,
    /// Where edits go; `null` before the first push.
    pub change: Option<Change>,
    /// What the remote does not have yet.
    pub pending: PendingWork,
    /// What blocks the push, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Paths that the server cannot hold: they stay local.
    #[serde(default)]
    pub kept_local: Vec<String>,
    /// Paths that stay local because an ignore rule matches them; of a directory, the directory alone.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// Conflicts that somebody has to settle.
    #[serde(default)]
    pub conflicts: u64,
    /// How publishing stands; `null` when the bookmark is left alone.
    #[serde(default)]
    pub publish: Option<PublishStatus>,
    /// How far its journal is; `null` while it is not open.
    #[serde(default)]
    pub journal: Option<JournalProgress>,
    /// What its work waits for, and since when: one entry for each state that it is in.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// How the daemon is.
    pub state: State,
    /// The credential.
    pub credential: Credential,
    /// The repositories that were opened, here or by an earlier daemon.
    pub repos: Vec<RepoStatus>,
    /// The daemon's process; `null` without a daemon.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Where the mount is.
    #[serde(default)]
    pub mount_point: Option<String>,
    /// All repositories together: what would be lost if this machine vanished now.
    #[serde(default)]
    pub totals: Totals,
    /// Who starts the daemon again when it dies; `null` when nobody was to.
    #[serde(default)]
    pub supervisor: Option<SupervisorStatus>,
}

#[cfg(test)]
mod tests {
    use super::super::supervisor::{Death, SupervisorState};
    use super::*;

    #[test]
    fn the_promised_keys_are_there() {
        let status = Status {
            state: State::AuthNeeded,
            credential: Credential::missing(),
            repos: vec![RepoStatus {
                org: "local".into(),
                name: "app".into(),
                state: RepoState::Clean,
                base: Some(Base {
                    bookmark: Some("main".into()),
                    change_id: "z".repeat(32),
                    commit_oid: "0".repeat(40),
                }),
                change: None,
                pending: PendingWork::default(),
                reason: None,
                kept_local: Vec::new(),
                ignored: Vec::new(),
                conflicts: 0,
                publish: None,
                journal: Some(JournalProgress {
                    synced: 1,
                    head: 2,
                    syncs: 3,
                    durable: false,
                }),
                waiting: Vec::new(),
            }],
            pid: None,
            mount_point: None,
            totals: Totals::default(),
            supervisor: Some(SupervisorStatus {
                state: SupervisorState::GaveUp,
                process: 8,
                restarts: 5,
                last_death: Some(Death {
                    at: "2026-01-01T00:00:00Z".into(),
                    process: 9,
                    reason: "killed by SIGKILL".into(),
                }),
            }),
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["state"], "auth-needed");
        assert_eq!(json["credential"]["state"], "missing");
        for key in [
            "expires_at",
            "seconds_left",
            "warning",
            "kind",
            "store",
            "scope",
        ] {
            let value = &json["credential"];
            assert!(value.as_object().unwrap().contains_key(key) && value[key].is_null());
        }
        assert_eq!(json["credential"]["trouble"], "missing");
        let repo = &json["repos"][0];
        assert_eq!(repo["state"], "clean");
        assert_eq!(repo["base"]["bookmark"], "main");
        assert_eq!(repo["base"]["change_id"].as_str().unwrap().len(), 32);
        assert_eq!(repo["base"]["commit_oid"].as_str().unwrap().len(), 40);
        assert!(repo["change"].is_null());
        let supervisor = &json["supervisor"];
        assert_eq!(supervisor["state"], "gave-up");
        assert_eq!(supervisor["process"], 8);
        assert_eq!(supervisor["restarts"], 5);
        assert_eq!(supervisor["last_death"]["process"], 9);
        assert_eq!(supervisor["last_death"]["at"], "2026-01-01T00:00:00Z");
        assert_eq!(supervisor["last_death"]["reason"], "killed by SIGKILL");
        assert_eq!(repo["journal"]["synced"], 1);
        assert_eq!(repo["journal"]["head"], 2);
        assert_eq!(repo["journal"]["syncs"], 3);
        assert_eq!(repo["pending"]["operations"], 0);
        assert_eq!(repo["pending"]["bytes"], 0);
        assert!(repo["pending"]["oldest_age_seconds"].is_null());
    }
}
