//! Access tokens: short-lived JWTs that are signed locally with an API key (HS256).
//!
//! ```text
//! header    {"alg":"HS256","typ":"mesa-at+jwt","kid":"<key id>.v1"}
//! payload   {"iss":"<key id>","aud":"mesa-api","scopes":[..],"repos":[..]|null,"iat":s,"exp":s,"jti":".."}
//! secret    base64url(SHA-256(API key)), 43 characters, used as they are
//! signature HMAC-SHA256(secret, "<header>.<payload>")
//! ```
//!
//! Whoever holds the secret can forge tokens, so it is what a server stores of a key, and is kept
//! like the key itself. Parsing yields an [`Unverified`] token, which shows nothing but the id of
//! the key that has to be looked up; claims come out of [`Unverified::verify`] alone. The algorithm
//! is decided by this code: a header that asks for another is refused, never followed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest life of a token; both ends refuse more.
pub const LIFETIME_SECONDS_MAX: u64 = 86_400;
/// Life of a token that asks for none.
pub const LIFETIME_SECONDS_DEFAULT: u64 = 3_600;
/// How far in the future a token may have been issued: clocks differ.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 60;

const ALGORITHM: &str = "HS256";
const TYPE: &str = "mesa-at+jwt";
const AUDIENCE: &str = "mesa-api";
const DERIVATION: &str = "v1";

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url segments of JSON objects, or too long.
    #[error("not an access token")]
    Malformed,
    /// Another algorithm, type or key derivation than ours, or a critical header.
    #[error("an access token of a kind that is not accepted")]
    Kind,
    /// The signature is not the key's.
    #[error("the access token's signature is wrong")]
    Signature,
    /// A claim is missing, of the wrong type, or not for this service.
    #[error("a claim of the access token is missing or wrong")]
    Claim,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
    /// Issued in the future.
    #[error("the access token was issued in the future")]
    Future,
    /// Asks for a life of zero, or beyond [`LIFETIME_SECONDS_MAX`].
    #[error("an access token lives 1 to 86400 seconds")]
    Lifetime,
}

/// How long a token lives: 1 to [`LIFETIME_SECONDS_MAX`] seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(u64);

impl Lifetime {
    /// The life in seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl Default for Lifetime {
    fn default() -> Lifetime {
        Lifetime(LIFETIME_SECONDS_DEFAULT)
    }
}

impl TryFrom<u64> for Lifetime {
    type Error = TokenError;

    fn try_from(seconds: u64) -> Result<Lifetime, TokenError> {
        match seconds {
            1..=LIFETIME_SECONDS_MAX => Ok(Lifetime(seconds)),
            _ => Err(TokenError::Lifetime),
        }
    }
}

/// What tokens are signed with: the key's hash as 43 characters. Compares in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// Derives the secret from an API key.
    pub fn of_api_key(key: &str) -> SigningSecret {
        SigningSecret(URL_SAFE_NO_PAD.encode(Sha256::digest(key.as_bytes())))
    }

    /// Takes a secret that a key table stored.
    pub fn of_stored(text: String) -> SigningSecret {
        SigningSecret(text)
    }

    /// The text for a key table whose file only its owner can read.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn signature(&self, signed: &str) -> [u8; 32] {
        // An HMAC key may have any length, so the error cannot happen.
        match Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) {
            Ok(mut mac) => {
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().into()
            }
            Err(_) => [0; 32],
        }
    }

    /// Signs a token.
    pub fn sign(&self, request: &Request<'_>) -> String {
        let kid = format!("{}.{DERIVATION}", request.key_id);
        let header = Header {
            alg: ALGORITHM,
            typ: TYPE,
            kid: &kid,
        };
        let payload = Payload {
            iss: request.key_id,
            aud: AUDIENCE,
            scopes: request.scopes,
            repos: request.repos,
            iat: request.issued_at,
            exp: request.issued_at.saturating_add(request.lifetime.seconds()),
            jti: request.token_id,
        };
        let signed = format!("{}.{}", segment(&header), segment(&payload));
        let signature = URL_SAFE_NO_PAD.encode(self.signature(&signed));
        format!("{signed}.{signature}")
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &SigningSecret) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SigningSecret {}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(..)")
    }
}

/// What a new token shall say.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The id of the signing API key.
    pub key_id: &'a str,
    /// Names of scopes; the server clamps them to the key's.
    pub scopes: &'a [&'a str],
    /// `org/repo` names, or every repository of the key.
    pub repos: Option<&'a [String]>,
    /// Now, in seconds since 1970.
    pub issued_at: u64,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// A fresh random uuid.
    pub token_id: Uuid,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    scopes: &'a [&'a str],
    repos: Option<&'a [String]>,
    iat: u64,
    exp: u64,
    #[serde(serialize_with = "uuid_text")]
    jti: Uuid,
}

fn uuid_text<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&id.hyphenated())
}

fn segment(value: &impl Serialize) -> String {
    // Strings and integers always serialize.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The id of the signing key.
    #[serde(rename = "iss")]
    pub key_id: String,
    aud: String,
    /// Names of scopes, those that nobody knows included.
    pub scopes: Vec<String>,
    /// `org/repo` names; `None` is no restriction beyond the key's.
    /// Null, but not absent: what says nothing about repositories fails closed.
    #[serde(deserialize_with = "Option::deserialize")]
    pub repos: Option<Vec<String>>,
    /// When it was issued, in seconds since 1970.
    #[serde(rename = "iat")]
    pub issued_at: u64,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "exp")]
    pub expires_at: u64,
}

/// A token of the right kind whose signature and claims were not looked at yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    key_id: String,
    signed: &'a str,
    payload: serde_json::Map<String, Value>,
    signature: [u8; 32],
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`] or [`TokenError::Kind`].
    pub fn parse(token: &'a str) -> Result<Unverified<'a>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = object(header)?;
        let payload = object(payload)?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| TokenError::Malformed)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        if text("alg") != Some(ALGORITHM)
            || text("typ") != Some(TYPE)
            || header.contains_key("crit")
        {
            return Err(TokenError::Kind);
        }
        let (key_id, derivation) = text("kid")
            .and_then(|kid| kid.rsplit_once('.'))
            .ok_or(TokenError::Kind)?;
        if key_id.is_empty() || derivation != DERIVATION {
            return Err(TokenError::Kind);
        }
        Ok(Unverified {
            key_id: key_id.to_owned(),
            signed,
            payload,
            signature: signature.try_into().map_err(|_| TokenError::Signature)?,
        })
    }

    /// The id of the key whose secret is to verify the token.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// When the token says that it ends, for display only: nothing was verified.
    pub fn claimed_expiry(&self) -> Option<u64> {
        self.payload.get("exp").and_then(Value::as_u64)
    }

    /// Checks the signature, then every claim; `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The first check that failed.
    pub fn verify(self, secret: &SigningSecret, now: u64) -> Result<Claims, TokenError> {
        let expected = secret.signature(self.signed);
        if !bool::from(expected.ct_eq(&self.signature)) {
            return Err(TokenError::Signature);
        }
        let claims: Claims =
            serde_json::from_value(Value::Object(self.payload)).map_err(|_| TokenError::Claim)?;
        if claims.key_id != self.key_id || claims.aud != AUDIENCE {
            return Err(TokenError::Claim);
        }
        if claims.expires_at <= now {
            return Err(TokenError::Expired);
        }
        match claims.expires_at.checked_sub(claims.issued_at) {
            Some(1..=LIFETIME_SECONDS_MAX) => {}
            _ => return Err(TokenError::Lifetime),
        }
        if claims.issued_at > now.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            return Err(TokenError::Future);
        }
        Ok(claims)
    }
}

fn object(segment: &str) -> Result<serde_json::Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
