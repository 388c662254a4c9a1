//! `mesa mount`: in the foreground until Ctrl+C, or in the background once the mount answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::{Context, Error, logging, output, remains};
use crate::config::{Config, Key, LogLevel, Origin};
use crate::daemon::control::{Answer, Request, Versions, ask};
use crate::daemon::{self, background, control_socket};

#[derive(Debug, Args)]
pub(super) struct Mount {
    /// Go to the background; return once the mount answers.
    #[arg(short, long)]
    daemonize: bool,
    /// The child that `--daemonize` starts: standard output is the ready pipe.
    #[arg(long, hide = true, conflicts_with = "daemonize")]
    background_child: bool,
    /// Whether bookmarks follow what is pushed: never, fast-forward or merge.
    #[arg(long, value_name = "MODE")]
    publish: Option<String>,
    /// Let other users enter the mount; the mode bits say what they may do.
    #[arg(long)]
    allow_other: bool,
}

impl Mount {
    fn settings(&self, context: &Context) -> Result<Config, Error> {
        let publish = self.publish.iter();
        let mut flags: BTreeMap<Key, OsString> =
            publish.map(|mode| (Key::Publish, mode.into())).collect();
        if self.allow_other {
            flags.insert(Key::AllowOther, "true".into());
        }
        context.settings_with(flags)
    }

    /// The arguments by which a process of this binary mounts the same in the background.
    fn child_arguments(&self, context: &Context) -> Vec<OsString> {
        let mut words = context.arguments();
        words.extend(["mount".into(), "--background-child".into()]);
        if let Some(mode) = &self.publish {
            words.extend(["--publish".into(), mode.into()]);
        }
        if self.allow_other {
            words.push("--allow-other".into());
        }
        words
    }
}

/// Says what is set in vain, and which variables may be misspelt: a sandbox's log is often all that
/// somebody has to find out why a setting does nothing.
fn warn(config: &Config) {
    let names = |origin: &Origin| origin.to_string();
    let vain: Vec<String> = config.notes.without_effect.iter().map(names).collect();
    if !vain.is_empty() {
        output::talk(format_args!(
            "warning: this version does not act on these settings yet: {}",
            vain.join("; ")
        ));
    }
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
    if arguments.background_child {
        return Ok(child(arguments, context));
    }
    let config = arguments.settings(context)?;
    warn(&config);
    if let Some(running) = already_mounted(&config)? {
        output::talk(format_args!(
            "already mounted at {} (process {})",
            running.mount_point, running.pid
        ));
        return Ok(Exit::Done);
    }
    if arguments.daemonize {
        let words = arguments.child_arguments(context);
        let ready = background::start(&config.data_folder, &words)?;
        output::talk(format_args!(
            "mounted at {} (process {})",
            config.mount_point.display(),
            ready.pid
        ));
        return Ok(Exit::Done);
    }
    logging::to_stderr(config.log.level.min(LogLevel::Warn));
    let mount_point = config.mount_point.display().to_string();
    let drained = daemon::run(config, |_| {
        output::talk(format_args!("mounted at {mount_point}; Ctrl+C unmounts"));
    })?;
    Ok(remains::report(&drained, "the next mount goes on with it"))
}

/// The daemon of this configuration, if it runs and its mount answers where it should.
fn already_mounted(config: &Config) -> Result<Option<Versions>, Error> {
    let running = match ask(&control_socket(config), &Request::Version) {
        Ok(Answer::Version(running)) => running,
        Ok(_) => return Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let canonical = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let same_mount = Path::new(&running.mount_point) == canonical(&config.mount_point);
    let same_data = Path::new(&running.data_dir) == canonical(&config.data_folder);
    if same_mount && same_data {
        return Ok(Some(running));
    }
    Err(daemon::Error::MountedElsewhere {
        pid: running.pid,
        mounted: running.mount_point,
        asked: config.mount_point.clone(),
    }
    .into())
}

/// The daemon in the background. Its failures go through the ready pipe until it is ready, and to
/// the log after that.
fn child(arguments: &Mount, context: &Context) -> Exit {
    let mut announced = false;
    let outcome = background::detached(|| arguments.settings(context)).and_then(|config| {
        logging::to_stderr(config.log.level);
        let drained = daemon::run(config, |ready| {
            announced = true;
            background::announce(Ok(ready));
        });
        Ok(drained?)
    });
    match outcome {
        Ok(drained) => remains::exit(&drained),
        Err(error) => {
            let failure = error.failure();
            tracing::error!(error = %failure.message, causes = ?failure.causes, "the daemon failed");
            let exit = Exit::from(failure.reason);
            if !announced {
                background::announce(Err(failure));
            }
            exit
        }
    }
}
