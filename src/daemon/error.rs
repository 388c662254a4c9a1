//! Everything that can go wrong between a command and a running mount.

use std::io;
use std::path::PathBuf;

use super::log::Destination;
use super::meeting::Difference;
use super::{Failure, Reason};
use crate::{config, export, fuse, lower, overlay, remote, tree};

/// Why the daemon, or a request to it, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory or file of ours.
    #[error("{} cannot be used", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory that somebody else could write.
    #[error("{} belongs to user {owner}", path.display())]
    ForeignFolder {
        /// Which.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// The disk of the data directory has too little room to begin with.
    #[error("{} has {} of space, and a mount needs {} to begin with", path.display(), mebibytes(*available), mebibytes(*needed))]
    NoSpace {
        /// The data directory.
        path: PathBuf,
        /// Bytes that can be written there.
        available: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The data directory is in use.
    #[error("another mesa daemon uses {}{}", data.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRunning {
        /// The data directory.
        data: PathBuf,
        /// Its process, if it says.
        pid: Option<u32>,
    },
    /// A daemon runs, with another mount point.
    #[error("the running daemon (process {pid}) serves {mounted}, not {}", asked.display())]
    MountedElsewhere {
        /// Its process.
        pid: u32,
        /// Its mount point.
        mounted: String,
        /// What was asked for.
        asked: PathBuf,
    },
    /// A daemon runs, with other settings.
    #[error("the running daemon (process {pid}) was started with other settings")]
    OtherSettings {
        /// Its process.
        pid: u32,
        /// Which.
        differences: Vec<Difference>,
    },
    /// A daemon is ending, and takes long.
    #[error("the daemon (process {pid}) is unmounting, and pushes what is left")]
    StillEnding {
        /// Its process.
        pid: u32,
    },
    /// The supervisor does not bring the daemon back.
    #[error(
        "the supervisor (process {supervisor}) is starting the daemon again, and did not succeed so far"
    )]
    StillRestarting {
        /// Its process.
        supervisor: u32,
        /// What went wrong last.
        reason: Option<String>,
    },
    /// The daemon is there, and does not answer.
    #[error("the mesa daemon{} does not answer", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Silent {
        /// Its process, if it is known.
        pid: Option<u32>,
    },
    /// The daemon died over a request.
    #[error("the mesa daemon died before it answered")]
    DiedMeanwhile,
    /// No daemon of ours is that process.
    #[error("no mesa daemon of yours is process {pid}")]
    NoSuchDaemon {
        /// The process number.
        pid: u32,
    },
    /// Nothing listens at the control socket.
    #[error("no mesa daemon runs")]
    NotRunning {
        /// Where one would listen.
        socket: PathBuf,
    },
    /// The control socket.
    #[error("the control socket {}", socket.display())]
    Control {
        /// Which.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A person named a repository that is not there.
    #[error("no repository {name} is open in this mount")]
    NoSuchRepository {
        /// The name.
        name: String,
    },
    /// A person has to say which.
    #[error("more than one repository is meant")]
    ManyRepositories,
    /// There is nothing to open or to close.
    #[error("{} shows every repository", organization.as_deref().unwrap_or("the mount"))]
    NotExplicit {
        /// The organization, if it is known.
        organization: Option<String>,
    },
    /// A person has to say which organization.
    #[error("more than one organization is mounted")]
    WhichOrganization,
    /// What is not shown cannot be closed.
    #[error("{name} is not open")]
    NotShown {
        /// Which.
        name: String,
    },
    /// It shows something else than what is wanted.
    #[error("{name} is open, and shows another revision")]
    OpenAlready {
        /// Which.
        name: String,
    },
    /// It cannot show what is wanted.
    #[error("{name} still shows {shown}, and not {wanted}")]
    OtherRevision {
        /// Which.
        name: String,
        /// What it would show.
        shown: String,
        /// What it should.
        wanted: String,
    },
    /// What is to be shown is no revision.
    #[error("the revision")]
    Revision(#[source] config::Reason),
    /// A repository's own state.
    #[error("{name}")]
    Repository {
        /// Which.
        name: String,
        /// Why.
        source: overlay::Error,
    },
    /// A conflict.
    #[error(transparent)]
    Conflict(#[from] super::conflicts::Error),
    /// The daemon answered with a failure.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// The daemon could not be started.
    #[error("the daemon cannot be started")]
    Spawn(#[source] io::Error),
    /// The daemon ended before it was ready, without a word.
    #[error("the daemon ended before it was ready")]
    Died {
        /// Its log.
        log: Destination,
    },
    /// The log is to be a file of the mount that it is about.
    #[error("the log cannot be in the mount: {}", path.display())]
    LogInMount {
        /// The file.
        path: PathBuf,
    },
    /// This process has no log whose level could change.
    #[error("the daemon has no log")]
    NoLog,
    /// The mount.
    #[error(transparent)]
    Mount(#[from] fuse::Error),
    /// The local store.
    #[error("the store cannot be opened")]
    Store(#[source] lower::Error),
    /// The server, or the way to it.
    #[error("the server cannot be asked")]
    Remote(#[from] remote::Failure),
    /// The server names an organization that cannot be a directory.
    #[error("the organization's name cannot be a directory")]
    Organization(#[source] tree::NameError),
    /// There is nothing to export.
    #[error("the remote has everything: no repository has pending work")]
    NothingPending,
    /// It is not clear what to export.
    #[error("more than one repository has pending work: {}", repositories.join(", "))]
    WhichRepository {
        /// Those that have.
        repositories: Vec<String>,
    },
    /// No local state of that name.
    #[error("no repository {repository} was ever opened here")]
    UnknownRepository {
        /// As it was asked for.
        repository: String,
    },
    /// A repository could not be opened.
    #[error("{repository} cannot be opened")]
    Open {
        /// Which.
        repository: String,
        /// Why.
        source: fuse::OpenError,
    },
    /// A repository's work could not be exported.
    #[error("{repository} cannot be exported")]
    Export {
        /// Which.
        repository: String,
        /// Why.
        source: export::Error,
    },
    /// A credential for what cannot be.
    #[error("a credential cannot be kept for that")]
    Place(#[from] crate::secrets::PlaceError),
    /// Pinning without a cache.
    #[error("the running mount keeps nothing that it fetches: cache.enabled is false")]
    NothingKept,
    /// Threads or signals of the daemon itself.
    #[error("the daemon cannot set itself up")]
    Setup(#[source] io::Error),
}

impl Error {
    /// The class of the failure.
    pub fn reason(&self) -> Reason {
        match self {
            Error::Refused(failure) => failure.reason,
            Error::Died { .. } => Reason::Bug,
            Error::Remote(failure) | Error::Conflict(super::conflicts::Error::Remote(failure))
                if failure.needs_credential() =>
            {
                Reason::Credential
            }
            _ => Reason::Failed,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::ForeignFolder { .. } => {
                Some("choose another directory with MESA_DATA_DIR or MESA_RUNTIME_DIR".into())
            }
            Error::NoSpace { .. } => Some(
                "free some space there, or choose another disk with MESA_DATA_DIR".into(),
            ),
            Error::Folder { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Some(
                    "free some space there; nothing is lost, and `mesa journal export` gets out \
                     what was not pushed without a mount"
                        .into(),
                )
            }
            Error::AlreadyRunning { .. } => Some(
                "`mesa umount` stops it; a second mount needs a MESA_DATA_DIR and \
                 MESA_RUNTIME_DIR of its own"
                    .into(),
            ),
            Error::MountedElsewhere { .. } => Some(
                "`mesa umount` it first, or set MESA_DATA_DIR and MESA_RUNTIME_DIR for a second one"
                    .into(),
            ),
            Error::OtherSettings { .. } => Some(
                "`mesa umount` and mount again for the new settings, or mount with those that it has"
                    .into(),
            ),
            Error::StillEnding { .. } => Some(
                "wait for it, or send it a second SIGTERM: what is not pushed stays in the journal"
                    .into(),
            ),
            Error::StillRestarting { .. } => Some(
                "`mesa status` and the log say why; `mesa umount` ends it, and nothing is lost".into(),
            ),
            Error::Silent { .. } => Some(
                "`mesa umount --force` ends it without its help; nothing that was acknowledged is lost"
                    .into(),
            ),
            Error::NoSuchRepository { .. } => {
                Some("`mesa status` lists them; one that is not listed opens when it is looked at".into())
            }
            Error::ManyRepositories => Some("name it: --repo ORG/REPO".into()),
            Error::NotExplicit { .. } => Some(
                "`mount = \"explicit\"` in an organization's table of the configuration file has it \
                 show only chosen ones"
                    .into(),
            ),
            Error::WhichOrganization => Some("name it: --org ORG".into()),
            Error::NotShown { .. } => Some("`mesa repo list` lists what is".into()),
            Error::OpenAlready { .. } => {
                Some("close it first: a tree does not change under those who use it".into())
            }
            Error::OtherRevision { .. } => Some(
                "it has edits there, or the server does not say what it should show; without --rev it \
                 opens as it is"
                    .into(),
            ),
            Error::DiedMeanwhile => Some(
                "`mesa status` says whether it was started again; nothing that was acknowledged is lost"
                    .into(),
            ),
            Error::NoSuchDaemon { .. } => Some("`mesa status` says which process serves the mount".into()),
            Error::NotRunning { .. } => Some("`mesa mount --daemonize` starts one".into()),
            Error::Refused(failure) => failure.hint.clone(),
            Error::Died { log } => Some(format!("its log may say why: {log}")),
            Error::LogInMount { .. } => {
                Some("daemon.log.target (MESA_DAEMON_LOG_FILE) names a file elsewhere".into())
            }
            Error::Mount(error) => error.hint().map(str::to_owned),
            Error::Conflict(error) => error.hint().map(str::to_owned),
            Error::Remote(failure) if failure.needs_credential() => Some(credential_hint(failure)),
            Error::Remote(failure) if failure.is_unreachable() => {
                Some("MESA_API_URL says where the server is; what is mounted first needs it once".into())
            }
            // The address was looked at before: what is left are the certificates.
            Error::Remote(remote::Failure::Setup(_)) => {
                Some("a server is known by certificates: apt-get install ca-certificates".into())
            }
            Error::NothingPending => {
                Some("--repo ORG/REPO exports what one differs in, pushed or not".into())
            }
            Error::WhichRepository { .. } => Some("choose one with --repo ORG/REPO".into()),
            Error::UnknownRepository { .. } => Some("`mesa status` lists those that were".into()),
            Error::Export { source, .. } => source.hint().map(str::to_owned),
            Error::Folder { .. }
            | Error::Open { .. }
            | Error::Repository { .. }
            | Error::Store(_)
            | Error::Revision(_)
            | Error::Remote(_)
            | Error::Organization(_)
            | Error::Control { .. }
            | Error::Spawn(_)
            | Error::Place(_)
            | Error::NoLog
            | Error::NothingKept
            | Error::Setup(_) => None,
        }
    }

    /// The failure as it crosses a process boundary.
    pub fn failure(&self) -> Failure {
        match self {
            Error::Refused(failure) => failure.clone(),
            Error::OtherSettings { differences, .. } => {
                let mut failure = Failure::of(self, self.reason(), self.hint());
                failure.causes = differences.iter().map(ToString::to_string).collect();
                failure
            }
            Error::StillRestarting { reason, .. } => {
                let mut failure = Failure::of(self, self.reason(), self.hint());
                failure.causes.extend(reason.clone());
                failure
            }
            error => Failure::of(error, error.reason(), error.hint()),
        }
    }
}

/// What to do about a failure for want of a credential, or of a better one.
pub fn credential_hint(failure: &remote::Failure) -> String {
    const RENEW: &str = "pipe a new one into `mesa auth set-key`, or set MESA_API_KEY";
    match failure {
        remote::Failure::CredentialMissing(missing) => match &missing.hint {
            Some(hint) => hint.clone(),
            None => "set MESA_API_KEY to an API key or an access token, or pipe one into `mesa \
                     auth set-key`"
                .to_owned(),
        },
        remote::Failure::CredentialExpired => format!("it has expired: {RENEW}"),
        _ => format!("{RENEW}; `mesa auth status` shows which one is used"),
    }
}

/// Bytes for people, rounded down: what is said to be there is.
fn mebibytes(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
