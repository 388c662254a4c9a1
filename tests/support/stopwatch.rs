//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a condition: short beside what is waited for, long beside a look.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until a condition holds.
///
/// # Panics
///
/// It did not hold within that time.
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    assert!(
        holds_within(deadline, &mut condition),
        "after {deadline:?} still not so: {what}"
    );
}

/// Whether a condition comes to hold within that time.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > deadline {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}
