//! The words of the control socket.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::{Failure, Status};
use super::conflicts::{ConflictAnswer, ConflictRequest};
use super::credentials::{CredentialAnswer, CredentialRequest};
use super::metrics::Metrics;
use super::pin::{PinAnswer, PinRequest};
use super::prefetch::{PrefetchAnswer, PrefetchRequest};
use super::profile::ProfileRequest;
use super::publish::{PublishAnswer, PublishRequest};
use super::repo::{Explicit, RepoAnswer, RepoRequest};
use super::words::{Exported, JournalListing, JournalRecords, Ordered, Verified};
use crate::config::LogLevel;
use crate::export::Format;

/// Longest request line: the longest request carries a path of 4096 bytes, each of which may take six
/// as JSON.
pub const REQUEST_BYTES_MAX: u64 = 32 * 1024;

/// What the command line asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who are you?
    Version,
    /// How is everything?
    Status,
    /// Which figures are there?
    Stats,
    /// How much do you log, and where to?
    Log {
        /// So much from now on; no change when absent.
        #[serde(default)]
        level: Option<LogLevel>,
    },
    /// What does the remote not have yet?
    JournalList,
    /// Which records does the remote not have yet?
    JournalShow {
        /// `org/repo`, or the repository's name; the only one when absent.
        #[serde(default)]
        repo: Option<String>,
        /// Only what changes this path, or something below it.
        #[serde(default)]
        path: Option<String>,
    },
    /// Do this with the pushing of one repository, or of all.
    JournalOrder {
        /// `org/repo`, or the repository's name; all when absent.
        #[serde(default)]
        repo: Option<String>,
        /// What to do.
        order: Order,
    },
    /// Give up what is pending at a path and below it.
    JournalDrop {
        /// `org/repo`, or the repository's name; the only one when absent.
        #[serde(default)]
        repo: Option<String>,
        /// Where; empty for everything.
        path: String,
    },
    /// Is every byte of the local state what was written?
    JournalVerify {
        /// `org/repo`, or the repository's name; all when absent.
        #[serde(default)]
        repo: Option<String>,
    },
    /// About credentials.
    Credential(CredentialRequest),
    /// About conflicts.
    Conflicts(ConflictRequest),
    /// Push everything, and give it to a bookmark.
    Publish(PublishRequest),
    /// About what an explicit mount shows.
    Repo(RepoRequest),
    /// About fetching beforehand.
    Prefetch(PrefetchRequest),
    /// About pinning.
    Pin(PinRequest),
    /// About what is remembered of reading.
    Profile(ProfileRequest),
    /// Write everything that differs from the pinned commit into a file.
    Export {
        /// `org/repo`; else the one that has pending work.
        repo: Option<String>,
        /// As what.
        format: Format,
    },
    /// Push everything; wait that long for it.
    Flush {
        /// Milliseconds.
        timeout_ms: u64,
    },
    /// Push everything, for that long, then unmount and end.
    Stop {
        /// Milliseconds.
        drain_ms: u64,
        /// Unmount even while programs use the mount.
        force: bool,
    },
}

/// What can be done with pushing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Try again now what waits.
    Retry,
    /// Push nothing more, also after the next mount.
    Hold,
    /// Go on.
    Release,
}

/// What the daemon answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Version`].
    Version(Versions),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Stats`].
    Metrics(Metrics),
    /// To [`Request::Log`].
    Log(LogReport),
    /// To [`Request::JournalList`].
    Journal(JournalListing),
    /// To [`Request::JournalShow`].
    JournalRecords(Box<JournalRecords>),
    /// To [`Request::JournalVerify`].
    Verified(Verified),
    /// To [`Request::JournalOrder`], [`Request::JournalDrop`] and [`Request::Profile`].
    Ordered(Ordered),
    /// To [`Request::Credential`].
    Credential(CredentialAnswer),
    /// To [`Request::Conflicts`].
    Conflicts(Box<ConflictAnswer>),
    /// To [`Request::Publish`].
    Published(PublishAnswer),
    /// To [`Request::Repo`] that opens or closes.
    Repo(Box<RepoAnswer>),
    /// To [`Request::Prefetch`].
    Prefetch(PrefetchAnswer),
    /// To [`Request::Pin`].
    Pin(PinAnswer),
    /// To [`RepoRequest::List`].
    Explicit(Explicit),
    /// To [`Request::Export`].
    Exported(Exported),
    /// To [`Request::Flush`]: everything was pushed, or the time is over.
    Flushed(Drained),
    /// To [`Request::Stop`]: the mount is gone, and the daemon ends.
    Stopped(Drained),
    /// It did not work.
    Failed(Failure),
}

/// Who answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where the mount is.
    pub mount_point: String,
    /// Where its state is.
    pub data_dir: String,
    /// What it was started with, as far as a second mount must not want something else.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Whether it is ending.
    #[serde(default)]
    pub draining: bool,
}

/// How a daemon logs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogReport {
    /// How much.
    pub level: LogLevel,
    /// A file, or `standard error`.
    pub destination: String,
    /// Lines that never arrived: the disk was full, or nobody read.
    pub lost: u64,
}

/// What a flush or a stop left behind: nothing, when `remains` is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Drained {
    /// Repositories with work that the remote does not have.
    pub remains: Vec<Remaining>,
}

/// Work of one repository that the remote does not have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remaining {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// Journal records.
    pub operations: u64,
    /// Bytes of file contents.
    pub bytes: u64,
    /// What keeps it from being pushed; `None` when it only needs more time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a (better) credential is what it needs.
    #[serde(default)]
    pub needs_credential: bool,
    /// Where it is kept meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
}

impl Remaining {
    /// Where the journal of a repository is, whose local state is in `folder`.
    pub(in crate::daemon) fn journal_below(folder: &Path) -> String {
        folder.join("journal").display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_what_they_write() {
        for request in [
            Request::Version,
            Request::Status,
            Request::Stats,
            Request::Log {
                level: Some(LogLevel::Trace),
            },
            Request::JournalList,
            Request::JournalShow {
                repo: None,
                path: Some("a/b".into()),
            },
            Request::JournalOrder {
                repo: Some("local/app".into()),
                order: Order::Hold,
            },
            Request::JournalDrop {
                repo: None,
                path: String::new(),
            },
            Request::Export {
                repo: Some("local/app".into()),
                format: Format::Patch,
            },
            Request::Flush { timeout_ms: 5 },
            Request::Conflicts(ConflictRequest::Show { id: "0a".into() }),
            Request::Credential(CredentialRequest::Forget {
                org: Some("acme".into()),
                repo: None,
            }),
            Request::Publish(PublishRequest {
                repo: None,
                bookmark: Some("main".into()),
                fast_forward_only: true,
                timeout_ms: 5,
            }),
            Request::Repo(RepoRequest::List),
            Request::Profile(ProfileRequest::Forget {
                repo: "local/app".into(),
            }),
            Request::Prefetch(PrefetchRequest::List),
            Request::Pin(PinRequest::Add {
                repo: "local/app".into(),
                path: String::new(),
            }),
            Request::Prefetch(PrefetchRequest::Start {
                repo: "local/app".into(),
                path: "src".into(),
            }),
            Request::Repo(RepoRequest::Close {
                org: None,
                name: "app".into(),
                timeout_ms: 5,
                force: true,
            }),
            Request::Stop {
                drain_ms: 30_000,
                force: true,
            },
        ] {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        }
    }

    #[test]
    fn unknown_requests_are_refused() {
        for text in [
            r#"{"request":"reboot"}"#,
            r#"{"request":"stop"}"#,
            r#"{"request":"log","level":"loud"}"#,
            r#"{"request":"flush","timeout_ms":-1}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }
}
