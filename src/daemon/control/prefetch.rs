//! The words for fetching beforehand.

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "prefetch", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PrefetchRequest {
    /// Fetch what the snapshot has at a path and below.
    Start {
        /// `org/repo`.
        repo: String,
        /// Where; empty for everything.
        path: String,
    },
    /// How far is it?
    List,
    /// Fetch no more.
    Stop,
}

/// How it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PrefetchAnswer {
    /// What was asked for since the mount, the latest last; after some hundred, the latest of them.
    pub jobs: Vec<PrefetchJob>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrefetchJob {
    /// Counts up.
    pub id: u64,
    /// `org/repo`.
    pub repo: String,
    /// Where; empty for everything.
    pub path: String,
    /// How it stands.
    pub state: PrefetchState,
    /// Why it failed.
    pub reason: Option<String>,
    /// Whether all files below the path have been found; before, there may be more.
    pub is_walked: bool,
    /// Files that were found.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these files, those that are on this machine.
    pub files_here: u64,
    /// Their bytes.
    pub bytes_here: u64,
}

/// How it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrefetchState {
    /// It goes on.
    Running,
    /// Everything is here.
    Done,
    /// Somebody ended it.
    Stopped,
    /// It ended by itself.
    Failed,
}
