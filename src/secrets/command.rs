//! The credential command: a program of the user's that prints a credential.
//!
//! It is started without a shell, in a process group of its own, with nothing of ours but its
//! arguments and an environment without our credentials; it dies with us, and with everything it
//! started once it has ended or its time is over. What it prints is bounded, and what it says on
//! standard error is shown without whatever looks like a credential.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use zeroize::Zeroizing;

use super::{CREDENTIAL_BYTES_MAX, CommandError, Credential, SECRET_VARIABLES};

/// How long it may take: a sign-on over a slow network, and no more than a reader would wait for.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Most that it may print: a credential and the blanks around it.
const PRINTED_BYTES_MAX: usize = 2 * CREDENTIAL_BYTES_MAX;
/// The end of its standard error that is kept.
const SAID_BYTES_MAX: usize = 1024;
/// How often its end is looked for while its pipes are silent.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Runs the command and takes what it prints. Blocks for at most the deadline.
///
/// # Errors
///
/// [`CommandError`]; nothing of it runs any more.
pub(super) fn run(command: &[String], deadline: Duration) -> Result<Credential, CommandError> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| CommandError::Run(io::ErrorKind::InvalidInput.into()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    // SAFETY: prctl is async-signal-safe, and touches only the new process.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    let mut running = Running {
        child: command.spawn().map_err(CommandError::Run)?,
        printed: Zeroizing::new(Vec::new()),
        said: Vec::new(),
    };
    let ended = running.follow(Instant::now() + deadline);
    let status = running.end().map_err(CommandError::Run)?;
    let said = shown(&running.said, &running.printed);
    match ended? {
        Ended::InTime if status.success() => {}
        Ended::InTime => {
            let status = status.to_string();
            return Err(CommandError::Failed { status, said });
        }
        Ended::Late => {
            return Err(CommandError::TimedOut {
                after: deadline,
                said,
            });
        }
    }
    let text = String::from_utf8_lossy(&running.printed).into_owned();
    Credential::try_from(text).map_err(|source| CommandError::Output { source, said })
}

enum Ended {
    InTime,
    Late,
}

struct Running {
    child: Child,
    printed: Zeroizing<Vec<u8>>,
    said: Vec<u8>,
}

impl Running {
    /// Reads its pipes until it ends, or its time does. What its children still hold open then is
    /// not waited for.
    fn follow(&mut self, deadline: Instant) -> Result<Ended, CommandError> {
        let mut open = (true, true);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Ended::Late);
            }
            let ended = self.has_ended().map_err(CommandError::Run)?;
            let wait = if ended {
                Duration::ZERO
            } else {
                left.min(LOOK_AGAIN)
            };
            let read = self.read(&mut open, wait).map_err(CommandError::Run)?;
            if self.printed.len() > PRINTED_BYTES_MAX {
                return Err(CommandError::TooLong);
            }
            if ended && !read {
                return Ok(Ended::InTime);
            }
        }
    }

    /// Whether it has ended; it is not reaped, so that its group's number stays its own.
    fn has_ended(&self) -> io::Result<bool> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(self.pid()), flags)?;
        Ok(status != WaitStatus::StillAlive)
    }

    /// Reads what there is, waiting for it; returns whether there was something.
    fn read(&mut self, open: &mut (bool, bool), wait: Duration) -> io::Result<bool> {
        let stdout = self.child.stdout.as_mut().filter(|_| open.0);
        let stderr = self.child.stderr.as_mut().filter(|_| open.1);
        let mut any = false;
        let ready = readable(
            [
                stdout.as_ref().map(|pipe| pipe.as_fd()),
                stderr.as_ref().map(|pipe| pipe.as_fd()),
            ],
            wait,
        )?;
        let mut buffer = Zeroizing::new([0; 4096]);
        if let (Some(pipe), true) = (stdout, ready.0) {
            let count = pipe.read(buffer.as_mut())?;
            open.0 = count > 0;
            any |= count > 0;
            self.printed.extend(buffer.iter().take(count));
        }
        if let (Some(pipe), true) = (stderr, ready.1) {
            let count = pipe.read(buffer.as_mut())?;
            open.1 = count > 0;
            any |= count > 0;
            self.said.extend(buffer.iter().take(count));
            // Twice as much, so that what is cut off cannot be the half of a secret that is shown.
            let over = self.said.len().saturating_sub(2 * PRINTED_BYTES_MAX);
            self.said.drain(..over);
        }
        Ok(any)
    }

    /// Ends it with everything that it started.
    fn end(&mut self) -> io::Result<std::process::ExitStatus> {
        // Not reaped yet, so the group is its own; none left is as good.
        let _gone = killpg(self.pid(), Signal::SIGKILL);
        self.child.wait()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

/// Waits until one of two pipes has something, or has ended; tells which.
fn readable(pipes: [Option<BorrowedFd<'_>>; 2], wait: Duration) -> io::Result<(bool, bool)> {
    let mut waits: Vec<PollFd<'_>> = pipes
        .iter()
        .flatten()
        .map(|pipe| PollFd::new(*pipe, PollFlags::POLLIN))
        .collect();
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    match poll(&mut waits, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut waits = waits.iter();
    let mut is_ready = |pipe: Option<BorrowedFd<'_>>| {
        let found = pipe.and_then(|_| waits.next());
        found.and_then(PollFd::any).unwrap_or(false)
    };
    let [first, second] = pipes;
    Ok((is_ready(first), is_ready(second)))
}

/// The end of what it said, in one line, without what it printed and without what looks like a
/// credential.
fn shown(said: &[u8], printed: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let printed = String::from_utf8_lossy(printed);
    let secrets: Vec<&str> = printed.split_whitespace().collect();
    let words = said.split_whitespace().map(|word| {
        let told = secrets.iter().any(|secret| word.contains(secret));
        if told || looks_secret(word) {
            "(masked)"
        } else {
            word
        }
    });
    let line: String = words.collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|letter| !letter.is_control()).collect();
    let mut start = line.len().saturating_sub(SAID_BYTES_MAX);
    while !line.is_char_boundary(start) {
        start += 1;
    }
    line.get(start..).unwrap_or_default().to_owned()
}

/// An API key, an access token, or anything long that could be one: paths and words are shorter, or
/// have slashes.
fn looks_secret(word: &str) -> bool {
    let plain = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=".contains(&byte);
        part.bytes().all(fits)
    };
    let long = word
        .split(|letter: char| !plain(letter.encode_utf8(&mut [0; 4])))
        .any(|part| part.len() >= 40);
    long || word.contains("mesa_") || word.contains("eyJ")
}

#[cfg(test)]
mod tests {
    // What starts programs is tested in a program of its own: between fork and exec a child holds the
    // locks of whatever else is tested in this one.
    use super::*;

    #[test]
    fn what_it_said_is_shown_without_secrets_in_one_short_line() {
        let said = b"no luck\nwith the-token, mesa_abc or eyJx.y.z \x1b[31m";
        assert_eq!(
            shown(said, b"the-token\n"),
            "no luck with (masked) (masked) or (masked) [31m"
        );
        let key = "k".repeat(40);
        let path = "/usr/lib/some/where/that/is/rather/long/indeed";
        assert_eq!(
            shown(format!("{path} {key}").as_bytes(), b""),
            format!("{path} (masked)")
        );
        let endless = "talk ".repeat(10_000);
        assert!(shown(endless.as_bytes(), b"").len() <= SAID_BYTES_MAX);
    }
}
