//! How much may be asked at once: requests that run, and a rate for each key.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Shared;
use super::failure::Failure;
use crate::server::keys::Principal;

/// Most requests that run at once, a few KiB each beside their bodies. More are told to come back,
/// since a queue without an end helps nobody.
const RUNNING_MAX: usize = 2048;

/// The limits of one server.
#[derive(Debug)]
pub(super) struct Limits {
    running: AtomicUsize,
    rate: Option<DefaultKeyedRateLimiter<String>>,
}

impl Limits {
    /// `rate` is of one key, in requests a second; it may be doubled for a moment.
    pub(super) fn new(rate: Option<NonZeroU32>) -> Limits {
        let quota = |rate: NonZeroU32| {
            let burst = rate.saturating_add(rate.get());
            Quota::per_second(rate).allow_burst(burst)
        };
        Limits {
            running: AtomicUsize::new(0),
            rate: rate.map(|rate| RateLimiter::keyed(quota(rate))),
        }
    }

    /// Requests that run now.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Refuses a key that has asked too often.
    pub(super) fn check_rate(&self, key_id: &String) -> Result<(), Failure> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        rate.check_key(key_id).map_err(|not_until| {
            Failure::too_many(not_until.wait_time_from(DefaultClock::default().now()))
        })
    }
}

/// Counts itself while it lives.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets a request run unless too many do; before its credential is looked at.
pub(super) async fn bound_running(
    State(service): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let running = &service.limits.running;
    let before = running.fetch_add(1, Ordering::Relaxed);
    let _running = Running(running);
    match before < RUNNING_MAX {
        true => next.run(request).await,
        false => Failure::too_many(Duration::from_secs(1)).into_response(),
    }
}

/// Lets a request pass unless its key has asked too often.
pub(super) async fn bound_rate(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    request: Request,
    next: Next,
) -> Response {
    match service.limits.check_rate(&principal.key_id) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_rate_of_its_own() {
        let limits = Limits::new(NonZeroU32::new(2));
        let (one, other) = ("key_1".to_owned(), "key_2".to_owned());
        let passed = (0..20).filter(|_| limits.check_rate(&one).is_ok()).count();
        assert!((4..=5).contains(&passed), "{passed}");
        assert!(limits.check_rate(&other).is_ok());
        assert!(Limits::new(None).check_rate(&one).is_ok());
    }
}
