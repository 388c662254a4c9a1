//! The checked values that a configuration is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::secrets::{self, Credential};

/// An enumeration whose values are words of the configuration.
macro_rules! choice {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$outer])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize,
        )]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];
            /// The words for all of them.
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            /// The word for it.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// What a word means.
            pub fn of_name(name: &str) -> Option<$name> {
                match name {
                    $($word => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

choice! {
    /// Which repositories of an organization are mounted.
    MountMode {
        /// All that the credential can see.
        #[default]
        All = "all",
        /// Those that are listed.
        Explicit = "explicit",
    }
}

choice! {
    /// Whether the bookmark that a repository was checked out by follows what is pushed.
    Publish {
        /// Never; edits stay in a change of their own.
        #[default]
        Never = "never",
        /// When it still is where our change began.
        FastForward = "fast-forward",
        /// Always: by the server's three-way merge if others moved it meanwhile.
        Merge = "merge",
    }
}

choice! {
    /// Who opens and serves files.
    Opens {
        /// The kernel opens them without asking us, and keeps what it has read.
        #[default]
        Kernel = "kernel",
        /// We are asked each time, and serve.
        Plain = "plain",
        /// We are asked each time; the kernel serves by itself where it can, we where it cannot.
        Passthrough = "passthrough",
    }
}

choice! {
    /// Which way the kernel's requests come.
    Transport {
        /// By the FUSE device.
        #[default]
        Device = "device",
        /// By io_uring where the kernel offers it, else by the device.
        IoUring = "io-uring",
    }
}

choice! {
    /// How much is logged.
    LogLevel {
        /// What failed for good.
        Error = "error",
        /// What somebody should look at.
        Warn = "warn",
        /// What happened.
        #[default]
        Info = "info",
        /// What led to it.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// Whether the log has colors.
    Color {
        /// If it goes to a terminal.
        #[default]
        Automatic = "auto",
        /// Also into files.
        Always = "always",
        /// Not even on a terminal.
        Never = "never",
    }
}

choice! {
    /// Where credentials are stored.
    Backend {
        /// In a file that a passphrase opens.
        #[default]
        EncryptedFile = "encrypted-file",
        /// In a file that its owner can read.
        PlaintextFile = "plaintext-file",
    }
}

/// Who may enter the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowOther {
    /// The user who mounts, and nobody else, not even root.
    Owner,
    /// Everybody; the mode bits say what they may do.
    Everyone,
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// `daemon.log` in the data directory for a daemon in the background, else standard error.
    #[default]
    Automatic,
    /// Standard error.
    StandardError,
    /// This file.
    File(PathBuf),
}

/// The daemon's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// Where to.
    pub target: LogTarget,
    /// Whether with colors.
    pub color: Color,
}

/// The cache of fetched content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Whether fetched content outlives the mount.
    pub enabled: bool,
    /// Where.
    pub folder: PathBuf,
    /// How much at most; `None` is no limit.
    pub bytes_max: Option<u64>,
    /// How much at most in memory.
    pub memory_bytes_max: u64,
}

/// Fetching before somebody asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Prefetch {
    /// Whether to do it, unless the network is metered.
    pub enabled: bool,
    /// Whether what comes costs money, so that nothing is to come in vain.
    pub metered: bool,
    /// How many directories deep; `None` is the whole tree.
    pub depth_max: Option<u32>,
    /// How many requests at once.
    pub concurrency_max: u32,
    /// How many files of a repository that were fetched and not opened yet.
    pub objects_max: u64,
    /// How many bytes of these.
    pub bytes_max: u64,
    /// Whether what is read is remembered, and fetched first by the next mount.
    pub profile: bool,
    /// The share of [`Cache::bytes_max`] above which little is fetched ahead: over 0, at most 1.
    pub cache_pressure_limit: f64,
}

impl Prefetch {
    /// What one server grants without slowing down what is waited for.
    pub(super) const CONCURRENCY: u32 = 8;
    /// About a second of a fast network.
    pub(super) const OBJECTS: u64 = 4_096;
    pub(super) const BYTES: u64 = 32 << 20;
    /// The rest of the cache is for what is really read.
    pub(super) const PRESSURE: f64 = 0.8;
}

impl From<Backend> for secrets::Backend {
    fn from(backend: Backend) -> secrets::Backend {
        match backend {
            Backend::EncryptedFile => secrets::Backend::Vault,
            Backend::PlaintextFile => secrets::Backend::Plaintext,
        }
    }
}

/// Where credentials come from. `MESA_VAULT_PASSPHRASE` is no part of it: [`super::Config::secrets`] has it.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// What the store is.
    pub backend: Backend,
    /// A program that prints a credential, and its arguments; never empty.
    pub command: Option<Vec<String>>,
    /// A file that holds a credential.
    pub key_file: Option<PathBuf>,
    /// The credential of `MESA_API_KEY`, or else `MESA_ACCESS_TOKEN`.
    pub key: Option<Credential>,
    /// The variable that gave it.
    pub key_variable: Option<&'static str>,
    /// The credentials of `MESA_ORGS`, by organization.
    pub organizations: BTreeMap<String, Credential>,
}

/// An address: http or https, a host, perhaps a path, no slash at its end.
fn address(text: &str) -> Result<String, Reason> {
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
    Ok(text.to_owned())
}

macro_rules! address {
    ($(#[$outer:meta])* $name:ident) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Reason;

            fn try_from(text: &str) -> Result<$name, Reason> {
                address(text).map($name)
            }
        }
    };
}

address! {
    /// The base address of a REST API: http or https, a host, perhaps a path, no slash at its end.
    ApiUrl
}

address! {
    /// Where traces go by OTLP over HTTP; looks like [`ApiUrl`].
    CollectorUrl
}

impl ApiUrl {
    /// Where the API of a checked service domain is.
    pub(super) fn of_domain(domain: &str) -> ApiUrl {
        ApiUrl(format!("https://api.{domain}/v1"))
    }
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

impl Revision {
    /// Reads a revision from its kind, as the file names it, and its name or id.
    pub(super) fn of(kind: &str, name: &str) -> Option<Revision> {
        match kind {
            "bookmark" if is_bookmark(name) => Some(Revision::Bookmark(name.to_owned())),
            "change-id" if is_change(name) => Some(Revision::Change(name.to_owned())),
            _ => None,
        }
    }
}

impl TryFrom<&str> for Revision {
    type Error = Reason;

    /// Reads `bookmark:NAME` or `change-id:ID`.
    fn try_from(text: &str) -> Result<Revision, Reason> {
        text.split_once(':')
            .and_then(|(kind, name)| Revision::of(kind, name))
            .ok_or(Reason::RevisionText)
    }
}

/// As [`Revision::try_from`] reads it; the default bookmark is empty.
impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revision::DefaultBookmark => Ok(()),
            Revision::Bookmark(name) => write!(formatter, "bookmark:{name}"),
            Revision::Change(id) => write!(formatter, "change-id:{id}"),
        }
    }
}

/// What the file says of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepositorySettings {
    /// What its checkout shows.
    pub revision: Revision,
    /// Whether its bookmark follows; `None` leaves it to [`super::Config::publish`].
    pub publish: Option<Publish>,
    /// Whether it takes no edits.
    pub read_only: bool,
}

/// What is mounted of one organization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Organization {
    /// All repositories, or those below.
    pub mount: MountMode,
    /// Repositories with settings of their own.
    pub repositories: BTreeMap<String, RepositorySettings>,
}

/// Whether this can be the name of an organization.
pub fn is_organization(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=255).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether this can be the name of a repository.
pub fn is_repository(name: &str) -> bool {
    (1..=100).contains(&name.chars().count())
        && !name.contains(|character: char| character == '/' || character.is_control())
        && !matches!(name, "." | "..")
        && name.len() <= 255
}

fn is_bookmark(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.contains(char::is_control)
}

fn is_change(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| (b'k'..=b'z').contains(&byte))
}
