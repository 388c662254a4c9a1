//! A daemon's life and the deaths in it: restarts by the supervisor, mounts that meet, ends that drain,
//! and ends by force. The real binary, a real server, the real kernel, and real kill -9.

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

mod drains;
mod ends;
mod force;
mod meetings;
mod restarts;
