//! Who asks.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Scope;
use crate::remote::api::Author;
use crate::remote::api::token::{Level, Repositories};

/// The two forms of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Form {
    /// A key itself.
    Key,
    /// A token that a key signed.
    Token,
}

/// Who asks: a key, or a token that it signed, as far as both reach.
#[derive(Debug, Clone)]
pub(in crate::server) struct Principal {
    pub(in crate::server) key_id: String,
    pub(in crate::server) key_name: Option<String>,
    pub(in crate::server) form: Form,
    pub(super) scope: Option<Scope>,
    /// The key's restriction.
    pub(super) repository_ids: Option<BTreeSet<String>>,
    /// The token's restriction.
    pub(super) reach: Reach,
    /// Whose work the changes are that are made with the token; often nobody's in particular.
    pub(in crate::server) authors: Vec<Author>,
}

/// The repositories that a token reaches, within those of its key.
#[derive(Debug, Clone)]
pub(super) enum Reach {
    All,
    /// By `org/repo` names, looked up when a repository is asked for.
    Names(HashSet<String>),
    Ids(HashSet<String>),
    /// As by names, each with what may be done there.
    Levels(HashMap<String, Scope>),
}

impl From<Repositories> for Reach {
    fn from(repositories: Repositories) -> Reach {
        match repositories {
            Repositories::All => Reach::All,
            Repositories::Names(names) => Reach::Names(names.into_iter().collect()),
            Repositories::Ids(ids) => Reach::Ids(ids.into_iter().collect()),
            Repositories::Levels(levels) => Reach::Levels(
                levels
                    .into_iter()
                    .map(|(name, level)| match level {
                        Level::Read => (name, Scope::Read),
                        Level::Write => (name, Scope::Write),
                    })
                    .collect(),
            ),
        }
    }
}

impl Principal {
    /// Whether the scopes include one.
    pub(in crate::server) fn may(&self, scope: Scope) -> bool {
        self.scope.is_some_and(|own| own >= scope)
    }

    /// Names of the effective scopes.
    pub(in crate::server) fn scopes(&self) -> Vec<String> {
        Scope::ALL
            .into_iter()
            .filter(|scope| self.may(*scope))
            .map(|scope| scope.name().to_owned())
            .collect()
    }

    /// Whether some repositories do not exist for this credential.
    pub(in crate::server) fn is_restricted(&self) -> bool {
        self.repository_ids.is_some() || !matches!(self.reach, Reach::All)
    }

    /// Whether a repository exists for this credential.
    pub(in crate::server) fn sees(&self, id: &str, full_name: &str) -> bool {
        let is_keys = self.repository_ids.as_ref();
        is_keys.is_none_or(|ids| ids.contains(id))
            && match &self.reach {
                Reach::All => true,
                Reach::Names(names) => names.contains(full_name),
                Reach::Ids(ids) => ids.contains(id),
                Reach::Levels(levels) => levels.contains_key(full_name),
            }
    }

    /// Whether the scopes include one in a repository that exists for this credential.
    pub(in crate::server) fn may_in(&self, full_name: &str, scope: Scope) -> bool {
        let is_level = match &self.reach {
            Reach::Levels(levels) => levels.get(full_name).is_some_and(|own| *own >= scope),
            Reach::All | Reach::Names(_) | Reach::Ids(_) => true,
        };
        is_level && self.may(scope)
    }
}
