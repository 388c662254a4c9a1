//! What a credential may do.

use serde::{Deserialize, Serialize};

/// What a credential may do; each one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::server) enum Scope {
    Read,
    Write,
    Admin,
}

impl Scope {
    pub(in crate::server) const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    pub(in crate::server) fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub(in crate::server) fn of_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The widest of some names; those that nobody knows count for nothing.
    pub(super) fn widest(names: &[String]) -> Option<Scope> {
        names.iter().filter_map(|name| Scope::of_name(name)).max()
    }
}
