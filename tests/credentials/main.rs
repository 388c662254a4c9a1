//! Credentials that end, are revoked, forbidden or renewed, under a mount that works: with the real
//! binary, a real server and a real kernel, and Git as the judge of what arrived.

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

mod case;
mod clock;
mod command;
mod helper;
mod hidden;
mod matrix;
mod refused;
mod verbs;

use std::time::Duration;

/// Longest time that something may take to become so, on two busy cores.
const DEADLINE: Duration = Duration::from_secs(60);
