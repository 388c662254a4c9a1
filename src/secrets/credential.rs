//! One credential: an API key or an access token.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
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

    /// What sort it is, by its form.
    pub fn kind(&self) -> Kind {
        match self.claims() {
            Some(_) => Kind::Token,
            None => Kind::Key,
        }
    }

    /// When it expires, if it is an access token (a JWT) that says so. The token is not verified:
    /// only the server can.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.claims().and_then(|claims| time(claims.exp?))
    }

    /// When it was issued, if it is an access token that says so.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.claims().and_then(|claims| time(claims.iat?))
    }

    /// The one repository that it is for, as `organization/repository`, if it is an access token that says
    /// so.
    pub fn only_repository(&self) -> Option<String> {
        match self.claims()?.repos?.as_array()?.as_slice() {
            [Value::String(one)] => Some(one.clone()),
            _ => None,
        }
    }

    /// What tells it from others without telling it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(*blake3::hash(self.0.as_bytes()).as_bytes())
    }

    fn claims(&self) -> Option<Claims> {
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
        serde_json::from_slice(&payload).ok()
    }
}

/// The claims of a token that matter here; one of a strange type makes it no token.
#[derive(Deserialize)]
struct Claims {
    exp: Option<u64>,
    iat: Option<u64>,
    repos: Option<Value>,
}

fn time(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The two sorts of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An API key: good until it is revoked.
    Key,
    /// An access token: good for some time.
    Token,
}

impl Kind {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::Token => "token",
        }
    }
}

/// The hash of a credential: equal for equal ones, and no way back. Kept in memory alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fingerprint(..)")
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
        let issued = credential(token).unwrap().issued_at();
        assert_eq!(
            issued,
            Some(UNIX_EPOCH + Duration::from_secs(1_750_000_000))
        );
        assert_eq!(credential(token).unwrap().kind(), Kind::Token);
        let only = credential(token).unwrap().only_repository();
        assert_eq!(only.as_deref(), Some("acme/app"));
        for text in ["mesa_key", "a.b.c", "a.e30.c", "a.b", "a.b.c.d"] {
            assert_eq!(credential(text).unwrap().expires_at(), None);
            assert_eq!(credential(text).unwrap().only_repository(), None);
        }
        assert_eq!(credential("mesa_key").unwrap().kind(), Kind::Key);
    }
}
