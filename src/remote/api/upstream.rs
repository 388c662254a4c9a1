//! Upstreams: where a repository is mirrored from or to, and runs of that.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text;

/// How an upstream is told who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// By a token.
    Token,
    /// By a name and a password.
    UsernamePassword,
}

/// An upstream, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The Git repository.
    pub url: String,
    /// Which secret it is asked with.
    pub auth_kind: Option<AuthKind>,
    /// The newest run.
    pub latest_sync: Option<Sync>,
}

/// A secret for an upstream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UpstreamAuth {
    /// A token.
    Token {
        /// The token.
        token: String,
        /// The name that goes with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_username: Option<String>,
    },
    /// A name and a password.
    UsernamePassword {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
}

impl UpstreamAuth {
    /// Which of them it is.
    pub fn kind(&self) -> AuthKind {
        match self {
            UpstreamAuth::Token { .. } => AuthKind::Token,
            UpstreamAuth::UsernamePassword { .. } => AuthKind::UsernamePassword,
        }
    }
}

impl fmt::Debug for UpstreamAuth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}(..)", self.kind())
    }
}

/// The upstream of a new repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUpstream {
    /// The Git repository.
    pub url: String,
    /// What it is asked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<UpstreamAuth>,
}

/// What changes about an upstream: absent means unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamPatch {
    /// The Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it is asked with; null is nothing.
    #[serde(
        default,
        deserialize_with = "text::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth: Option<Option<UpstreamAuth>>,
}

/// Which way references go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the upstream.
    Pull,
    /// To the upstream.
    Push,
}

/// Which references go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefGlobs {
    /// Globs of branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branches: Option<Vec<String>>,
    /// Globs of tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// `POST upstream/syncs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSync {
    /// Which way.
    pub direction: Direction,
    /// Which references; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_globs: Option<RefGlobs>,
}

/// A run between a repository and its upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Opaque identifier.
    pub id: String,
    /// The repository.
    pub repo_id: String,
    /// Which way.
    pub direction: Direction,
    /// `queued`, `in_progress`, `completed` or `failed`.
    pub status: String,
    /// How often it was tried.
    pub attempt: u64,
    /// Which references.
    pub ref_globs: RefGlobs,
    /// What became of the references; opaque to us.
    #[serde(default)]
    pub stats: Option<serde_json::Value>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it was asked for, ISO 8601.
    pub created_at: String,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absence_are_told_apart() {
        let patch = |text: &str| serde_json::from_str::<UpstreamPatch>(text).unwrap().auth;
        assert_eq!(patch("{}"), None);
        assert_eq!(patch(r#"{"auth":null}"#), Some(None));
        let token = patch(r#"{"auth":{"kind":"token","token":"secret"}}"#);
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(token.unwrap().unwrap().kind(), AuthKind::Token);
    }
}
