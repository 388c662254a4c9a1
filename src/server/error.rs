//! Why a server does not start, or stops.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::git;

/// Why a server does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The organization's slug is not one.
    #[error("'{0}' is not an organization name: want a-z, 0-9 and inner '-'")]
    OrganizationName(String),
    /// The data directory belongs to another organization.
    #[error("{path:?} holds the organization '{found}', not '{wanted}'")]
    OtherOrganization {
        /// The data directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who was asked for.
        wanted: String,
    },
    /// A repository's name is not one.
    #[error("'{0}' is not a repository name: want 1 to 100 of A-Z a-z 0-9 . _ -, not reserved")]
    RepositoryName(String),
    /// That public key is, or was, registered.
    #[error("the public key is registered already, or was: make a new one")]
    KeyRegistered,
    /// The table of keys is full of keys that are in use.
    #[error("there are {max} API keys: revoke one that is not needed")]
    TooManyKeys {
        /// How many there may be.
        max: usize,
    },
    /// Another server has the data directory.
    #[error("another server uses {path:?}")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory is used for something else.
    #[error("{path:?} is not empty and is no data directory of a server")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file of ours is not what we wrote.
    #[error("{path:?} is damaged, or was written by another version")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file of ours was written by another version.
    #[error("{path:?} has version {found}; this program knows version {known}")]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that we know.
        known: u64,
    },
    /// A repository is served where somebody else keeps it.
    #[error(
        "the repository is served in place: it is named, labelled and removed where it is kept"
    )]
    InPlace,
    /// An import failed.
    #[error("importing {path:?} as '{name}'")]
    Import {
        /// The repository's name.
        name: String,
        /// What was to be imported.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A repository cannot be opened.
    #[error("opening the repository {path:?}")]
    Repository {
        /// The bare repository.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    #[error("listening on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Whoever is between the clients and this address would read their credentials.
    #[error(
        "{0} is reached from other machines, and without TLS credentials are sent in the clear: \
         give --tls-certificate and --tls-key, or --allow-plaintext if something in front encrypts"
    )]
    Plaintext(SocketAddr),
    /// The certificate or its key cannot be used.
    #[error("reading the certificate {certificate:?} and its key {key:?}")]
    Tls {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Accepting connections failed for good.
    #[error("serving")]
    Serve(#[source] io::Error),
    /// Threads or signal handlers cannot be had.
    #[error("setting up threads and signals")]
    Runtime(#[source] io::Error),
    /// A task of ours panicked.
    #[error("a task of the server ended early")]
    Task(#[source] tokio::task::JoinError),
    /// The data directory cannot be read or written.
    #[error("{path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the disk says.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io(path: &Path, source: io::Error) -> Error {
        Error::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn repository(path: &Path, source: git::Error) -> Error {
        Error::Repository {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }
}
