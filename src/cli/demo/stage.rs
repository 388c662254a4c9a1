//! The demo's processes and its temporary directory, and how all of it goes away again: at the
//! end, at the first failure, and on Ctrl+C.
//!
//! Whatever is started is entered here first, so that the signal thread can take it down at any
//! time; once taken down, nothing new starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::Error;
use crate::daemon::supervisor::{self, SupervisorStatus};
use crate::daemon::{self, DataLock};

/// How long a process may take to end before it is killed, or given up.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a process that is ending.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Where everything is.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The temporary directory.
    pub(super) root: PathBuf,
    /// The server's data.
    pub(super) server: PathBuf,
    /// The daemon's data.
    pub(super) data: PathBuf,
    /// The daemon's runtime directory.
    pub(super) runtime: PathBuf,
    /// The mount point.
    pub(super) mount: PathBuf,
    /// Git's clone.
    pub(super) clone: PathBuf,
}

/// The stage; dropping it takes everything down.
#[derive(Clone)]
pub(super) struct Stage {
    places: Places,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    closed: bool,
    /// Long-lived and short-lived children of ours, by process id.
    children: Vec<Pid>,
}

impl Stage {
    /// Makes the temporary directory.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub(super) fn build() -> Result<Stage, Error> {
        let temporary = std::env::temp_dir();
        let root = tempfile::Builder::new()
            .prefix("mesa-demo-")
            .tempdir_in(&temporary)
            .map_err(Error::file(&temporary))?
            .keep();
        let places = Places {
            server: root.join("server"),
            data: root.join("data"),
            runtime: root.join("run"),
            mount: root.join("mnt"),
            clone: root.join("clone.git"),
            root,
        };
        Ok(Stage {
            places,
            running: Arc::default(),
        })
    }

    /// Where everything is.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Starts a process in a process group of its own, so that Ctrl+C reaches us alone.
    ///
    /// # Errors
    ///
    /// It cannot be started, or the stage is being taken down.
    pub(super) fn start(
        &self,
        program: &'static str,
        command: &mut Command,
    ) -> Result<Child, Error> {
        use std::os::unix::process::CommandExt;
        command.process_group(0).stdin(Stdio::null());
        // The lock is held over the start: a process that the signal thread does not see would
        // outlive us.
        let mut running = self.running.lock();
        if running.closed {
            return Err(Error::Interrupted);
        }
        let child = command
            .spawn()
            .map_err(|source| Error::Start { program, source })?;
        running.children.push(pid_of(&child));
        Ok(child)
    }

    /// Runs a process to its end and returns what it said.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(super) fn run(
        &self,
        program: &'static str,
        command: &mut Command,
    ) -> Result<Output, Error> {
        let child = self.start(
            program,
            command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        )?;
        let pid = pid_of(&child);
        let output = child
            .wait_with_output()
            .map_err(|source| Error::Start { program, source });
        self.forget(pid);
        output
    }

    /// Ends a child with a signal and waits for it.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub(super) fn end(&self, what: &'static str, mut child: Child) -> Result<(), Error> {
        let pid = pid_of(&child);
        let _ended_already = kill(pid, Signal::SIGTERM);
        let ended = until(|| !matches!(child.try_wait(), Ok(None)));
        if !ended {
            let _ended_already = child.kill();
        }
        let _status = child.wait();
        self.forget(pid);
        if ended {
            Ok(())
        } else {
            Err(Error::Stuck { what })
        }
    }

    fn forget(&self, pid: Pid) {
        self.running.lock().children.retain(|other| *other != pid);
    }

    /// Kills everything that still runs, unmounts, and removes the temporary directory.
    pub(super) fn strike(&self) {
        let children = {
            let mut running = self.running.lock();
            running.closed = true;
            std::mem::take(&mut running.children)
        };
        for child in children {
            let _ended_already = kill(child, Signal::SIGKILL);
        }
        self.kill_supervisor();
        let _ended = until(|| !self.kill_daemon());
        unmount(&self.places.mount);
        let _gone_already = fs::remove_dir_all(&self.places.root);
    }

    /// Kills the supervisor, which would start the daemon again.
    fn kill_supervisor(&self) {
        let supervisor = supervisor::status(&self.places.runtime);
        if let Some(supervisor) = supervisor.filter(SupervisorStatus::is_on_duty) {
            let pid = Pid::from_raw(supervisor.process.cast_signed());
            let _ended_already = kill(pid, Signal::SIGKILL);
        }
    }

    /// Kills the daemon of our data directory; whether there was one.
    fn kill_daemon(&self) -> bool {
        match DataLock::acquire(&self.places.data) {
            Err(daemon::Error::AlreadyRunning { pid, .. }) => {
                if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
                    let _ended_already = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                true
            }
            _ => false,
        }
    }
}

/// Waits until a process that is no child of ours is gone.
///
/// # Errors
///
/// It stays.
pub(super) fn await_end(what: &'static str, pid: Pid) -> Result<(), Error> {
    let gone = until(|| daemon::is_dead(pid.as_raw().unsigned_abs()));
    if gone {
        Ok(())
    } else {
        Err(Error::Stuck { what })
    }
}

fn until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + END_PATIENCE;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
    true
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Detaches what may be left of a mount; nothing there is fine.
fn unmount(mount: &Path) {
    use nix::mount::{MntFlags, umount2};
    if umount2(mount, MntFlags::MNT_DETACH) == Err(Errno::EPERM) {
        let _not_mounted = Command::new("fusermount3")
            .arg("-uz")
            .arg(mount)
            .stderr(Stdio::null())
            .status();
    }
}
