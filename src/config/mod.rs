//! What the user wants: defaults, then the configuration file, then the environment, then flags.
//!
//! Every setting has one name, in three spellings: `cache-path` in the file, `MESA_CACHE_PATH` in
//! the environment, `--cache-path` as a flag ([`Key`]). Each source yields text with its origin; the
//! last origin wins, and the text is read once, at the end, so that all problems of all sources are
//! listed together. Environment, home and identity arrive as values ([`Surroundings`]).
//!
//! A credential found in the environment goes into [`Secrets`], which Debug does not show.

mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod problem;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::Secrets;

pub use file::SyntaxError;
pub use key::{Key, Origin};
pub use problem::{Error, Problem, Problems, Reason};
pub use values::{ApiUrl, LogLevel};

/// What flags say; empty when no flag was given.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config-path`: this file, which must exist, and no other.
    pub config_path: Option<PathBuf>,
    /// Settings, as they were typed.
    pub values: BTreeMap<Key, OsString>,
}

/// What a process finds around it.
pub struct Surroundings<'a> {
    /// Looks a variable up.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// The user's home folder, if there is one.
    pub home: Option<&'a Path>,
    /// What relative paths of flags and variables are relative to.
    pub current_folder: &'a Path,
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
}

/// Which repositories of an organization are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountMode {
    /// All that the credential can see.
    All,
    /// Those that are listed.
    Explicit,
}

/// What a repository's checkout shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Revision {
    /// Where the default bookmark points.
    #[default]
    DefaultBookmark,
    /// Where this bookmark points.
    Bookmark(String),
    /// A change, by its id (32 letters from k to z).
    Change(String),
}

/// Whether the bookmark that a repository was checked out by follows what is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Publish {
    /// Never; edits stay in a change of their own.
    #[default]
    Never,
    /// When it still is where our change began.
    FastForward,
    /// Always: by the server's three-way merge if others moved it meanwhile.
    Merge,
}

impl Publish {
    /// All of them.
    pub const ALL: [Publish; 3] = [Publish::Never, Publish::FastForward, Publish::Merge];

    /// The mode's name.
    pub fn name(self) -> &'static str {
        match self {
            Publish::Never => "never",
            Publish::FastForward => "fast-forward",
            Publish::Merge => "merge",
        }
    }

    /// The mode of that name.
    pub fn of_name(name: &str) -> Option<Publish> {
        Publish::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// What the file says of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepositorySettings {
    /// What its checkout shows.
    pub revision: Revision,
    /// Whether its bookmark follows; `None` leaves it to [`Config::publish`].
    pub publish: Option<Publish>,
}

/// What is mounted of one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// All repositories, or those below.
    pub mount: MountMode,
    /// Repositories with settings of their own.
    pub repositories: BTreeMap<String, RepositorySettings>,
}

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Base address of the REST API, without a slash at its end.
    pub api_url: ApiUrl,
    /// Organizations to mount; none means the one that the credential belongs to.
    pub organizations: BTreeMap<String, Organization>,
    /// Where the organizations appear.
    pub mount_point: PathBuf,
    /// Journals, bodies, locks.
    pub data_folder: PathBuf,
    /// The lower layer's store.
    pub cache_folder: PathBuf,
    /// The control socket's folder.
    pub runtime_folder: PathBuf,
    /// Owner of what the mount shows.
    pub uid: u32,
    /// Group of what the mount shows.
    pub gid: u32,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How long an acknowledged operation may stay without being synced.
    pub commit_interval: Duration,
    /// Whether bookmarks follow what is pushed, of repositories for which the file says nothing else.
    pub publish: Publish,
    /// Credentials.
    pub secrets: Arc<Secrets>,
    /// The configuration file, if one was found.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Whether the bookmark of a repository follows what is pushed.
    pub fn publish(&self, organization: &str, repository: &str) -> Publish {
        let organization = self.organizations.get(organization);
        let settings = organization.and_then(|one| one.repositories.get(repository));
        settings
            .and_then(|settings| settings.publish)
            .unwrap_or(self.publish)
    }
}

/// Reads all sources.
///
/// # Errors
///
/// [`Error::Unreadable`] and [`Error::Syntax`] for the file as a whole, else [`Error::Problems`] with
/// every problem of every source.
pub fn load(overrides: &Overrides, surroundings: &Surroundings<'_>) -> Result<Config, Error> {
    let mut problems = Vec::new();
    let file = file::find(overrides, surroundings)?;
    let mut given = BTreeMap::new();
    let mut organizations = BTreeMap::new();
    if let Some((path, text)) = &file {
        let contents = file::read(path, text, &mut problems)?;
        given = contents.values;
        organizations = contents.organizations;
    }
    for key in Key::ALL {
        let value = (surroundings.environment)(key.variable()).filter(|value| !value.is_empty());
        if let Some(value) = value {
            given.insert(key, (Origin::Variable(key.variable()), value));
        }
        if let Some(value) = overrides.values.get(&key) {
            given.insert(key, (Origin::Flag(key.name()), value.clone()));
        }
    }
    // What a flag or a variable says is meant for all of them.
    if !matches!(
        given.get(&Key::Publish),
        None | Some((Origin::File { .. }, _))
    ) {
        let all = organizations.values_mut();
        all.flat_map(|one| one.repositories.values_mut())
            .for_each(|settings| settings.publish = None);
    }
    let mut values = values::Values::new(given, surroundings, &mut problems);
    if let Some(organization) = values.organization() {
        let all = Organization {
            mount: MountMode::All,
            repositories: BTreeMap::new(),
        };
        // Named beside tables, it selects its own table.
        let selected = organizations.remove(&organization).unwrap_or(all);
        organizations = BTreeMap::from([(organization, selected)]);
    }
    let config = values.config(organizations, file.map(|(path, _)| path));
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Error::Problems(Problems(problems))),
    }
}

#[cfg(test)]
mod tests;
