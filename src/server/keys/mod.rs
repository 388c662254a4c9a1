//! API keys and access tokens: who asks, and what they may do.
//!
//! Only an API key's hash is stored. The hash is also what tokens are signed with, so the table is as
//! secret as the keys; it is never listed or logged, and it is not accepted as a credential. Of an
//! organization's key the public half is stored, whose tokens nobody can forge who reads it.

mod principal;
mod row;
mod scope;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use zeroize::Zeroizing;

use self::principal::Reach;
pub(super) use self::principal::{Form, Principal};
pub(super) use self::row::{Row, Standing};
pub(super) use self::scope::Scope;
pub(super) use self::table::{Key, KeyTable};
use crate::remote::api::token::{
    PrivateKey, PublicKey, Signer, SigningSecret, TokenError, Unverified, Verifier,
};

/// Why a credential is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody's, or signed by nobody.
    Unknown,
    /// A private key, which is not to be sent at all.
    PrivateKey,
    /// A token that says what cannot be.
    Token(TokenError),
    Expired,
    Revoked,
}

/// What a new key is to be.
#[derive(Debug, Default)]
pub(super) struct Template {
    pub(super) name: Option<String>,
    pub(super) scopes: BTreeSet<Scope>,
    pub(super) repository_ids: Option<BTreeSet<String>>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) expires_at: Option<u64>,
}

impl Template {
    /// The key that a data directory begins with.
    fn administrator() -> Template {
        Template {
            name: Some("admin".to_owned()),
            scopes: Scope::ALL.into(),
            ..Template::default()
        }
    }
}

/// Makes an API key: its value, which is shown once, and its row.
pub(super) fn new_api_key(template: Template, now: u64) -> (Zeroizing<String>, Row) {
    let mut random = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(random.as_mut());
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
    let key = Zeroizing::new(format!("mesa_{}", text.as_str()));
    let secret = SigningSecret::of_api_key(&key);
    (key, new_row(template, Verifier::Secret(secret), now))
}

/// Makes the row of an organization's key, whose private half this server never sees.
pub(super) fn new_organization_key(template: Template, key: PublicKey, now: u64) -> Row {
    new_row(template, Verifier::PublicKey(key), now)
}

fn new_row(template: Template, verifier: Verifier, now: u64) -> Row {
    Row {
        id: format!("key_{}", uuid::Uuid::new_v4().simple()),
        name: template.name,
        verifier,
        scopes: template.scopes,
        repository_ids: template.repository_ids,
        tags: template.tags,
        created_at: now,
        expires_at: template.expires_at,
        revoked_at: None,
        last_used_at: None,
    }
}

impl KeyTable {
    /// Finds out who a credential is: an API key by its prefix, or else an access token.
    pub(super) fn authenticate(&self, credential: &str, now: u64) -> Result<Principal, Refusal> {
        if PrivateKey::is_meant(credential) {
            return Err(Refusal::PrivateKey);
        }
        if credential.starts_with("mesa_") {
            let secret = SigningSecret::of_api_key(credential);
            let key = self.find_secret(&secret).ok_or(Refusal::Unknown)?;
            key.row.check(now)?;
            key.note_use(now);
            return Ok(key.row.principal());
        }
        let token = Unverified::parse(credential).map_err(|error| match error {
            TokenError::Malformed => Refusal::Unknown,
            error => Refusal::Token(error),
        })?;
        let key = match token.signer() {
            Signer::Key { id } => self.find(id),
            Signer::Organization { slug, public_key } if *slug == self.organization => {
                self.find_public_key(public_key)
            }
            Signer::Organization { .. } => None,
        };
        let key = key.ok_or(Refusal::Unknown)?;
        let claims = match token.verify(&key.row.verifier, now) {
            // Who cannot sign is told nothing of the key.
            Err(TokenError::Signature | TokenError::Kind) => return Err(Refusal::Unknown),
            claims => {
                key.row.check(now)?;
                claims.map_err(|error| match error {
                    TokenError::Expired => Refusal::Expired,
                    error => Refusal::Token(error),
                })?
            }
        };
        key.note_use(now);
        let own = key.row.principal();
        Ok(Principal {
            form: Form::Token,
            scope: own.scope.min(Scope::widest(&claims.scopes)),
            reach: claims.repositories.into(),
            authors: claims.authors,
            ..own
        })
    }
}

impl Row {
    fn principal(&self) -> Principal {
        Principal {
            key_id: self.id.clone(),
            key_name: self.name.clone(),
            form: Form::Key,
            scope: self.scopes.last().copied(),
            repository_ids: self.repository_ids.clone(),
            reach: Reach::All,
            authors: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
