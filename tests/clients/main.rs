//! Clients of the real server. Those of Mesa, which nobody here wrote: the official SDKs for
//! TypeScript and Python drive every resource that they have, and a mount beside them. And many of
//! ours: a hundred mounts, a thousand repositories, a hundred thousand files. And requests that a
//! program makes up from the OpenAPI document.
//!
//! The SDKs and that program are installed from their registries, the pinned versions once, into the target directory:
//! so this program wants the network and is run by its name, `cargo test --test clients`, as
//! `.ci/run` does.

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

mod generated;
mod many;
mod sdk;
