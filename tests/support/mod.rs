//! What the tests through the kernel share: the real binary, a real server, a real mount, a real
//! repository, and a comparison of trees that trusts nothing of ours.
//!
//! The rules: the environment of every process is cleared and set here, `HOME` is temporary, only
//! the loopback is used, nothing sleeps (conditions are waited for, with a deadline), and guards
//! take everything away on drop, also when a test panics. Processes are ended by pid, and only
//! those that were started here.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary and bench uses its own part"
)]

pub mod disk;
pub mod faults;
pub mod fixture;
pub mod git;
pub mod kept;
pub mod kernel;
pub mod leaks;
pub mod line;
pub mod message;
pub mod metrics;
pub mod process;
pub mod proxy;
pub mod second;
pub mod server;
pub mod stopwatch;
pub mod stranger;
pub mod syscall;
pub mod tree;
pub mod watchdog;
pub mod world;
