//! API keys: making, listing, naming and revoking them.
//!
//! `public_key` is an extension of ours, and no other client sends it. With it, what is made is a key of
//! the organization: whoever holds its private half signs tokens, and the server never sees that half.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A key, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Opaque identifier.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Names of what the key may do, an open set.
    pub scopes: Vec<String>,
    /// Ids of the repositories that it reaches; `None` is all.
    pub repo_ids: Option<Vec<String>>,
    /// Opaque to us.
    #[serde(default)]
    pub metadata: Option<serde_json::Value>,
    /// Labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When it was used last, ISO 8601, as all times here.
    #[serde(default)]
    pub last_used_at: Option<String>,
    /// When its time is over.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Since when it is refused.
    #[serde(default)]
    pub revoked_at: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// What verifies its tokens, of an organization's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// Which keys `GET /{org}/api-keys` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// Those that are accepted.
    Active,
    /// The dead too.
    All,
}

impl KeyStatus {
    /// Its word in the query.
    pub fn name(self) -> &'static str {
        match self {
            KeyStatus::Active => "active",
            KeyStatus::All => "all",
        }
    }
}

/// `POST /{org}/api-keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewApiKey {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Names of what it may do; `read` and `write` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Ids, not names, of the repositories that it reaches; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_ids: Option<Vec<String>>,
    /// 100 to 31,536,000; without an end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// Labels; names count in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Registers an organization's key: 43 characters of base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// The answer to `POST /{org}/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedApiKey {
    /// Opaque identifier.
    pub id: String,
    /// The key itself, told this once; absent for an organization's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyText>,
    /// For people.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The repositories that it reaches; `None` is all.
    pub repo_ids: Option<Vec<String>>,
    /// Labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When its time is over.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// What verifies its tokens, of an organization's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// `PATCH /{org}/api-keys/{id}`: absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyPatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels to merge in; null removes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

/// The answer to `PATCH /{org}/api-keys/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchedApiKey {
    /// Labels, as they are now.
    pub tags: BTreeMap<String, String>,
    /// The name, as it is now; only our server tells it.
    #[serde(default)]
    pub name: Option<String>,
}

/// One page of `GET /{org}/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyPage {
    /// Where the next page begins; opaque.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// The items of this page.
    pub api_keys: Vec<ApiKey>,
}

/// The value of a key: masked in Debug, zeroed when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyText(Zeroizing<String>);

impl KeyText {
    /// Takes a value.
    pub fn new(text: Zeroizing<String>) -> KeyText {
        KeyText(text)
    }

    /// The text, for the one place that tells it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyText(..)")
    }
}
