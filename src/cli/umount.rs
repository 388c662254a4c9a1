//! `mesa umount`: pushes what is left, unmounts, and says exactly what remains.

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::{Context, Error, duration, output, remains};
use crate::config::Config;
use crate::daemon::control::{Answer, Drained, Request, ask_now, ask_within};
use crate::daemon::{self, control_socket, ending};

/// How long work is pushed before the mount goes, unless told otherwise: most edits take seconds,
/// and who shuts a sandbox down rarely waits longer.
pub(super) const DRAIN_DEFAULT: &str = "30s";
/// How long a daemon may take to say that it is there, before force does without it: it needs
/// microseconds, and a busy machine not a second.
const FORCE_PATIENCE: Duration = Duration::from_secs(5);

/// Unmounts, pushing first what the remote does not have.
#[derive(Debug, Args)]
pub(super) struct Umount {
    /// How long to push before unmounting; what is left stays in the journal.
    #[arg(long, value_name = "DURATION", default_value = DRAIN_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Unmount even while programs use the mount, and also if the daemon hangs: programs that wait for
    /// the mount get an error.
    #[arg(long)]
    force: bool,
}

/// Stops the daemon, or what is left of a dead one.
///
/// # Errors
///
/// There is nothing to unmount, or the mount is in use.
pub(super) fn run(arguments: &Umount, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let drained = match stop(arguments, &config) {
        Ok(drained) => drained,
        Err(Error::Daemon(error @ daemon::Error::NotRunning { .. })) => {
            match ending::bury(&config)? {
                Some(drained) => {
                    output::talk("the daemon was dead; its mount is unmounted");
                    drained
                }
                None => return Err(error.into()),
            }
        }
        // It died over its last push: the rest of an end is ours.
        Err(Error::Daemon(daemon::Error::DiedMeanwhile)) => match ending::bury(&config)? {
            Some(drained) => drained,
            None => ending::remains(&config)?,
        },
        // Whatever else keeps it from ending, it is not asked again.
        Err(error) if arguments.force => {
            output::talk(format_args!(
                "warning: {error}: its connection is aborted, and it is killed"
            ));
            ending::force(&config)?
        }
        Err(error) => return Err(error),
    };
    Ok(remains::report(&drained, "the next mount goes on with it"))
}

fn stop(arguments: &Umount, config: &Config) -> Result<Drained, Error> {
    let socket = control_socket(config);
    if arguments.force {
        ask_within(&socket, &Request::Version, FORCE_PATIENCE)?;
    }
    let request = Request::Stop {
        drain_ms: duration::milliseconds(arguments.timeout),
        force: arguments.force,
    };
    match ask_now(&socket, &request)? {
        Answer::Stopped(drained) => Ok(drained),
        _ => Err(Error::UnexpectedAnswer),
    }
}
