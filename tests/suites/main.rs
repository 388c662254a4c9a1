//! Suites that others wrote, on a mount: pjdfstest, fsx, stress-ng, dbench. Each with the counts that it
//! is known to have, and afterwards a judgement: the remote has what is mounted, the local state is
//! sound, and the daemon holds no more than before.
//!
//! They want programs that `cargo test --workspace` does without, so this program is run by its name,
//! `cargo test --test suites`, as `.ci/run` does. What is missing is named. `MESA_FSX_SEEDS` and
//! `MESA_FSX_OPS` make fsx longer, `MESA_STRESS_SECONDS` stress-ng; `MESA_OPENS` says who serves open files.

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

mod fsx;
mod judge;
mod pjdfstest;
mod stress;
mod tools;

/// A number from the environment, for runs that are longer.
fn variable(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        Err(_) => otherwise,
    }
}
