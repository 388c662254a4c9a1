//! The daemon's log: how much of it, where to, and what listens beside it.
//!
//! ```text
//! event ──> level, which can change ──> line ──> queue ──> thread ──> file, or standard error
//!   `─────> incidents
//! ```
//!
//! A process has one log. Nobody waits for it (`lines`), and its file has a bound (`file`).

mod file;
pub(super) mod incidents;
mod lines;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::{Layer as _, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::file::{Keeping, LogFile};
use self::lines::{Lines, Sink};
use super::control::LogReport;
use super::{Error, traces};
use crate::config::{CollectorUrl, Color, Config, Key, LogLevel, LogTarget};
use crate::traced::TRACED;

/// How long the last lines of a process may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where a log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// To whoever started the process.
    StandardError,
    /// Into this file, and three older ones beside it.
    File(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::StandardError => formatter.write_str("standard error"),
            Destination::File(path) => path.display().fmt(formatter),
        }
    }
}

impl Destination {
    /// The log of a process in the background.
    ///
    /// # Errors
    ///
    /// It would be in the mount.
    pub fn in_background(config: &Config) -> Result<Destination, Error> {
        match &config.log.target {
            LogTarget::Automatic => Ok(Destination::File(config.data_folder.join("daemon.log"))),
            LogTarget::StandardError => Ok(Destination::StandardError),
            LogTarget::File(path) => Destination::outside(config, path),
        }
    }

    /// The log of a mount in the foreground.
    ///
    /// # Errors
    ///
    /// It would be in the mount.
    pub fn in_foreground(config: &Config) -> Result<Destination, Error> {
        match &config.log.target {
            LogTarget::Automatic | LogTarget::StandardError => Ok(Destination::StandardError),
            LogTarget::File(path) => Destination::outside(config, path),
        }
    }

    /// A daemon that logs into its own mount would keep it in use, and log its own logging.
    fn outside(config: &Config, path: &Path) -> Result<Destination, Error> {
        match path.starts_with(&config.mount_point) {
            true => Err(Error::LogInMount {
                path: path.to_owned(),
            }),
            false => Ok(Destination::File(path.to_owned())),
        }
    }

    /// What a child has as its standard error, to log to this: what a panic says is then in the log.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn for_child(&self) -> Result<Stdio, Error> {
        match self {
            Destination::StandardError => Ok(Stdio::inherit()),
            Destination::File(path) => Ok(opened(path, Keeping::Follows)?.into_file().into()),
        }
    }
}

fn opened(path: &Path, keeping: Keeping) -> Result<LogFile, Error> {
    LogFile::open(path, keeping).map_err(|source| Error::Folder {
        path: path.to_owned(),
        source,
    })
}

/// How a process lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// With many threads: one more writes the log.
    Many,
    /// With one; another process keeps the log's file small.
    One,
}

/// The log of this process.
struct Log {
    level: Mutex<LogLevel>,
    filter: reload::Handle<EnvFilter, Registry>,
    destination: Destination,
    lines: Lines,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// The level of a mount in the foreground: at a terminal, what nobody asked for is noise.
pub fn level_in_foreground(config: &Config, destination: &Destination) -> LogLevel {
    let is_asked_for = config.origins.contains_key(Key::LogLevel.place());
    match destination {
        Destination::StandardError if !is_asked_for => LogLevel::Warn,
        _ => config.log.level,
    }
}

/// Begins the log of this process: lines of ours at `level`, and of libraries from warnings up; and
/// its traces, if there is a collector for them. A second call, as in tests of one process, keeps the
/// first.
///
/// # Errors
///
/// The file cannot be opened, or there can be no thread.
pub fn start(
    level: LogLevel,
    color: Color,
    destination: Destination,
    threads: Threads,
    collector: Option<&CollectorUrl>,
) -> Result<(), Error> {
    let sink = match (&destination, threads) {
        (Destination::StandardError, _) => {
            let stream = io::stderr().as_fd().try_clone_to_owned();
            Sink::Open(File::from(stream.map_err(Error::Setup)?))
        }
        (Destination::File(path), Threads::Many) => Sink::Kept(opened(path, Keeping::Rotates)?),
        (Destination::File(path), Threads::One) => Sink::Kept(opened(path, Keeping::Follows)?),
    };
    let is_colored = match (color, &destination) {
        (Color::Always, _) => true,
        (Color::Automatic, Destination::StandardError) => io::stderr().is_terminal(),
        (Color::Automatic, Destination::File(_)) | (Color::Never, _) => false,
    };
    let lines = match threads {
        Threads::Many => Lines::queued(sink).map_err(Error::Setup)?,
        Threads::One => Lines::direct(sink),
    };
    let (filter, handle) = reload::Layer::new(filter(level));
    let layer = tracing_subscriber::fmt::layer()
        .with_timer(SystemTime)
        .with_ansi(is_colored)
        .log_internal_errors(false)
        .with_writer(lines.clone())
        .with_filter(filter);
    let subscriber = tracing_subscriber::registry()
        .with(layer)
        .with(incidents::layer())
        .with(traces::layer(collector)?);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _only_once = LOG.set(Log {
            level: Mutex::new(level),
            filter: handle,
            destination,
            lines,
        });
    }
    Ok(())
}

fn filter(level: LogLevel) -> EnvFilter {
    let name = level.name();
    EnvFilter::new(format!("warn,mesa={name},journal={name},{TRACED}=off"))
}

/// Changes the level of this process, if asked to, and tells of the log.
pub(super) fn adjust(level: Option<LogLevel>) -> Option<LogReport> {
    let log = LOG.get()?;
    let mut current = log.level.lock();
    if let Some(level) = level {
        let (from, to) = (current.name(), level.name());
        // Said at the more talkative of the two.
        if level < *current {
            tracing::info!(from, to, "the log's level is lowered");
        }
        // It fails when the subscriber is gone, which goes with the process.
        let _gone = log.filter.reload(filter(level));
        if level > *current {
            tracing::info!(from, to, "the log's level is raised");
        }
        *current = level;
    }
    Some(LogReport {
        level: *current,
        destination: log.destination.to_string(),
        lost: log.lines.lost(),
    })
}

/// Writes and sends what is on its way, before the process ends.
pub fn finish() {
    traces::finish();
    if let Some(log) = LOG.get() {
        log.lines.flush(LAST_LINES);
    }
}
