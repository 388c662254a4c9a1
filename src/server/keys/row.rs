//! One key, without its value.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Refusal, Scope};
use crate::remote::api::token::{PublicKey, SigningSecret, Verifier};

/// What the table keeps of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct Row {
    pub(in crate::server) id: String,
    pub(in crate::server) name: Option<String>,
    /// How what it signs is verified, and for an API key how it is known again.
    #[serde(flatten, with = "stored")]
    pub(super) verifier: Verifier,
    pub(in crate::server) scopes: BTreeSet<Scope>,
    /// Ids of repositories; `None` is all.
    pub(in crate::server) repository_ids: Option<BTreeSet<String>>,
    #[serde(default)]
    pub(in crate::server) tags: BTreeMap<String, String>,
    /// Seconds since 1970, as all times here.
    pub(in crate::server) created_at: u64,
    pub(in crate::server) expires_at: Option<u64>,
    pub(in crate::server) revoked_at: Option<u64>,
    /// As of when the table was stored last.
    #[serde(default)]
    pub(super) last_used_at: Option<u64>,
}

/// One of two fields, by what the key is.
mod stored {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{PublicKey, SigningSecret, Verifier};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Stored {
        Secret(String),
        PublicKey(String),
    }

    pub(super) fn serialize<S: Serializer>(
        verifier: &Verifier,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = match verifier {
            Verifier::Secret(secret) => Stored::Secret(secret.expose().to_owned()),
            Verifier::PublicKey(key) => Stored::PublicKey(key.to_string()),
        };
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Verifier, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::Secret(text) => Ok(Verifier::Secret(SigningSecret::of_stored(text))),
            Stored::PublicKey(text) => match PublicKey::try_from(text.as_str()) {
                Ok(key) => Ok(Verifier::PublicKey(key)),
                Err(error) => Err(D::Error::custom(error)),
            },
        }
    }
}

/// How a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Standing {
    Active,
    Expired,
    Revoked,
}

impl Row {
    /// How the key is; what was revoked and has expired counts as revoked.
    pub(in crate::server) fn standing(&self, now: u64) -> Standing {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(end)) if end <= now => Standing::Expired,
            (None, _) => Standing::Active,
        }
    }

    pub(super) fn check(&self, now: u64) -> Result<(), Refusal> {
        match self.standing(now) {
            Standing::Active => Ok(()),
            Standing::Expired => Err(Refusal::Expired),
            Standing::Revoked => Err(Refusal::Revoked),
        }
    }

    /// When the key began to be dead, if it is.
    pub(super) fn dead_since(&self, now: u64) -> Option<u64> {
        match self.standing(now) {
            Standing::Active => None,
            Standing::Expired | Standing::Revoked => self.revoked_at.or(self.expires_at),
        }
    }

    /// The key that was registered, of an organization's key.
    pub(in crate::server) fn public_key(&self) -> Option<PublicKey> {
        match &self.verifier {
            Verifier::Secret(_) => None,
            Verifier::PublicKey(key) => Some(*key),
        }
    }

    /// Whether the key can make other keys; what it signs cannot.
    pub(super) fn can_administer(&self, now: u64) -> bool {
        self.standing(now) == Standing::Active
            && self.public_key().is_none()
            && self.scopes.contains(&Scope::Admin)
            && self.repository_ids.is_none()
    }
}
