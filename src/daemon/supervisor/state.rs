//! What a supervisor says of itself, in a small file of the runtime directory: `mesa status` shows it,
//! also after the supervisor gave up, and `mesa mount` and `mesa umount` learn from it whether a
//! restart is under way.
//!
//! Whether the supervisor of the file still lives is told by its process id together with the time
//! that process was started, which no other process has; so a file that was left behind is known as
//! that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::daemon::is_dead;
use crate::remote::api::format_date;
use crate::tree::Timestamp;

/// How a mount is supervised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SupervisorState {
    /// The daemon runs, and is started again should it die.
    Watching,
    /// The daemon died, and is being started again.
    Restarting,
    /// The daemon died too often: nobody starts it again.
    GaveUp,
    /// The supervisor itself is gone: the daemon goes on, and nobody starts it again.
    Lost,
}

/// How a daemon's life ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Death {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Its process; 0 when there was none yet.
    pub process: u32,
    /// Of what, in words.
    pub reason: String,
}

impl Death {
    /// One that was just seen.
    pub(super) fn now(process: u32, reason: String) -> Death {
        Death {
            at: format_date(Timestamp::from(SystemTime::now()).seconds),
            process,
            reason,
        }
    }
}

/// A supervisor, as `mesa status --json` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupervisorStatus {
    /// How it is.
    pub state: SupervisorState,
    /// Its process.
    pub process: u32,
    /// Daemons that it started after the first one.
    pub restarts: u64,
    /// The last time that a daemon died, or could not start.
    pub last_death: Option<Death>,
}

impl SupervisorStatus {
    /// Whether a daemon that is not there will be.
    pub fn is_on_duty(&self) -> bool {
        matches!(
            self.state,
            SupervisorState::Watching | SupervisorState::Restarting
        )
    }
}

/// What the file holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    status: SupervisorStatus,
    /// When the process was started, in ticks since the machine was.
    started_ticks: u64,
}

/// The file, as its supervisor has it.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    stored: Stored,
}

impl StateFile {
    /// Prepares the file of this process; nothing is written yet.
    pub(super) fn new(runtime: &Path) -> StateFile {
        let process = std::process::id();
        StateFile {
            path: path(runtime),
            stored: Stored {
                status: SupervisorStatus {
                    state: SupervisorState::Watching,
                    process,
                    restarts: 0,
                    last_death: None,
                },
                started_ticks: started_ticks(process).unwrap_or_default(),
            },
        }
    }

    /// Notes how a daemon ended; said with the next change.
    pub(super) fn remember(&mut self, death: Death) {
        self.stored.status.last_death = Some(death);
    }

    /// Notes that a daemon was started again; said with the next change.
    pub(super) fn count_restart(&mut self) {
        self.stored.status.restarts += 1;
    }

    /// Changes what is said. A full disk keeps it from being said, and nothing else.
    pub(super) fn say(&mut self, change: impl FnOnce(&mut SupervisorStatus)) {
        change(&mut self.stored.status);
        if let Err(error) = self.write() {
            tracing::warn!(error = %error, "the supervisor's state is not written");
        }
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        // Not synced: it says nothing about a machine that was started anew.
        let temporary = tempfile::NamedTempFile::new_in(folder)?;
        fs::write(temporary.path(), serde_json::to_vec(&self.stored)?)?;
        temporary
            .persist(&self.path)
            .map_err(|error| error.error)
            .map(drop)
    }

    /// Removes the file: nothing is supervised any more.
    pub(super) fn remove(self) {
        forget(&self.path);
    }
}

fn path(runtime: &Path) -> PathBuf {
    runtime.join("supervisor.json")
}

fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(error = %error, "the supervisor's state stays behind");
        }
        _ => {}
    }
}

/// Removes what an earlier supervisor left behind. The caller holds the lock of the data directory,
/// and has no supervisor.
pub(in crate::daemon) fn forget_earlier(runtime: &Path) {
    forget(&path(runtime));
}

/// Removes what a supervisor left behind that died before its daemon ended on purpose.
pub(in crate::daemon) fn forget_lost(runtime: &Path) {
    if status(runtime).is_some_and(|status| status.state == SupervisorState::Lost) {
        forget(&path(runtime));
    }
}

/// The supervisor of a mount; `None` if there never was one, or its daemon ended on purpose.
pub fn status(runtime: &Path) -> Option<SupervisorStatus> {
    let text = fs::read(path(runtime)).ok()?;
    let Stored {
        mut status,
        started_ticks: started,
    } = serde_json::from_slice(&text).ok()?;
    let lives = !is_dead(status.process) && started_ticks(status.process) == Some(started);
    if !lives && status.state != SupervisorState::GaveUp {
        status.state = SupervisorState::Lost;
    }
    Some(status)
}

/// When a process was started: the 22nd field, counted after the name, which may hold anything.
fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_what_is_left_behind_is_known_as_that() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(status(folder.path()), None);
        let mut file = StateFile::new(folder.path());
        file.say(|status| status.restarts = 2);
        let read = status(folder.path()).unwrap();
        assert_eq!((read.state, read.restarts), (SupervisorState::Watching, 2));
        // Another process with the number that the supervisor had.
        file.stored.started_ticks += 1;
        file.say(|_| {});
        let read = status(folder.path()).unwrap();
        assert_eq!(read.state, SupervisorState::Lost);
        file.say(|status| status.state = SupervisorState::GaveUp);
        let read = status(folder.path()).unwrap();
        assert_eq!(read.state, SupervisorState::GaveUp);
        file.remove();
        assert_eq!(status(folder.path()), None);
    }

    #[test]
    fn a_file_that_is_none_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(folder.path()), "{").unwrap();
        assert_eq!(status(folder.path()), None);
    }
}
