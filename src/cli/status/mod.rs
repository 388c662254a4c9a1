//! `mesa status`: what would be lost if this machine vanished now, and what keeps it from being
//! pushed. Once, again and again, or as an exit code for scripts.

mod render;
mod watch;

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::{Context, Error, duration, output};
use crate::config::Config;
use crate::daemon::control::{Answer, Request, ask_now};
use crate::daemon::status::{State, Status, Totals};
use crate::daemon::{self, meeting};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, in a shape that stays.
    #[arg(long)]
    json: bool,
    /// Show it again at each change: redrawn on a terminal, else a line for each change.
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", value_parser = duration::parse)]
    watch: Option<Duration>,
    /// Judge it by the exit code: 0 when nothing would be lost, 4 when something would, 5 when it
    /// needs a credential. With --watch, wait until nothing would be.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true,
          default_missing_value = "pushed")]
    check: Option<Check>,
    /// Print nothing.
    #[arg(short, long, requires = "check", conflicts_with = "json")]
    quiet: bool,
}

/// What is to be safe, and from what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Check {
    /// The remote has everything: this machine may vanish.
    Pushed,
    /// This machine's disk has everything: its power may fail.
    Durable,
}

/// Shows the daemon's status; without a daemon, what the data directory holds.
///
/// # Errors
///
/// The daemon does not answer; without `--check`, also when there is none.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    if let Some(interval) = arguments.watch {
        return watch::run(&config, arguments, interval);
    }
    let status = meeting::status(&config)?;
    let failure = (status.state == State::Stopped).then(|| daemon::Error::NotRunning {
        socket: daemon::control_socket(&config),
    });
    if !arguments.quiet {
        match arguments.json {
            true => output::json(&status)?,
            false => output::data(render::render(&status))?,
        }
    }
    match (arguments.check, failure) {
        // What is on the disk is all that there is to judge, and is judged.
        (Some(check), _) => Ok(judge(check, &status.totals)),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Ok(Exit::Done),
    }
}

/// What a daemon says, that is there now.
fn running(config: &Config) -> Result<Status, Error> {
    match ask_now(&daemon::control_socket(config), &Request::Status)? {
        Answer::Status(status) => Ok(*status),
        _ => Err(Error::UnexpectedAnswer),
    }
}

/// The exit code of a check. A credential comes before the rest, since waiting does not bring one.
fn judge(check: Check, totals: &Totals) -> Exit {
    match check {
        Check::Durable if totals.durable == Some(true) => Exit::Done,
        Check::Durable => Exit::Unpushed,
        Check::Pushed if !totals.is_loss() => Exit::Done,
        Check::Pushed if totals.needs_credential() => Exit::Credential,
        Check::Pushed => Exit::Unpushed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::control::EntryState;
    use crate::daemon::status::{Cause, Waiting};

    #[test]
    fn a_check_tells_safe_from_waiting_from_a_needed_credential() {
        let mut totals = Totals {
            durable: Some(false),
            ..Totals::default()
        };
        assert_eq!(judge(Check::Pushed, &totals), Exit::Done);
        assert_eq!(judge(Check::Durable, &totals), Exit::Unpushed);
        totals.operations = 1;
        totals.durable = Some(true);
        assert_eq!(judge(Check::Pushed, &totals), Exit::Unpushed);
        assert_eq!(judge(Check::Durable, &totals), Exit::Done);
        totals.waiting.push(Waiting {
            state: EntryState::Blocked,
            cause: Some(Cause::Auth),
            reason: None,
            age_seconds: None,
            repos: 1,
            operations: 1,
        });
        assert_eq!(judge(Check::Pushed, &totals), Exit::Credential);
        // Nobody knows, and that is not yes.
        totals.durable = None;
        assert_eq!(judge(Check::Durable, &totals), Exit::Unpushed);
    }
}
