//! Ed25519 keys of an organization: the private one signs tokens, the public one is registered.
//!
//! ```text
//! mesa_private_key_<organization>_<base64url of 48 bytes of PKCS#8>
//! ```

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{EDWARDS, ORGANIZATION_LIFETIME_SECONDS_MAX, Request, TYPE, TokenError, strict};

/// How the text of a private key begins.
const PREFIX: &str = "mesa_private_key_";
/// What PKCS#8 puts before the 32 bytes of an Ed25519 key: version 0, the algorithm, two octet
/// strings. There is one way to write it, so a comparison reads it.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why some text is not a key of an organization. The text itself is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Not a private key.
    #[error("not an organization's private key: want {PREFIX}ORG_ and 64 characters")]
    Private,
    /// Not a public key, or one that would verify what nobody signed.
    #[error("not an Ed25519 public key: want 43 characters of base64url")]
    Public,
}

/// A key that signs tokens for an organization: zeroed when dropped, masked when shown.
#[derive(Clone)]
pub struct PrivateKey {
    organization: String,
    key: SigningKey,
}

impl PrivateKey {
    /// Whether some text means to be a private key.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Makes the key of these random bytes.
    pub fn of_seed(organization: &str, seed: &[u8; 32]) -> PrivateKey {
        PrivateKey {
            organization: organization.to_owned(),
            key: SigningKey::from_bytes(seed),
        }
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`PrivateKeyError::Private`], also when there would be a shorter way to write it.
    pub fn parse(text: &str) -> Result<PrivateKey, PrivateKeyError> {
        let read = || {
            let (organization, encoded) = text.strip_prefix(PREFIX)?.split_once('_')?;
            let is_inner =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if organization.is_empty() || !organization.bytes().all(is_inner) {
                return None;
            }
            let der = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
            let seed: &[u8; 32] = der.strip_prefix(&PKCS8)?.try_into().ok()?;
            Some(PrivateKey::of_seed(organization, seed))
        };
        read().ok_or(PrivateKeyError::Private)
    }

    /// The text, for the one place that tells it.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut der = Zeroizing::new([0; 48]);
        let seed = Zeroizing::new(self.key.to_bytes());
        for (to, from) in der.iter_mut().zip(PKCS8.iter().chain(seed.iter())) {
            *to = *from;
        }
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(der.as_slice()));
        Zeroizing::new(format!(
            "{PREFIX}{}_{}",
            self.organization,
            encoded.as_str()
        ))
    }

    /// The slug of the organization that it is for.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// What is registered.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// Signs a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Lifetime`] over [`ORGANIZATION_LIFETIME_SECONDS_MAX`].
    pub fn sign(&self, request: &Request<'_>) -> Result<String, TokenError> {
        if request.lifetime.seconds() > ORGANIZATION_LIFETIME_SECONDS_MAX {
            return Err(TokenError::Lifetime);
        }
        let public_key = self.public_key().to_string();
        let header = Header {
            alg: EDWARDS,
            typ: TYPE,
            jwk: Jwk {
                kty: "OKP",
                crv: "Ed25519",
                x: &public_key,
            },
        };
        let signed = strict::signed(&header, &request.payload(&self.organization));
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(..)")
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    jwk: Jwk<'a>,
}

#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'a str,
    crv: &'a str,
    x: &'a str,
}

/// The 32 bytes of a public key's text, which may be no key yet.
pub(super) fn public_key_bytes(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// A key that verifies tokens, shown as 43 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether the signature is one that only the holder of the private key makes: of all rules for
    /// Ed25519 the strictest, so that no other text passes for the same token.
    pub(super) fn is_signer(&self, signed: &str, signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify_strict(signed.as_bytes(), &signature).is_ok())
    }
}

impl TryFrom<&str> for PublicKey {
    type Error = PrivateKeyError;

    /// Refuses what is no point of the curve, points for which anybody can sign, and a second way to
    /// write the same point.
    fn try_from(text: &str) -> Result<PublicKey, PrivateKeyError> {
        let read = || {
            let bytes = public_key_bytes(text)?;
            let key = VerifyingKey::from_bytes(&bytes).ok()?;
            let is_canonical = key.to_edwards().compress().to_bytes() == bytes;
            (is_canonical && !key.is_weak()).then_some(PublicKey(key))
        };
        read().ok_or(PrivateKeyError::Public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}
