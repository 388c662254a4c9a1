//! Exit codes: a promise, listed in the README.

use std::process::ExitCode;

use crate::daemon::Reason;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// Failed, and the user can act.
    Failed,
    /// A wrong command line.
    Usage,
    /// A bug of ours.
    Bug,
    /// Done, but work remains that the remote does not have.
    Unpushed,
    /// A credential is needed.
    Credential,
}

impl Exit {
    /// The number that the shell sees.
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Bug => 3,
            Exit::Unpushed => 4,
            Exit::Credential => 5,
        }
    }
}

impl From<Reason> for Exit {
    fn from(reason: Reason) -> Exit {
        match reason {
            Reason::Failed => Exit::Failed,
            Reason::Bug => Exit::Bug,
            Reason::Unpushed => Exit::Unpushed,
            Reason::Credential => Exit::Credential,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
