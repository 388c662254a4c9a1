//! What a token says, and whether that can be.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{AUDIENCE, AUTHORS_MAX, CLOCK_SKEW_SECONDS_MAX, REPOSITORY_IDS_MAX, TokenError};
use crate::remote::api::Author;

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The id of the signing API key, or the slug of the organization whose key signed.
    pub issuer: String,
    /// Names of scopes, those that nobody knows included.
    pub scopes: Vec<String>,
    /// What it reaches, within what the key reaches.
    pub repositories: Repositories,
    /// Whose work the changes are that are made with it, the first one first; often empty.
    pub authors: Vec<Author>,
    /// When it was issued, in seconds since 1970.
    pub issued_at: u64,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

/// The repositories that a token reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repositories {
    /// All that the key reaches.
    All,
    /// Those that have one of these `org/repo` names when they are asked for.
    Names(Vec<String>),
    /// Those of these ids.
    Ids(Vec<String>),
}

/// The payload, read.
#[derive(Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    scopes: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    repos: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    repo_ids: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    author: Option<Vec<(String, Option<String>)>>,
    iat: u64,
    exp: u64,
}

/// Tells a null from nothing: what says nothing about repositories fails closed.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Claims {
    /// Checks every claim; `now` is in seconds since 1970.
    pub(super) fn of(
        payload: Map<String, Value>,
        issuer: &str,
        lifetime_max: u64,
        now: u64,
    ) -> Result<Claims, TokenError> {
        let payload: Payload =
            serde_json::from_value(Value::Object(payload)).map_err(|_| TokenError::Claim)?;
        if payload.iss != issuer || payload.aud != AUDIENCE {
            return Err(TokenError::Claim);
        }
        let repositories = match (payload.repos, payload.repo_ids) {
            (Some(Some(names)), None) => Repositories::Names(names),
            (None, Some(Some(ids))) if ids.len() <= REPOSITORY_IDS_MAX => Repositories::Ids(ids),
            (Some(None), None) | (None, Some(None)) => Repositories::All,
            _ => return Err(TokenError::Claim),
        };
        if payload.exp <= now {
            return Err(TokenError::Expired);
        }
        match payload.exp.checked_sub(payload.iat) {
            Some(life) if (1..=lifetime_max).contains(&life) => {}
            _ => return Err(TokenError::Lifetime),
        }
        if payload.iat > now.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            return Err(TokenError::Future);
        }
        Ok(Claims {
            issuer: payload.iss,
            scopes: payload.scopes,
            repositories,
            authors: payload.author.map(authors).transpose()?.unwrap_or_default(),
            issued_at: payload.iat,
            expires_at: payload.exp,
        })
    }
}

/// Authors end up in headers of commits.
fn authors(pairs: Vec<(String, Option<String>)>) -> Result<Vec<Author>, TokenError> {
    let is_plain = |text: &str| !text.contains(['<', '>', '\r', '\n', '\0']);
    let is_good = (1..=AUTHORS_MAX).contains(&pairs.len())
        && pairs.iter().all(|(name, email)| {
            !name.trim().is_empty() && is_plain(name) && email.as_deref().is_none_or(is_plain)
        });
    match is_good {
        true => Ok(pairs
            .into_iter()
            .map(|(name, email)| Author { name, email })
            .collect()),
        false => Err(TokenError::Claim),
    }
}
