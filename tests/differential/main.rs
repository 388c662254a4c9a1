//! The same script on a mount and on ext4: several processes, each thousands of calls by chance, and
//! every result, errno and attribute the same on both; while others edit the same repository.
//!
//! A worker is this program again, in a process of its own: it makes the calls of a seed below a root,
//! and writes a line for each, with what came of it and what is there then. Neither depends on where it
//! is, so the lines of the mount and of ext4 are equal. Below a folder that the workers share they do
//! what commutes, or is done under a lock, so that the end is the same whoever was first.
//!
//! `MESA_DIFFERENTIAL_SEEDS` runs that many seeds, `MESA_DIFFERENTIAL_SEED` begins with one, and
//! `MESA_DIFFERENTIAL_OPS` says how many calls each worker makes.

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

mod call;
mod others;
mod perform;
mod shared;
mod show;
mod two;
mod worker;
