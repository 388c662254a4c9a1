//! What a command that is about to mount finds: nobody, a daemon that does what is wanted, or one that
//! does something else; perhaps one that is just starting, being restarted, or ending, which is waited
//! for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::control::{Answer, Request, Versions, ask_now};
use super::supervisor::{self, SupervisorStatus};
use super::{Error, Holding, Status, at_rest, control_socket, holder, is_dead};
use crate::config::{AllowOther, Config, MountMode};

/// How long a daemon that starts, is restarted, or ends is waited for: the usual drain, and a machine
/// under load.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A setting that a running daemon and a second mount do not agree on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its name in the configuration file.
    pub setting: String,
    /// What the running daemon has.
    pub running: String,
    /// What is wanted.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            setting,
            running,
            wanted,
        } = self;
        write!(formatter, "{setting} is {running} there, and {wanted} here")
    }
}

/// Finds the daemon of a configuration, whose mount then answers; `None` if there is none.
///
/// # Errors
///
/// [`Error::MountedElsewhere`], [`Error::OtherSettings`]; a daemon that is ending or being restarted
/// and takes too long; what the control socket says.
pub fn running(config: &Config) -> Result<Option<Versions>, Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut was_nudged = false;
    loop {
        let late = match ask_now(&control_socket(config), &Request::Version) {
            Ok(Answer::Version(found)) if found.draining => Error::StillEnding { pid: found.pid },
            Ok(Answer::Version(found)) => return compare(config, found).map(Some),
            Ok(_) | Err(Error::NotRunning { .. } | Error::DiedMeanwhile) => match coming(config) {
                Coming::Nobody => return Ok(None),
                Coming::Starting { pid } => Error::AlreadyRunning {
                    data: config.data_folder.clone(),
                    pid: Some(pid),
                },
                Coming::Restarted(status) => {
                    if !std::mem::replace(&mut was_nudged, true) {
                        nudge(&status);
                    }
                    Error::StillRestarting {
                        supervisor: status.process,
                        reason: status.last_death.map(|death| death.reason),
                    }
                }
            },
            Err(error) => return Err(error),
        };
        if Instant::now() >= deadline {
            return Err(late);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Describes a daemon, or without one what the data directory holds.
///
/// # Errors
///
/// What the control socket says, or the data directory.
pub fn status(config: &Config) -> Result<Status, Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut was_serving = false;
    loop {
        match ask_now(&control_socket(config), &Request::Status) {
            Ok(Answer::Status(status)) => return Ok(*status),
            Ok(_) | Err(Error::NotRunning { .. } | Error::DiedMeanwhile) => {}
            Err(error) => return Err(error),
        }
        match at_rest::status(config) {
            // Between the two looks a daemon began to start: it will answer.
            // It may even have begun to serve since it was asked: then it is asked once more.
            Err(Error::AlreadyRunning { pid: Some(_), .. })
                if Instant::now() < deadline
                    && (is_about_to_answer(config)
                        || !std::mem::replace(&mut was_serving, true)) =>
            {
                thread::sleep(LOOK_AGAIN);
            }
            status => return status,
        }
    }
}

/// Whether the lock is held by somebody who lets go of it soon, or answers soon.
fn is_about_to_answer(config: &Config) -> bool {
    match holder(&config.data_folder) {
        Some(holder) => holder.holding != Holding::Serving || is_dead(holder.pid),
        None => true,
    }
}

/// Who is about to answer, though nobody does.
enum Coming {
    Nobody,
    Starting { pid: u32 },
    Restarted(SupervisorStatus),
}

fn coming(config: &Config) -> Coming {
    let supervisor = supervisor::status(&config.runtime_folder);
    if let Some(status) = supervisor.filter(SupervisorStatus::is_on_duty) {
        return Coming::Restarted(status);
    }
    match holder(&config.data_folder) {
        Some(holder) if holder.holding == Holding::Starting => Coming::Starting { pid: holder.pid },
        _ => Coming::Nobody,
    }
}

/// Has a supervisor that pauses go on at once: somebody waits for it.
fn nudge(supervisor: &SupervisorStatus) {
    let pid = Pid::from_raw(supervisor.process.cast_signed());
    // It may be gone by now; then there is nothing to hurry.
    let _gone = kill(pid, supervisor::NUDGE);
}

fn compare(config: &Config, running: Versions) -> Result<Versions, Error> {
    let is_same = |there: &str, here: &PathBuf| {
        Path::new(there) == here.canonicalize().unwrap_or_else(|_| here.clone())
    };
    if !is_same(&running.mount_point, &config.mount_point)
        || !is_same(&running.data_dir, &config.data_folder)
    {
        return Err(Error::MountedElsewhere {
            pid: running.pid,
            mounted: running.mount_point,
            asked: config.mount_point.clone(),
        });
    }
    let differences = differences(&running.settings, settings(config));
    if differences.is_empty() {
        Ok(running)
    } else {
        Err(Error::OtherSettings {
            pid: running.pid,
            differences,
        })
    }
}

/// What a daemon tells of a setting that this version knows and that one does not is no difference.
fn differences(
    running: &BTreeMap<String, String>,
    wanted: BTreeMap<String, String>,
) -> Vec<Difference> {
    wanted
        .into_iter()
        .filter_map(|(setting, wanted)| {
            let running = running.get(&setting)?.clone();
            (running != wanted).then_some(Difference {
                setting,
                running,
                wanted,
            })
        })
        .collect()
}

/// The settings that a daemon keeps for its whole life, by their names in the configuration file. Not
/// credentials and the log level, which can change while it runs.
pub(super) fn settings(config: &Config) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([
        ("api-url".to_owned(), config.api_url.to_string()),
        (
            "cache.path".to_owned(),
            config.cache.folder.display().to_string(),
        ),
        (
            "allow-other".to_owned(),
            (config.allow_other == AllowOther::Everyone).to_string(),
        ),
        ("uid".to_owned(), config.uid.to_string()),
        ("gid".to_owned(), config.gid.to_string()),
        (
            "commit-interval".to_owned(),
            format!("{:?}", config.commit_interval),
        ),
        ("publish".to_owned(), config.publish.name().to_owned()),
        (
            "mesaignore-path".to_owned(),
            config
                .mesaignore
                .as_ref()
                .map_or_else(String::new, |path| path.display().to_string()),
        ),
        (
            "telemetry.collector-url".to_owned(),
            config
                .telemetry
                .as_ref()
                .map_or_else(String::new, |url| url.as_str().to_owned()),
        ),
    ]);
    let names: Vec<&str> = config.organizations.keys().map(String::as_str).collect();
    settings.insert("organizations".to_owned(), names.join(", "));
    for (organization, one) in &config.organizations {
        let mount = match one.mount {
            MountMode::All => "all",
            MountMode::Explicit => "explicit",
        };
        settings.insert(
            format!("organizations.{organization}.mount"),
            mount.to_owned(),
        );
        for (repository, repo) in &one.repositories {
            let publish = config.publish(organization, repository).name();
            let key = format!("organizations.{organization}.repos.{repository}");
            settings.insert(format!("{key}.publish"), publish.to_owned());
            settings.insert(format!("{key}.rev"), format!("{:?}", repo.revision));
            settings.insert(format!("{key}.read-only"), repo.read_only.to_string());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        settings.iter().map(owned).collect()
    }

    #[test]
    fn a_difference_is_told_from_a_setting_that_one_side_does_not_know() {
        let running = of(&[("publish", "never"), ("uid", "0"), ("older", "1")]);
        let wanted = of(&[("publish", "merge"), ("uid", "0"), ("newer", "1")]);
        let found = differences(&running, wanted);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["publish is never there, and merge here"]);
    }
}
