//! The words for opening and closing repositories of an explicit mount.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::status::Base;
use super::Remaining;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "repo", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RepoRequest {
    /// Say what is shown explicitly.
    List,
    /// Show a repository.
    Open {
        /// The organization; the only one when absent.
        org: Option<String>,
        /// The repository.
        name: String,
        /// `bookmark:NAME` or `change-id:ID`; what the configuration says when absent.
        rev: Option<String>,
    },
    /// Push what a repository has, and show it no more.
    Close {
        /// The organization; the only one when absent.
        org: Option<String>,
        /// The repository.
        name: String,
        /// How long to push, in milliseconds.
        timeout_ms: u64,
        /// Whether to hide it in spite of what remains or is open.
        force: bool,
    },
}

/// What is shown of the organizations that do not show everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Explicit {
    /// The repositories of each, with what they are to show; `null` is the default bookmark.
    pub organizations: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

/// How a repository is after it was opened or closed, or was not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepoAnswer {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// Whether the mount shows it.
    pub shown: bool,
    /// What it shows below the edits; `null` when it is not open.
    pub base: Option<Base>,
    /// What the remote does not have.
    pub remains: Option<Remaining>,
    /// Files in it that programs have open.
    pub open_files: u64,
}
