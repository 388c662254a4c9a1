//! The configuration file: found, read, and taken apart key by key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::given::{Given, Raw};
use super::kind::Kind;
use super::types::{is_organization, is_repository};
use super::{
    Error, Key, MountMode, Origin, Overrides, Problem, Publish, Reason, RepositorySettings,
    Revision, Surroundings, meant,
};

/// What is wrong with the file's syntax, and where.
pub type SyntaxError = toml::de::Error;

/// Where the machine's own configuration is.
const SYSTEM_FILE: &str = "/etc/mesa/config.toml";

/// Largest file: thousands of repositories fit, and a device or a log does not.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The table of the organizations.
const ORGANIZATIONS: &str = "organizations";

/// What a file says of one organization.
#[derive(Default)]
pub(super) struct OrganizationTable {
    pub(super) mount: Option<MountMode>,
    pub(super) repositories: BTreeMap<String, RepositorySettings>,
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
pub(super) fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Result<Given, Error> {
    let table = DeTable::parse(text).map_err(|source| Error::Syntax {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let mut reader = Reader {
        path,
        text,
        problems,
        given: Given::default(),
    };
    reader.table("", table.get_ref());
    Ok(reader.given)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    given: Given,
}

/// The entries of a table, with where each key stands.
fn entries<'a>(table: &'a DeTable<'_>) -> impl Iterator<Item = (usize, &'a str, &'a DeValue<'a>)> {
    table
        .iter()
        .map(|(key, value)| (key.span().start, &**key.get_ref(), value.get_ref()))
}

fn beneath(table: &str, name: &str) -> String {
    match table {
        "" => name.to_owned(),
        table => format!("{table}.{name}"),
    }
}

impl Reader<'_> {
    fn origin(&self, at: usize, key: String) -> Origin {
        let before = self.text.get(..at).unwrap_or_default();
        Origin::File {
            path: self.path.to_owned(),
            key,
            line: before.matches('\n').count() + 1,
        }
    }

    fn problem(&mut self, at: usize, key: String, reason: Reason) {
        let origin = self.origin(at, key);
        self.problems.push(Problem { origin, reason });
    }

    fn kept(&mut self, at: usize, place: String) {
        let origin = self.origin(at, place.clone());
        self.given.origins.insert(place, origin);
    }

    /// A table of settings, and the tables in it.
    fn table(&mut self, name: &str, table: &DeTable<'_>) {
        for (at, key, value) in entries(table) {
            let place = beneath(name, key);
            let is_table = Key::ALL.iter().any(|known| {
                let rest = known.place().strip_prefix(place.as_str());
                rest.is_some_and(|rest| rest.starts_with('.'))
            });
            if let Some(key) = Key::at(&place) {
                self.setting(at, key, value);
            } else if !is_table && place != ORGANIZATIONS {
                let reason = Reason::Unknown(meant::place(&place));
                self.problem(at, place, reason);
            } else if let Some(table) = value.as_table() {
                match place.as_str() {
                    ORGANIZATIONS => self.organizations(table),
                    place => self.table(place, table),
                }
            } else {
                self.problem(at, place, Reason::NotTable);
            }
        }
    }

    fn setting(&mut self, at: usize, key: Key, value: &DeValue<'_>) {
        let place = key.place().to_owned();
        let kind = key.setting().kind;
        match raw(kind, value) {
            Some(raw) if raw.is_empty() => {}
            Some(raw) => {
                let origin = self.origin(at, place);
                self.given.values.insert(key, (origin, raw));
            }
            None => self.problem(at, place, Reason::Want(kind)),
        }
    }

    fn organizations(&mut self, table: &DeTable<'_>) {
        for (at, name, value) in entries(table) {
            let place = beneath(ORGANIZATIONS, name);
            match value.as_table() {
                _ if !is_organization(name) => self.problem(at, place, Reason::Organization),
                Some(table) => {
                    let organization = self.organization(&place, table);
                    let name = name.to_owned();
                    self.given.organizations.insert(name, organization);
                }
                None => self.problem(at, place, Reason::NotTable),
            }
        }
    }

    fn organization(&mut self, within: &str, table: &DeTable<'_>) -> OrganizationTable {
        let mut organization = OrganizationTable::default();
        for (at, key, value) in entries(table) {
            let place = beneath(within, key);
            match (key, value.as_table()) {
                ("mount", _) => match value.as_str().and_then(MountMode::of_name) {
                    Some(mode) => {
                        organization.mount = Some(mode);
                        self.kept(at, place);
                    }
                    None => {
                        let reason = Reason::Want(Kind::Choice(MountMode::NAMES));
                        self.problem(at, place, reason);
                    }
                },
                ("repos", Some(table)) => {
                    organization.repositories = self.repositories(&place, table);
                }
                ("repos", None) => self.problem(at, place, Reason::NotTable),
                _ => {
                    let meant = meant::of(key, &["mount", "repos"]);
                    self.problem(at, place, Reason::Unknown(meant));
                }
            }
        }
        organization
    }

    fn repositories(
        &mut self,
        within: &str,
        table: &DeTable<'_>,
    ) -> BTreeMap<String, RepositorySettings> {
        let mut repositories = BTreeMap::new();
        for (at, name, value) in entries(table) {
            let place = beneath(within, name);
            match value.as_table() {
                None => self.problem(at, place, Reason::NotTable),
                Some(_) if !is_repository(name) => self.problem(at, place, Reason::Repository),
                Some(table) => {
                    let settings = self.repository(&place, table);
                    repositories.insert(name.to_owned(), settings);
                    self.kept(at, place);
                }
            }
        }
        repositories
    }

    fn repository(&mut self, within: &str, table: &DeTable<'_>) -> RepositorySettings {
        let mut settings = RepositorySettings::default();
        for (at, key, value) in entries(table) {
            let place = beneath(within, key);
            let problem = match key {
                "rev" => match revision_of(value) {
                    Some(found) => {
                        settings.revision = found;
                        None
                    }
                    None => Some(Reason::Revision),
                },
                "publish" => match value.as_str().and_then(Publish::of_name) {
                    Some(mode) => {
                        settings.publish = Some(mode);
                        None
                    }
                    None => Some(Reason::Want(Kind::Choice(Publish::NAMES))),
                },
                "read-only" => match value {
                    DeValue::Boolean(truth) => {
                        settings.read_only = *truth;
                        None
                    }
                    _ => Some(Reason::Want(Kind::Boolean)),
                },
                _ => Some(Reason::Unknown(meant::of(
                    key,
                    &["rev", "publish", "read-only"],
                ))),
            };
            match problem {
                Some(reason) => self.problem(at, place, reason),
                None => self.kept(at, place),
            }
        }
        settings
    }
}

/// A value of the file's language as the text that a variable would have; `None` when it is not of
/// a type that the kind takes.
fn raw(kind: Kind, value: &DeValue<'_>) -> Option<Raw> {
    let text = match (kind, value) {
        (Kind::Words, DeValue::Array(words)) => {
            let mut texts = words.iter().map(|word| word.get_ref().as_str());
            let texts: Option<Vec<String>> =
                texts.by_ref().map(|text| text.map(str::to_owned)).collect();
            return texts.map(Raw::Words);
        }
        (
            Kind::Text
            | Kind::Path
            | Kind::Choice(_)
            | Kind::Limit(..)
            | Kind::Size(..)
            | Kind::SizeLimit(..)
            | Kind::Duration(_),
            DeValue::String(text),
        ) => text.clone().into_owned(),
        (
            Kind::Number(..) | Kind::Limit(..) | Kind::Size(..) | Kind::SizeLimit(..) | Kind::Share,
            DeValue::Integer(number),
        ) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()?
            .to_string(),
        (Kind::Share, DeValue::Float(number)) => number.as_str().to_owned(),
        (Kind::Boolean, DeValue::Boolean(truth)) => truth.to_string(),
        _ => return None,
    };
    Some(Raw::Text(OsString::from(text)))
}

fn revision_of(value: &DeValue<'_>) -> Option<Revision> {
    let mut entries = entries(value.as_table()?);
    let (Some((_, kind, value)), None) = (entries.next(), entries.next()) else {
        return None;
    };
    Revision::of(kind, value.as_str()?)
}
