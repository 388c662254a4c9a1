//! What people run in a mount, at length: Git, doing everything that it does, beside the same on the
//! machine's own file system. What comes of every command must be the same, to the commit's name.

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

mod alive;
mod content;
mod history;
mod rewriting;
mod side;
mod story;
mod trees;
