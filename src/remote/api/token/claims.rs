//! What a token says, and whether that can be.

use std::collections::BTreeMap;

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
    /// As by names, each with what may be done there.
    Levels(Vec<(String, Level)>),
}

/// What a token may do in one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Read it.
    #[serde(rename = "read-repo")]
    Read,
    /// Read and write it.
    #[serde(rename = "write-repo")]
    Write,
}

/// The payload, read.
#[derive(Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    #[serde(default, deserialize_with = "present")]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    repos: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    repo_ids: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    author: Option<Vec<(String, Option<String>)>>,
    #[serde(default, deserialize_with = "present")]
    admin: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    access: Option<BTreeMap<String, Level>>,
    #[serde(default, deserialize_with = "present")]
    authors: Option<Vec<Author>>,
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
        let (scopes, repositories) = payload.reach(issuer)?;
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
            issuer: issuer.to_owned(),
            scopes,
            repositories,
            issued_at: payload.iat,
            expires_at: payload.exp,
            authors: payload.authors()?,
        })
    }
}

impl Payload {
    /// Scopes and repositories, in the words of one generation and not of two.
    fn reach(&self, issuer: &str) -> Result<(Vec<String>, Repositories), TokenError> {
        let scoped = match (&self.repos, &self.repo_ids) {
            (Some(Some(names)), None) => Some(Repositories::Names(names.clone())),
            (None, Some(Some(ids))) if ids.len() <= REPOSITORY_IDS_MAX => {
                Some(Repositories::Ids(ids.clone()))
            }
            (Some(None), None) | (None, Some(None)) => Some(Repositories::All),
            (None, None) => None,
            _ => return Err(TokenError::Claim),
        };
        match (&self.scopes, scoped, self.admin, &self.access) {
            (Some(scopes), Some(repositories), None, None) => Ok((scopes.clone(), repositories)),
            (None, None, Some(true), None) => Ok((vec!["admin".to_owned()], Repositories::All)),
            (None, None, None, Some(levels)) if is_bounded(levels.len(), REPOSITORY_IDS_MAX) => {
                let most = levels.values().max();
                let scope = if most == Some(&Level::Write) {
                    "write"
                } else {
                    "read"
                };
                let levels = levels.iter();
                let named = levels.map(|(name, level)| (format!("{issuer}/{name}"), *level));
                Ok((
                    vec![scope.to_owned()],
                    Repositories::Levels(named.collect()),
                ))
            }
            _ => Err(TokenError::Claim),
        }
    }

    /// Authors end up in headers of commits.
    fn authors(self) -> Result<Vec<Author>, TokenError> {
        let authors: Vec<Author> = match (self.author, self.authors) {
            (None, None) => return Ok(Vec::new()),
            (Some(pairs), None) if self.scopes.is_some() => pairs
                .into_iter()
                .map(|(name, email)| Author { name, email })
                .collect(),
            (None, Some(authors)) if self.scopes.is_none() => authors,
            _ => return Err(TokenError::Claim),
        };
        let is_plain = |text: &str| !text.contains(['<', '>', '\r', '\n', '\0']);
        let is_good = is_bounded(authors.len(), AUTHORS_MAX)
            && authors.iter().all(|Author { name, email }| {
                !name.trim().is_empty() && is_plain(name) && email.as_deref().is_none_or(is_plain)
            });
        match is_good {
            true => Ok(authors),
            false => Err(TokenError::Claim),
        }
    }
}

fn is_bounded(count: usize, most: usize) -> bool {
    (1..=most).contains(&count)
}
