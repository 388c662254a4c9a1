//! Text into checked values, and the defaults of what nobody gave.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::given::{Given, Raw};
use super::{
    AllowOther, ApiUrl, Backend, Cache, CollectorUrl, Color, Config, Credentials, Key, Kind, Log,
    LogLevel, LogTarget, MountMode, Notes, Opens, Organization, Origin, Prefetch, Problem, Publish,
    Reason, Surroundings, Transport, is_organization, lists, meant,
};
use crate::secrets::{Credential, Passphrase, Place, Secrets, Sources};

const SERVICE_DOMAIN: &str = "mesa.dev";
const COMMIT_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
/// The product's own: every listing of a large repository, and a hundredth of a machine's memory.
const CACHE_MEMORY_BYTES: u64 = 320_000_000;

/// Variables that can hold the credential; the first that is set counts.
const KEY_VARIABLES: [&str; 2] = ["MESA_API_KEY", "MESA_ACCESS_TOKEN"];

/// The winning texts, on their way to values.
pub(super) struct Values<'a> {
    given: Given,
    surroundings: &'a Surroundings<'a>,
    problems: &'a mut Vec<Problem>,
}

fn domain(text: &str) -> Result<String, Reason> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if text.is_empty() || !text.bytes().all(plain) || text.starts_with('.') || text.ends_with('.') {
        return Err(Reason::Domain);
    }
    Ok(text.to_owned())
}

fn organization(text: &str) -> Result<String, Reason> {
    match is_organization(text) {
        true => Ok(text.to_owned()),
        false => Err(Reason::Organization),
    }
}

impl<'a> Values<'a> {
    pub(super) fn new(
        given: Given,
        surroundings: &'a Surroundings<'a>,
        problems: &'a mut Vec<Problem>,
    ) -> Values<'a> {
        Values {
            given,
            surroundings,
            problems,
        }
    }

    /// `None` only together with a problem.
    pub(super) fn config(mut self, file: Option<PathBuf>) -> Option<Config> {
        let origins = self.origins();
        let notes = self.notes();
        let service_domain = self.value(Key::ServiceDomain, |_, text| domain(text));
        let api_url = self.value(Key::ApiUrl, |_, text| ApiUrl::try_from(text));
        let service_domain = service_domain.unwrap_or_else(|| SERVICE_DOMAIN.to_owned());
        let api_url = api_url.unwrap_or_else(|| ApiUrl::of_domain(&service_domain));
        let credentials = self.credentials();
        let organization = self.value(Key::Org, |_, text| organization(text));
        let organizations = self.organizations(organization.as_deref(), &credentials);
        let data_folder = self.path(Key::DataDir).or_else(|| self.data_default());
        let beside = |name: &str| data_folder.as_ref().map(|folder| folder.join(name));
        let runtime_folder = self.path(Key::RuntimeDir).or_else(|| {
            (self.surroundings.environment)("XDG_RUNTIME_DIR")
                .filter(|folder| Path::new(folder).is_absolute())
                .map(|folder| Path::new(&folder).join("mesa"))
                .or_else(|| beside("run"))
        });
        let mount_point = self.path(Key::MountPoint).or_else(|| beside("mnt"));
        let cache = self.cache(beside("cache").as_deref());
        let pid_file = self.path(Key::PidFile);
        let pid_file = pid_file.or_else(|| Some(runtime_folder.as_ref()?.join("mesa.pid")));
        let uid = self.id(Key::Uid).unwrap_or(self.surroundings.uid);
        let gid = self.id(Key::Gid).unwrap_or(self.surroundings.gid);
        Some(Config {
            service_domain,
            organization,
            api_url,
            organizations,
            mount_point: mount_point?,
            runtime_folder: runtime_folder?,
            uid,
            gid,
            allow_other: self.allow_other(uid),
            commit_interval: self
                .value(Key::CommitInterval, Kind::duration)
                .unwrap_or(COMMIT_INTERVAL),
            publish: self.choice(Key::Publish, Publish::of_name),
            opens: self.choice(Key::Opens, Opens::of_name),
            transport: self.choice(Key::Transport, Transport::of_name),
            mesaignore: self.path(Key::MesaignorePath),
            cache: cache?,
            prefetch: self.prefetch(),
            pid_file: pid_file?,
            log: self.log(),
            telemetry: self.value(Key::CollectorUrl, |_, text| CollectorUrl::try_from(text)),
            secrets: Arc::new(secrets(
                &credentials,
                data_folder.as_deref(),
                self.surroundings,
            )),
            credentials,
            data_folder: data_folder?,
            origins,
            notes,
            file,
        })
    }

    fn origins(&self) -> BTreeMap<String, Origin> {
        let settings = self.given.values.iter();
        settings
            .map(|(key, (origin, _))| (key.place().to_owned(), origin.clone()))
            .chain(self.given.origins.clone())
            .collect()
    }

    fn notes(&self) -> Notes {
        let unknown = self.surroundings.variables.iter();
        let unknown_variables = unknown
            .filter(|name| name.starts_with("MESA_") && !is_known_variable(name))
            .map(|name| (name.clone(), meant::variable(name)))
            .collect();
        Notes { unknown_variables }
    }

    fn organizations(
        &mut self,
        asked: Option<&str>,
        credentials: &Credentials,
    ) -> BTreeMap<String, Organization> {
        // What a flag or a variable says is meant for all of them.
        let publish = self.given.values.get(&Key::Publish);
        let for_all = matches!(publish, Some((Origin::Variable(_) | Origin::Flag(_), _)));
        let tables = std::mem::take(&mut self.given.organizations);
        let mut organizations: BTreeMap<String, Organization> = tables
            .into_iter()
            .map(|(name, table)| {
                let implied = match table.repositories.is_empty() {
                    true => MountMode::All,
                    false => MountMode::Explicit,
                };
                let mut repositories = table.repositories;
                if for_all {
                    let all = repositories.values_mut();
                    all.for_each(|settings| settings.publish = None);
                }
                let organization = Organization {
                    mount: table.mount.unwrap_or(implied),
                    repositories,
                };
                (name, organization)
            })
            .collect();
        if let Some(name) = asked {
            // Named beside tables, it selects its own table.
            let selected = organizations.remove(name).unwrap_or_default();
            return BTreeMap::from([(name.to_owned(), selected)]);
        }
        if organizations.is_empty() {
            let named = credentials.organizations.keys();
            return named
                .map(|name| (name.clone(), Organization::default()))
                .collect();
        }
        organizations
    }

    fn allow_other(&mut self, uid: u32) -> AllowOther {
        let default = uid != self.surroundings.uid;
        match self
            .value(Key::AllowOther, Kind::boolean)
            .unwrap_or(default)
        {
            true => AllowOther::Everyone,
            false => AllowOther::Owner,
        }
    }

    fn cache(&mut self, default: Option<&Path>) -> Option<Cache> {
        let bytes_max = self.value(Key::CacheSize, |kind, text| {
            kind.or_unlimited(text, Kind::size)
        });
        let memory_bytes_max = self.value(Key::CacheMemorySize, Kind::size);
        let enabled = self.value(Key::CacheEnabled, Kind::boolean);
        let folder = self.path(Key::CachePath);
        Some(Cache {
            enabled: enabled.unwrap_or(true),
            folder: folder.or_else(|| default.map(Path::to_owned))?,
            bytes_max: bytes_max.flatten(),
            memory_bytes_max: memory_bytes_max.unwrap_or(CACHE_MEMORY_BYTES),
        })
    }

    fn prefetch(&mut self) -> Prefetch {
        let small = |number: u64| u32::try_from(number).ok();
        let depth = self.value(Key::PrefetchDepth, |kind, text| {
            kind.or_unlimited(text, Kind::number)
        });
        let concurrency = self.value(Key::PrefetchConcurrency, Kind::number);
        let enabled = self.value(Key::PrefetchEnabled, Kind::boolean);
        let metered = self.value(Key::PrefetchMetered, Kind::boolean);
        let objects_max = self.value(Key::PrefetchObjects, Kind::number);
        let bytes_max = self.value(Key::PrefetchBytes, Kind::size);
        let pressure = self.value(Key::PrefetchPressure, Kind::share);
        let profile = self.value(Key::PrefetchProfile, Kind::boolean);
        Prefetch {
            enabled: enabled.unwrap_or(true),
            metered: metered.unwrap_or(false),
            objects_max: objects_max.unwrap_or(Prefetch::OBJECTS),
            bytes_max: bytes_max.unwrap_or(Prefetch::BYTES),
            depth_max: depth.flatten().and_then(small),
            concurrency_max: concurrency.and_then(small).unwrap_or(Prefetch::CONCURRENCY),
            profile: profile.unwrap_or(true),
            cache_pressure_limit: pressure.unwrap_or(Prefetch::PRESSURE),
        }
    }

    fn log(&mut self) -> Log {
        let target = match self.given.values.get(&Key::LogTarget) {
            Some((_, Raw::Text(text))) if text == "auto" => LogTarget::Automatic,
            Some((_, Raw::Text(text))) if text == "stderr" => LogTarget::StandardError,
            _ => self
                .path(Key::LogTarget)
                .map_or(LogTarget::Automatic, LogTarget::File),
        };
        Log {
            level: self.choice(Key::LogLevel, LogLevel::of_name),
            target,
            color: self.choice(Key::LogColor, Color::of_name),
        }
    }

    fn credentials(&mut self) -> Credentials {
        let command = match self.given.values.remove(&Key::SecretsCommand) {
            Some((_, Raw::Words(words))) => Some(words),
            Some((origin, Raw::Text(text))) => match text.to_str() {
                Some(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
                None => {
                    self.problem(origin, Reason::NotText);
                    None
                }
            },
            None => None,
        };
        let key = self.key();
        let organizations = lists::organization_credentials(self.surroundings, self.problems);
        Credentials {
            backend: self.choice(Key::SecretsBackend, Backend::of_name),
            command: command.filter(|words| !words.is_empty()),
            key_file: self.path(Key::ApiKeyFile),
            key_variable: key.as_ref().map(|(name, _)| *name),
            key: key.map(|(_, credential)| credential),
            organizations,
        }
    }

    fn key(&mut self) -> Option<(&'static str, Credential)> {
        let (name, value) = KEY_VARIABLES.into_iter().find_map(|name| {
            let value = (self.surroundings.environment)(name)?;
            (!value.is_empty()).then_some((name, value))
        })?;
        let text = value.into_string().map_err(|_| Reason::NotText);
        let credential = text.and_then(|text| Credential::try_from(text).map_err(Reason::from));
        match credential {
            Ok(credential) => Some((name, credential)),
            Err(reason) => {
                self.problem(Origin::Variable(name), reason);
                None
            }
        }
    }

    fn problem(&mut self, origin: Origin, reason: Reason) {
        self.problems.push(Problem { origin, reason });
    }

    fn value<T>(&mut self, key: Key, parse: impl Fn(Kind, &str) -> Result<T, Reason>) -> Option<T> {
        let (origin, raw) = self.given.values.remove(&key)?;
        let kind = key.setting().kind;
        let text = match &raw {
            Raw::Text(text) => text.to_str().ok_or(Reason::NotText),
            Raw::Words(_) => kind.wanted(),
        };
        match text.and_then(|text| parse(kind, text)) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.problem(origin, reason);
                None
            }
        }
    }

    fn choice<T: Default>(&mut self, key: Key, of_name: impl Fn(&str) -> Option<T>) -> T {
        let found = self.value(key, |kind, text| of_name(text).ok_or(Reason::Want(kind)));
        found.unwrap_or_default()
    }

    fn id(&mut self, key: Key) -> Option<u32> {
        let number = self.value(key, Kind::number)?;
        u32::try_from(number).ok()
    }

    fn path(&mut self, key: Key) -> Option<PathBuf> {
        let (origin, raw) = self.given.values.remove(&key)?;
        let Raw::Text(text) = raw else { return None };
        let path = self.absolute(&origin, &text);
        if path.is_none() {
            self.problem(origin, Reason::Relative);
        }
        path
    }

    fn data_default(&mut self) -> Option<PathBuf> {
        if let Some(home) = self.surroundings.home {
            return Some(home.join(".local/share/mesa"));
        }
        // A path that was given, and is wrong, is a problem already.
        let problems = self.problems.iter();
        let told = problems
            .map(|problem| &problem.origin)
            .any(|origin| match origin {
                Origin::File { key, .. } => key == Key::DataDir.place(),
                Origin::Variable(name) => *name == Key::DataDir.variable(),
                Origin::Flag(name) => *name == Key::DataDir.flag(),
                Origin::Default => false,
            });
        if !told {
            self.problem(Origin::Variable(Key::DataDir.variable()), Reason::NoHome);
        }
        None
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
            Origin::File { .. } | Origin::Default => None,
            Origin::Variable(_) | Origin::Flag(_) => {
                Some(self.surroundings.current_folder.join(path))
            }
        }
    }
}

fn is_known_variable(name: &str) -> bool {
    // What makes a debug build die for tests of crashes.
    #[cfg(debug_assertions)]
    if name.starts_with("MESA_TEST_") || name == "MESA_FAILPOINT" {
        return true;
    }
    let mut others = super::OTHER_VARIABLES.iter();
    Key::ALL.iter().any(|key| key.variable() == name) || others.any(|(known, _)| *known == name)
}

fn secrets(
    credentials: &Credentials,
    folder: Option<&Path>,
    surroundings: &Surroundings<'_>,
) -> Secrets {
    let variable = credentials.key_variable.unwrap_or(KEY_VARIABLES[0]);
    let key = credentials.key.iter();
    let key = key.map(|key| (Place::Global, variable, key.clone()));
    let organizations = credentials.organizations.iter();
    let organizations = organizations
        .map(|(name, key)| (Place::Organization(name.clone()), "MESA_ORGS", key.clone()));
    let secrets = Secrets::new(Sources {
        environment: key.chain(organizations).collect(),
        key_file: credentials.key_file.clone(),
        command: credentials.command.clone(),
        backend: credentials.backend.into(),
        folder: folder.map(Path::to_owned),
    });
    let passphrase = (surroundings.environment)(Passphrase::VARIABLE);
    // One that is no text opens nothing.
    let passphrase = passphrase.and_then(|text| text.into_string().ok());
    if let Some(passphrase) = passphrase.filter(|text| !text.is_empty()) {
        secrets.unlock(Passphrase::new(passphrase));
    }
    secrets
}
