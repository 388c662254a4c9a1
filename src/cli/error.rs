//! Why a command failed, and how it says so.

use std::io;
use std::path::PathBuf;

use crate::config;
use crate::daemon::{self, Failure, Reason};
use crate::{export, remote, secrets, server};

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
    /// Standard input, or the terminal.
    #[error("the input cannot be read")]
    Input(#[source] io::Error),
    /// A passphrase was typed twice, and not the same.
    #[error("the passphrases differ, or are empty; nothing was written")]
    PassphrasesDiffer,
    /// What was given is no credential.
    #[error("that is no credential")]
    NoCredential(#[source] secrets::CredentialError),
    /// A store of credentials.
    #[error("the store of credentials")]
    Secrets(#[source] secrets::Error),
    /// There is none to remove.
    #[error("no credential is stored for {place}")]
    NotStored {
        /// For what.
        place: String,
    },
    /// Nothing is open whose pushing could be held.
    #[error("no repository is open in this mount, so nothing is held")]
    NothingToHold,
    /// An empty path where one is needed.
    #[error("an empty path names nothing")]
    EmptyPath,
    /// The configuration.
    #[error("the configuration")]
    Config(#[from] config::Error),
    /// A configuration file cannot be written.
    #[error("the configuration file {} cannot be written", path.display())]
    ConfigFile {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path that was to be fetched.
    #[error("{} cannot be looked at", path.display())]
    PrefetchPath {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path elsewhere.
    #[error("{} is not in the mount at {mount_point}", path.display())]
    OutsideMount {
        /// Which.
        path: PathBuf,
        /// Where the mount is.
        mount_point: String,
    },
    /// A path that is not pinned.
    #[error("{} is not pinned", path.display())]
    NotPinned {
        /// Which.
        path: PathBuf,
        /// What is, above it.
        above: Option<PathBuf>,
    },
    /// Nothing is remembered.
    #[error("nothing was read of {repo}, as far as is remembered")]
    NoProfile {
        /// Of which.
        repo: String,
    },
    /// A file that is no profile.
    #[error("{} is no profile, and nothing was changed", path.display())]
    Profile {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: daemon::profile::ProfileError,
    },
    /// A file without a path.
    #[error("{} has no path in it", path.display())]
    EmptyProfile {
        /// Which.
        path: PathBuf,
    },
    /// The cache of fetched content.
    #[error("the cache {} cannot be read", folder.display())]
    Cache {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
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
    /// The credential does not manage keys.
    #[error("the credential does not allow to manage keys")]
    KeysForbidden(#[source] remote::Failure),
    /// The key that was to be made would live for too short or too long a time.
    #[error("a key lives 100 seconds to 365 days, or without an end")]
    KeyLifetime,
    /// A private key that is damaged.
    #[error("the credential is a damaged private key")]
    PrivateKey(#[source] remote::api::token::PrivateKeyError),
    /// A token that may not live that long.
    #[error("the token cannot be signed")]
    Unsignable(#[source] remote::api::token::TokenError),
    /// What was given is no token.
    #[error("that is no access token")]
    NoToken(#[source] remote::api::token::TokenError),
    /// The server made something else than was asked for.
    #[error("the server knows no private keys; what it made instead was revoked again")]
    OtherKey,
    /// Nothing to sign with.
    #[error("there is no API key to sign with")]
    NoApiKey,
    /// A token, or a credential that the server has no key for.
    #[error("the credential cannot sign tokens: only a key can")]
    TokenCannotSign,
    /// An export could not be put where it belongs, or be read from there.
    #[error("{}", path.display())]
    ExportFile {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is nothing that an import knows.
    #[error("{} is no export: neither a tar nor a patch", path.display())]
    NoExport {
        /// Which.
        path: PathBuf,
    },
    /// A bundle is for Git.
    #[error("{} is a Git bundle, which Git takes in, and no import", path.display())]
    BundleImport {
        /// Which.
        path: PathBuf,
    },
    /// The tar names no repository.
    #[error("the export names no repository that could be mounted")]
    NoRepositoryName,
    /// Programs use a repository that is to be closed.
    #[error("{files} in {name}")]
    RepositoryInUse {
        /// Which.
        name: String,
        /// What they use.
        files: String,
    },
    /// A patch does not say where it belongs.
    #[error("a patch does not say which repository it belongs to")]
    PatchNeedsRepository,
    /// The repository is not below the mount.
    #[error("{repository} is not mounted")]
    NotMounted {
        /// Which.
        repository: String,
        /// Why.
        source: io::Error,
    },
    /// Git is needed, and does not start.
    #[error("git cannot be started, which applies patches")]
    NoGit(#[source] io::Error),
    /// Git does not take the patch.
    #[error("the patch does not apply, and nothing was changed: {said}")]
    PatchRefused {
        /// What Git said.
        said: String,
    },
    /// Paths are neither what the export was made on nor what it becomes.
    #[error("nothing was changed: {} not what the export was made on", if *count == 1 { "1 path is".to_owned() } else { format!("{count} paths are") })]
    Contradicts {
        /// How many.
        count: usize,
    },
    /// An export cannot be taken in.
    #[error(transparent)]
    Import(#[from] export::Error),
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
            Error::Cache { .. } => Failure::of(
                self,
                Reason::Failed,
                Some(
                    "`mesa doctor` looks at whose it is; with nothing mounted it may be deleted"
                        .into(),
                ),
            ),
            Error::PrefetchPath { .. } => Failure::of(self, Reason::Failed, None),
            Error::OutsideMount { .. } => Failure::of(
                self,
                Reason::Failed,
                Some("name a file or directory below it, or --all".into()),
            ),
            Error::NoProfile { .. } => Failure::of(
                self,
                Reason::Failed,
                Some(
                    "`mesa profile show` lists what was; it is off where prefetch.profile is"
                        .into(),
                ),
            ),
            Error::Profile { .. } | Error::EmptyProfile { .. } => {
                Failure::of(self, Reason::Failed, Some(super::profile::hint()))
            }
            Error::NotPinned { above, .. } => {
                let hint = match above {
                    Some(above) => format!("it stays with {}, which is", above.display()),
                    None => "`mesa cache pin` lists what is".to_owned(),
                };
                Failure::of(self, Reason::Failed, Some(hint))
            }
            Error::Output(_) | Error::CurrentFolder(_) => Failure::of(self, Reason::Failed, None),
            Error::ConfigFile { source, .. } => {
                let there = source.kind() == io::ErrorKind::AlreadyExists;
                let hint = there.then(|| "--force replaces what is there".to_owned());
                Failure::of(self, Reason::Failed, hint)
            }
            Error::UnexpectedAnswer => Failure::of(
                self,
                Reason::Failed,
                Some("`mesa umount` and mount again, so that both are of one version".into()),
            ),
            Error::NobodyToAsk => Failure::of(self, Reason::Failed, Some("say --yes".into())),
            Error::Input(_) | Error::PassphrasesDiffer => Failure::of(self, Reason::Failed, None),
            Error::NoCredential(_) => Failure::of(
                self,
                Reason::Credential,
                Some("pipe an API key or an access token into `mesa auth set-key`".into()),
            ),
            Error::Secrets(error) => Failure::of(error, Reason::Credential, error.hint()),
            Error::NotStored { .. } => Failure::of(
                self,
                Reason::Failed,
                Some("`mesa auth list` shows what is stored".into()),
            ),
            Error::NothingToHold => Failure::of(
                self,
                Reason::Failed,
                Some("a repository opens when it is looked at: `ls` it, and hold it then".into()),
            ),
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
                let hint = needed.then(|| daemon::credential_hint(failure));
                Failure::of(self, reason, hint)
            }
            Error::KeysForbidden(_) => Failure::of(
                self,
                Reason::Credential,
                Some(
                    "it takes an API key itself, no token, with the scope admin and for all \
                     repositories"
                        .into(),
                ),
            ),
            Error::PrivateKey(_) => Failure::of(self, Reason::Credential, None),
            Error::KeyLifetime | Error::Unsignable(_) | Error::OtherKey => {
                Failure::of(self, Reason::Failed, None)
            }
            Error::NoToken(_) => Failure::of(
                self,
                Reason::Failed,
                Some("pipe one into `mesa token inspect`; API keys have nothing to read".into()),
            ),
            Error::Serve(_) | Error::Theirs(_) => Failure::of(self, Reason::Failed, None),
            Error::NoApiKey | Error::TokenCannotSign => {
                Failure::of(self, Reason::Credential, Some(KEY_HINT.into()))
            }
            Error::RepositoryInUse { .. } => Failure::of(
                self,
                Reason::Failed,
                Some(
                    "close them, or --force: they stay usable, and what they get is pushed".into(),
                ),
            ),
            Error::Import(error) => {
                Failure::of(error, Reason::Failed, error.hint().map(str::to_owned))
            }
            Error::ExportFile { .. }
            | Error::NoExport { .. }
            | Error::BundleImport { .. }
            | Error::NoRepositoryName
            | Error::PatchNeedsRepository
            | Error::NotMounted { .. }
            | Error::NoGit(_)
            | Error::PatchRefused { .. }
            | Error::Contradicts { .. } => Failure::of(self, Reason::Failed, self.transfer_hint()),
            Error::Demo(error) => Failure::of(error, Reason::Failed, error.hint()),
        }
    }

    /// What to do about an export or an import that failed.
    fn transfer_hint(&self) -> Option<String> {
        Some(match self {
            Error::BundleImport { path } => format!(
                "in a clone of the repository: git fetch {} 'refs/heads/mesa/*:refs/heads/mesa/*'; to import \
                 into a mount, export with --format tar",
                path.display()
            ),
            Error::NoExport { .. } => "`mesa journal export --format tar` writes one".to_owned(),
            Error::PatchNeedsRepository | Error::NoRepositoryName => {
                "name a mounted one with --repo ORG/REPO".to_owned()
            }
            Error::NotMounted { .. } => {
                "--repo ORG/REPO names another one; `mesa status` shows the mount".to_owned()
            }
            Error::NoGit(_) => {
                "install Git, or export with --format tar, which needs none".to_owned()
            }
            Error::PatchRefused { .. } => {
                "`git am` takes it in a clone of the commit that it was made on; a tar can be \
                 imported with --force"
                    .to_owned()
            }
            Error::Contradicts { .. } => "--force overwrites them".to_owned(),
            _ => return None,
        })
    }
}
