//! What the user wants: defaults, then the configuration file, then the environment, then flags.
//!
//! Every setting has one line in one table ([`Key`]): `cache.path` in the file, `MESA_CACHE_PATH` in
//! the environment, `--cache-path` as a flag of verbs that take it. Each source yields text with its
//! origin; the last origin wins, and the text is read once, at the end, so that all problems of all
//! sources are listed together. An empty value is none, in the file as in the environment.
//! Environment, home and identity arrive as values ([`Surroundings`]).
//!
//! A name that the file should not have is an error. A `MESA_*` variable that nobody knows is only
//! told of, since the environment is shared and others may use the prefix. What is set but has no
//! effect in this version is told of, too ([`Notes`]).

mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod given;
mod key;
mod kind;
mod lists;
mod meant;
mod problem;
mod schema;
mod show;
mod template;
mod types;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::Secrets;

use given::Raw;

pub use file::SyntaxError;
pub use key::{Key, OTHER_VARIABLES, Origin, Setting};
pub use kind::{Kind, UNLIMITED};
pub use problem::{Error, Problem, Problems, Reason};
pub use schema::schema;
pub use show::{Line, Value};
pub use template::template;
pub use types::{
    AllowOther, ApiUrl, Backend, Cache, CollectorUrl, Color, Credentials, Log, LogLevel, LogTarget,
    MountMode, Opens, Organization, Prefetch, Publish, RepositorySettings, Revision, Transport,
    is_organization, is_repository,
};

/// What flags say; empty when no flag was given.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config-path`: this file, which must exist, and no other.
    pub config_path: Option<PathBuf>,
    /// Settings, as they were typed.
    pub values: BTreeMap<Key, OsString>,
}

/// What is never pushed where `mesaignore-path` says nothing.
pub const DEFAULT_MESAIGNORE: &str = include_str!("default.mesaignore");

/// What a process finds around it.
pub struct Surroundings<'a> {
    /// Looks a variable up.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// The names of all variables.
    pub variables: &'a [String],
    /// The user's home folder, if there is one.
    pub home: Option<&'a Path>,
    /// What relative paths of flags and variables are relative to.
    pub current_folder: &'a Path,
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
}

/// What is right, but not what somebody will have meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// `MESA_*` variables that no setting has, and what may have been meant.
    pub unknown_variables: Vec<(String, Option<&'static str>)>,
}

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain that the API is at, unless an address was given.
    pub service_domain: String,
    /// The one organization that was asked for, if one was.
    pub organization: Option<String>,
    /// Base address of the REST API, without a slash at its end.
    pub api_url: ApiUrl,
    /// Organizations to mount; none means the one that the credential belongs to.
    pub organizations: BTreeMap<String, Organization>,
    /// Where the organizations appear.
    pub mount_point: PathBuf,
    /// Journals, bodies, locks.
    pub data_folder: PathBuf,
    /// The control socket's folder.
    pub runtime_folder: PathBuf,
    /// Owner of what the mount shows.
    pub uid: u32,
    /// Group of what the mount shows.
    pub gid: u32,
    /// Who may enter the mount.
    pub allow_other: AllowOther,
    /// How long an acknowledged operation may stay without being synced.
    pub commit_interval: Duration,
    /// Whether bookmarks follow what is pushed, of repositories for which the file says nothing else.
    pub publish: Publish,
    /// Who opens and serves files.
    pub opens: Opens,
    /// Which way the kernel's requests come.
    pub transport: Transport,
    /// Ignore rules instead of the built-in ones.
    pub mesaignore: Option<PathBuf>,
    /// The lower layer's store.
    pub cache: Cache,
    /// Fetching ahead.
    pub prefetch: Prefetch,
    /// Holds the daemon's process number while it runs.
    pub pid_file: PathBuf,
    /// The daemon's log.
    pub log: Log,
    /// Where traces go; `None` is nowhere.
    pub telemetry: Option<CollectorUrl>,
    /// Where credentials come from.
    pub credentials: Credentials,
    /// Credentials.
    pub secrets: Arc<Secrets>,
    /// Where what was given comes from, by its place in the file. What is not here is a default.
    pub origins: BTreeMap<String, Origin>,
    /// What is right, but should be looked at.
    pub notes: Notes,
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

    /// Whether a repository takes no edits.
    pub fn is_read_only(&self, organization: &str, repository: &str) -> bool {
        let organization = self.organizations.get(organization);
        let settings = organization.and_then(|one| one.repositories.get(repository));
        settings.is_some_and(|settings| settings.read_only)
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
    let mut given = match &file {
        Some((path, text)) => file::read(path, text, &mut problems)?,
        None => given::Given::default(),
    };
    for key in Key::ALL.iter().copied() {
        let value = (surroundings.environment)(key.variable()).filter(|value| !value.is_empty());
        if let Some(value) = value {
            let origin = Origin::Variable(key.variable());
            given.values.insert(key, (origin, Raw::Text(value)));
        }
        if let Some(value) = overrides.values.get(&key) {
            let origin = Origin::Flag(key.flag());
            given.values.insert(key, (origin, Raw::Text(value.clone())));
        }
    }
    lists::repository_revisions(&mut given, surroundings, &mut problems);
    let values = values::Values::new(given, surroundings, &mut problems);
    let config = values.config(file.map(|(path, _)| path));
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Error::Problems(Problems(problems))),
    }
}

#[cfg(test)]
mod tests;
