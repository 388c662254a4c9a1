//! A bad network between a real daemon and a real server: every fault in every phase, faults by
//! chance under a workload by chance, lines that die in silence, what all that may cost, and a soak.
//!
//! What is held to: an operation that needs the server ends within its deadline; one that does not
//! never waits for it; and once the fault is gone, Git reads from the remote what is mounted. Runs
//! are seeded, and a failure shows the seed; `MESA_FAULT_SEEDS`, `MESA_SPEED_ROUNDS` and
//! `MESA_SOAK_SECONDS` make them longer, `MESA_FAULT_SEED` repeats one.

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
#[path = "../mount/workload.rs"]
mod workload;

mod chance;
mod matrix;
mod outage;
mod pulse;
mod soak;
mod speed;
mod stuck;
mod table;

use std::time::Duration;

/// What an operation that needs the server may take: the promised 5 s, one for a body that began
/// late, and what this machine adds when it is busy; less than twice the patience, which a reader
/// would wait whose kernel asks twice.
const REMOTE_MAX: Duration = Duration::from_secs(9);
/// What an operation that needs no server may take: less than any wait for one.
const LOCAL_MAX: Duration = Duration::from_secs(4);

/// A number from the environment, for runs that are longer or repeat another.
fn variable(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        Err(_) => otherwise,
    }
}
