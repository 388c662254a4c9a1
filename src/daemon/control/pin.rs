//! The words for pinning.

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "pin", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PinRequest {
    /// Keep what a repository shows at a path and below.
    Add {
        /// `org/repo`.
        repo: String,
        /// Where; empty for everything.
        path: String,
    },
    /// Let go of what was pinned by that path.
    Remove {
        /// `org/repo`.
        repo: String,
        /// Where; empty for everything.
        path: String,
    },
    /// What is pinned?
    List,
}

/// What is pinned.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PinAnswer {
    /// By repository and path.
    pub pins: Vec<PinEntry>,
}

/// A path that is pinned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PinEntry {
    /// `org/repo`.
    pub repo: String,
    /// Where; empty for everything.
    pub path: String,
    /// How it stands.
    pub state: PinState,
    /// Why it is incomplete, or absent.
    pub reason: Option<String>,
    /// Whether all files below the path have been found; before, there may be more.
    pub is_walked: bool,
    /// Files that were found.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these files, those that are on this machine and pinned.
    pub files_here: u64,
    /// Their bytes.
    pub bytes_here: u64,
}

/// How it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// It was not looked at since the mount, or since what is shown has changed.
    Waiting,
    /// What is missing is fetched.
    Fetching,
    /// Everything is here, and stays.
    Kept,
    /// The commit that is shown has nothing there.
    Absent,
    /// Some of it cannot be had; it is tried again.
    Incomplete,
}
