//! The words for publishing.

use serde::{Deserialize, Serialize};

use super::super::status::PublishState;

/// What is to be published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// `org/repo`, or the repository's name; all when absent.
    pub repo: Option<String>,
    /// The bookmark; the one that was checked out when absent.
    pub bookmark: Option<String>,
    /// Whether to merge when a move would not be forward.
    pub fast_forward_only: bool,
    /// How long to push what is pending before, in milliseconds.
    pub timeout_ms: u64,
}

/// What was published.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PublishAnswer {
    /// One for each repository that was meant.
    pub repos: Vec<PublishedRepository>,
}

/// How publishing one repository went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishedRepository {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// The bookmark.
    pub bookmark: Option<String>,
    /// Our change that the bookmark has; `null` when there is nothing of ours, or it was refused.
    pub change: Option<String>,
    /// How it stands.
    pub state: PublishState,
    /// Why it is not up to date, in words.
    pub reason: Option<String>,
    /// Whether a (better) credential is what it needs.
    pub needs_credential: bool,
}
