//! The settings by name, and where a value can come from.

use std::fmt;
use std::path::PathBuf;

/// A setting that the file, the environment and a flag can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Base address of the REST API.
    ApiUrl,
    /// The API is at `https://api.<domain>/v1` unless an address is given.
    ServiceDomain,
    /// The organization to mount.
    Org,
    /// Where organizations appear.
    MountPoint,
    /// Journals, bodies, locks.
    DataDir,
    /// The lower layer's store.
    CachePath,
    /// The control socket's folder.
    RuntimeDir,
    /// Owner of what the mount shows.
    Uid,
    /// Group of what the mount shows.
    Gid,
    /// How much is logged.
    LogLevel,
    /// How long an acknowledged operation may stay without being synced.
    CommitInterval,
    /// Whether bookmarks follow what is pushed.
    Publish,
}

impl Key {
    /// All of them.
    pub const ALL: [Key; 12] = [
        Key::ApiUrl,
        Key::ServiceDomain,
        Key::Org,
        Key::MountPoint,
        Key::DataDir,
        Key::CachePath,
        Key::RuntimeDir,
        Key::Uid,
        Key::Gid,
        Key::LogLevel,
        Key::CommitInterval,
        Key::Publish,
    ];

    /// The name in the file, and behind `--`.
    pub fn name(self) -> &'static str {
        match self {
            Key::ApiUrl => "api-url",
            Key::ServiceDomain => "service-domain",
            Key::Org => "org",
            Key::MountPoint => "mount-point",
            Key::DataDir => "data-dir",
            Key::CachePath => "cache-path",
            Key::RuntimeDir => "runtime-dir",
            Key::Uid => "uid",
            Key::Gid => "gid",
            Key::LogLevel => "log-level",
            Key::CommitInterval => "commit-interval",
            Key::Publish => "publish",
        }
    }

    /// The name in the environment.
    pub fn variable(self) -> &'static str {
        match self {
            Key::ApiUrl => "MESA_API_URL",
            Key::ServiceDomain => "MESA_SERVICE_DOMAIN",
            Key::Org => "MESA_ORG",
            Key::MountPoint => "MESA_MOUNT_POINT",
            Key::DataDir => "MESA_DATA_DIR",
            Key::CachePath => "MESA_CACHE_PATH",
            Key::RuntimeDir => "MESA_RUNTIME_DIR",
            Key::Uid => "MESA_UID",
            Key::Gid => "MESA_GID",
            Key::LogLevel => "MESA_LOG_LEVEL",
            Key::CommitInterval => "MESA_COMMIT_INTERVAL",
            Key::Publish => "MESA_PUBLISH",
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A key of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The key with the tables around it.
        key: String,
    },
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, key } => write!(formatter, "{key} in {}", path.display()),
            Origin::Variable(name) => formatter.write_str(name),
            Origin::Flag(name) => write!(formatter, "--{name}"),
        }
    }
}
