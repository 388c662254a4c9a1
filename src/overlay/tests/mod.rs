//! The overlay over a snapshot in memory, without a kernel.

mod behaviour;
mod bounded;
mod doubts;
mod index;
mod links;
mod map;
mod model;
mod operation;
mod paths;
mod plugs;
mod remote;
mod repair;
#[cfg(feature = "shuttle")]
mod schedules;
mod special;
mod support;
mod through;
mod writers;
