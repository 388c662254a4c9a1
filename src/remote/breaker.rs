//! A circuit breaker: once a reader's whole patience was spent in vain, the next readers are told at
//! once, and one at a time finds out whether the server is back. Pure: time arrives as a value.
//!
//! ```text
//! closed --(patience spent, unreachable)--> open(1 s)
//! open   --(time over, next caller)-------> probing      everyone else is refused
//! probing --(answer of any kind)----------> closed
//! probing --(unreachable)-----------------> open(twice as long, at most 15 s)
//! ```

use std::time::{Duration, Instant};

/// First pause: agents retry within seconds, and a short outage should end within one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause: how late a mount may notice that the network is back.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// A probe that was not reported by then is lost; longer than any attempt takes to its first byte.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// Whether a call may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// As always.
    Normal,
    /// One attempt, whose outcome decides for everyone.
    Probe,
    /// Not now.
    Refused,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant, pause: Duration },
    Probing { since: Instant, pause: Duration },
}

/// The state of a connection to one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breaker(State);

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker(State::Closed)
    }
}

impl Breaker {
    /// Asks whether a call may go out. Whoever gets `Probe` reports its outcome.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        let pause = match self.0 {
            State::Closed => return Admission::Normal,
            State::Open { until, .. } if now < until => return Admission::Refused,
            State::Probing { since, .. } if now < since + PROBE_MAX => return Admission::Refused,
            State::Open { pause, .. } | State::Probing { pause, .. } => pause,
        };
        self.0 = State::Probing { since: now, pause };
        Admission::Probe
    }

    /// Whether calls of readers who are already waiting should stop.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.0, State::Closed)
    }

    /// The server answered, whatever it said.
    pub(super) fn answered(&mut self) {
        self.0 = State::Closed;
    }

    /// A probe, or a reader's whole patience, was spent in vain.
    pub(super) fn unreachable(&mut self, now: Instant) {
        let pause = match self.0 {
            State::Closed => PAUSE_FIRST,
            // A reader that had begun before the others gave up tells nothing new.
            State::Open { .. } => return,
            State::Probing { pause, .. } => (pause * 2).min(PAUSE_MAX),
        };
        let until = now + pause;
        self.0 = State::Open { until, pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_vain_reader_everyone_is_refused_and_one_probes() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        assert_eq!(breaker.admit(start), Admission::Normal);
        breaker.unreachable(start);
        breaker.unreachable(start);
        assert_eq!(breaker.admit(start), Admission::Refused);
        let later = start + PAUSE_FIRST;
        assert_eq!(breaker.admit(later), Admission::Probe);
        assert_eq!(breaker.admit(later), Admission::Refused);
        breaker.answered();
        assert_eq!(breaker.admit(later), Admission::Normal);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        breaker.unreachable(now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let begin = now;
            while breaker.admit(now) != Admission::Probe {
                now += Duration::from_millis(100);
            }
            pauses.push((now - begin).as_secs());
            breaker.unreachable(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15, 15]);
    }

    #[test]
    fn a_probe_that_never_reports_does_not_lock_everyone_out() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        breaker.unreachable(now);
        assert_eq!(breaker.admit(now + PAUSE_FIRST), Admission::Probe);
        assert_eq!(
            breaker.admit(now + PAUSE_FIRST + PROBE_MAX),
            Admission::Probe
        );
    }
}
