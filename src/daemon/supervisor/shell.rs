//! What performs a supervisor's decisions: signals, a child, a pipe, a clock.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::course::{Action, Course, Event, Gone, Outcome};
use super::state::{Death, StateFile, SupervisorState};
use super::worker::Worker;
use crate::daemon::log::Destination;
use crate::daemon::ready::{self, Line, Ready};
use crate::daemon::{Error, Failure, harden};
use crate::fuse;

/// What every daemon of a supervisor gets.
#[derive(Debug)]
pub struct Supervised {
    /// The words of its command line.
    pub arguments: Vec<OsString>,
    /// Variables: the directories that were configured when the first one was started, in which it
    /// has to find everything again.
    pub settings: Vec<(&'static str, OsString)>,
    /// Where it mounts.
    pub mount_point: PathBuf,
    /// Where the supervisor says how it is.
    pub runtime_folder: PathBuf,
    /// Its log, for messages.
    pub log: Destination,
}

/// Starts a daemon and starts it again whenever it died, until it ends on purpose, a signal comes, or
/// it dies too often. Standard output is the ready pipe of the command that waits for the first start.
///
/// # Errors
///
/// The first daemon cannot be started; a refusal of its own went through the pipe.
pub fn run(supervised: Supervised) -> Result<(), Error> {
    harden::harden();
    let mut wanted = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGCHLD,
        NUDGE,
    ] {
        wanted.add(signal);
    }
    let set_up = |errno: nix::errno::Errno| Error::Setup(errno.into());
    wanted.thread_block().map_err(set_up)?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(&wanted, flags).map_err(set_up)?;
    let worker = Worker::start(&supervised).map_err(Error::Spawn)?;
    let supervisor = Supervisor {
        state: StateFile::new(&supervised.runtime_folder),
        supervised,
        signals,
        course: Course::new(),
        worker: Some(worker),
        is_awaited: true,
        pause_until: None,
        events: VecDeque::new(),
        signal: Signal::SIGTERM,
    };
    supervisor.supervise();
    Ok(())
}

/// Ends a pause at once: somebody waits for the mount.
pub(in crate::daemon) const NUDGE: Signal = Signal::SIGUSR1;

struct Supervisor {
    supervised: Supervised,
    signals: SignalFd,
    course: Course,
    worker: Option<Worker>,
    /// Whether the command that started us still waits for the first daemon.
    is_awaited: bool,
    pause_until: Option<Instant>,
    events: VecDeque<Event>,
    /// The signal to pass on.
    signal: Signal,
    state: StateFile,
}

impl Supervisor {
    fn supervise(mut self) {
        loop {
            let Some(event) = self.events.pop_front() else {
                self.wait();
                continue;
            };
            match self.course.on(event, Instant::now()) {
                Action::Wait => {}
                Action::Start => self.start(),
                Action::StartAfter(pause) => {
                    self.pause_until = Some(Instant::now() + pause);
                    self.state
                        .say(|status| status.state = SupervisorState::Restarting);
                }
                Action::Forward => {
                    if let Some(worker) = &self.worker {
                        worker.signal(self.signal);
                    }
                }
                Action::End(outcome) => return self.end(outcome),
            }
        }
    }

    /// Waits until something happens, and turns it into events: first what the daemon said, so that
    /// its last word counts before its end.
    fn wait(&mut self) {
        let mut descriptors = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let pipe = self.worker.as_ref().and_then(Worker::pipe);
        descriptors.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
        // An interruption is a wait that was short.
        let _interrupted = poll(&mut descriptors, timeout(self.pause_until));
        self.listen();
        while let Ok(Some(signal)) = self.signals.read_signal() {
            self.take(signal.ssi_signo);
        }
        if let Some((gone, how)) = self.worker.as_mut().and_then(Worker::ended) {
            self.listen();
            self.bury(gone, how);
        }
        if self
            .pause_until
            .is_some_and(|until| Instant::now() >= until)
        {
            self.pause_until = None;
            self.events.push_back(Event::PauseOver);
        }
    }

    fn listen(&mut self) {
        let heard = self.worker.as_mut().map(Worker::heard);
        for line in heard.unwrap_or_default() {
            let event = match line {
                Line::Ready(ready) => {
                    self.state
                        .say(|status| status.state = SupervisorState::Watching);
                    tracing::info!(daemon = ready.pid, "supervised");
                    self.relay(Ok(ready));
                    Event::Ready
                }
                Line::Failed(failure) => {
                    self.refused(failure);
                    Event::Refused
                }
                Line::Ending => Event::Ending,
                Line::Staying => Event::Staying,
            };
            self.events.push_back(event);
        }
    }

    fn take(&mut self, number: u32) {
        let signal = i32::try_from(number)
            .ok()
            .and_then(|number| Signal::try_from(number).ok());
        match signal {
            Some(NUDGE) if self.pause_until.is_some() => self.pause_until = Some(Instant::now()),
            Some(NUDGE | Signal::SIGCHLD) | None => {}
            Some(signal) => {
                self.signal = signal;
                self.events.push_back(Event::Asked);
            }
        }
    }

    /// Tells the command that waits for the first daemon, if it still does.
    fn relay(&mut self, outcome: Result<Ready, Failure>) {
        if !std::mem::take(&mut self.is_awaited) {
            return;
        }
        if let Err(error) = ready::tell(&mut io::stdout().lock(), outcome) {
            tracing::warn!(error = %error, "nobody waits for this start");
        }
        // Standard output is the log from now on, and the pipe is closed.
        if let Err(errno) = nix::unistd::dup2_stdout(io::stderr().as_fd()) {
            tracing::warn!(error = %errno, "the ready pipe stays open");
        }
    }

    fn refused(&mut self, failure: Failure) {
        if self.is_awaited {
            return self.relay(Err(failure));
        }
        let pid = self.worker.as_ref().map_or(0, Worker::pid);
        self.state.remember(Death::now(pid, failure.in_a_line()));
    }

    /// Remembers how a daemon ended.
    fn bury(&mut self, gone: Gone, how: String) {
        let Some(worker) = self.worker.take() else {
            return;
        };
        tracing::info!(daemon = worker.pid(), how, "the daemon is gone");
        // One that refused to start has said more than its exit code does.
        if gone == Gone::Killed {
            self.state.remember(Death::now(worker.pid(), how));
        }
        self.events.push_back(Event::Gone(gone));
    }

    fn start(&mut self) {
        tracing::warn!(deaths = self.course.deaths(), "the daemon is started again");
        self.state.count_restart();
        match Worker::start(&self.supervised) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => {
                tracing::error!(error = %error, "the daemon cannot be started");
                self.state.remember(Death::now(0, error.to_string()));
                self.events
                    .extend([Event::Refused, Event::Gone(Gone::Exited)]);
            }
        }
    }

    fn end(mut self, outcome: Outcome) {
        match outcome {
            Outcome::InOrder => self.state.remove(),
            Outcome::NeverStarted => {}
            Outcome::Cut => {
                let helper = std::env::var_os("FUSERMOUNT_PATH").map(PathBuf::from);
                match fuse::clear_dead_mount(&self.supervised.mount_point, helper) {
                    Ok(_) => {
                        tracing::warn!("the daemon died while it was ending; its mount is cleared");
                    }
                    Err(error) => tracing::error!(error = %error, "the dead mount stays behind"),
                }
                self.state.remove();
            }
            Outcome::GaveUp => {
                // The dead mount stays: programs get an error from it, where they would write into the
                // bare directory below without it.
                tracing::error!(
                    deaths = self.course.deaths(),
                    log = %self.supervised.log,
                    "given up: the daemon died too often; nothing is lost, and `mesa mount --daemonize` starts it"
                );
                self.state
                    .say(|status| status.state = SupervisorState::GaveUp);
            }
        }
    }
}

fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else {
        return PollTimeout::NONE;
    };
    // A fraction of a millisecond more, so that the pause is over when the wait is.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
