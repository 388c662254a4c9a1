//! What the nearing end of a credential asks for: pure; time arrives as a value.
//!
//! ```text
//! issued ------------------------------ 10 % left ----- margin ----- expires
//!        Calm                           Warned          Hurried      Over
//! ```
//!
//! The margin, in which edits are pushed at once, may begin before the warning, or after it: it is a
//! tenth of the life, but at least what a push over a slow network takes and at most what the largest
//! backlog should. A credential that does not say when it was issued is taken to be as old as our
//! knowledge of it.

use std::time::{Duration, SystemTime};

/// Shortest margin: a push with its retries.
const MARGIN_MIN: Duration = Duration::from_secs(10);
/// Longest: gigabytes go out in that time, and smaller pushes than usual are no use for longer.
const MARGIN_MAX: Duration = Duration::from_secs(300);

/// The life of one credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Life {
    expires: SystemTime,
    length: Duration,
}

/// Where in its life a credential is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Phase {
    /// Whether a tenth of the life, or less, is left.
    pub(super) is_late: bool,
    /// Whether everything should be pushed at once.
    pub(super) is_hurried: bool,
    /// How long until this is not so any more; `None` when it will always be so.
    pub(super) lasts: Option<Duration>,
}

impl Life {
    /// The life of a credential that is known since `seen`.
    pub(super) fn new(issued: Option<SystemTime>, expires: SystemTime, seen: SystemTime) -> Life {
        let begun = issued.unwrap_or(seen);
        Life {
            expires,
            length: expires.duration_since(begun).unwrap_or_default(),
        }
    }

    /// How much of it is left.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        self.expires.duration_since(now).unwrap_or_default()
    }

    /// Where in it `now` is.
    pub(super) fn phase(&self, now: SystemTime) -> Phase {
        let left = self.left(now);
        let tenth = self.length / 10;
        let margin = tenth.clamp(MARGIN_MIN, MARGIN_MAX).min(self.length / 2);
        let next = [tenth, margin, Duration::ZERO]
            .into_iter()
            .filter_map(|bound| left.checked_sub(bound))
            .filter(|wait| !wait.is_zero());
        Phase {
            is_late: left <= tenth,
            is_hurried: left <= margin && !left.is_zero(),
            lasts: next.min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Seconds before the end at which a life of this length becomes hurried, and late.
    fn bounds(length: u64) -> (u64, u64) {
        let life = Life::new(Some(at(1_000)), at(1_000 + length), at(0));
        let first = |is: fn(Phase) -> bool| {
            let mut now = (0..=length).filter(|second| is(life.phase(at(1_000 + second))));
            length - now.next().unwrap()
        };
        (
            first(|phase| phase.is_hurried),
            first(|phase| phase.is_late),
        )
    }

    #[test]
    fn the_last_tenth_is_late_and_the_margin_is_bounded() {
        assert_eq!(bounds(3_600), (300, 360));
        assert_eq!(bounds(900), (90, 90));
        assert_eq!(bounds(60), (10, 6));
        assert_eq!(bounds(10), (5, 1));
        assert_eq!(bounds(86_400), (300, 8_640));
    }

    #[test]
    fn what_is_over_is_late_for_good_and_hurries_nobody() {
        let life = Life::new(Some(at(0)), at(100), at(0));
        let over = Phase {
            is_late: true,
            is_hurried: false,
            lasts: None,
        };
        assert_eq!(life.phase(at(100)), over);
        assert_eq!(life.phase(at(1_000_000)), over);
        let calm = life.phase(at(10));
        assert!(!calm.is_late && !calm.is_hurried);
        assert_eq!(calm.lasts, Some(Duration::from_secs(80)));
        let hurried = life.phase(at(90));
        assert_eq!(hurried.lasts, Some(Duration::from_secs(10)));
    }

    #[test]
    fn strange_claims_are_no_trouble() {
        let unissued = Life::new(None, at(1_000), at(900));
        assert!(!unissued.phase(at(980)).is_late && unissued.phase(at(990)).is_late);
        let backwards = Life::new(Some(at(2_000)), at(1_000), at(0));
        assert!(!backwards.phase(at(500)).is_hurried);
        let ages = Life::new(Some(UNIX_EPOCH), at(u64::MAX >> 2), at(0));
        assert!(!ages.phase(at(500)).is_late);
    }
}
