//! The overlay over a snapshot in memory, without a kernel.

mod behaviour;
mod map;
mod model;
mod remote;
mod repair;
mod support;
