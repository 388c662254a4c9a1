//! What can go wrong with a store of credentials. No variant shows a credential.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::CredentialError;

/// What lies below a damaged vault.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("{} cannot be used", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("{} holds credentials and can be read by others (mode {mode:04o})", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else's file.
    #[error("{} belongs to user {owner}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// Longer than any store of credentials.
    #[error("{} is too large", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// No passphrase was given.
    #[error("the vault {} is locked: its passphrase is needed", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// Not the passphrase that it was made with; a damaged first line cannot be told from that.
    #[error("the passphrase does not open the vault {}", path.display())]
    Passphrase {
        /// Which file.
        path: PathBuf,
    },
    /// Not what was written there.
    #[error("the vault {} is damaged, and left as it is", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Opening it would take gigabytes.
    #[error("the vault {} asks for more work than is allowed", path.display())]
    TooHard {
        /// Which file.
        path: PathBuf,
    },
    /// Not the table that it should be. The text is not shown: it holds credentials.
    #[error("{} is not a table of credentials (line {line})", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
    },
    /// Written by a newer version.
    #[error("{} has version {version}, which this mesa does not know", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Another process keeps the lock.
    #[error("another mesa is writing {}", path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// What a file holds is no credential.
    #[error("{} holds no credential", path.display())]
    Credential {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CredentialError,
    },
    /// The credential command.
    #[error("the credential command {program}")]
    Command {
        /// Its program.
        program: String,
        /// Why.
        #[source]
        source: CommandError,
    },
}

/// Why a credential command gave none. What it said is shown without whatever looks like a credential.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be started, or be talked to.
    #[error("cannot be run")]
    Run(#[source] io::Error),
    /// It failed.
    #[error("failed with {status}{}", told(said))]
    Failed {
        /// Its exit status.
        status: String,
        /// The end of its standard error.
        said: String,
    },
    /// It took too long, and was killed with all its children.
    #[error("did not end within {} s and was killed{}", after.as_secs(), told(said))]
    TimedOut {
        /// The deadline.
        after: Duration,
        /// The end of its standard error.
        said: String,
    },
    /// It printed more than a credential can be.
    #[error("printed more than a credential")]
    TooLong,
    /// What it printed is none.
    #[error("printed no credential{}", told(said))]
    Output {
        /// Why.
        #[source]
        source: CredentialError,
        /// The end of its standard error.
        said: String,
    },
}

fn told(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Exposed { path, .. } => {
                format!(
                    "chmod 600 {}, and renew what others may have read",
                    path.display()
                )
            }
            Error::Locked { .. } => {
                "set MESA_VAULT_PASSPHRASE, or run this at a terminal to be asked for it".to_owned()
            }
            Error::Passphrase { path } | Error::Damaged { path, .. } => format!(
                "give the passphrase that it was made with in MESA_VAULT_PASSPHRASE; if it is lost, \
                 move {} away and store the credentials anew with `mesa auth set-key`",
                path.display()
            ),
            Error::Table { path, .. } => format!(
                "correct {}, or move it away and store the credentials anew with `mesa auth set-key`",
                path.display()
            ),
            Error::Busy { .. } => "try again once it has ended".to_owned(),
            Error::Credential { path, .. } => {
                format!(
                    "write an API key or an access token into {}",
                    path.display()
                )
            }
            Error::Command { .. } => {
                "run it by hand: it has to print one credential on standard output".to_owned()
            }
            Error::Io { .. }
            | Error::Foreign { .. }
            | Error::TooLarge { .. }
            | Error::TooHard { .. }
            | Error::Version { .. } => return None,
        })
    }
}
