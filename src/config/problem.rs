//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Origin;
use super::file::SyntaxError;
use super::kind::Kind;
use crate::secrets::CredentialError;

/// Why a value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No setting has this name.
    #[error("no such setting{}", meant(*.0))]
    Unknown(Option<&'static str>),
    /// Not of the setting's kind, or out of its bounds.
    #[error("want {0}")]
    Want(Kind),
    /// Another type of the file's language.
    #[error("want a table")]
    NotTable,
    /// Bytes that are no text.
    #[error("not UTF-8")]
    NotText,
    /// Neither http nor https.
    #[error("want an address that begins with http:// or https://")]
    Scheme,
    /// No host, or more than host, port and path.
    #[error("want scheme, host and path, and no user, query or fragment")]
    Address,
    /// Not a host name.
    #[error("want a domain name")]
    Domain,
    /// Not an organization's name.
    #[error("want a name of lower-case letters, digits and dashes")]
    Organization,
    /// Not a repository's name.
    #[error("want a repository's name: 1 to 100 characters, no slash")]
    Repository,
    /// A relative path, and nothing that it could be relative to.
    #[error("want an absolute path, or one that begins with ~/")]
    Relative,
    /// Neither a bookmark nor a change, or both.
    #[error("want {{bookmark = \"...\"}} or {{change-id = \"...\"}}")]
    Revision,
    /// As [`Reason::Revision`], in one text.
    #[error("want bookmark:NAME or change-id:ID")]
    RevisionText,
    /// Not an entry of `MESA_REPO_REVS`.
    #[error("entry {0}: want ORG/REPO=bookmark:NAME or ORG/REPO=change-id:ID")]
    RepositoryRevision(usize),
    /// Not an entry of `MESA_ORGS`. The entry itself may be a credential, and is not told.
    #[error("entry {0}: want ORG:TOKEN")]
    OrganizationToken(usize),
    /// A list has the same name twice.
    #[error("entry {0}: named before")]
    Twice(usize),
    /// No home folder to put it in.
    #[error("must be given, since there is no home folder")]
    NoHome,
    /// Not a credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// The question at the end of a refusal.
fn meant(name: Option<&'static str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What.
    pub reason: Reason,
}

/// All problems, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is over 1 MiB.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<SyntaxError>,
    },
    /// Everything that is wrong with the values.
    #[error("{0}")]
    Problems(Problems),
}
