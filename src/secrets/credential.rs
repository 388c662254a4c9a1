//! One credential: an API key or an access token.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Longest credential: what servers accept of an access token.
pub const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// Why some text is not a credential. The text itself is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nothing there.
    #[error("the credential is empty")]
    Empty,
    /// Over [`CREDENTIAL_BYTES_MAX`].
    #[error("the credential is longer than 8192 bytes")]
    TooLong,
    /// A blank, a line end, or something that is not ASCII, within the text.
    #[error("the credential has characters that no credential has")]
    Characters,
}

/// An API key or an access token: zeroed when dropped, masked when shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// The text, for the one place that sends or signs with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// When it expires, if it is an access token (a JWT) that says so. The token is not verified:
    /// only the server can.
    pub fn expires_at(&self) -> Option<SystemTime> {
        #[derive(Deserialize)]
        struct Claims {
            exp: u64,
        }
        let mut segments = self.0.split('.');
        let (Some(_), Some(payload), Some(_), None) = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) else {
            return None;
        };
        let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
    }
}

impl TryFrom<String> for Credential {
    type Error = CredentialError;

    /// Takes the text without the blanks and line ends around it, which files and shells add.
    fn try_from(text: String) -> Result<Credential, CredentialError> {
        let text = Zeroizing::new(text);
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(CredentialError::Empty);
        }
        if trimmed.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialError::TooLong);
        }
        if !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialError::Characters);
        }
        Ok(Credential(Zeroizing::new(trimmed.to_owned())))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(masked)")
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(text: &str) -> Result<Credential, CredentialError> {
        Credential::try_from(text.to_owned())
    }

    #[test]
    fn nothing_that_prints_shows_it() {
        let secret = credential("mesa_very_secret\n").unwrap();
        assert!(!format!("{secret:?} {secret:#?} {secret}").contains("very"));
        assert_eq!(secret.expose(), "mesa_very_secret");
    }

    #[test]
    fn what_could_break_out_of_a_header_is_refused() {
        assert_eq!(credential(" \n"), Err(CredentialError::Empty));
        for text in ["a b", "a\r\nx: y", "key\u{e9}", "a\0b"] {
            assert_eq!(credential(text), Err(CredentialError::Characters));
        }
        let long = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
        assert_eq!(credential(&long), Err(CredentialError::TooLong));
    }

    #[test]
    fn tokens_say_when_they_expire_and_keys_do_not() {
        // The worked example of the official SDK.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6Im1lc2EtYXQrand0Iiwia2lkIjoia2V5X2V4YW1wbGVfMDAwMS52MSJ9.eyJpc3MiOiJrZXlfZXhhbXBsZV8wMDAxIiwiYXVkIjoibWVzYS1hcGkiLCJzY29wZXMiOlsicmVhZCIsIndyaXRlIl0sInJlcG9zIjpbImFjbWUvYXBwIl0sImlhdCI6MTc1MDAwMDAwMCwiZXhwIjoxNzUwMDAwOTAwLCJqdGkiOiIwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEifQ.9A0PuUZqYoTD9NhtPzqE4o-hWWU4bOizFJg2MSLQ13U";
        let expiry = credential(token).unwrap().expires_at();
        assert_eq!(
            expiry,
            Some(UNIX_EPOCH + Duration::from_secs(1_750_000_900))
        );
        for text in ["mesa_key", "a.b.c", "a.e30.c", "a.b", "a.b.c.d"] {
            assert_eq!(credential(text).unwrap().expires_at(), None);
        }
    }
}
