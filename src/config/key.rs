//! The table of all settings: their names, what they take, what they are for. The parser, `mesa
//! config show`, `init` and `schema` all read it, so none can know less or more than another.
//!
//! The text above a setting is its documentation in all of them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::kind::Kind;
use super::types::{Backend, Color, LogLevel, Opens, Publish, Transport};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The place in the file: the key, with the tables around it, joined by dots.
    pub place: &'static str,
    /// The flag, without its dashes, of verbs that take it.
    pub flag: &'static str,
    /// The variable.
    pub variable: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is for, line by line.
    pub help: &'static [&'static str],
}

impl Setting {
    /// The table of the file that it is in, and its key there.
    pub fn table_and_key(&self) -> (&'static str, &'static str) {
        self.place.rsplit_once('.').unwrap_or(("", self.place))
    }
}

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident = $place:literal, $flag:literal, $variable:literal,
        $kind:expr;)+) => {
        /// A setting that the file, the environment and a flag can give.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $($(#[doc = $help])+ $name,)+
        }

        impl Key {
            /// All of them, in the order of the file.
            pub const ALL: &'static [Key] = &[$(Key::$name),+];

            /// Its line of the table.
            pub fn setting(self) -> Setting {
                match self {
                    $(Key::$name => Setting {
                        place: $place,
                        flag: $flag,
                        variable: $variable,
                        kind: $kind,
                        help: &[$($help),+],
                    },)+
                }
            }
        }
    };
}

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Less could not hold the objects of one directory while it is read.
const CACHE_BYTES_MIN: u64 = 64 * MIB;
/// Less would keep listings from being shared between readers.
const CACHE_MEMORY_BYTES_MIN: u64 = MIB;
/// More means a unit that was not meant.
const CACHE_BYTES_MAX: u64 = 1024 * TIB;
/// More than the memory of any machine.
const CACHE_MEMORY_BYTES_MAX: u64 = 64 * TIB;
/// Deeper than any path that Linux can name.
const DEPTH_MAX: u64 = 2048;
/// More requests at once than a server grants to one client.
const CONCURRENCY_MAX: u64 = 256;
/// More files than are ever read in a row, at some hundred bytes each while they are on their way.
const PREFETCH_OBJECTS_MAX: u64 = 100_000;
/// Less would be a request for each file.
const PREFETCH_BYTES_MIN: u64 = 64 << 10;
/// The largest number means "leave as it is" to chown.
const ID_MAX: u64 = u32::MAX as u64 - 1;
/// Longer would only mean "never", which fsync is there for.
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(3_600);

settings! {
    /// The server's address. Given, it beats service-domain.
    ApiUrl = "api-url", "api-url", "MESA_API_URL", Kind::Text;
    /// The API is at `https://api.DOMAIN/v1`, unless api-url says otherwise.
    ServiceDomain = "service-domain", "service-domain", "MESA_SERVICE_DOMAIN", Kind::Text;
    /// The organization to mount. Without one: those that have a table here, else those of
    /// MESA_ORGS, else the credential's.
    Org = "org", "org", "MESA_ORG", Kind::Text;
    /// Where repositories appear, as MOUNT-POINT/ORG/REPO.
    MountPoint = "mount-point", "mount-point", "MESA_MOUNT_POINT", Kind::Path;
    /// Journal, edits and lock: keep it, and nothing is lost.
    DataDir = "data-dir", "data-dir", "MESA_DATA_DIR", Kind::Path;
    /// The folder of the control socket.
    RuntimeDir = "runtime-dir", "runtime-dir", "MESA_RUNTIME_DIR", Kind::Path;
    /// The user to whom everything in the mount belongs.
    Uid = "uid", "uid", "MESA_UID", Kind::Number(0, ID_MAX);
    /// The group to which everything in the mount belongs.
    Gid = "gid", "gid", "MESA_GID", Kind::Number(0, ID_MAX);
    /// Whether other users than the one who mounts may enter the mount; the mode bits then say what
    /// they may do. Without a word of it: only if uid is another user than the one who mounts.
    AllowOther = "allow-other", "allow-other", "MESA_ALLOW_OTHER", Kind::Boolean;
    /// How long an acknowledged edit may stay without surviving a power cut; 0s waits for the disk
    /// each time.
    CommitInterval = "commit-interval", "commit-interval", "MESA_COMMIT_INTERVAL",
        Kind::Duration(COMMIT_INTERVAL_MAX);
    /// Whether the bookmark that was checked out follows what is pushed.
    Publish = "publish", "publish", "MESA_PUBLISH",
        Kind::Choice(Publish::NAMES);
    /// Who opens and serves files: kernel, which opens them by itself and keeps what it has read; plain, the
    /// daemon, each time; or passthrough, the kernel by itself as soon as a file has local bytes, where root
    /// mounts and the data directory's file system allows it.
    Opens = "opens", "opens", "MESA_OPENS", Kind::Choice(Opens::NAMES);
    /// Which way the kernel's requests come: by the FUSE device, or by io-uring, which root has to switch on.
    Transport = "transport", "transport", "MESA_TRANSPORT", Kind::Choice(Transport::NAMES);
    /// A file of ignore rules, in the syntax of .gitignore, instead of the built-in ones.
    MesaignorePath = "mesaignore-path", "mesaignore-path", "MESA_MESAIGNORE_PATH", Kind::Path;
    /// Where credentials are stored.
    SecretsBackend = "secrets.backend", "secrets-backend", "MESA_SECRETS_BACKEND",
        Kind::Choice(Backend::NAMES);
    /// A program that prints a credential, with its arguments; the variable has blanks between them.
    SecretsCommand = "secrets.command", "secrets-command", "MESA_SECRETS_COMMAND", Kind::Words;
    /// A file that holds a credential, and is read again when it changes.
    ApiKeyFile = "secrets.api-key-file", "api-key-file", "MESA_API_KEY_FILE", Kind::Path;
    /// Whether fetched content outlives the mount.
    CacheEnabled = "cache.enabled", "cache-enabled", "MESA_CACHE_ENABLED", Kind::Boolean;
    /// Fetched content; may be deleted while nothing is mounted.
    CachePath = "cache.path", "cache-path", "MESA_CACHE_PATH", Kind::Path;
    /// How large the cache on disk may grow, as in 10GiB, or unlimited; what was
    /// not used for longest goes first.
    CacheSize = "cache.max-size", "cache-max-size", "MESA_CACHE_MAX_SIZE",
        Kind::SizeLimit(CACHE_BYTES_MIN, CACHE_BYTES_MAX);
    /// How large the cache in memory may grow, as in 320MB.
    CacheMemorySize = "cache.max-memory-size", "cache-max-memory-size", "MESA_CACHE_MAX_MEMORY_SIZE",
        Kind::Size(CACHE_MEMORY_BYTES_MIN, CACHE_MEMORY_BYTES_MAX);
    /// Whether what comes next is fetched before it is asked for: a repository's listings at the first
    /// look, and more once somebody walks directories or reads one file after the other.
    PrefetchEnabled = "prefetch.enabled", "prefetch-enabled", "MESA_PREFETCH_ENABLED",
        Kind::Boolean;
    /// Whether the network is paid by what comes through it: then nothing is fetched ahead.
    PrefetchMetered = "prefetch.metered", "prefetch-metered", "MESA_PREFETCH_METERED",
        Kind::Boolean;
    /// How many files of a repository may be fetched ahead and not opened yet.
    PrefetchObjects = "prefetch.max-objects", "prefetch-max-objects", "MESA_PREFETCH_MAX_OBJECTS",
        Kind::Number(1, PREFETCH_OBJECTS_MAX);
    /// How many bytes of these, as in 32MiB.
    PrefetchBytes = "prefetch.max-bytes", "prefetch-max-bytes", "MESA_PREFETCH_MAX_BYTES",
        Kind::Size(PREFETCH_BYTES_MIN, CACHE_BYTES_MAX);
    /// How many directories deep, or unlimited: the whole tree.
    PrefetchDepth = "prefetch.max-depth", "prefetch-max-depth", "MESA_PREFETCH_MAX_DEPTH",
        Kind::Limit(0, DEPTH_MAX);
    /// How many requests at once.
    PrefetchConcurrency = "prefetch.max-concurrency", "prefetch-max-concurrency",
        "MESA_PREFETCH_MAX_CONCURRENCY", Kind::Number(1, CONCURRENCY_MAX);
    /// The share of cache.max-size above which little is fetched ahead.
    PrefetchPressure = "prefetch.cache-pressure-limit", "prefetch-cache-pressure-limit",
        "MESA_PREFETCH_CACHE_PRESSURE_LIMIT", Kind::Share;
    /// Whether what is read of a repository is remembered, by its paths, and fetched first by the next mount.
    PrefetchProfile = "prefetch.profile", "prefetch-profile", "MESA_PREFETCH_PROFILE",
        Kind::Boolean;
    /// A file that holds the daemon's process number while it runs.
    PidFile = "daemon.pid-file", "pid-file", "MESA_DAEMON_PID_FILE", Kind::Path;
    /// How much is logged.
    LogLevel = "daemon.log.level", "log-level", "MESA_LOG_LEVEL",
        Kind::Choice(LogLevel::NAMES);
    /// A file for the log, or stderr, or auto: daemon.log in data-dir when in
    /// the background, else stderr.
    LogTarget = "daemon.log.target", "log-file", "MESA_DAEMON_LOG_FILE", Kind::Path;
    /// Whether the log has colors; auto: on a terminal.
    LogColor = "daemon.log.color", "log-color", "MESA_DAEMON_LOG_COLOR",
        Kind::Choice(Color::NAMES);
    /// Where traces go, by OTLP over HTTP with JSON; nothing is sent anywhere
    /// without it.
    CollectorUrl = "telemetry.collector-url", "telemetry-collector-url",
        "MESA_TELEMETRY_COLLECTOR_URL", Kind::Text;
}

/// Variables that are no single setting.
pub const OTHER_VARIABLES: [(&str, &str); 6] = [
    (
        "MESA_API_KEY",
        "an API key or a token; never written to a log, a file or an argument list",
    ),
    ("MESA_ACCESS_TOKEN", "another name of MESA_API_KEY"),
    (
        "MESA_ORGS",
        "credentials of organizations: `ORG:TOKEN,ORG:TOKEN`",
    ),
    (
        "MESA_REPO_REVS",
        "`rev` of repositories: `ORG/REPO=bookmark:NAME,ORG/REPO=change-id:ID`",
    ),
    (
        "MESA_VAULT_PASSPHRASE",
        "opens the encrypted file of credentials",
    ),
    (
        "MESA_NO_CONFIG_FILE",
        "if not empty, no file is looked for; `--config-path` still counts",
    ),
];

impl Key {
    /// The place in the file.
    pub fn place(self) -> &'static str {
        self.setting().place
    }

    /// The flag, without its dashes.
    pub fn flag(self) -> &'static str {
        self.setting().flag
    }

    /// The name in the environment.
    pub fn variable(self) -> &'static str {
        self.setting().variable
    }

    /// The setting at a place of the file.
    pub fn at(place: &str) -> Option<Key> {
        Key::ALL.iter().copied().find(|key| key.place() == place)
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// A key of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The key with the tables around it.
        key: String,
        /// The line, from one on.
        line: usize,
    },
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            Origin::File { path, key, line } => {
                write!(formatter, "{key} in {}, line {line}", path.display())
            }
            Origin::Variable(name) => formatter.write_str(name),
            Origin::Flag(name) => write!(formatter, "--{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_spelling_means_one_setting() {
        let all = Key::ALL.iter().map(|key| key.setting());
        let mut names = BTreeSet::new();
        for setting in all {
            for name in [
                format!("file {}", setting.place),
                format!("flag {}", setting.flag),
                setting.variable.to_owned(),
            ] {
                assert!(names.insert(name.clone()), "{name}");
            }
            assert!(setting.variable.starts_with("MESA_"));
            let last = setting.help.last().unwrap();
            assert!(last.ends_with('.'), "{last}");
        }
        for (name, _) in OTHER_VARIABLES {
            assert!(names.insert(name.to_owned()), "{name}");
        }
    }
    #[test]
    fn the_readme_has_every_setting_and_every_variable() {
        let readme = include_str!("../../README.md");
        let others = OTHER_VARIABLES.iter().map(|(name, _)| *name);
        let settings = Key::ALL
            .iter()
            .flat_map(|key| [key.place(), key.variable()]);
        for name in settings.chain(others) {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}
