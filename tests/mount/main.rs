//! Tests of the real binary through the kernel: a real server, a real mount, and Git as the judge.

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

mod ahead;
mod budgets;
mod cache;
mod cli;
mod coherence;
mod conflicts;
mod contents;
mod crash;
mod credentials;
mod export;
mod foreign;
mod ignored;
mod journal;
mod judges;
mod large;
mod names;
mod offline;
mod parallel;
mod pins;
mod prefetch;
mod preload;
mod profile;
mod programs;
mod publish;
mod push;
mod renames;
mod requests;
mod scale;
mod stock;
mod syncs;
mod tour;
mod trees;
mod workload;
