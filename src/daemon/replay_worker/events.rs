//! What the worker hears, as events of the state machine.

use std::time::Instant;

use crossbeam_channel::{Receiver, never};
use journal::replay::{self, Action, Event, State};

use super::{Order, Worker, blocked};

impl Worker {
    /// Something was appended.
    pub(super) fn appended(&mut self, machine: &mut replay::Replay) -> Action {
        self.changes = self.overlay.changes();
        self.step(machine, Event::Appended)
    }

    /// Goes on when its instant has come; a file that is still being written to counts as work that was
    /// appended, so that no push begins which would find it changed, and takes the processor from it.
    pub(super) fn tick(&mut self, machine: &mut replay::Replay) -> Action {
        let changes = self.overlay.changes();
        let has_changed = std::mem::replace(&mut self.changes, changes) != changes;
        match machine.state() {
            State::Gathering { .. } if has_changed => self.step(machine, Event::Appended),
            // Of what was appended meanwhile nobody told but now; it came when it came.
            State::Gathering { .. } if self.work.try_recv().is_ok() => {
                let at = self
                    .overlay
                    .worked_at()
                    .saturating_duration_since(self.began);
                machine.step(Event::Appended, at, rand::random())
            }
            _ => self.step(machine, Event::Tick),
        }
    }

    /// What tells of work, in a state in which that makes a difference: while more of it is gathered, or waits
    /// for a server or a person, an edit need not wake anybody.
    pub(super) fn listens(&self, machine: &replay::Replay) -> Receiver<()> {
        match machine.state() {
            State::Idle | State::Quarantined { .. } | State::Held { retry: None } => {
                self.work.clone()
            }
            State::Gathering { .. }
            | State::Pushing
            | State::Forking
            | State::Backoff { .. }
            | State::AuthNeeded { .. }
            | State::Held { retry: Some(_) } => never(),
        }
    }

    pub(super) fn follow(&mut self, order: Order, machine: &mut replay::Replay) -> Action {
        let action = match order {
            Order::Drain(drain) => {
                self.waiting.push(drain);
                self.drain(machine)
            }
            Order::Retry if matches!(machine.state(), State::Held { .. }) => Action::Wait,
            Order::Retry | Order::Release => {
                self.plan.again();
                let action = self.step(machine, Event::Release);
                // What came while it was held did not wake anybody.
                match machine.state() {
                    State::Idle if self.overlay.has_pending() => {
                        self.step(machine, Event::Appended)
                    }
                    _ => action,
                }
            }
            Order::Hold => self.step(machine, Event::Hold),
            Order::CredentialChanged => {
                self.plan.again();
                self.progress.lock().credential = None;
                self.step(machine, Event::CredentialChanged)
            }
            Order::Publish(errand) => {
                self.grant(errand);
                self.step(machine, Event::Tick)
            }
        };
        self.progress.lock().stand(blocked(machine.state()));
        action
    }

    /// Goes on at once, unless the server itself has named a later time.
    pub(super) fn reachable(&mut self, machine: &mut replay::Replay) -> Action {
        self.plan.reachable();
        match self.not_before <= Instant::now() {
            true => self.step(machine, Event::Reachable),
            false => self.step(machine, Event::Tick),
        }
    }

    pub(super) fn drain(&self, machine: &mut replay::Replay) -> Action {
        self.remote.hurry();
        // The wake-up for what was appended a moment ago may still be on its way.
        if machine.state() == State::Idle && self.overlay.has_pending() {
            let _gathers = self.step(machine, Event::Appended);
        }
        self.step(machine, Event::Drain)
    }
}
