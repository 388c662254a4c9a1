//! A repository's replay worker: the one thread that pushes its journal.
//!
//! It waits for work, for somebody who wants everything pushed, and for its own timer;
//! [`journal::replay`] says when to push, [`attempt`] does it. However it ends, the journal has
//! everything.

mod attempt;
mod beside;
mod bookmark;
mod cause;
mod events;
mod handshake;
mod kept;
mod plan;
mod progress;
mod publish;

use std::io;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use journal::replay::{self, Action, Backlog, Event, Policy, State};
use parking_lot::Mutex;
use tracing::info_span;

use self::attempt::Replay;
use self::bookmark::Errand;
use self::plan::Plan;
use super::failure::in_a_line;
use super::status::RepoState;
use crate::config::Publish;
use crate::overlay::Overlay;
use crate::remote::{Pusher, Remote, RepositoryName};
use crate::traced::TRACED;

pub(super) use self::bookmark::{Granted, Wish};
pub(super) use self::handshake::Handshake;
pub(super) use self::kept::special;
pub(super) use self::plan::status as publishing;
pub(super) use self::progress::{Progress, Pushes};

/// Orders that wait for the worker: from people, scripts, and the daemon's own end.
const ORDERS_MAX: usize = 32;
/// How often a push is tried again while somebody waits for it.
const DRAIN_RETRY: Duration = Duration::from_secs(1);

/// What somebody wants of the worker.
enum Order {
    /// Everything pushed at once.
    Drain(Drain),
    /// Another attempt at once, unless it is held.
    Retry,
    /// No more attempts.
    Hold,
    /// The end of that.
    Release,
    /// Another attempt at once, with another credential.
    CredentialChanged,
    /// Something published.
    Publish(Errand),
}

/// Somebody who waits until everything is pushed.
struct Drain {
    deadline: Instant,
    /// Dropped when the wait is over.
    _done: Sender<()>,
}

/// The worker's handle; dropping it ends the thread after the attempt that it is in.
pub(super) struct ReplayWorker {
    progress: Arc<Mutex<Progress>>,
    running: Mutex<Option<(Sender<Order>, JoinHandle<()>)>>,
}

impl ReplayWorker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(super) fn start(
        name: RepositoryName,
        overlay: Arc<Overlay>,
        pusher: Pusher,
        publish: Publish,
    ) -> io::Result<ReplayWorker> {
        let progress = Arc::default();
        let (sender, orders) = bounded(ORDERS_MAX);
        let worker = Worker {
            name,
            work: overlay.work().clone(),
            remote: Arc::clone(pusher.remote()),
            back: pusher.remote().watch(),
            replay: Replay::new(Arc::clone(&overlay), pusher),
            changes: overlay.changes(),
            overlay,
            began: Instant::now(),
            not_before: Instant::now(),
            progress: Arc::clone(&progress),
            waiting: Vec::new(),
            plan: Plan::new(publish),
        };
        let thread = thread::Builder::new()
            .name("replay".into())
            .spawn(move || worker.run(&orders))?;
        Ok(ReplayWorker {
            progress,
            running: Mutex::new(Some((sender, thread))),
        })
    }

    /// How the replay stands.
    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    /// Asks for everything to be pushed at once.
    pub(super) fn drain(&self, deadline: Instant) -> Handshake {
        let (done, handshake) = bounded(1);
        // A full queue drops `done`, which ends the wait at once; what remains is still told.
        self.order(Order::Drain(Drain {
            deadline,
            _done: done,
        }));
        Handshake::new(handshake)
    }

    /// Asks for another attempt at once; one that is held stays so.
    pub(super) fn retry(&self) {
        self.order(Order::Retry);
    }

    /// There is another credential.
    pub(super) fn credential_changed(&self) {
        self.order(Order::CredentialChanged);
    }

    /// Stops pushing, after the attempt that it is in.
    pub(super) fn hold(&self) {
        self.order(Order::Hold);
    }

    /// Goes on pushing.
    pub(super) fn release(&self) {
        self.order(Order::Release);
    }

    /// Asks for something to be published; the outcome comes when it is the worker's turn.
    pub(super) fn publish(&self, wish: Wish) -> Receiver<Granted> {
        let (reply, granted) = bounded(1);
        self.order(Order::Publish(Errand { wish, reply }));
        granted
    }

    fn order(&self, order: Order) {
        if let Some((orders, _)) = &*self.running.lock()
            && orders.try_send(order).is_err()
        {
            tracing::warn!("a replay worker has too many orders; one is dropped");
        }
    }

    /// Ends the thread, after the attempt that it is in.
    pub(super) fn close(&self) {
        let Some((orders, thread)) = self.running.lock().take() else {
            return;
        };
        drop(orders);
        if thread.join().is_err() {
            tracing::error!("a replay worker panicked");
        }
    }
}

impl Drop for ReplayWorker {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's own state.
struct Worker {
    name: RepositoryName,
    overlay: Arc<Overlay>,
    work: Receiver<()>,
    remote: Arc<Remote>,
    /// Tells that the server is back.
    back: Receiver<()>,
    replay: Replay,
    began: Instant,
    /// When the server wants to be asked again at the earliest.
    not_before: Instant,
    progress: Arc<Mutex<Progress>>,
    waiting: Vec<Drain>,
    plan: Plan,
    /// Of the overlay, when something was last appended or waited for.
    changes: u64,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        let backlog = match self.overlay.has_pending() {
            false => Backlog::None,
            true => Backlog::Some,
        };
        let (mut machine, mut action) = replay::Replay::new(Policy::default(), backlog, self.now());
        if self.overlay.remote().held.is_some() {
            action = self.step(&mut machine, Event::Hold);
            self.progress.lock().stand(blocked(machine.state()));
        }
        loop {
            let until = match action {
                Action::Push | Action::ForkAndPush => {
                    action = self.push(&mut machine);
                    continue;
                }
                Action::WaitUntil(until) => Some(self.began + until),
                Action::Wait => None,
            };
            self.publish_if_due(&machine);
            self.release(&machine);
            match self.wait(orders, until, &mut machine) {
                ControlFlow::Continue(next) => action = next,
                ControlFlow::Break(()) => return,
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn step(&self, machine: &mut replay::Replay, event: Event) -> Action {
        machine.step(event, self.now(), rand::random())
    }

    /// Waits for the next event. While somebody waits for a push, it is tried more often.
    fn wait(
        &mut self,
        orders: &Receiver<Order>,
        until: Option<Instant>,
        machine: &mut replay::Replay,
    ) -> ControlFlow<(), Action> {
        let fails = matches!(machine.state(), State::Backoff { .. });
        let again = (fails && !self.waiting.is_empty())
            .then(|| (Instant::now() + DRAIN_RETRY).max(self.not_before));
        let deadline = self.waiting.iter().map(|drain| drain.deadline).min();
        let publish = match machine.state() {
            State::Idle if !self.overlay.has_pending() => self.plan.next,
            _ => None,
        };
        let timers = [until, again, deadline, publish];
        let timer = match timers.into_iter().flatten().min() {
            Some(next) => after(next.saturating_duration_since(Instant::now())),
            None => never(),
        };
        let work = self.listens(machine);
        ControlFlow::Continue(select! {
            recv(orders) -> order => match order {
                Ok(order) => self.follow(order, machine),
                Err(_) => return ControlFlow::Break(()),
            },
            recv(work) -> _ => self.appended(machine),
            recv(self.back) -> _ => self.reachable(machine),
            recv(timer) -> _ => match again {
                Some(again) if again <= Instant::now() => self.drain(machine),
                _ => self.tick(machine),
            },
        })
    }

    /// Lets those go whose wait has become pointless: everything was pushed, or will not be without
    /// somebody's help, or their time is over. Called when nothing is being pushed.
    fn release(&mut self, machine: &replay::Replay) {
        match machine.state() {
            State::Idle
            | State::AuthNeeded { .. }
            | State::Quarantined { .. }
            | State::Held { .. } => self.waiting.clear(),
            State::Gathering { .. } | State::Pushing | State::Forking | State::Backoff { .. } => {}
        }
        let now = Instant::now();
        self.waiting.retain(|drain| drain.deadline > now);
    }

    fn push(&mut self, machine: &mut replay::Replay) -> Action {
        let span = info_span!(target: TRACED, "push", mesa.repository = %self.name).entered();
        // What was told by now is part of it.
        let _told = self.work.try_recv();
        let attempt = std::panic::catch_unwind(AssertUnwindSafe(|| self.replay.attempt()));
        drop(span);
        let mut progress = self.progress.lock().clone();
        progress.credential = None;
        progress.cause = None;
        let event = match attempt {
            Ok(Ok(())) => {
                progress.reason = None;
                progress.kept.clone_from(&self.replay.kept);
                Event::Accepted
            }
            Ok(Err(error)) => self.failed(&error, &mut progress),
            Err(_panic) => {
                progress.reason = Some("a bug of ours: see the log".to_owned());
                Event::Failed(replay::Failure::Refused)
            }
        };
        progress.pushes.count(event);
        let mut action = self.step(machine, event);
        if event == Event::Accepted && self.overlay.has_pending() {
            action = self.step(machine, Event::Appended);
        }
        progress.stand(blocked(machine.state()));
        *self.progress.lock() = progress;
        if event == Event::Accepted {
            self.publish_if_due(machine);
            // What the push covers is what they waited for; what was written meanwhile is not.
            self.waiting.clear();
        }
        action
    }

    fn failed(&mut self, error: &attempt::Error, progress: &mut Progress) -> Event {
        let (failure, credential) = error.outcome();
        let reason = in_a_line(error);
        tracing::warn!(repository = %self.name, error = reason, "not pushed");
        progress.reason = Some(reason);
        progress.credential = credential;
        progress.cause = Some(cause::of(error));
        if let replay::Failure::Transient {
            retry_after: Some(wait),
        } = failure
        {
            self.not_before = Instant::now() + wait;
        }
        Event::Failed(failure)
    }
}

/// What a state of the replay means to somebody who looks at the status.
fn blocked(state: State) -> Option<RepoState> {
    match state {
        State::Idle | State::Gathering { .. } | State::Pushing | State::Forking => None,
        State::Backoff { .. } => Some(RepoState::Offline),
        State::AuthNeeded { .. } => Some(RepoState::AuthNeeded),
        State::Quarantined { .. } => Some(RepoState::Quarantined),
        State::Held { .. } => Some(RepoState::Held),
    }
}
