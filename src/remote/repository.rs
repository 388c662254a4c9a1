//! The name of a repository, as it stands in addresses.

use std::fmt;

use super::Failure;
use crate::secrets::Scope;

/// An organization and one of its repositories.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName {
    organization: String,
    name: String,
}

impl RepositoryName {
    /// Both names, checked.
    ///
    /// # Errors
    ///
    /// [`Failure::Unsendable`] when one is empty, `.` or `..`, or has a slash or a control
    /// character: it would name something else in an address, or in a path.
    pub fn new(organization: &str, name: &str) -> Result<RepositoryName, Failure> {
        check_segment(organization)?;
        check_segment(name)?;
        Ok(RepositoryName {
            organization: organization.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The organization.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// The repository's name within it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its credential is looked for.
    pub fn scope(&self) -> Scope<'_> {
        Scope::Repository {
            organization: &self.organization,
            repository: &self.name,
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.name)
    }
}

pub(super) fn check_segment(text: &str) -> Result<(), Failure> {
    let strange = |character: char| character == '/' || character.is_control();
    if matches!(text, "" | "." | "..") || text.contains(strange) {
        return Err(Failure::Unsendable);
    }
    Ok(())
}
