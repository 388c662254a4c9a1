//! The effective configuration as lines: each setting, its value, and where that came from.
//!
//! A line is written as the file would have it, so that what is shown can be used as a file. No line
//! holds a credential: of those, only their names and origins are told.

use std::fmt;

use serde::Serialize;
use toml::Value as Toml;

use super::kind::{UNLIMITED, size};
use super::{AllowOther, Config, Key, LogTarget, OTHER_VARIABLES, Origin, Revision};

/// What stands in place of a credential.
const MASKED: &str = "(masked)";

/// A value of a setting, as the file has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text; empty where there is none.
    Text(String),
    /// A whole number.
    Number(u64),
    /// A share.
    Share(f64),
    /// Yes or no.
    Boolean(bool),
    /// A list.
    Words(Vec<String>),
    /// What a repository shows.
    Revision {
        /// `bookmark` or `change-id`.
        #[serde(flatten)]
        revision: std::collections::BTreeMap<String, String>,
    },
}

/// As TOML.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Toml::try_from(self) {
            Ok(value) => value.fmt(formatter),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// One line of what is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The place in the file, with quotes where the file needs them; for what can only be a
    /// variable, its name.
    pub place: String,
    /// The effective value, masked if it is a credential.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Line {
    /// Whether it is something that a file can say.
    pub fn is_for_a_file(&self) -> bool {
        !OTHER_VARIABLES.iter().any(|(name, _)| *name == self.place)
    }
}

impl Config {
    /// The effective value of a setting.
    pub fn value(&self, key: Key) -> Value {
        let text = |text: &dyn fmt::Display| Value::Text(text.to_string());
        let path = |path: &std::path::Path| Value::Text(path.display().to_string());
        let optional_path =
            |found: &Option<std::path::PathBuf>| path(found.as_deref().unwrap_or("".as_ref()));
        let limit = |number: Option<u32>| match number {
            Some(number) => Value::Number(number.into()),
            None => Value::Text(UNLIMITED.to_owned()),
        };
        match key {
            Key::ApiUrl => text(&self.api_url),
            Key::ServiceDomain => text(&self.service_domain),
            Key::Org => Value::Text(self.organization.clone().unwrap_or_default()),
            Key::MountPoint => path(&self.mount_point),
            Key::DataDir => path(&self.data_folder),
            Key::RuntimeDir => path(&self.runtime_folder),
            Key::Uid => Value::Number(self.uid.into()),
            Key::Gid => Value::Number(self.gid.into()),
            Key::AllowOther => Value::Boolean(self.allow_other == AllowOther::Everyone),
            Key::CommitInterval => text(&humantime::format_duration(self.commit_interval)),
            Key::Publish => text(&self.publish.name()),
            Key::Opens => text(&self.opens.name()),
            Key::Transport => text(&self.transport.name()),
            Key::MesaignorePath => optional_path(&self.mesaignore),
            Key::SecretsBackend => text(&self.credentials.backend.name()),
            Key::SecretsCommand => {
                Value::Words(self.credentials.command.clone().unwrap_or_default())
            }
            Key::ApiKeyFile => optional_path(&self.credentials.key_file),
            Key::CacheEnabled => Value::Boolean(self.cache.enabled),
            Key::CachePath => path(&self.cache.folder),
            Key::CacheSize => {
                let limit = self.cache.bytes_max;
                Value::Text(limit.map_or_else(|| UNLIMITED.to_owned(), size))
            }
            Key::CacheMemorySize => Value::Text(size(self.cache.memory_bytes_max)),
            Key::PrefetchEnabled => Value::Boolean(self.prefetch.enabled),
            Key::PrefetchMetered => Value::Boolean(self.prefetch.metered),
            Key::PrefetchObjects => Value::Number(self.prefetch.objects_max),
            Key::PrefetchBytes => Value::Text(size(self.prefetch.bytes_max)),
            Key::PrefetchDepth => limit(self.prefetch.depth_max),
            Key::PrefetchConcurrency => Value::Number(self.prefetch.concurrency_max.into()),
            Key::PrefetchPressure => Value::Share(self.prefetch.cache_pressure_limit),
            Key::PrefetchProfile => Value::Boolean(self.prefetch.profile),
            Key::PidFile => path(&self.pid_file),
            Key::LogLevel => text(&self.log.level.name()),
            Key::LogTarget => match &self.log.target {
                LogTarget::Automatic => text(&"auto"),
                LogTarget::StandardError => text(&"stderr"),
                LogTarget::File(file) => path(file),
            },
            Key::LogColor => text(&self.log.color.name()),
            Key::CollectorUrl => Value::Text(
                self.telemetry
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
            ),
        }
    }

    /// Everything, in the order of the file: settings, organizations, credentials.
    pub fn lines(&self) -> Vec<Line> {
        let settings = Key::ALL.iter().map(|key| {
            let place = key.place().to_owned();
            self.line(place.clone(), &place, self.value(*key))
        });
        let mut lines: Vec<Line> = settings.collect();
        for (name, organization) in &self.organizations {
            let within = format!("organizations.{name}");
            let mode = Value::Text(organization.mount.name().to_owned());
            let place = format!("{within}.mount");
            lines.push(self.line(place.clone(), &place, mode));
            for (name, settings) in &organization.repositories {
                let written = format!("{within}.repos.{}", quoted(name));
                let within = format!("{within}.repos.{name}");
                if let Some(revision) = revision(&settings.revision) {
                    let place = format!("{within}.rev");
                    lines.push(self.line(format!("{written}.rev"), &place, revision));
                }
                // Without a mode of its own, the one for all of them counts, which has its line.
                if let Some(publish) = settings.publish {
                    let publish = Value::Text(publish.name().to_owned());
                    let place = format!("{within}.publish");
                    lines.push(self.line(format!("{written}.publish"), &place, publish));
                }
                if settings.read_only {
                    let place = format!("{within}.read-only");
                    let truth = Value::Boolean(true);
                    lines.push(self.line(format!("{written}.read-only"), &place, truth));
                }
            }
        }
        lines.extend(self.credential_lines());
        lines
    }

    fn line(&self, written: String, place: &str, value: Value) -> Line {
        Line {
            place: written,
            value,
            origin: self.origins.get(place).cloned().unwrap_or(Origin::Default),
        }
    }

    /// The credentials that variables gave, as far as that they did.
    fn credential_lines(&self) -> impl Iterator<Item = Line> {
        let key = self.credentials.key_variable;
        let organizations = &self.credentials.organizations;
        let names = organizations.keys().map(|name| format!("{name}:{MASKED}"));
        let names = names.collect::<Vec<_>>().join(",");
        let line = |name: &'static str, value: String| Line {
            place: name.to_owned(),
            value: Value::Text(value),
            origin: Origin::Variable(name),
        };
        let key = key.map(|name| line(name, MASKED.to_owned()));
        let list = (!organizations.is_empty()).then(|| line("MESA_ORGS", names));
        key.into_iter().chain(list)
    }
}

fn revision(revision: &Revision) -> Option<Value> {
    let (kind, name) = match revision {
        Revision::DefaultBookmark => return None,
        Revision::Bookmark(name) => ("bookmark", name),
        Revision::Change(id) => ("change-id", id),
    };
    Some(Value::Revision {
        revision: [(kind.to_owned(), name.clone())].into(),
    })
}

/// A key of the file, with quotes if it needs them.
fn quoted(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match !name.is_empty() && name.bytes().all(bare) {
        true => name.to_owned(),
        false => Toml::from(name).to_string(),
    }
}
