//! The configuration file: found, read, and taken apart key by key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::values::{is_change, is_organization, is_repository};
use super::{
    Error, Key, MountMode, Organization, Origin, Overrides, Problem, Publish, Reason,
    RepositorySettings, Revision, Surroundings,
};

/// What is wrong with the file's syntax, and where.
pub type SyntaxError = toml::de::Error;

/// Where the machine's own configuration is.
const SYSTEM_FILE: &str = "/etc/mesa/config.toml";

/// Largest file: thousands of repositories fit, and a device or a log does not.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a file gives.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) values: BTreeMap<Key, (Origin, OsString)>,
    pub(super) organizations: BTreeMap<String, Organization>,
}

/// The first file of the search order that exists, with its text.
pub(super) fn find(
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
) -> Result<Option<(PathBuf, String)>, Error> {
    let variable = |name| (surroundings.environment)(name).filter(|value| !value.is_empty());
    if let Some(path) = &overrides.config_path {
        let path = surroundings.current_folder.join(path);
        let text = read_text(&path).map_err(|source| Error::Unreadable {
            path: path.clone(),
            source,
        })?;
        return Ok(Some((path, text)));
    }
    if variable("MESA_NO_CONFIG_FILE").is_some() {
        return Ok(None);
    }
    let places = [
        variable("XDG_CONFIG_HOME").map(|folder| Path::new(&folder).join("mesa/config.toml")),
        surroundings
            .home
            .map(|home| home.join(".config/mesa/config.toml")),
        Some(PathBuf::from(SYSTEM_FILE)),
    ];
    for path in places.into_iter().flatten() {
        match read_text(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Unreadable { path, source }),
        }
    }
    Ok(None)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(FILE_BYTES_MAX + 1);
    if file.read_to_string(&mut text)? as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Takes the file apart; what is wrong with single keys goes to `problems`.
pub(super) fn read(
    path: &Path,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Result<Contents, Error> {
    let table: Table = text.parse().map_err(|source| Error::Syntax {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let mut reader = Reader { path, problems };
    let mut contents = Contents::default();
    for (name, value) in table {
        match (name.as_str(), value) {
            ("organizations", Value::Table(organizations)) => {
                contents.organizations = reader.organizations(organizations);
            }
            ("cache", Value::Table(cache)) => {
                for (name, value) in cache {
                    let place = format!("cache.{name}");
                    match name.as_str() {
                        "path" => reader.setting(Key::CachePath, place, value, &mut contents),
                        _ => reader.problem(place, Reason::Unknown),
                    }
                }
            }
            ("organizations" | "cache", _) => reader.problem(name, Reason::NotTable),
            (_, value) => match Key::ALL.into_iter().find(|key| key.name() == name) {
                Some(key) => reader.setting(key, name, value, &mut contents),
                None => reader.problem(name, Reason::Unknown),
            },
        }
    }
    Ok(contents)
}

struct Reader<'a> {
    path: &'a Path,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, key: String) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            key,
        }
    }

    fn problem(&mut self, key: String, reason: Reason) {
        let origin = self.origin(key);
        self.problems.push(Problem { origin, reason });
    }

    fn setting(&mut self, key: Key, place: String, value: Value, contents: &mut Contents) {
        let text = match (key, value) {
            (Key::Uid | Key::Gid, Value::Integer(number)) => number.to_string(),
            (Key::Uid | Key::Gid, _) => return self.problem(place, Reason::NotNumber),
            (_, Value::String(text)) => text,
            _ => return self.problem(place, Reason::NotString),
        };
        let origin = self.origin(place.clone());
        if contents.values.insert(key, (origin, text.into())).is_some() {
            self.problem(place, Reason::Twice);
        }
    }

    fn organizations(&mut self, table: Table) -> BTreeMap<String, Organization> {
        let mut organizations = BTreeMap::new();
        for (name, value) in table {
            let place = format!("organizations.{name}");
            match value {
                _ if !is_organization(&name) => self.problem(place, Reason::Organization),
                Value::Table(table) => {
                    let organization = self.organization(&place, table);
                    organizations.insert(name, organization);
                }
                _ => self.problem(place, Reason::NotTable),
            }
        }
        organizations
    }

    fn organization(&mut self, place: &str, table: Table) -> Organization {
        let mut mount = None;
        let mut repositories = BTreeMap::new();
        for (name, value) in table {
            let place = format!("{place}.{name}");
            match (name.as_str(), value) {
                ("mount", Value::String(text)) => match text.as_str() {
                    "all" => mount = Some(MountMode::All),
                    "explicit" => mount = Some(MountMode::Explicit),
                    _ => self.problem(place, Reason::MountMode),
                },
                ("mount", _) => self.problem(place, Reason::MountMode),
                ("repos", Value::Table(table)) => repositories = self.repositories(&place, table),
                ("repos", _) => self.problem(place, Reason::NotTable),
                _ => self.problem(place, Reason::Unknown),
            }
        }
        let implied = if repositories.is_empty() {
            MountMode::All
        } else {
            MountMode::Explicit
        };
        Organization {
            mount: mount.unwrap_or(implied),
            repositories,
        }
    }

    fn repositories(&mut self, place: &str, table: Table) -> BTreeMap<String, RepositorySettings> {
        let mut repositories = BTreeMap::new();
        for (name, value) in table {
            let place = format!("{place}.{name}");
            let Value::Table(table) = value else {
                self.problem(place, Reason::NotTable);
                continue;
            };
            if !is_repository(&name) {
                self.problem(place, Reason::Repository);
                continue;
            }
            let mut settings = RepositorySettings::default();
            for (key, value) in table {
                let place = format!("{place}.{key}");
                match key.as_str() {
                    "rev" => match revision_of(&value) {
                        Some(found) => settings.revision = found,
                        None => self.problem(place, Reason::Revision),
                    },
                    "publish" => match value.as_str().and_then(Publish::of_name) {
                        Some(mode) => settings.publish = Some(mode),
                        None => self.problem(place, Reason::Publish),
                    },
                    _ => self.problem(place, Reason::Unknown),
                }
            }
            repositories.insert(name, settings);
        }
        repositories
    }
}

fn revision_of(value: &Value) -> Option<Revision> {
    let table = value.as_table()?;
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return None;
    };
    let text = value.as_str()?.to_owned();
    match key.as_str() {
        "bookmark" if !text.is_empty() => Some(Revision::Bookmark(text)),
        "change-id" if is_change(&text) => Some(Revision::Change(text)),
        _ => None,
    }
}
