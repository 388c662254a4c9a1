//! `mesa mount`: in the foreground until Ctrl+C, or in the background once the mount answers.
//!
//! In the background there are two processes, which this same command becomes with one more word at
//! the end of its line: `--role supervisor` starts, and restarts, what has `--role daemon`. Whatever
//! else was typed, they get it as it was.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::{Context, Error, auth, output, remains};
use crate::config::{Config, Key};
use crate::daemon::audience::{Audience, Pipe, Supervision};
use crate::daemon::control::Versions;
use crate::daemon::log::{self, Destination, Threads};
use crate::daemon::ready::Ready;
use crate::daemon::supervisor::{self, Supervised, SupervisorState};
use crate::daemon::{self, background, meeting};

#[derive(Debug, Args)]
pub(super) struct Mount {
    /// Go to the background; return once the mount answers.
    #[arg(short, long)]
    daemonize: bool,
    /// With --daemonize: do not start the daemon again when it dies. For use under a supervisor of
    /// your own.
    #[arg(long)]
    no_supervisor: bool,
    /// Whether bookmarks follow what is pushed: never, fast-forward or merge.
    #[arg(long, value_name = "MODE")]
    publish: Option<String>,
    /// Let other users enter the mount; the mode bits say what they may do.
    #[arg(long)]
    allow_other: bool,
    /// The process in the background that this is: standard output is the ready pipe.
    #[arg(long, hide = true, overrides_with = "role", value_enum)]
    role: Option<Role>,
    /// What relative paths are relative to, for a process in the background.
    #[arg(long, hide = true, value_name = "PATH")]
    started_in: Option<PathBuf>,
}

/// A process in the background.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Role {
    /// Starts the daemon, and starts it again.
    Supervisor,
    /// Mounts, and has a supervisor.
    Daemon,
    /// Mounts, and has none.
    Lonely,
}

impl Mount {
    fn settings(&self, context: &Context) -> Result<Config, Error> {
        let publish = self.publish.iter();
        let mut flags: BTreeMap<Key, OsString> =
            publish.map(|mode| (Key::Publish, mode.into())).collect();
        if self.allow_other {
            flags.insert(Key::AllowOther, "true".into());
        }
        context.settings_in(self.started_in.as_deref(), flags)
    }
}

/// Says which variables may be misspelt: a sandbox's log is often all that somebody has to find out why
/// a setting does nothing.
fn warn(config: &Config) {
    for (name, meant) in &config.notes.unknown_variables {
        let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        output::talk(format_args!(
            "warning: no setting has the variable {name}{hint}"
        ));
    }
}

/// Mounts.
///
/// # Errors
///
/// Why the mount does not answer.
pub(super) fn run(arguments: &Mount, context: &Context) -> Result<Exit, Error> {
    match arguments.role {
        Some(Role::Supervisor) => return Ok(supervise(arguments, context)),
        Some(Role::Daemon) => return Ok(child(arguments, context, Supervision::Supervised)),
        Some(Role::Lonely) => return Ok(child(arguments, context, Supervision::None)),
        None => {}
    }
    let config = arguments.settings(context)?;
    warn(&config);
    if let Some(running) = meeting::running(&config)? {
        return already(&running, &config);
    }
    context.unlock(&config)?;
    if arguments.daemonize {
        let role = if arguments.no_supervisor {
            Role::Lonely
        } else {
            Role::Supervisor
        };
        let mut extra = vec![OsString::from("--started-in")];
        extra.push(
            std::env::current_dir()
                .map_err(Error::CurrentFolder)?
                .into(),
        );
        let words = extended(extended(typed(), extra), words_of(role));
        let log = Destination::in_background(&config)?;
        let passphrase = config.secrets.passphrase();
        let ready = match background::start(&config.data_folder, log, &words, passphrase) {
            Ok(ready) => ready,
            Err(error) => return met(&config, error),
        };
        output::talk(format_args!(
            "mounted at {} (process {})",
            config.mount_point.display(),
            ready.pid
        ));
        return Ok(Exit::Done);
    }
    let destination = Destination::in_foreground(&config)?;
    let level = log::level_in_foreground(&config, &destination);
    let (color, collector) = (config.log.color, config.telemetry.as_ref());
    log::start(level, color, destination, Threads::Many, collector)?;
    let terminal = Terminal {
        mount_point: config.mount_point.clone(),
    };
    let drained = match daemon::run(config.clone(), &terminal) {
        Ok(drained) => drained,
        Err(error @ daemon::Error::AlreadyRunning { .. }) => return met(&config, error),
        Err(error) => return Err(error.into()),
    };
    Ok(remains::report(&drained, "the next mount goes on with it"))
}

/// What a start came to that failed: another one may have been faster, and then ours is done as well.
fn met(config: &Config, error: daemon::Error) -> Result<Exit, Error> {
    match meeting::running(config) {
        Ok(Some(running)) => already(&running, config),
        _ => Err(error.into()),
    }
}

/// There is a mount already: it takes the credential of this environment, if that is another one.
fn already(running: &Versions, config: &Config) -> Result<Exit, Error> {
    auth::hand_over(config)?;
    output::talk(format_args!(
        "already mounted at {} (process {})",
        running.mount_point, running.pid
    ));
    let supervisor = supervisor::status(&config.runtime_folder);
    if supervisor.is_some_and(|status| status.state == SupervisorState::Lost) {
        output::talk(
            "warning: its supervisor is gone, so nobody starts it again if it dies: \
             `mesa umount` and mount again",
        );
    }
    Ok(Exit::Done)
}

/// The words of this command line, without the program.
fn typed() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

fn words_of(role: Role) -> Vec<OsString> {
    let word = match role {
        Role::Supervisor => "supervisor",
        Role::Daemon => "daemon",
        Role::Lonely => "lonely",
    };
    vec!["--role".into(), word.into()]
}

/// A command line with more flags at its end, of which the last counts.
fn extended(mut words: Vec<OsString>, flags: Vec<OsString>) -> Vec<OsString> {
    // Behind this word nothing is a flag.
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    words.splice(end..end, flags);
    words
}

/// Who waits at a terminal.
struct Terminal {
    mount_point: PathBuf,
}

impl Audience for Terminal {
    fn ready(&self, _: Ready) {
        output::talk(format_args!(
            "mounted at {}; Ctrl+C unmounts",
            self.mount_point.display()
        ));
    }
}

/// The daemon in the background. Its failures go through the ready pipe until it is ready, and to
/// the log as well.
fn child(arguments: &Mount, context: &Context, supervision: Supervision) -> Exit {
    let pipe = match Pipe::take(supervision) {
        Ok(pipe) => pipe,
        Err(error) => {
            output::talk(format_args!("error: the ready pipe: {error}"));
            return Exit::Failed;
        }
    };
    let outcome = begun(arguments, context, supervision, Threads::Many)
        .and_then(|(config, _)| Ok(daemon::run(config, &pipe)?));
    match outcome {
        Ok(drained) => remains::exit(&drained),
        Err(error) => {
            let failure = error.failure();
            tracing::error!(error = %failure.message, causes = ?failure.causes, "the daemon failed");
            let exit = Exit::from(failure.reason);
            pipe.failed(failure);
            exit
        }
    }
}

fn begun(
    arguments: &Mount,
    context: &Context,
    supervision: Supervision,
    threads: Threads,
) -> Result<(Config, Destination), Error> {
    // With a supervisor it is that one who has left, and it is not to be left alone.
    if supervision == Supervision::None {
        background::detach()?;
    }
    let config = arguments.settings(context)?;
    let (level, color) = (config.log.level, config.log.color);
    let destination = Destination::in_background(&config)?;
    // The supervisor does nothing that takes time, and has no thread to tell of it.
    let collector = config.telemetry.as_ref();
    let collector = collector.filter(|_| threads == Threads::Many);
    log::start(level, color, destination.clone(), threads, collector)?;
    Ok((config, destination))
}

/// The supervisor in the background.
fn supervise(arguments: &Mount, context: &Context) -> Exit {
    let begun = begun(arguments, context, Supervision::None, Threads::One);
    let outcome = begun.and_then(|(config, log)| Ok(supervisor::run(supervised(&config, log))?));
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => {
            let failure = error.failure();
            tracing::error!(error = %failure.message, causes = ?failure.causes, "no supervisor");
            let exit = Exit::from(failure.reason);
            background::announce_failure(failure);
            exit
        }
    }
}

fn supervised(config: &Config, log: Destination) -> Supervised {
    let target = match &log {
        Destination::StandardError => "stderr".into(),
        Destination::File(path) => path.clone().into_os_string(),
    };
    Supervised {
        arguments: extended(typed(), words_of(Role::Daemon)),
        settings: [
            (Key::MountPoint, &config.mount_point),
            (Key::DataDir, &config.data_folder),
            (Key::CachePath, &config.cache.folder),
            (Key::RuntimeDir, &config.runtime_folder),
        ]
        .into_iter()
        .map(|(key, path)| (key.variable(), path.into()))
        .chain([(Key::LogTarget.variable(), target)])
        .collect(),
        mount_point: config.mount_point.clone(),
        runtime_folder: config.runtime_folder.clone(),
        log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_added_where_they_are_flags() {
        let words = |text: &str| -> Vec<OsString> { text.split(' ').map(Into::into).collect() };
        let more = || words("--role daemon");
        assert_eq!(
            extended(words("-y mount -d"), more()),
            words("-y mount -d --role daemon")
        );
        assert_eq!(
            extended(words("mount -d --"), more()),
            words("mount -d --role daemon --")
        );
    }
}
