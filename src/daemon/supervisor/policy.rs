//! When a daemon that died is started again: a pure rule over what happened and how long it served.
//!
//! The first restart comes at once, since most deaths are single ones and the mount answers nobody
//! meanwhile. A daemon that dies again soon is started after pauses that double. One that dies again
//! and again would only harm what it works on: it is given up. What is not a death but a refusal to
//! start (a full disk, a server that cannot be asked) heals from outside, so that one is tried for as
//! long as it takes, but rarely.

use std::time::Duration;

/// Deaths in a row after which there is no restart: the pauses between them take some four seconds,
/// in which whatever is transient has passed.
pub(super) const DEATHS_MAX: u32 = 6;
/// A daemon that served this long was healthy: what kills it then has nothing to do with earlier
/// deaths.
pub(super) const HEALTHY: Duration = Duration::from_secs(60);
/// Pause before the second restart in a row.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause: a disk that has room again, or a network that is back, is noticed within this time.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a daemon's life ended, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failing {
    /// It died, after it had served that long; zero if it did not come so far.
    Died(Duration),
    /// It said why it cannot start.
    Refused,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Start it again, after a pause.
    RestartAfter(Duration),
    /// Start it no more.
    GiveUp,
}

/// What happened so far.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Policy {
    deaths: u32,
    /// Failures of both kinds since the last healthy time: they set the pause.
    failures: u32,
}

impl Policy {
    /// Judges one more end.
    pub(super) fn judge(&mut self, failing: Failing) -> Verdict {
        if matches!(failing, Failing::Died(served) if served >= HEALTHY) {
            *self = Policy::default();
        }
        if matches!(failing, Failing::Died(_)) {
            self.deaths = self.deaths.saturating_add(1);
        }
        let pause = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => PAUSE_FIRST
                .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
                .min(PAUSE_MAX),
        };
        self.failures = self.failures.saturating_add(1);
        if self.deaths >= DEATHS_MAX {
            Verdict::GiveUp
        } else {
            Verdict::RestartAfter(pause)
        }
    }

    /// Deaths in a row.
    pub(super) fn deaths(&self) -> u32 {
        self.deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOON: Failing = Failing::Died(Duration::from_secs(1));

    #[test]
    fn the_first_restart_is_at_once_and_later_pauses_double() {
        let mut policy = Policy::default();
        let mut pauses = Vec::new();
        while let Verdict::RestartAfter(pause) = policy.judge(SOON) {
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [0, 250, 500, 1000, 2000]);
        assert_eq!(policy.judge(SOON), Verdict::GiveUp, "it stays given up");
    }

    #[test]
    fn a_healthy_time_forgives() {
        let mut policy = Policy::default();
        for _ in 1..DEATHS_MAX {
            policy.judge(SOON);
        }
        let healthy = Failing::Died(HEALTHY);
        for _ in 0..100 {
            assert_eq!(
                policy.judge(healthy),
                Verdict::RestartAfter(Duration::ZERO),
                "a death a minute is worth a restart a minute"
            );
        }
    }

    #[test]
    fn a_refusal_is_tried_for_ever_and_rarely() {
        let mut policy = Policy::default();
        let last = (0..100).map(|_| policy.judge(Failing::Refused)).last();
        assert_eq!(last, Some(Verdict::RestartAfter(PAUSE_MAX)));
    }

    proptest! {
        /// Whatever happens, restarts are bounded: at most so many before a healthy time or the end.
        #[test]
        fn restarts_after_deaths_are_bounded(served in prop::collection::vec(0_u64..59, 1..40)) {
            let mut policy = Policy::default();
            let restarts = served
                .iter()
                .map(|seconds| policy.judge(Failing::Died(Duration::from_secs(*seconds))))
                .take_while(|verdict| *verdict != Verdict::GiveUp)
                .count();
            prop_assert!(restarts < usize::try_from(DEATHS_MAX).unwrap());
        }
    }
}
