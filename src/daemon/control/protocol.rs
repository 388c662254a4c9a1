//! The words of the control socket.

use serde::{Deserialize, Serialize};

use super::super::{Failure, Status};

/// Longest request line: the longest request is a few dozen bytes.
pub const REQUEST_BYTES_MAX: u64 = 4096;

/// What the command line asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who are you?
    Version,
    /// How is everything?
    Status,
    /// What does the remote not have yet?
    JournalList,
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

/// What the daemon answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Version`].
    Version(Versions),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::JournalList`].
    Journal(JournalListing),
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
}

/// What the journals hold for the remote, coalesced: the shortest list of effects.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JournalListing {
    /// The effects, by repository and path.
    pub entries: Vec<JournalEntry>,
    /// How many more there are than were listed.
    pub omitted: u64,
}

/// One effect that the remote does not have yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// `put`, `remove` or `copy`.
    pub effect: String,
    /// Where; bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
    /// Where a copy comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `pending`, or what blocks it.
    pub state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_what_they_write() {
        for request in [
            Request::Version,
            Request::Status,
            Request::JournalList,
            Request::Flush { timeout_ms: 5 },
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
            r#"{"request":"flush","timeout_ms":-1}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }
}
