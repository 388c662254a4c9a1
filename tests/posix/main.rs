//! File system semantics of a mounted repository, with the real binary, beside those of a native file
//! system: what pjdfstest does not ask.
//!
//! Where a native file system is there to compare with, the same is done on both, and what comes of it
//! (results, errno values, attributes) must be the same: see `pair`. Needs root, since permissions,
//! owners and privileges are what much of this is about; without it every such test fails.

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

mod directories;
mod links;
mod locks;
mod maps;
mod opens;
mod pair;
mod passthrough;
mod privileges;
mod ranges;
mod readonly;
mod renames;
mod survival;
mod system;
mod times;
mod xattrs;
