//! The words for credentials. The socket is closed to others, and both ends look whose the other is
//! before one crosses it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secrets::Credential;

/// A credential on its way through the socket; masked when shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Handed(pub Credential);

impl fmt::Debug for Handed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Handed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Handed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Handed, D::Error> {
        let text = String::deserialize(deserializer)?;
        let credential = Credential::try_from(text).map_err(serde::de::Error::custom)?;
        Ok(Handed(credential))
    }
}

/// What is to be done with a credential.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CredentialRequest {
    /// Use this one from now on: from the store, if it is there, else kept in memory alone.
    Adopt {
        /// For this organization; for everything when absent.
        org: Option<String>,
        /// For this repository of it.
        repo: Option<String>,
        /// The credential.
        credential: Handed,
        /// Where it came from, for people.
        from: String,
    },
    /// Forget what was given, and read the stores again.
    Forget {
        /// The organization; everything when absent.
        org: Option<String>,
        /// The repository of it.
        repo: Option<String>,
    },
}

/// How the daemon has a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdoptedAs {
    /// It used it already.
    Known,
    /// It found it in the store.
    Stored,
    /// It keeps it in memory, for as long as it runs.
    InMemory,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CredentialAnswer {
    /// How the daemon has it; `null` when it was to forget one.
    pub adopted: Option<AdoptedAs>,
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn a_credential_crosses_whole_and_is_never_shown() {
        let credential = Credential::try_from("very-secret".to_owned()).unwrap();
        let request = Request::Credential(CredentialRequest::Adopt {
            org: Some("acme".into()),
            repo: None,
            credential: Handed(credential),
            from: "a test".into(),
        });
        assert!(!format!("{request:?}").contains("secret"));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let wrong = text.replace("very-secret", "very secret");
        let error = serde_json::from_str::<Request>(&wrong).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
