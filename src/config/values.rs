//! Text into checked values, and the defaults of what nobody gave.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Key, Organization, Origin, Problem, Publish, Reason, Surroundings};
use crate::secrets::{Credential, Environment, Secrets};

const SERVICE_DOMAIN: &str = "mesa.dev";
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Longer would only mean "never", which fsync is there for.
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// The base address of a REST API: http or https, a host, perhaps a path, no slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ApiUrl(String);

impl ApiUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<&str> for ApiUrl {
    type Error = Reason;

    fn try_from(text: &str) -> Result<ApiUrl, Reason> {
        let text = text.trim_end_matches('/');
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or(Reason::Scheme)?;
        let host = rest.split('/').next().unwrap_or_default();
        let strange =
            |character: char| !character.is_ascii_graphic() || "?#@\\\"<>".contains(character);
        if host.is_empty() || host.starts_with(':') || rest.contains(strange) {
            return Err(Reason::Address);
        }
        Ok(ApiUrl(text.to_owned()))
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// What failed for good.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// What led to it.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

pub(super) fn is_organization(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=255).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub(super) fn is_repository(name: &str) -> bool {
    (1..=100).contains(&name.chars().count())
        && !name.contains(|character: char| character == '/' || character.is_control())
        && !matches!(name, "." | "..")
        && name.len() <= 255
}

pub(super) fn is_change(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| (b'k'..=b'z').contains(&byte))
}

fn domain(text: &str) -> Result<String, Reason> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if text.is_empty() || !text.bytes().all(plain) || text.starts_with('.') || text.ends_with('.') {
        return Err(Reason::Domain);
    }
    Ok(text.to_owned())
}

fn id(text: &str) -> Result<u32, Reason> {
    // The largest number means "leave as it is" to chown.
    match text.parse() {
        Ok(u32::MAX) | Err(_) => Err(Reason::Id),
        Ok(id) => Ok(id),
    }
}

fn level(text: &str) -> Result<LogLevel, Reason> {
    use LogLevel::{Debug, Error, Info, Trace, Warn};
    [Error, Warn, Info, Debug, Trace]
        .into_iter()
        .find(|level| level.name() == text)
        .ok_or(Reason::Level)
}

fn duration(text: &str) -> Result<Duration, Reason> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| Reason::Duration)?;
    let milliseconds = match text.strip_prefix(digits) {
        Some("ms") => Some(number),
        Some("s") => number.checked_mul(1_000),
        Some("m") => number.checked_mul(60_000),
        Some("") if number == 0 => Some(0),
        _ => None,
    };
    milliseconds
        .map(Duration::from_millis)
        .filter(|duration| *duration <= COMMIT_INTERVAL_MAX)
        .ok_or(Reason::Duration)
}

/// The winning texts, on their way to values.
pub(super) struct Values<'a> {
    given: BTreeMap<Key, (Origin, OsString)>,
    surroundings: &'a Surroundings<'a>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Values<'a> {
    pub(super) fn new(
        given: BTreeMap<Key, (Origin, OsString)>,
        surroundings: &'a Surroundings<'a>,
        problems: &'a mut Vec<Problem>,
    ) -> Values<'a> {
        Values {
            given,
            surroundings,
            problems,
        }
    }

    pub(super) fn organization(&mut self) -> Option<String> {
        self.value(Key::Org, |text| {
            if is_organization(text) {
                Ok(text.to_owned())
            } else {
                Err(Reason::Organization)
            }
        })
    }

    /// `None` only together with a problem.
    pub(super) fn config(
        mut self,
        organizations: BTreeMap<String, Organization>,
        file: Option<PathBuf>,
    ) -> Option<Config> {
        let service_domain = self.value(Key::ServiceDomain, domain);
        let api_url = self.value(Key::ApiUrl, |text| ApiUrl::try_from(text));
        let service_domain = service_domain.as_deref().unwrap_or(SERVICE_DOMAIN);
        let api_url = api_url.unwrap_or_else(|| ApiUrl(format!("https://api.{service_domain}/v1")));
        let data_folder = self.path(Key::DataDir, |values| {
            Some(values.surroundings.home?.join(".local/share/mesa"))
        });
        let beside = |name: &str| data_folder.as_ref().map(|folder| folder.join(name));
        let mount_point = self.path(Key::MountPoint, |_| beside("mnt"));
        let cache_folder = self.path(Key::CachePath, |_| beside("cache"));
        let runtime_folder = self.path(Key::RuntimeDir, |values| {
            (values.surroundings.environment)("XDG_RUNTIME_DIR")
                .filter(|folder| Path::new(folder).is_absolute())
                .map(|folder| Path::new(&folder).join("mesa"))
                .or_else(|| beside("run"))
        });
        let uid = self.value(Key::Uid, id);
        let gid = self.value(Key::Gid, id);
        let log_level = self.value(Key::LogLevel, level);
        let commit_interval = self.value(Key::CommitInterval, duration);
        let publish = self.value(Key::Publish, |text| {
            Publish::of_name(text).ok_or(Reason::Publish)
        });
        let secrets = self.secrets();
        Some(Config {
            api_url,
            organizations,
            mount_point: mount_point?,
            data_folder: data_folder?,
            cache_folder: cache_folder?,
            runtime_folder: runtime_folder?,
            uid: uid.unwrap_or(self.surroundings.uid),
            gid: gid.unwrap_or(self.surroundings.gid),
            log_level: log_level.unwrap_or_default(),
            commit_interval: commit_interval.unwrap_or(COMMIT_INTERVAL),
            publish: publish.unwrap_or_default(),
            secrets: Arc::new(secrets),
            file,
        })
    }

    fn problem(&mut self, origin: Origin, reason: Reason) {
        self.problems.push(Problem { origin, reason });
    }

    fn value<T>(&mut self, key: Key, parse: impl Fn(&str) -> Result<T, Reason>) -> Option<T> {
        let (origin, text) = self.given.remove(&key)?;
        match text.to_str().ok_or(Reason::NotText).and_then(parse) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.problem(origin, reason);
                None
            }
        }
    }

    fn path(
        &mut self,
        key: Key,
        default: impl FnOnce(&Values<'_>) -> Option<PathBuf>,
    ) -> Option<PathBuf> {
        let Some((origin, text)) = self.given.remove(&key) else {
            let path = default(self);
            // What only lacks because the data folder does is not told twice.
            if path.is_none() && key == Key::DataDir {
                self.problem(Origin::Variable(key.variable()), Reason::NoHome);
            }
            return path;
        };
        let path = self.absolute(&origin, &text);
        if path.is_none() {
            self.problem(origin, Reason::Relative);
        }
        path
    }

    fn absolute(&self, origin: &Origin, text: &OsStr) -> Option<PathBuf> {
        let path = Path::new(text);
        if let Ok(rest) = path.strip_prefix("~") {
            return Some(self.surroundings.home?.join(rest));
        }
        if path.is_absolute() {
            return Some(path.to_owned());
        }
        match origin {
            Origin::File { .. } => None,
            Origin::Variable(_) | Origin::Flag(_) => {
                Some(self.surroundings.current_folder.join(path))
            }
        }
    }

    fn secrets(&mut self) -> Secrets {
        let found = Environment::VARIABLES.into_iter().find_map(|name| {
            let value = (self.surroundings.environment)(name)?;
            (!value.is_empty()).then_some((name, value))
        });
        let Some((name, value)) = found else {
            return Secrets::default();
        };
        let credential = value
            .into_string()
            .map_err(|_| Reason::NotText)
            .and_then(|text| Credential::try_from(text).map_err(Reason::from));
        match credential {
            Ok(credential) => Secrets::new(vec![Box::new(Environment::new(credential))]),
            Err(reason) => {
                self.problem(Origin::Variable(name), reason);
                Secrets::default()
            }
        }
    }
}
