//! Why the demo stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why the demo stopped.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Error {
    /// A file or directory, of ours or on the mount.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that cannot be started.
    #[error("{program} cannot be started")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program that failed.
    #[error("`{command}` ended with {status}: {said}")]
    Command {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, shortened.
        said: String,
    },
    /// A program that said something else than it promises.
    #[error("`{command}` answered something else than it promises")]
    Answer {
        /// What was run.
        command: String,
    },
    /// The server did not come up.
    #[error("the server did not come up; it said: {said}")]
    Server {
        /// What it said, shortened.
        said: String,
    },
    /// Ctrl+C, while something was being started.
    #[error("interrupted")]
    Interrupted,
    /// A mount needs a helper that is not there.
    #[error("mounting without root needs the program fusermount3, which is not installed")]
    NoFusermount,
    /// The kernel's side is not there.
    #[error("/dev/fuse cannot be opened")]
    NoFuse(#[source] io::Error),
    /// The proof failed.
    #[error("difference at {path}: {what}")]
    Difference {
        /// Where.
        path: String,
        /// What differs.
        what: String,
    },
    /// A process that does not end.
    #[error("{what} does not end")]
    Stuck {
        /// Which.
        what: &'static str,
    },
}

impl Error {
    /// A failed operation on a path.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    }

    /// What to do about it.
    pub(in crate::cli) fn hint(&self) -> Option<String> {
        match self {
            Error::NoFusermount => {
                Some("install the package fuse3 (`apt-get install fuse3`), or run as root".into())
            }
            Error::NoFuse(_) => Some(
                "the sandbox must offer /dev/fuse; as root, `chmod 666 /dev/fuse` opens it to others"
                    .into(),
            ),
            Error::Start { program: "git", .. } => {
                Some("the proof is made with Git: install git".into())
            }
            Error::Difference { .. } => {
                Some("this is a bug of ours: please report it".into())
            }
            _ => None,
        }
    }
}
