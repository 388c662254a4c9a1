//! Credentials: where they come from, and how they stay out of sight.
//!
//! [`Secrets`] asks its stores for the most specific credential first: one for the repository, then
//! one for the organization, then the global one; within one scope the stores in their order. Today
//! the only store is the environment: `MESA_API_KEY`, alias `MESA_ACCESS_TOKEN`, which is global, and
//! `MESA_ORGS`; files and vaults are more stores, and callers will not notice.
//!
//! A [`Credential`] is zeroed when dropped, masked in Debug and Display, and shown by `expose` alone.
//! Nothing here knows of HTTP.

mod credential;

use std::collections::BTreeMap;
use std::fmt;

pub use credential::{CREDENTIAL_BYTES_MAX, Credential, CredentialError};

/// What a credential is good for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope<'a> {
    /// One repository.
    Repository {
        /// Its organization.
        organization: &'a str,
        /// Its name.
        repository: &'a str,
    },
    /// Every repository of one organization.
    Organization {
        /// Its name.
        organization: &'a str,
    },
    /// Everything.
    Global,
}

impl<'a> Scope<'a> {
    /// The next wider scope, in which a credential is looked for when this one has none.
    pub fn wider(self) -> Option<Scope<'a>> {
        match self {
            Scope::Repository { organization, .. } => Some(Scope::Organization { organization }),
            Scope::Organization { .. } => Some(Scope::Global),
            Scope::Global => None,
        }
    }
}

/// A place that may hold credentials.
pub trait Store: Send + Sync {
    /// The credential for exactly this scope.
    fn find(&self, scope: Scope<'_>) -> Option<Credential>;
}

/// No store has a credential for this scope, or for any wider one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no credential")]
pub struct Missing;

/// All stores, in the order in which they are asked.
#[derive(Default)]
pub struct Secrets {
    stores: Vec<Box<dyn Store>>,
}

impl Secrets {
    /// Asks these stores, in this order.
    pub fn new(stores: Vec<Box<dyn Store>>) -> Secrets {
        Secrets { stores }
    }

    /// The credential to use for `scope`.
    ///
    /// # Errors
    ///
    /// [`Missing`] when there is none.
    pub fn find(&self, scope: Scope<'_>) -> Result<Credential, Missing> {
        let mut next = Some(scope);
        while let Some(scope) = next {
            if let Some(found) = self.stores.iter().find_map(|store| store.find(scope)) {
                return Ok(found);
            }
            next = scope.wider();
        }
        Err(Missing)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets(masked)")
    }
}

/// The credential that the environment gave to the process.
pub struct Environment {
    credential: Credential,
}

impl Environment {
    /// Variables that can hold the credential; the first that is set counts.
    pub const VARIABLES: [&'static str; 2] = ["MESA_API_KEY", "MESA_ACCESS_TOKEN"];

    /// Holds what one of the variables held.
    pub fn new(credential: Credential) -> Environment {
        Environment { credential }
    }
}

impl Store for Environment {
    fn find(&self, scope: Scope<'_>) -> Option<Credential> {
        (scope == Scope::Global).then(|| self.credential.clone())
    }
}

/// The credentials that `MESA_ORGS` gave, by organization.
impl Store for BTreeMap<String, Credential> {
    fn find(&self, scope: Scope<'_>) -> Option<Credential> {
        match scope {
            Scope::Organization { organization } => self.get(organization).cloned(),
            Scope::Repository { .. } | Scope::Global => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<(&'static str, &'static str)>);

    impl Store for Fixed {
        fn find(&self, scope: Scope<'_>) -> Option<Credential> {
            let name = match scope {
                Scope::Repository { repository, .. } => repository,
                Scope::Organization { organization } => organization,
                Scope::Global => "*",
            };
            let (_, text) = self.0.iter().find(|(key, _)| *key == name)?;
            Credential::try_from((*text).to_owned()).ok()
        }
    }

    #[test]
    fn the_narrowest_scope_wins_and_then_the_first_store() {
        let secrets = Secrets::new(vec![
            Box::new(Fixed(vec![("*", "global-1"), ("acme", "acme-1")])),
            Box::new(Fixed(vec![("app", "app-2"), ("acme", "acme-2")])),
        ]);
        let find = |organization, repository| {
            let scope = Scope::Repository {
                organization,
                repository,
            };
            secrets.find(scope).unwrap().expose().to_owned()
        };
        assert_eq!(find("acme", "app"), "app-2");
        assert_eq!(find("acme", "other"), "acme-1");
        assert_eq!(find("elsewhere", "other"), "global-1");
        assert_eq!(Secrets::default().find(Scope::Global).unwrap_err(), Missing);
    }
}
