//! A circuit breaker: once a reader's whole patience was spent in vain, the next callers are told at
//! once, and probes in the background find out when the server is back. Pure: time and chance arrive
//! as values.
//!
//! ```text
//! closed --(patience spent, or a probe failed, and nothing heard)--> open
//! open   --(an answer of any kind, to anyone)---------------------> closed
//! ```

use std::time::{Duration, Instant};

/// First pause between two probes: a short outage should end within a second.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest: with the three seconds that a probe may take it is how late a mount notices that the
/// network is back, and a server that comes back is asked a small thing every few seconds by each
/// of its mounts.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The state of a connection to one server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Breaker {
    state: State,
    heard: Option<Instant>,
    /// How often it opened: tells the probes of one outage from those of another.
    outages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Closed,
    Open,
}

/// What an event changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    Same,
    /// The server is out of reach from now on; the number is the outage's.
    Lost(u64),
    /// It is back.
    Back,
}

impl Breaker {
    /// Whether calls go out.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether this outage goes on.
    pub(super) fn is_outage(&self, outage: u64) -> bool {
        self.state == State::Open && self.outages == outage
    }

    /// Whether the server answered anything since then.
    pub(super) fn heard_since(&self, then: Instant) -> bool {
        self.heard.is_some_and(|heard| heard >= then)
    }

    /// The server answered, whatever it said.
    pub(super) fn answered(&mut self, now: Instant) -> Turn {
        self.heard = Some(now);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => Turn::Same,
            State::Open => Turn::Back,
        }
    }

    /// A probe, or a reader's whole patience, was spent in vain since then. Where others were
    /// answered in that time it tells of the request, not of the server.
    pub(super) fn in_vain(&mut self, since: Instant) -> Turn {
        if self.state == State::Open || self.heard_since(since) {
            return Turn::Same;
        }
        self.state = State::Open;
        self.outages += 1;
        Turn::Lost(self.outages)
    }
}

/// The pause before the next probe, after so many that failed. `chance` is a random number from 0
/// to 1: who lost the server together does not come back in one moment.
pub(super) fn pause(failed: u32, chance: f64) -> Duration {
    let step = PAUSE_FIRST.saturating_mul(1 << failed.min(16));
    step.min(PAUSE_MAX)
        .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_once_an_outage_and_closes_at_any_answer() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        assert!(breaker.is_closed());
        assert_eq!(breaker.in_vain(start), Turn::Lost(1));
        assert_eq!(breaker.in_vain(start), Turn::Same);
        assert!(!breaker.is_closed() && breaker.is_outage(1) && !breaker.is_outage(2));
        assert_eq!(breaker.answered(start), Turn::Back);
        assert_eq!(breaker.answered(start), Turn::Same);
        assert!(breaker.is_closed() && !breaker.is_outage(1));
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.in_vain(later), Turn::Lost(2));
    }

    #[test]
    fn one_request_in_vain_while_others_are_answered_says_nothing_of_the_server() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.answered(later), Turn::Same);
        assert_eq!(breaker.in_vain(start), Turn::Same);
        assert!(breaker.is_closed());
        let after = later + Duration::from_millis(1);
        assert_eq!(breaker.in_vain(after), Turn::Lost(1));
    }

    #[test]
    fn pauses_grow_to_a_limit_and_are_spread() {
        let pauses: Vec<u128> = (0..6).map(|n| pause(n, 1.0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 3000, 3000]);
        assert_eq!(pause(9, 0.0), PAUSE_MAX / 2);
        assert_eq!(pause(u32::MAX, 1.0), PAUSE_MAX);
    }
}
