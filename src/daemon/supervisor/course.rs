//! What a supervisor does next: a pure state machine. Events in, actions out; [`super::shell`]
//! performs them.
//!
//! ```text
//!              .------- the pause is over -------- pausing
//!              v                                      ^
//!          starting --- ready ---> serving --- death -+-- too many: given up
//!           |    `------ refused, not the first ------'
//!           | refused, or death: the first            ending --- end ---> over
//!           `--------------------------> over            ^
//!                                   serving --- says so -'   (and back, if the mount is in use)
//! ```
//!
//! A daemon that ends on purpose says so before it unmounts. That word, and not how the process ends
//! later, is what tells an end from a death: somebody wanted the mount gone, and a daemon that is
//! killed over its last push is not brought back against their will. The same holds once a signal
//! came here.

use std::time::{Duration, Instant};

use super::policy::{Failing, Policy, Verdict};

/// What a supervisor sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The mount answers.
    Ready,
    /// The daemon cannot start, and said why.
    Refused,
    /// The daemon begins to end, on purpose.
    Ending,
    /// It does not end after all.
    Staying,
    /// Its process is gone.
    Gone(Gone),
    /// Somebody wants the supervisor, and so the daemon, to end.
    Asked,
    /// The pause is over.
    PauseOver,
}

/// How a process went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    /// It exited by itself: what it had mounted is unmounted.
    Exited,
    /// A signal ended it, or it exited in a way that none of ours does.
    Killed,
}

/// What a supervisor does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// Goes on waiting.
    Wait,
    /// Starts a daemon.
    Start,
    /// Starts one after that time.
    StartAfter(Duration),
    /// Passes the signal on to the daemon.
    Forward,
    /// Ends.
    End(Outcome),
}

/// Why a supervisor ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The daemon ended on purpose.
    InOrder,
    /// The end was wanted, and the daemon died over it: its dead mount is to be cleared.
    Cut,
    /// The first start failed: whoever asked for it was told.
    NeverStarted,
    /// The daemon died too often.
    GaveUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Starting,
    Serving { since: Instant },
    Ending { served_since: Instant },
    Pausing,
}

/// Where the life of a supervised daemon is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    phase: Phase,
    policy: Policy,
    was_ready: bool,
    /// A signal came here: whatever ends now is not started again.
    is_asked: bool,
    /// The daemon said why it does not start, and is about to exit.
    has_refused: bool,
}

impl Course {
    /// A daemon was started for the first time.
    pub(super) fn new() -> Course {
        Course {
            phase: Phase::Starting,
            policy: Policy::default(),
            was_ready: false,
            is_asked: false,
            has_refused: false,
        }
    }

    /// Deaths in a row.
    pub(super) fn deaths(&self) -> u32 {
        self.policy.deaths()
    }

    /// What to do about an event.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Action {
        match (event, self.phase) {
            (Event::Ready, _) => {
                self.was_ready = true;
                self.phase = Phase::Serving { since: now };
                Action::Wait
            }
            (Event::Refused, _) => {
                self.has_refused = true;
                Action::Wait
            }
            (Event::Ending, Phase::Serving { since }) => {
                self.phase = Phase::Ending {
                    served_since: since,
                };
                Action::Wait
            }
            (Event::Staying, Phase::Ending { served_since }) => {
                self.phase = Phase::Serving {
                    since: served_since,
                };
                self.is_asked = false;
                Action::Wait
            }
            (Event::Ending | Event::Staying, _) => Action::Wait,
            (Event::Gone(gone), phase) => self.gone(gone, phase, now),
            (Event::Asked, Phase::Pausing) => Action::End(Outcome::Cut),
            (Event::Asked, _) => {
                self.is_asked = true;
                Action::Forward
            }
            (Event::PauseOver, Phase::Pausing) => {
                self.phase = Phase::Starting;
                Action::Start
            }
            (Event::PauseOver, _) => Action::Wait,
        }
    }

    fn gone(&mut self, gone: Gone, phase: Phase, now: Instant) -> Action {
        let has_refused = std::mem::take(&mut self.has_refused);
        let is_wanted = self.is_asked || matches!(phase, Phase::Ending { .. });
        if is_wanted && self.was_ready {
            return Action::End(match gone {
                Gone::Exited => Outcome::InOrder,
                Gone::Killed => Outcome::Cut,
            });
        }
        if !self.was_ready {
            return Action::End(Outcome::NeverStarted);
        }
        let failing = match phase {
            Phase::Serving { since } => Failing::Died(now.saturating_duration_since(since)),
            _ if has_refused => Failing::Refused,
            _ => Failing::Died(Duration::ZERO),
        };
        match self.policy.judge(failing) {
            Verdict::RestartAfter(pause) => {
                self.phase = Phase::Pausing;
                Action::StartAfter(pause)
            }
            Verdict::GiveUp => Action::End(Outcome::GaveUp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::DEATHS_MAX;
    use super::*;

    const KILLED: Event = Event::Gone(Gone::Killed);
    const EXITED: Event = Event::Gone(Gone::Exited);

    fn after(events: &[Event]) -> (Course, Action) {
        let now = Instant::now();
        let mut course = Course::new();
        let last = events.iter().map(|event| course.on(*event, now)).last();
        (course, last.unwrap())
    }

    #[test]
    fn a_death_is_followed_by_a_restart_at_once() {
        let (mut course, action) = after(&[Event::Ready, KILLED]);
        assert_eq!(action, Action::StartAfter(Duration::ZERO));
        assert_eq!(course.on(Event::PauseOver, Instant::now()), Action::Start);
        // An exit that was not announced is a death as well.
        let (_, action) = after(&[Event::Ready, EXITED]);
        assert_eq!(action, Action::StartAfter(Duration::ZERO));
    }

    #[test]
    fn an_end_on_purpose_is_no_death_whoever_asked_for_it() {
        for (events, outcome) in [
            (&[Event::Ready, Event::Ending, EXITED][..], Outcome::InOrder),
            (&[Event::Ready, Event::Asked, EXITED], Outcome::InOrder),
            (&[Event::Ready, Event::Ending, KILLED], Outcome::Cut),
            (&[Event::Ready, Event::Asked, KILLED], Outcome::Cut),
            (&[Event::Ready, KILLED, Event::Asked], Outcome::Cut),
            (
                &[Event::Ready, KILLED, Event::PauseOver, Event::Asked, KILLED],
                Outcome::Cut,
            ),
        ] {
            assert_eq!(after(events).1, Action::End(outcome), "{events:?}");
        }
        assert_eq!(after(&[Event::Ready, Event::Asked]).1, Action::Forward);
    }

    #[test]
    fn a_mount_that_stays_is_watched_again() {
        for asked in [Event::Ending, Event::Asked] {
            let events = [Event::Ready, asked, Event::Ending, Event::Staying, KILLED];
            assert_eq!(
                after(&events).1,
                Action::StartAfter(Duration::ZERO),
                "{events:?}"
            );
        }
    }

    #[test]
    fn a_first_start_that_fails_is_not_repeated() {
        for events in [&[Event::Refused, EXITED][..], &[KILLED], &[EXITED]] {
            assert_eq!(after(events).1, Action::End(Outcome::NeverStarted));
        }
    }

    #[test]
    fn deaths_without_end_are_given_up_and_refusals_are_not() {
        let mut course = after(&[Event::Ready]).0;
        let now = Instant::now();
        for death in 1..=DEATHS_MAX {
            let action = course.on(KILLED, now);
            if death == DEATHS_MAX {
                assert_eq!(action, Action::End(Outcome::GaveUp));
            } else {
                assert!(matches!(action, Action::StartAfter(_)), "{death}");
                course.on(Event::PauseOver, now);
            }
        }
        let mut course = after(&[Event::Ready, KILLED, Event::PauseOver]).0;
        for _ in 0..100 {
            course.on(Event::Refused, now);
            let action = course.on(EXITED, now);
            assert!(matches!(action, Action::StartAfter(_)), "{action:?}");
            course.on(Event::PauseOver, now);
        }
    }
}
