//! A daemon that was told where to die, as a child in the foreground, so that its end is seen.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::process::Held;
use crate::support::stopwatch::{holds_within, wait_until};
use crate::support::world::World;

/// A call that hangs in the daemon is freed by killing it after this time, and the test fails.
const WATCHDOG: Duration = Duration::from_secs(60);
/// More than one segment of the smallest size takes with all that is filled ahead, and less than two.
const COMPACT_BYTES: u64 = 600 << 10;
/// A mount is there within this time, or its daemon is dead.
const READY: Duration = Duration::from_secs(30);

/// A running daemon; killed when dropped.
pub struct Armed {
    child: Child,
    log: PathBuf,
    _watchdog: mpsc::Sender<()>,
}

impl Armed {
    /// Mounts a world with a daemon that dies at `failpoint`, and waits until the mount answers or
    /// the daemon is dead. Limits are small, so that what happens rarely happens soon.
    pub fn mount(world: &World, failpoint: &str) -> Armed {
        let log = world.folder().join("armed.log");
        let output = File::create(&log).unwrap();
        let mut child = world
            .mesa(&["mount"])
            .env("MESA_FAILPOINT", failpoint)
            .env("MESA_TEST_SEGMENT_BYTES", "1")
            .env("MESA_TEST_COMPACT_BYTES", COMPACT_BYTES.to_string())
            .env("MESA_TEST_CHECKPOINT_MS", "1")
            .env("MESA_COMMIT_INTERVAL", "200ms")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let (sender, receiver) = mpsc::channel::<()>();
        let held = Held::of(child.id()).unwrap();
        thread::spawn(move || {
            if receiver.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("a daemon is killed after {WATCHDOG:?}");
                held.kill();
            }
        });
        wait_until("mounted, or dead", READY, || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            said.contains("mounted at") || child.try_wait().unwrap().is_some()
        });
        Armed {
            child,
            log,
            _watchdog: sender,
        }
    }

    /// Whether it is dead, or dies within that time.
    pub fn dies_within(&mut self, deadline: Duration) -> bool {
        holds_within(deadline, || self.child.try_wait().unwrap().is_some())
    }

    /// Kills it from outside, at a moment when nothing is asked of it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Checks that it died there, and of nothing else.
    #[track_caller]
    pub fn assert_died_at(mut self, point: &str) {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let status: ExitStatus = match self.child.try_wait().unwrap() {
            Some(status) => status,
            None => panic!("{point} was not reached; the daemon said:\n{said}"),
        };
        assert_eq!(
            status.signal(),
            Some(libc::SIGABRT),
            "{status}; it said:\n{said}"
        );
        assert_reached(&said, point);
    }
}

/// Checks that a process which wrote this died at that point. The line need not be its last: other
/// threads write until the process is gone.
#[track_caller]
pub fn assert_reached(said: &str, point: &str) {
    let line = format!("failpoint reached: {point}");
    assert!(said.lines().any(|said| said == line), "it said:\n{said}");
}

impl Drop for Armed {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
