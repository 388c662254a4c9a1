//! Ending a mount without its daemon's help: one that is dead, and may be about to come back, or one
//! that is there and does not answer.
//!
//! Nothing here waits for the mount: what is asked of a dead or hanging daemon's mount may never be
//! answered. A daemon that hangs is killed, which costs no more than a crash does: the journal has
//! everything that was acknowledged.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::at_rest::{self, repositories_folder};
use super::control::{Drained, Remaining};
use super::supervisor::{self, SupervisorStatus};
use super::{Error, control_socket, holder, is_dead};
use crate::config::Config;
use crate::fuse;

/// How long a supervisor may take that is asked to end: its daemon may be there again and drain.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// How long processes may take that are killed, or have nothing to wait for: the kernel lets go of a
/// large process's memory first.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Ends what a dead daemon left: a supervisor that would bring it back, and a dead mount. Gives what
/// the remote does not have; `None` if there was nothing to end.
///
/// # Errors
///
/// The dead mount cannot be unmounted; the data directory cannot be looked at.
pub fn bury(config: &Config) -> Result<Option<Drained>, Error> {
    let supervisor = on_duty(config);
    if let Some(supervisor) = &supervisor {
        signal(supervisor.process, Signal::SIGTERM);
        await_death(supervisor.process, END_PATIENCE);
    }
    let cleared = fuse::clear_dead_mount(&config.mount_point, mount_helper())?;
    if supervisor.is_none() && !cleared {
        return Ok(None);
    }
    supervisor::forget_earlier(&config.runtime_folder);
    remains(config).map(Some)
}

/// Ends a mount whose daemon does not answer, whoever is stuck in it: aborts its connection, kills the
/// daemon, and unmounts. Gives what the remote does not have.
///
/// # Errors
///
/// [`Error::NotRunning`] if there is no such daemon; the mount cannot be unmounted; the data directory
/// cannot be looked at.
pub fn force(config: &Config) -> Result<Drained, Error> {
    // The lock is let go by death alone: its holder is the daemon.
    let Some(daemon) = holder(&config.data_folder) else {
        return bury(config)?.ok_or_else(|| Error::NotRunning {
            socket: control_socket(config),
        });
    };
    tracing::warn!(daemon = daemon.pid, "ended by force");
    let supervisor = on_duty(config);
    if let Some(supervisor) = &supervisor {
        signal(supervisor.process, Signal::SIGTERM);
    }
    // First, since it frees whoever is stuck; a death does so as well, but only when it comes.
    let aborted = fuse::abort_mount(&config.mount_point);
    signal(daemon.pid, Signal::SIGKILL);
    await_death(daemon.pid, DEATH_PATIENCE);
    if let Some(supervisor) = &supervisor
        && !await_death(supervisor.process, DEATH_PATIENCE)
    {
        signal(supervisor.process, Signal::SIGKILL);
    }
    if !is_dead(daemon.pid) {
        // Its mount would not be dead, and looking at it would hang.
        aborted?;
    }
    fuse::clear_dead_mount(&config.mount_point, mount_helper())?;
    supervisor::forget_earlier(&config.runtime_folder);
    remains(config)
}

/// What the data directory has that the remote does not.
///
/// # Errors
///
/// It cannot be looked at.
pub fn remains(config: &Config) -> Result<Drained, Error> {
    let repos = at_rest::status(config)?.repos.into_iter();
    let repos = repos.filter(|repo| repo.pending.operations > 0 || repo.reason.is_some());
    let folder = repositories_folder(&config.data_folder);
    let remains = repos.map(|repo| Remaining {
        journal: Some(Remaining::journal_below(
            &folder.join(&repo.org).join(&repo.name),
        )),
        org: repo.org,
        name: repo.name,
        operations: repo.pending.operations,
        bytes: repo.pending.bytes,
        reason: repo
            .reason
            .or_else(|| Some("the daemon is gone".to_owned())),
        needs_credential: false,
    });
    Ok(Drained {
        remains: remains.collect(),
    })
}

fn on_duty(config: &Config) -> Option<SupervisorStatus> {
    supervisor::status(&config.runtime_folder).filter(SupervisorStatus::is_on_duty)
}

fn mount_helper() -> Option<PathBuf> {
    std::env::var_os("FUSERMOUNT_PATH").map(PathBuf::from)
}

fn signal(process: u32, signal: Signal) {
    // It may be gone by now, which is what was wanted.
    let _gone = kill(Pid::from_raw(process.cast_signed()), signal);
}

/// Waits for a death, but not for long; tells whether it came.
fn await_death(process: u32, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !is_dead(process) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
    true
}
