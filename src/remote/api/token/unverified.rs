//! A token that was not verified yet, and how it is.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::private_key::{PublicKey, public_key_bytes};
use super::secret::SigningSecret;
use super::{
    DERIVATION, EDWARDS, HMAC, LIFETIME_SECONDS_MAX, ORGANIZATION_LIFETIME_SECONDS_MAX,
    TOKEN_BYTES_MAX, TYPE, TokenError, strict,
};

/// Who is said to have signed a token: what to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The API key of that id.
    Key {
        /// The id.
        id: String,
    },
    /// A key that was registered for an organization.
    Organization {
        /// The organization's slug.
        slug: String,
        /// The public key, which proves nothing unless it is registered.
        public_key: [u8; 32],
    },
}

/// What was found for a [`Signer`], and verifies its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verifier {
    /// An API key's secret.
    Secret(SigningSecret),
    /// An organization's registered key.
    PublicKey(PublicKey),
}

/// A token of the right kind whose signature and claims were not looked at yet.
pub struct Unverified<'a> {
    signer: Signer,
    signed: &'a str,
    payload: Map<String, Value>,
    signature: Vec<u8>,
}

/// A token's parts, before anything is believed.
struct Parts<'a> {
    signed: &'a str,
    header: Map<String, Value>,
    payload: Map<String, Value>,
    signature: Vec<u8>,
}

fn parts(token: &str) -> Result<Parts<'_>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    Ok(Parts {
        signed,
        header: strict::object(header)?,
        payload: strict::object(payload)?,
        signature: strict::bytes(signature)?,
    })
}

/// What any token says, to be shown to a person; nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decoded {
    /// How it is said to be signed.
    pub header: Map<String, Value>,
    /// Its claims.
    pub payload: Map<String, Value>,
}

impl Decoded {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`].
    pub fn of(token: &str) -> Result<Decoded, TokenError> {
        let parts = parts(token)?;
        Ok(Decoded {
            header: parts.header,
            payload: parts.payload,
        })
    }
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Kind`] or [`TokenError::Signature`], or
    /// [`TokenError::Claim`] when an organization's token names no issuer.
    pub fn parse(token: &'a str) -> Result<Unverified<'a>, TokenError> {
        let parts = parts(token)?;
        let text = |name: &str| parts.header.get(name).and_then(Value::as_str);
        if text("typ") != Some(TYPE) {
            return Err(TokenError::Kind);
        }
        // A header that we do not know may want to be understood (`crit`), or to bring a key along.
        let knows = |third: &str| {
            let mut names = parts.header.keys();
            names.all(|name| ["alg", "typ", third].contains(&name.as_str()))
        };
        let (signer, signature_bytes) = match text("alg") {
            Some(HMAC) if knows("kid") => {
                let kid = text("kid").and_then(|kid| kid.rsplit_once('.'));
                let signer = match kid {
                    Some((id, DERIVATION)) if !id.is_empty() => Signer::Key { id: id.to_owned() },
                    _ => return Err(TokenError::Kind),
                };
                (signer, 32)
            }
            Some(EDWARDS) if knows("jwk") => {
                let public_key = parts.header.get("jwk").and_then(embedded);
                let slug = parts.payload.get("iss").and_then(Value::as_str);
                let signer = Signer::Organization {
                    public_key: public_key.ok_or(TokenError::Kind)?,
                    slug: slug.ok_or(TokenError::Claim)?.to_owned(),
                };
                (signer, 64)
            }
            _ => return Err(TokenError::Kind),
        };
        if parts.signature.len() != signature_bytes {
            return Err(TokenError::Signature);
        }
        Ok(Unverified {
            signer,
            signed: parts.signed,
            payload: parts.payload,
            signature: parts.signature,
        })
    }

    /// Whose secret or key is to verify the token.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Checks the signature, then every claim; `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The first check that failed; [`TokenError::Kind`] when the verifier is of the other kind
    /// than the token.
    pub fn verify(self, verifier: &Verifier, now: u64) -> Result<Claims, TokenError> {
        let (is_signed, issuer, lifetime_max) = match (&self.signer, verifier) {
            (Signer::Key { id }, Verifier::Secret(secret)) => {
                let is_signed = secret.is_signer(self.signed, &self.signature);
                (is_signed, id, LIFETIME_SECONDS_MAX)
            }
            (Signer::Organization { slug, public_key }, Verifier::PublicKey(registered)) => {
                let is_signed = registered.bytes() == public_key
                    && registered.is_signer(self.signed, &self.signature);
                (is_signed, slug, ORGANIZATION_LIFETIME_SECONDS_MAX)
            }
            _ => return Err(TokenError::Kind),
        };
        if !is_signed {
            return Err(TokenError::Signature);
        }
        // Of an API key's token the contract knows one way to say what it reaches.
        let others = ["repo_ids", "admin", "access"];
        let has_others = others.iter().any(|name| self.payload.contains_key(*name));
        if has_others && matches!(self.signer, Signer::Key { .. }) {
            return Err(TokenError::Claim);
        }
        Claims::of(self.payload, issuer, lifetime_max, now)
    }
}

impl fmt::Debug for Unverified<'_> {
    /// Its parts would make the token again.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Unverified")
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// The public key of a header; one with anything else in it, a private key for one, is none.
fn embedded(jwk: &Value) -> Option<[u8; 32]> {
    let jwk = jwk.as_object()?;
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let is_ours = jwk.len() == 3 && text("kty") == Some("OKP") && text("crv") == Some("Ed25519");
    public_key_bytes(text("x").filter(|_| is_ours)?)
}
