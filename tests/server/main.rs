//! `mesa serve` over real repositories: what `git` made is what the server shows, and what the
//! server made is what `git` reads.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod access;
mod batches;
mod changes;
mod cloning;
mod conflicts;
mod contract;
mod crash;
mod diff;
mod evolving;
mod feed;
mod forging;
mod gits;
mod harness;
mod in_place;
mod keys;
mod keys_crash;
mod levels;
mod limits;
mod merging;
mod names;
mod objects;
mod patches;
mod program;
mod pushing;
mod racing;
mod reading;
mod rebasing;
mod receiver;
mod recording;
mod repacking;
mod repacking_races;
mod repos;
mod token_attacks;
mod token_forms;
mod tokens;
mod uploads;
mod verbs;
mod webhooks;
