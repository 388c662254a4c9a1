//! Who is told how a daemon's life goes: a person at the terminal, the command that waits for the
//! start, or a supervisor.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;

use super::Failure;
use super::ready::{self, Line, Ready};

/// Hears of the turns of a daemon's life.
pub trait Audience: Sync {
    /// The mount answers.
    fn ready(&self, ready: Ready);

    /// Somebody wants the daemon to end. Told before the mount goes: a death from here on is no
    /// reason to start it again.
    fn ending(&self) {}

    /// The mount was in use, and stays after all.
    fn staying(&self) {}

    /// Whether a supervisor listens.
    fn supervision(&self) -> Supervision {
        Supervision::None
    }
}

/// Whether somebody starts the daemon again when it dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supervision {
    /// Nobody ever did.
    None,
    /// A supervisor, when it was started.
    Supervised,
}

/// The ready pipe of a daemon in the background, which was its standard output.
#[derive(Debug)]
pub struct Pipe {
    /// `None` once nobody reads it any more.
    end: Mutex<Option<File>>,
    supervision: Supervision,
}

impl Pipe {
    /// Takes the pipe; standard output is the log from then on.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn take(supervision: Supervision) -> io::Result<Pipe> {
        let end = io::stdout().as_fd().try_clone_to_owned()?;
        nix::unistd::dup2_stdout(io::stderr().as_fd())?;
        Ok(Pipe {
            end: Mutex::new(Some(end.into())),
            supervision,
        })
    }

    /// Says why there will be no mount.
    pub fn failed(&self, failure: Failure) {
        self.say(&Line::Failed(failure));
    }

    fn say(&self, line: &Line) {
        let mut end = self.end.lock();
        if let Some(pipe) = end.as_mut() {
            let said = ready::say(pipe, line).and_then(|()| pipe.flush());
            if let Err(error) = said {
                tracing::warn!(error = %error, "nobody listens to this daemon's turns");
                *end = None;
            }
        }
    }

    /// Logs it when the supervisor is gone: the mount goes on without one, but not in silence.
    fn watch_supervisor(&self) -> io::Result<()> {
        let Some(end) = self.end.lock().as_ref().map(File::try_clone).transpose()? else {
            return Ok(());
        };
        let wait = move || {
            // A write end without a reader reports an error, also to those who ask for nothing.
            let mut descriptors = [PollFd::new(end.as_fd(), PollFlags::empty())];
            if poll(&mut descriptors, PollTimeout::NONE).is_ok() {
                tracing::error!(
                    "the supervisor is gone: the mount goes on, and nobody starts it again if it dies"
                );
            }
        };
        let spawned = thread::Builder::new().name("supervisor-watch".into());
        spawned.spawn(wait).map(drop)
    }
}

impl Audience for Pipe {
    fn ready(&self, ready: Ready) {
        self.say(&Line::Ready(ready));
        match self.supervision {
            // The command that started us reads one line.
            Supervision::None => *self.end.lock() = None,
            Supervision::Supervised => {
                if let Err(error) = self.watch_supervisor() {
                    tracing::warn!(error = %error, "the supervisor is not watched");
                }
            }
        }
    }

    fn ending(&self) {
        self.say(&Line::Ending);
    }

    fn staying(&self) {
        self.say(&Line::Staying);
    }

    fn supervision(&self) -> Supervision {
        self.supervision
    }
}
