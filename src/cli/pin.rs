//! `mesa cache pin` and `unpin`: what is to stay on this machine, whatever else the cache holds.
//!
//! The daemon does it; a command that waits only looks on, and may be interrupted.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::prefetch::{Place, places, progress_shown};
use super::{Context, Error, output};
use crate::daemon::control::{Answer, PinAnswer, PinEntry, PinRequest, PinState, Request, ask};
use crate::daemon::{self, at_rest, control_socket};
use crate::lower;

/// Between two looks while waiting.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Looks at a list without what was pinned: a daemon that was started again reads it, unless somebody
/// else unpinned it.
const MISSED_MAX: u32 = 50;

/// Without a path, shows what is pinned.
#[derive(Debug, Args)]
pub(super) struct Pin {
    /// Files and directories of the mount; all below them is fetched, and stays.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Unpin {
    /// What was pinned, by the same path; it need not be there any more.
    #[arg(value_name = "PATH", required_unless_present = "all")]
    paths: Vec<PathBuf>,
    /// Everything that is pinned.
    #[arg(long, conflicts_with = "paths")]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

struct Asked {
    socket: PathBuf,
}

impl Asked {
    fn command(&self, request: PinRequest) -> Result<Vec<PinEntry>, Error> {
        match ask(&self.socket, &Request::Pin(request))? {
            Answer::Pin(PinAnswer { pins }) => Ok(pins),
            _ => Err(Error::UnexpectedAnswer),
        }
    }

    fn mount_point(&self) -> Result<String, Error> {
        match ask(&self.socket, &Request::Version)? {
            Answer::Version(versions) => Ok(versions.mount_point),
            _ => Err(Error::UnexpectedAnswer),
        }
    }
}

/// Pins, and waits until all of it is here or cannot be had; or shows what is pinned.
///
/// # Errors
///
/// Nothing is mounted, unless it only shows; a path is not in the mount.
pub(super) fn pin(arguments: &Pin, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?;
    let asked = Asked {
        socket: control_socket(&settings),
    };
    if arguments.paths.is_empty() {
        let pins = match asked.command(PinRequest::List) {
            Err(Error::Daemon(daemon::Error::NotRunning { .. })) => at_rest::pins(&settings)?.pins,
            pins => pins?,
        };
        show(&pins, arguments.json)?;
        if pins.is_empty() && !arguments.json {
            output::talk("nothing is pinned");
        }
        return Ok(Exit::Done);
    }
    let mount_point = asked.mount_point()?;
    // All of them are looked at before any is pinned.
    let mut wanted = Vec::new();
    for path in &arguments.paths {
        wanted.extend(places(path, &mount_point)?);
    }
    let mut names = BTreeSet::new();
    for Place { repo, path } in wanted {
        asked.command(PinRequest::Add {
            repo: repo.clone(),
            path: path.clone(),
        })?;
        names.insert((repo, path));
    }
    let pins = wait(&names, || asked.command(PinRequest::List))?;
    show(&pins, arguments.json)?;
    let is_incomplete = pins.iter().any(|pin| pin.state == PinState::Incomplete);
    if is_incomplete {
        output::talk(
            "hint: the pins stay: what is missing is fetched as soon as it can be had, also after \
             the next mount",
        );
    }
    let held = lower::held(&settings.cache.folder).map_err(|source| Error::Cache {
        folder: settings.cache.folder.clone(),
        source,
    })?;
    warn_of(&held, settings.cache.bytes_max);
    Ok(match is_incomplete {
        true => Exit::Failed,
        false => Exit::Done,
    })
}

/// Says so when more is pinned than the limit allows.
pub(super) fn warn_of(held: &lower::Held, limit: Option<u64>) {
    if let Some(limit) = limit.filter(|limit| held.pinned_bytes > *limit) {
        let (pinned, limit) = (output::bytes(held.pinned_bytes), output::bytes(limit));
        output::talk(format!(
            "warning: what is pinned takes {pinned}, and cache.max-size is {limit}: all of it stays, and \
             everything else is fetched again at each use\n  hint: raise cache.max-size, or \
             `mesa cache unpin` some of it"
        ));
    }
}

/// Lets go of what was pinned.
///
/// # Errors
///
/// Nothing is mounted; a path is not in the mount, or is not pinned.
pub(super) fn unpin(arguments: &Unpin, context: &Context) -> Result<Exit, Error> {
    let asked = Asked {
        socket: control_socket(&context.settings()?),
    };
    let pins = asked.command(PinRequest::List)?;
    let mut meant: Vec<&PinEntry> = Vec::new();
    if arguments.all {
        meant = pins.iter().collect();
    } else {
        let mount_point = asked.mount_point()?;
        for path in &arguments.paths {
            let place = within(path, &mount_point)?;
            let found = pins.iter().filter(|pin| is_meant(&place, pin));
            let before = meant.len();
            meant.extend(found);
            if meant.len() == before {
                let above = pins.iter().find(|pin| place.starts_with(name_of(pin)));
                return Err(Error::NotPinned {
                    path: path.clone(),
                    above: above.map(|pin| Path::new(&mount_point).join(name_of(pin))),
                });
            }
        }
    }
    let mut gone = Vec::new();
    for PinEntry { repo, path, .. } in meant {
        asked.command(PinRequest::Remove {
            repo: repo.clone(),
            path: path.clone(),
        })?;
        if !arguments.json {
            output::data(format!("{}\tunpinned", name(repo, path)))?;
        }
        gone.push(json!({ "repo": repo, "path": path }));
    }
    if arguments.json {
        output::json(&json!({ "unpinned": gone }))?;
    }
    Ok(Exit::Done)
}

/// Whether a pin is the one of a place: itself, or a whole repository of an organization or the mount.
fn is_meant(place: &Path, pin: &PinEntry) -> bool {
    let name = name_of(pin);
    let is_above = place.components().count() < 2 && pin.path.is_empty();
    name == place || (is_above && name.starts_with(place))
}

fn name_of(pin: &PinEntry) -> PathBuf {
    PathBuf::from(name(&pin.repo, &pin.path))
}

/// Where a path is in the mount, by its name if it is gone.
fn within(path: &Path, mount_point: &str) -> Result<PathBuf, Error> {
    let looked = |source| Error::PrefetchPath {
        path: path.to_owned(),
        source,
    };
    let mut there = std::path::absolute(path).map_err(looked)?;
    let mut gone = Vec::new();
    let full = loop {
        match there.canonicalize() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) && there.file_name().is_some() =>
            {
                gone.extend(there.file_name().map(ToOwned::to_owned));
                there.pop();
            }
            full => break full.map_err(looked)?,
        }
    };
    let full = gone.iter().rev().fold(full, |path, name| path.join(name));
    let within = full.strip_prefix(mount_point);
    within.map(Path::to_owned).map_err(|_| Error::OutsideMount {
        path: path.to_owned(),
        mount_point: mount_point.to_owned(),
    })
}

/// Looks on until they are here, or cannot be had.
fn wait(
    names: &BTreeSet<(String, String)>,
    mut list: impl FnMut() -> Result<Vec<PinEntry>, Error>,
) -> Result<Vec<PinEntry>, Error> {
    let mut shown = progress_shown();
    let mut missed = 0;
    loop {
        let mut pins = list()?;
        pins.retain(|pin| names.contains(&(pin.repo.clone(), pin.path.clone())));
        let sum = |of: fn(&PinEntry) -> u64| pins.iter().map(of).sum::<u64>();
        let is_over = |pin: &PinEntry| !matches!(pin.state, PinState::Waiting | PinState::Fetching);
        if pins.len() < names.len() && missed < MISSED_MAX {
            missed += 1;
        } else if pins.iter().all(is_over) {
            return Ok(pins);
        }
        shown(
            (sum(|pin| pin.files_here), sum(|pin| pin.files)),
            (sum(|pin| pin.bytes_here), sum(|pin| pin.bytes)),
        );
        thread::sleep(LOOK_AGAIN);
    }
}

fn show(pins: &[PinEntry], as_json: bool) -> Result<(), Error> {
    if as_json {
        return output::json(&PinAnswer {
            pins: pins.to_vec(),
        });
    }
    for pin in pins {
        let state = match pin.state {
            PinState::Waiting => "waiting",
            PinState::Fetching => "fetching",
            PinState::Kept => "kept",
            PinState::Absent => "absent",
            PinState::Incomplete => "incomplete",
        };
        let reason = pin.reason.as_deref();
        let reason = reason.map_or_else(String::new, |why| format!(": {why}"));
        let name = name(&pin.repo, &pin.path);
        // Nobody has looked yet.
        if pin.state == PinState::Waiting && pin.files == 0 {
            output::data(format!("{name}\t{state}{reason}"))?;
            continue;
        }
        output::data(format!(
            "{name}\t{state}\t{} of {} files\t{} of {}{reason}",
            pin.files_here,
            pin.files,
            output::bytes(pin.bytes_here),
            output::bytes(pin.bytes)
        ))?;
    }
    Ok(())
}

fn name(repo: &str, path: &str) -> String {
    match path.is_empty() {
        true => repo.to_owned(),
        false => format!("{repo}/{path}"),
    }
}
