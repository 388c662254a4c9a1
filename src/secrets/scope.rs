//! What a credential is good for: one repository, one organization, or everything.

use std::fmt;

/// What a credential is asked for.
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

impl Scope<'_> {
    /// The organization, if one is meant.
    pub fn organization(&self) -> Option<&str> {
        match self {
            Scope::Repository { organization, .. } | Scope::Organization { organization } => {
                Some(organization)
            }
            Scope::Global => None,
        }
    }
}

/// Where a credential is kept: a scope of its own, ordered by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// For everything.
    Global,
    /// For one organization.
    Organization(String),
    /// For one repository of an organization.
    Repository(String, String),
}

/// A name that cannot be an organization's or a repository's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlaceError {
    /// A repository without its organization.
    #[error("a repository's credential needs the organization, too")]
    NoOrganization,
    /// Empty, dots, or with a slash or a control character.
    #[error("not a name of an organization or a repository")]
    Name,
}

impl Place {
    /// The place of these names.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub fn named(
        organization: Option<&str>,
        repository: Option<&str>,
    ) -> Result<Place, PlaceError> {
        for name in [organization, repository].into_iter().flatten() {
            let strange = |character: char| character == '/' || character.is_control();
            if matches!(name, "" | "." | "..") || name.contains(strange) {
                return Err(PlaceError::Name);
            }
        }
        Ok(match (organization, repository) {
            (None, None) => Place::Global,
            (Some(organization), None) => Place::Organization(organization.to_owned()),
            (Some(organization), Some(repository)) => {
                Place::Repository(organization.to_owned(), repository.to_owned())
            }
            (None, Some(_)) => return Err(PlaceError::NoOrganization),
        })
    }

    /// The scope that asks for exactly this.
    pub fn scope(&self) -> Scope<'_> {
        match self {
            Place::Global => Scope::Global,
            Place::Organization(organization) => Scope::Organization { organization },
            Place::Repository(organization, repository) => Scope::Repository {
                organization,
                repository,
            },
        }
    }

    /// The organization, if it is for one.
    pub fn organization(&self) -> Option<&str> {
        match self {
            Place::Global => None,
            Place::Organization(organization) | Place::Repository(organization, _) => {
                Some(organization)
            }
        }
    }

    /// The repository, if it is for one.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Place::Global | Place::Organization(_) => None,
            Place::Repository(_, repository) => Some(repository),
        }
    }

    /// How wide it is for `scope`: 0 for exactly that, `None` when it is for something else.
    pub(super) fn breadth(&self, scope: Scope<'_>) -> Option<u8> {
        let fits = match self {
            Place::Global => true,
            Place::Organization(own) => scope.organization() == Some(own),
            Place::Repository(..) => self.scope() == scope,
        };
        let breadth = match self {
            Place::Repository(..) => 0,
            Place::Organization(_) => 1,
            Place::Global => 2,
        };
        fits.then_some(breadth)
    }
}

impl From<Scope<'_>> for Place {
    fn from(scope: Scope<'_>) -> Place {
        match scope {
            Scope::Global => Place::Global,
            Scope::Organization { organization } => Place::Organization(organization.to_owned()),
            Scope::Repository {
                organization,
                repository,
            } => Place::Repository(organization.to_owned(), repository.to_owned()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Global => formatter.write_str("everything"),
            Place::Organization(organization) => formatter.write_str(organization),
            Place::Repository(organization, repository) => {
                write!(formatter, "{organization}/{repository}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_a_repository_needs_its_organization() {
        assert_eq!(Place::named(None, None), Ok(Place::Global));
        assert_eq!(
            Place::named(Some("acme"), Some("app")).unwrap().to_string(),
            "acme/app"
        );
        assert_eq!(
            Place::named(None, Some("app")),
            Err(PlaceError::NoOrganization)
        );
        for name in ["", ".", "..", "a/b", "a\nb"] {
            assert_eq!(Place::named(Some(name), None), Err(PlaceError::Name));
        }
    }
}
