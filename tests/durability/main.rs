//! Pulling plugs: kill -9 by the hundred, power cuts, full disks. A real server, a real mount, and
//! file systems of our own on loop devices.
//!
//! What is compared is always what a writer was told: an operation whose system call returned, an
//! fsync that returned. Runs are seeded, and a failure shows the seed; the variables that make them
//! longer are `MESA_CHAOS_CYCLES`, `MESA_CHAOS_SEED`, `MESA_POWER_CUTS` and `MESA_POWER_SEED`.

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

mod chaos;
mod full;
mod power;
mod written_back;

/// A number from the environment, for runs that are longer or repeat another.
fn variable(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        Err(_) => otherwise,
    }
}

/// Shows a seed when the test that it is for fails.
struct Seed {
    variable: &'static str,
    value: u64,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: {}={}", self.variable, self.value);
        }
    }
}
