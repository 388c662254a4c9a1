//! The configuration as people meet it: what the real binary says of it and does by it, and who may
//! enter a mount, with the kernel as the judge.

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

mod access;
mod repos;
mod verbs;
