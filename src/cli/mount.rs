//! `mesa mount`: in the foreground until Ctrl+C, or in the background once the mount answers.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::{Context, Error, logging, output, remains};
use crate::config::{Config, Key, LogLevel};
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
}

impl Mount {
    fn settings(&self, context: &Context) -> Result<Config, Error> {
        let publish = self.publish.iter();
        context.settings_with(publish.map(|mode| (Key::Publish, mode.into())).collect())
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
    if let Some(running) = already_mounted(&config)? {
        output::talk(format_args!(
            "already mounted at {} (process {})",
            running.mount_point, running.pid
        ));
        return Ok(Exit::Done);
    }
    if arguments.daemonize {
        let mut words = context.arguments();
        words.extend(["mount".into(), "--background-child".into()]);
        if let Some(mode) = &arguments.publish {
            words.extend(["--publish".into(), mode.into()]);
        }
        let ready = background::start(&config.data_folder, &words)?;
        output::talk(format_args!(
            "mounted at {} (process {})",
            config.mount_point.display(),
            ready.pid
        ));
        return Ok(Exit::Done);
    }
    logging::to_stderr(config.log_level.min(LogLevel::Warn));
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
        logging::to_stderr(config.log_level);
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
