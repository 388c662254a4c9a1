//! The daemon as its supervisor has it: a child, and the read end of its ready pipe.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::course::Gone;
use super::shell::Supervised;
use crate::daemon::ready::{Line, Lines};

/// The exit codes of a daemon that ended or failed in order; with any other (a panic) it died.
const EXITS_IN_ORDER: [i32; 4] = [0, 1, 4, 5];

/// A daemon that was started.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    /// `None` once nobody writes to it any more.
    pipe: Option<PipeReader>,
    lines: Lines,
}

impl Worker {
    /// Starts one: in our session and process group, where it is found by whoever ends ours.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub(super) fn start(supervised: &Supervised) -> io::Result<Worker> {
        let (pipe, writer) = io::pipe()?;
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // The same program, also if a newer one was installed in its place meanwhile.
        let child = Command::new("/proc/self/exe")
            .arg0("mesa")
            .args(&supervised.arguments)
            .envs(
                supervised
                    .settings
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(writer)
            .spawn()?;
        Ok(Worker {
            child,
            pipe: Some(pipe),
            lines: Lines::default(),
        })
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it is heard, as long as it can be.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// What it said since.
    pub(super) fn heard(&mut self) -> Vec<Line> {
        let Some(pipe) = &self.pipe else {
            return Vec::new();
        };
        let (lines, is_over) = self.lines.read(pipe);
        if is_over {
            self.pipe = None;
        }
        lines
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<(Gone, String)> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some((gone(status), describe(status))),
            Err(error) => Some((Gone::Killed, error.to_string())),
        }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        // It is our child and not waited for, so the number is its own.
        if let Err(error) = kill(Pid::from_raw(self.pid().cast_signed()), signal) {
            tracing::warn!(error = %error, "the daemon takes no signal");
        }
    }
}

fn gone(status: ExitStatus) -> Gone {
    match status.code() {
        Some(code) if EXITS_IN_ORDER.contains(&code) => Gone::Exited,
        _ => Gone::Killed,
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        for (raw, kind, words) in [
            (9, Gone::Killed, "killed by SIGKILL"),
            (6, Gone::Killed, "killed by SIGABRT"),
            (4 << 8, Gone::Exited, "exited with code 4"),
            (3 << 8, Gone::Killed, "exited with code 3"),
            (101 << 8, Gone::Killed, "exited with code 101"),
        ] {
            let status = ExitStatus::from_raw(raw);
            assert_eq!((gone(status), &*describe(status)), (kind, words));
        }
    }
}
