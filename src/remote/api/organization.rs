//! Organizations, repositories, bookmarks, pages and errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Change, NewUpstream, Sync, UpstreamPatch, WebhookTarget, text};
use crate::tree::{ChangeId, GitOid};

/// The organization that a credential belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Opaque identifier.
    pub id: String,
    /// The name in paths.
    pub slug: String,
    /// The name for people.
    pub name: String,
}

/// `GET /whoami`: who the credential is and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// The organization.
    pub org: Organization,
    /// The API key behind the credential; tokens cannot be signed without it.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The key's name; gone from newer schemas.
    #[serde(default)]
    pub key_name: Option<String>,
    /// What the credential may do: names of scopes, an open set.
    pub scopes: Vec<String>,
    /// Names from [`super::extension`]; none on a service that has no extensions.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// `GET /{org}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// When the organization was made, ISO 8601.
    pub created_at: String,
    /// How many repositories it has.
    pub num_repos: u64,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// Opaque identifier, stable across renames.
    pub id: String,
    /// The organization's slug.
    pub org: String,
    /// The name in paths.
    pub name: String,
    /// The bookmark that is read when none is named.
    pub default_bookmark: String,
    /// The change at the default bookmark, the virtual root when there is none.
    #[serde(with = "text")]
    pub head_change_id: ChangeId,
    /// Where the repository is mirrored from; opaque to us.
    #[serde(default)]
    pub upstream: Option<serde_json::Value>,
    /// When the repository was made, ISO 8601.
    pub created_at: String,
    /// Labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// `POST /{org}/repos`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRepo {
    /// The name; a server makes one up when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The default bookmark, `main` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_bookmark: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where to mirror from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<NewUpstream>,
}

/// `PATCH /{org}/{repo}`: absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoPatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new default bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_bookmark: Option<String>,
    /// Labels to merge in; null removes one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
    /// Where to mirror from; null is nowhere.
    #[serde(
        default,
        deserialize_with = "text::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub upstream: Option<Option<UpstreamPatch>>,
}

/// Whether a label is put on repositories or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagAction {
    /// The label has this value now.
    Set,
    /// There is no such label now.
    Remove,
}

/// `PATCH /{org}/repos/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagPatch {
    /// Which repositories, 1 to 100.
    pub repo_ids: Vec<String>,
    /// What is done.
    pub action: TagAction,
    /// The label's name.
    pub key: String,
    /// Its value, when it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The answer to a [`TagPatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagsUpdated {
    /// How many of the repositories exist, all of which are now as was asked.
    pub updated: u64,
}

/// A name that points at a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The name, which is also a Git branch.
    pub name: String,
    /// The change.
    #[serde(with = "text")]
    pub change_id: ChangeId,
    /// Whether it is the repository's default.
    pub is_default: bool,
}

/// `POST bookmarks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBookmark {
    /// The name.
    pub name: String,
    /// The change; the virtual root is allowed.
    #[serde(with = "text")]
    pub change_id: ChangeId,
}

/// `PATCH bookmarks/{bookmark}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookmarkMove {
    /// The change to move to.
    #[serde(with = "text")]
    pub change_id: ChangeId,
    /// Whether a move to what is no descendant is wanted.
    #[serde(default)]
    pub allow_backwards: bool,
    /// Where the bookmark must be: the extension `cas`.
    #[serde(flatten)]
    pub expected: Expected,
}

/// Where a bookmark must be, or the request fails with 409: the extension `cas`. A change's
/// content moves without the change's id, so the commit is the stricter guard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The change that the bookmark points at.
    #[serde(
        default,
        rename = "expected_change_id",
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub change_id: Option<ChangeId>,
    /// The commit that this change is.
    #[serde(
        default,
        rename = "expected_commit_oid",
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub commit_oid: Option<GitOid>,
}

/// The answer to a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBookmark {
    /// The bookmark as it is now.
    #[serde(flatten)]
    pub bookmark: Bookmark,
    /// The change that it pointed at before.
    #[serde(default, with = "text::option")]
    pub from_change_id: Option<ChangeId>,
}

/// The answer to `POST ext/blobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlob {
    /// The Git blob.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// Its bytes.
    pub size: u64,
}

/// The answer to every delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// Always true.
    pub success: bool,
}

macro_rules! page {
    ($(#[$doc:meta])* $page:ident { $items:ident: $item:ty }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $page {
            /// Where the next page begins; opaque.
            #[serde(default)]
            pub next_cursor: Option<String>,
            /// Whether there is a next page.
            pub has_more: bool,
            /// The items of this page.
            pub $items: Vec<$item>,
        }
    };
}

page! {
    /// One page of `GET /{org}/repos`.
    RepoPage { repos: Repo }
}
page! {
    /// One page of `GET bookmarks`.
    BookmarkPage { bookmarks: Bookmark }
}
page! {
    /// One page of `GET webhook-targets`.
    WebhookTargetPage { webhook_targets: WebhookTarget }
}
page! {
    /// One page of `GET upstream/syncs`.
    SyncPage { syncs: Sync }
}
page! {
    /// One page of `GET changes`.
    ChangePage { changes: Change }
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A word from [`super::code`], or any other.
    pub code: String,
    /// For people.
    pub message: String,
    /// Facts beside the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
    /// The server's name for this failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whoami_without_extensions_or_key_name_decodes() {
        let text = r#"{"org":{"id":"o","slug":"acme","name":"Acme"},"key_id":null,"scopes":["read","future"],"plan":"x"}"#;
        let whoami: Whoami = serde_json::from_str(text).unwrap();
        assert!(whoami.extensions.is_empty());
        assert_eq!(whoami.scopes, ["read", "future"]);
    }

    #[test]
    fn a_malformed_change_id_is_a_decoding_error() {
        let text = r#"{"name":"main","change_id":"../../x","is_default":true}"#;
        assert!(serde_json::from_str::<Bookmark>(text).is_err());
    }
}
