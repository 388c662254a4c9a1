//! Compilers, package managers, databases, editors, watchers and archivers at work in a mount, each as
//! people run it; and many of them at once. What they made stays made: a second build builds nothing, also
//! after a kill; and afterwards the remote has what is mounted, but for what `mesa status` lists.
//!
//! They want programs that `cargo test --workspace` does without, and two want the network: so this
//! program is run by its name, `cargo test --test toolchains`, as `.ci/run` does. What is missing is named.
//! `MESA_STRESS_SECONDS` makes the one in which they work at once longer.

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

mod archives;
mod builds;
mod databases;
mod editors;
mod packages;
mod together;
mod tool;
mod watch;
