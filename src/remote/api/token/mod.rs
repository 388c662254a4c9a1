//! Access tokens: short-lived JWTs that are signed locally, with an API key (HS256) or with the
//! private key of an organization (Ed25519).
//!
//! ```text
//! HS256  header     {"alg":"HS256","typ":"mesa-at+jwt","kid":"<key id>.v1"}
//!        issuer     the key's id
//!        secret     base64url(SHA-256(API key)), 43 characters, used as they are
//!        signature  HMAC-SHA256(secret, "<header>.<payload>")
//! EdDSA  header     {"alg":"EdDSA","typ":"mesa-at+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":"<public key>"}}
//!        issuer     the organization's slug
//! both   payload    {"iss":..,"aud":"mesa-api","author"?:[["name","mail"|null],..],"scopes":[..],
//!                    "repos":["org/repo",..]|null,"iat":s,"exp":s,"jti":".."}
//!                   EdDSA: "repo_ids":[..]|null may stand in place of "repos"
//! ```
//!
//! Whoever holds the secret can forge tokens, so it is what a server stores of a key, and is kept
//! like the key itself. Parsing yields an [`Unverified`] token, which shows nothing but who is said to
//! have signed it; claims come out of [`Unverified::verify`] alone. The header chooses between the two
//! ways, and what is looked up for it must be of the same kind: nothing else that it says is
//! followed, and a key that comes with a token is only what to look for.

mod claims;
mod private_key;
mod secret;
mod strict;
mod unverified;

use serde::Serialize;
use uuid::Uuid;

pub use self::claims::{Claims, Level, Repositories};
pub use self::private_key::{PrivateKey, PrivateKeyError, PublicKey};
pub use self::secret::SigningSecret;
pub use self::unverified::{Decoded, Signer, Unverified, Verifier};
use super::Author;

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest life of a token that an API key signed; both ends refuse more.
pub const LIFETIME_SECONDS_MAX: u64 = 86_400;
/// Longest life of a token that an organization's key signed.
pub const ORGANIZATION_LIFETIME_SECONDS_MAX: u64 = 14_400;
/// Life of a token that asks for none.
pub const LIFETIME_SECONDS_DEFAULT: u64 = 3_600;
/// How far in the future a token may have been issued: clocks differ.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 60;
/// Most authors that a token names.
pub const AUTHORS_MAX: usize = 100;
/// Most ids of repositories, or names with levels, that a token has.
pub const REPOSITORY_IDS_MAX: usize = 250;

const HMAC: &str = "HS256";
const EDWARDS: &str = "EdDSA";
const TYPE: &str = "mesa-at+jwt";
const AUDIENCE: &str = "mesa-api";
const DERIVATION: &str = "v1";

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url segments of JSON objects, or too long.
    #[error("not an access token")]
    Malformed,
    /// Another algorithm, type or key derivation than ours, or a header that we do not know.
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
    #[error("the access token was issued in the future: are the clocks right?")]
    Future,
    /// Asks for a life of zero, or for too long a one.
    #[error("an access token lives 1 to 86400 seconds, one of an organization's key 1 to 14400")]
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

/// What a new token shall say.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Names of scopes; the server clamps them to the key's.
    pub scopes: &'a [&'a str],
    /// `org/repo` names, or every repository of the key.
    pub repos: Option<&'a [String]>,
    /// Whose work the changes are that are made with it; nobody's in particular when empty.
    pub authors: &'a [Author],
    /// Now, in seconds since 1970.
    pub issued_at: u64,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// A fresh random uuid.
    pub token_id: Uuid,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    author: Vec<(&'a str, Option<&'a str>)>,
    scopes: &'a [&'a str],
    repos: Option<&'a [String]>,
    iat: u64,
    exp: u64,
    #[serde(serialize_with = "uuid_text")]
    jti: Uuid,
}

impl Request<'_> {
    fn payload<'a>(&'a self, issuer: &'a str) -> Payload<'a> {
        let authors = self.authors.iter();
        Payload {
            iss: issuer,
            aud: AUDIENCE,
            author: authors
                .map(|author| (author.name.as_str(), author.email.as_deref()))
                .collect(),
            scopes: self.scopes,
            repos: self.repos,
            iat: self.issued_at,
            exp: self.issued_at.saturating_add(self.lifetime.seconds()),
            jti: self.token_id,
        }
    }
}

fn uuid_text<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&id.hyphenated())
}

#[cfg(test)]
mod organization_tests;
#[cfg(test)]
mod tests;
