//! API keys and access tokens: who asks, and what they may do.
//!
//! Only a key's hash is stored. The hash is also what tokens are signed with, so the table is as
//! secret as the keys; it is never listed or logged, and it is not accepted as a credential.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::remote::api::token::{SigningSecret, TokenError, Unverified};

/// What a credential may do; each one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    Read,
    Write,
    Admin,
}

impl Scope {
    const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }

    /// The widest of some names; those that nobody knows count for nothing.
    fn widest(names: &[String]) -> Option<Scope> {
        Scope::ALL
            .into_iter()
            .rev()
            .find(|scope| names.iter().any(|name| name == scope.name()))
    }
}

/// All keys of the organization.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyTable {
    pub(super) version: u64,
    pub(super) keys: Vec<KeyRow>,
}

/// One key, without its value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyRow {
    id: String,
    name: String,
    #[serde(with = "secret")]
    secret: SigningSecret,
    scopes: Vec<Scope>,
    /// Ids of repositories; `None` is all.
    repository_ids: Option<HashSet<String>>,
    created_at: u64,
    expires_at: Option<u64>,
    revoked_at: Option<u64>,
}

mod secret {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::SigningSecret;

    pub(super) fn serialize<S: Serializer>(
        secret: &SigningSecret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SigningSecret, D::Error> {
        String::deserialize(deserializer).map(SigningSecret::of_stored)
    }
}

/// Why a credential is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Unknown,
    Expired,
    Revoked,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    pub(super) key_id: String,
    pub(super) key_name: String,
    scope: Option<Scope>,
    /// The key's restriction.
    repository_ids: Option<HashSet<String>>,
    /// The token's restriction: `org/repo` names, looked up when a repository is asked for.
    repository_names: Option<HashSet<String>>,
}

impl Principal {
    /// Whether the scopes include one.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scope.is_some_and(|own| own >= scope)
    }

    /// Names of the effective scopes.
    pub(super) fn scopes(&self) -> Vec<String> {
        Scope::ALL
            .into_iter()
            .filter(|scope| self.may(*scope))
            .map(|scope| scope.name().to_owned())
            .collect()
    }

    /// Whether some repositories do not exist for this credential.
    pub(super) fn is_restricted(&self) -> bool {
        self.repository_ids.is_some() || self.repository_names.is_some()
    }

    /// Whether a repository exists for this credential.
    pub(super) fn sees(&self, id: &str, full_name: &str) -> bool {
        self.repository_ids
            .as_ref()
            .is_none_or(|ids| ids.contains(id))
            && self
                .repository_names
                .as_ref()
                .is_none_or(|names| names.contains(full_name))
    }
}

/// Makes a key with every scope: its value, which is shown once, and its row.
pub(super) fn new_key(name: &str, now: u64) -> (Zeroizing<String>, KeyRow) {
    let mut random = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(random.as_mut());
    let key = Zeroizing::new(format!(
        "mesa_{}",
        URL_SAFE_NO_PAD.encode(random.as_slice())
    ));
    let row = KeyRow {
        id: format!("key_{}", uuid::Uuid::new_v4().simple()),
        name: name.to_owned(),
        secret: SigningSecret::of_api_key(&key),
        scopes: Scope::ALL.to_vec(),
        repository_ids: None,
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    (key, row)
}

impl KeyTable {
    /// Finds out who a credential is: an API key by its prefix, or else an access token.
    pub(super) fn authenticate(&self, credential: &str, now: u64) -> Result<Principal, Refusal> {
        if credential.starts_with("mesa_") {
            return self.authenticate_key(credential, now);
        }
        let token = Unverified::parse(credential).map_err(|_| Refusal::Unknown)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == token.key_id())
            .ok_or(Refusal::Unknown)?;
        key.check(now)?;
        let claims = token
            .verify(&key.secret, now)
            .map_err(|error| match error {
                TokenError::Expired => Refusal::Expired,
                _ => Refusal::Unknown,
            })?;
        let mut principal = key.principal();
        principal.scope = principal.scope.min(Scope::widest(&claims.scopes));
        principal.repository_names = claims.repos.map(|names| names.into_iter().collect());
        Ok(principal)
    }

    fn authenticate_key(&self, credential: &str, now: u64) -> Result<Principal, Refusal> {
        let secret = SigningSecret::of_api_key(credential);
        let key = self
            .keys
            .iter()
            .find(|key| key.secret == secret)
            .ok_or(Refusal::Unknown)?;
        key.check(now)?;
        Ok(key.principal())
    }
}

impl KeyRow {
    fn check(&self, now: u64) -> Result<(), Refusal> {
        if self.revoked_at.is_some() {
            return Err(Refusal::Revoked);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::Expired);
        }
        Ok(())
    }

    fn principal(&self) -> Principal {
        Principal {
            key_id: self.id.clone(),
            key_name: self.name.clone(),
            scope: self.scopes.iter().max().copied(),
            repository_ids: self.repository_ids.clone(),
            repository_names: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::api::token::{Lifetime, Request};

    const NOW: u64 = 1_750_000_000;

    fn table() -> (Zeroizing<String>, KeyTable) {
        let (key, row) = new_key("admin", NOW);
        (
            key,
            KeyTable {
                version: 1,
                keys: vec![row],
            },
        )
    }

    fn token(key: &str, table: &KeyTable, scopes: &[&str], repos: Option<&[String]>) -> String {
        SigningSecret::of_api_key(key).sign(&Request {
            key_id: &table.keys[0].id,
            scopes,
            repos,
            issued_at: NOW,
            lifetime: Lifetime::default(),
            token_id: uuid::Uuid::nil(),
        })
    }

    #[test]
    fn a_token_gets_the_narrower_of_its_own_and_its_keys_scopes() {
        let (key, mut table) = table();
        let wide = token(&key, &table, &["admin", "superpower"], None);
        assert_eq!(
            table.authenticate(&wide, NOW).unwrap().scopes(),
            ["read", "write", "admin"]
        );
        table.keys[0].scopes = vec![Scope::Write];
        assert_eq!(
            table.authenticate(&wide, NOW).unwrap().scopes(),
            ["read", "write"]
        );
        let none = token(&key, &table, &["superpower"], None);
        assert!(table.authenticate(&none, NOW).unwrap().scopes().is_empty());
    }

    #[test]
    fn restrictions_of_key_and_token_intersect() {
        let (key, mut table) = table();
        let names = ["acme/app".to_owned(), "acme/site".to_owned()];
        let token = token(&key, &table, &["read"], Some(&names));
        table.keys[0].repository_ids = Some(HashSet::from(["1".to_owned()]));
        let principal = table.authenticate(&token, NOW).unwrap();
        assert!(principal.sees("1", "acme/app"));
        assert!(!principal.sees("2", "acme/site"));
        assert!(!principal.sees("1", "acme/other"));
    }

    #[test]
    fn a_dead_key_takes_its_tokens_with_it() {
        let (key, mut table) = table();
        let token = token(&key, &table, &["read"], None);
        assert_eq!(
            table.authenticate(&token, NOW + 3_600).unwrap_err(),
            Refusal::Expired
        );
        table.keys[0].expires_at = Some(NOW);
        assert_eq!(
            table.authenticate(&token, NOW).unwrap_err(),
            Refusal::Expired
        );
        table.keys[0].revoked_at = Some(NOW);
        assert_eq!(
            table.authenticate(&token, NOW).unwrap_err(),
            Refusal::Revoked
        );
        assert_eq!(table.authenticate(&key, NOW).unwrap_err(), Refusal::Revoked);
    }

    #[test]
    fn the_stored_hash_is_no_credential() {
        let (_, table) = table();
        let stored = table.keys[0].secret.expose().to_owned();
        assert_eq!(
            table.authenticate(&stored, NOW).unwrap_err(),
            Refusal::Unknown
        );
        let prefixed = format!("mesa_{stored}");
        assert_eq!(
            table.authenticate(&prefixed, NOW).unwrap_err(),
            Refusal::Unknown
        );
    }
}
