//! Processes: run to the end with a deadline, or held by a pidfd, which never names a stranger.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest time that a command of these tests may take on two busy cores.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(180);

/// What a command left behind.
#[derive(Debug)]
pub struct Finished {
    pub shown: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Its exit code.
    ///
    /// # Panics
    ///
    /// A signal ended it.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self}"))
    }

    /// Standard output as text, without the last line end.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone())
            .unwrap()
            .trim_end_matches('\n')
            .to_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The same, after it is checked that it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        assert!(
            self.status.code() == Some(code),
            "expected exit code {code}: {self}"
        );
        self
    }

    /// The same, after it is checked that it succeeded.
    #[track_caller]
    pub fn success(self) -> Finished {
        self.expect(0)
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}\n  ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.status,
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(&self.stderr)
        )
    }
}

/// Runs a command to its end, and until nobody holds its output open.
///
/// # Panics
///
/// It cannot be started, or takes longer than [`COMMAND_DEADLINE`].
#[track_caller]
pub fn run(command: &mut Command) -> Finished {
    run_within(command, COMMAND_DEADLINE)
}

/// As [`run`], with another deadline.
///
/// # Panics
///
/// It cannot be started, or takes longer.
#[track_caller]
pub fn run_within(command: &mut Command, deadline: Duration) -> Finished {
    finish(command.stdin(Stdio::null()), deadline)
}

/// As [`run`], with this on its standard input.
///
/// # Panics
///
/// It cannot be started, or takes too long.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> Finished {
    // A pipe takes that much without a reader.
    assert!(input.len() < 4096);
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(input.as_bytes()).unwrap();
    drop(writer);
    finish(command.stdin(reader), COMMAND_DEADLINE)
}

#[track_caller]
fn finish(command: &mut Command, deadline: Duration) -> Finished {
    let shown = format!("{command:?}");
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let held = Held::of(child.id()).unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(deadline) else {
        held.kill();
        panic!("{shown}: not done after {deadline:?} (its output may be held open by a child)");
    };
    let output = output.unwrap();
    Finished {
        shown,
        status: output.status,
        stdout: output.stdout,
        stderr: output.stderr,
    }
}

/// Settings of the machine that say how the network is reached.
const NETWORK: [&str; 5] = [
    "PIP_",
    "SSL_CERT_",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_registry",
    "HTTPS_PROXY",
];

/// Lets a program reach the network as this machine does.
pub fn with_network(command: &mut Command) -> &mut Command {
    let named = |name: &str| NETWORK.iter().any(|known| name.starts_with(known));
    command.envs(std::env::vars().filter(|(name, _)| named(name)))
}

/// A process by pidfd: once it is gone, its number cannot be taken for another's.
#[derive(Debug)]
pub struct Held {
    pub pid: u32,
    descriptor: OwnedFd,
}

impl Held {
    /// Holds a running process.
    ///
    /// # Errors
    ///
    /// There is none of that number.
    pub fn of(pid: u32) -> io::Result<Held> {
        // SAFETY: no memory is involved; the flags are none.
        let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        let raw = i32::try_from(raw).unwrap();
        // SAFETY: the kernel has just made this descriptor for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Held { pid, descriptor })
    }

    /// Sends a signal; a process that is gone takes none.
    pub fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved: the signal information is null.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.descriptor.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
        }
    }

    /// Ends it the hard way.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Whether it ends within that time.
    pub fn ends_within(&self, deadline: Duration) -> bool {
        let mut wait = libc::pollfd {
            fd: self.descriptor.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = i32::try_from(deadline.as_millis()).unwrap();
        // SAFETY: one pollfd, alive during the call.
        unsafe { libc::poll(&raw mut wait, 1, milliseconds) == 1 }
    }

    /// A number of kibibytes from `/proc/PID/status`: `VmHWM`, `VmRSS`.
    pub fn memory_kib(&self, field: &str) -> Option<u64> {
        let mut text = String::new();
        File::open(format!("/proc/{}/status", self.pid))
            .ok()?
            .read_to_string(&mut text)
            .ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    }
}
