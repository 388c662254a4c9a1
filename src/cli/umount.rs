//! `mesa umount`: pushes what is left, unmounts, and says exactly what remains.

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::{Context, Error, duration, remains};
use crate::daemon::control::{Answer, Request, ask};
use crate::daemon::control_socket;

/// How long work is pushed before the mount goes, unless told otherwise: most edits take seconds,
/// and who shuts a sandbox down rarely waits longer.
pub(super) const DRAIN_DEFAULT: &str = "30s";

/// Unmounts, pushing first what the remote does not have.
#[derive(Debug, Args)]
pub(super) struct Umount {
    /// How long to push before unmounting; what is left stays in the journal.
    #[arg(long, value_name = "DURATION", default_value = DRAIN_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Unmount even while programs use the mount.
    #[arg(long)]
    force: bool,
}

/// Stops the daemon.
///
/// # Errors
///
/// There is no daemon, or the mount is in use.
pub(super) fn run(arguments: &Umount, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let request = Request::Stop {
        drain_ms: duration::milliseconds(arguments.timeout),
        force: arguments.force,
    };
    match ask(&control_socket(&config), &request)? {
        Answer::Stopped(drained) => Ok(remains::report(&drained, "the next mount goes on with it")),
        _ => Err(Error::UnexpectedAnswer),
    }
}
