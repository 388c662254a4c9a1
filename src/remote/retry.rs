//! When a read is tried again: a pure function of attempt, failure and chance.
//!
//! Capped exponential steps with full jitter (any wait from zero to the step is as likely), so that
//! clients who failed together do not come back together; never before the server asked us to.

use std::time::Duration;

use super::Failure;

/// What a read may take with all its attempts: long enough for a connection to be made anew, and
/// short enough for whoever waits for a file.
pub const READ_PATIENCE: Duration = Duration::from_secs(5);

/// First step: some round trips within a region.
const STEP_FIRST: Duration = Duration::from_millis(50);
/// Largest step: four attempts or more within [`READ_PATIENCE`].
const STEP_MAX: Duration = Duration::from_secs(1);

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Try again after this long.
    Wait(Duration),
    /// It would not help, or there is no time.
    GiveUp,
}

/// Decides after attempt number `attempt` (from 1) failed, with `left` of the patience to go.
/// `chance` is a random number from 0 to 1.
pub(super) fn decide(attempt: u32, failure: &Failure, left: Duration, chance: f64) -> Decision {
    let floor = match failure {
        Failure::Offline(_) | Failure::TimedOut => Duration::ZERO,
        Failure::RateLimited { retry_after } | Failure::Server { retry_after, .. } => {
            retry_after.unwrap_or_default()
        }
        _ => return Decision::GiveUp,
    };
    let doublings = attempt.saturating_sub(1).min(16);
    let step = STEP_FIRST.saturating_mul(1 << doublings).min(STEP_MAX);
    let wait = floor.saturating_add(step.mul_f64(chance.clamp(0.0, 1.0)));
    if wait < left {
        Decision::Wait(wait)
    } else {
        Decision::GiveUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(retry_after: Option<u64>) -> Failure {
        Failure::Server {
            status: 503,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    proptest! {
        #[test]
        fn waits_are_jittered_capped_and_within_the_patience(attempt in 1_u32..1_000, chance in 0.0..=1.0_f64, left in 0_u64..10_000) {
            let left = Duration::from_millis(left);
            match decide(attempt, &Failure::TimedOut, left, chance) {
                Decision::Wait(wait) => {
                    prop_assert!(wait <= STEP_MAX);
                    prop_assert!(wait < left);
                }
                Decision::GiveUp => prop_assert!(left <= STEP_MAX),
            }
        }
    }

    #[test]
    fn steps_double() {
        let wait = |attempt| decide(attempt, &Failure::TimedOut, READ_PATIENCE, 1.0);
        assert_eq!(wait(1), Decision::Wait(Duration::from_millis(50)));
        assert_eq!(wait(3), Decision::Wait(Duration::from_millis(200)));
        assert_eq!(wait(40), Decision::Wait(STEP_MAX));
    }

    #[test]
    fn a_server_that_names_a_time_is_not_asked_before() {
        let Decision::Wait(wait) = decide(1, &server(Some(2)), READ_PATIENCE, 0.5) else {
            panic!("gave up")
        };
        assert!(wait >= Duration::from_secs(2));
        assert_eq!(
            decide(1, &server(Some(60)), READ_PATIENCE, 0.0),
            Decision::GiveUp
        );
    }

    #[test]
    fn what_a_retry_cannot_change_is_given_up() {
        for failure in [
            Failure::NotFound,
            Failure::Forbidden,
            Failure::CredentialExpired,
            Failure::OfflineLately,
        ] {
            assert_eq!(decide(1, &failure, READ_PATIENCE, 0.5), Decision::GiveUp);
        }
    }
}
