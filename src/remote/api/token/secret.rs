//! The secret that tokens of an API key are signed with.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{DERIVATION, HMAC, Request, TYPE, strict};

/// What tokens are signed with: the key's hash as 43 characters. Compares in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SigningSecret(String);

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

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

    pub(super) fn signature(&self, signed: &str) -> [u8; 32] {
        // An HMAC key may have any length, so the error cannot happen.
        match Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) {
            Ok(mut mac) => {
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().into()
            }
            Err(_) => [0; 32],
        }
    }

    pub(super) fn is_signer(&self, signed: &str, signature: &[u8]) -> bool {
        self.signature(signed).as_slice().ct_eq(signature).into()
    }

    /// Signs a token as the API key of that id.
    pub fn sign(&self, key_id: &str, request: &Request<'_>) -> String {
        let kid = format!("{key_id}.{DERIVATION}");
        let header = Header {
            alg: HMAC,
            typ: TYPE,
            kid: &kid,
        };
        let signed = strict::signed(&header, &request.payload(key_id));
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
