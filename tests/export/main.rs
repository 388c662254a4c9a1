//! Exports and imports of real repositories, with Git as the judge. They are apart from the library's own
//! tests because they start processes: a child that has not yet replaced itself holds the locks of
//! whatever journal another test of the same process has just closed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that panics has failed, which is what it is for"
)]

mod fixture;
mod formats;
mod taking_in;
