//! What a person, a script or an agent can learn of a mount, and whether it is true: with the real
//! binary, a real server and a real kernel.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that panics has failed, which is what it is for"
)]

#[path = "../support/mod.rs"]
mod support;

mod doctor;
mod logs;
mod reports;
mod stats;
mod status;
mod traces;
mod watch;

use std::time::{Duration, Instant};

/// Longest time that something may take to become so, on two busy cores.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}
