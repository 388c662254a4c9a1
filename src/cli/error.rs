//! Why a command failed, and how it says so.

use std::io;

use crate::config;
use crate::daemon::{self, Failure, Reason};
use crate::{remote, server};

/// What a missing credential asks for.
const KEY_HINT: &str = "set MESA_API_KEY to an API key of the organization";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The daemon, or a request to it.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// Standard output.
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
    /// The daemon is of another version.
    #[error("the running daemon answers something else than was asked")]
    UnexpectedAnswer,
    /// A question without anybody to answer it.
    #[error("this needs a yes, and there is nobody to ask")]
    NobodyToAsk,
    /// An empty path where one is needed.
    #[error("an empty path names nothing")]
    EmptyPath,
    /// The configuration.
    #[error("the configuration")]
    Config(#[from] config::Error),
    /// There is no current directory.
    #[error("the current directory cannot be found")]
    CurrentFolder(#[source] io::Error),
    /// The server, or the way to it.
    #[error("the server cannot be asked")]
    Remote(#[source] remote::Failure),
    /// The server that was to be started.
    #[error("the server cannot serve")]
    Serve(#[from] server::Error),
    /// Their side of a conflict.
    #[error("their side is not written as a whole; the conflict stays listed")]
    Theirs(#[source] super::theirs::Error),
    /// Nothing to sign with.
    #[error("there is no API key to sign with")]
    NoApiKey,
    /// A token, or a credential that the server has no key for.
    #[error("the credential cannot sign tokens: only an API key can")]
    TokenCannotSign,
    /// The demo saw a difference, or could not go on.
    #[error(transparent)]
    Demo(#[from] super::demo::Error),
}

impl Error {
    /// The failure, for printing and for the exit code.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Error::Daemon(error) => error.failure(),
            Error::Config(error) => Failure::of(error, Reason::Failed, None),
            Error::Output(_) | Error::CurrentFolder(_) => Failure::of(self, Reason::Failed, None),
            Error::UnexpectedAnswer => Failure::of(
                self,
                Reason::Failed,
                Some("`mesa umount` and mount again, so that both are of one version".into()),
            ),
            Error::NobodyToAsk => Failure::of(self, Reason::Failed, Some("say --yes".into())),
            Error::EmptyPath => Failure::of(
                self,
                Reason::Failed,
                Some("--all drops everything that is pending".into()),
            ),
            Error::Remote(failure) => {
                let needed = failure.needs_credential();
                let reason = if needed {
                    Reason::Credential
                } else {
                    Reason::Failed
                };
                let hint = needed.then(|| KEY_HINT.to_owned());
                Failure::of(self, reason, hint)
            }
            Error::Serve(_) | Error::Theirs(_) => Failure::of(self, Reason::Failed, None),
            Error::NoApiKey | Error::TokenCannotSign => {
                Failure::of(self, Reason::Credential, Some(KEY_HINT.into()))
            }
            Error::Demo(error) => Failure::of(error, Reason::Failed, error.hint()),
        }
    }
}
