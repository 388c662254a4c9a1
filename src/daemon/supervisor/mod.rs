//! The supervisor: a small process that starts a daemon, and starts it again when it died.
//!
//! ```text
//! mesa mount --daemonize ──starts──> supervisor ──starts──> daemon
//!        ^                             │    ^                 │
//!        `──── the first "ready" ──────'    `── "ready", "ending" (a pipe)
//! ```
//!
//! It is one thread that waits for signals and for words of the daemon. It keeps the environment, and
//! with it the credential, the arguments, and the directories that were configured at the start, so
//! that every daemon is like the first whatever became of files and directories meanwhile; nothing
//! else of a mount is its business, and no file of one is open in it.
//!
//! Supervisor and daemon die without each other. A dead supervisor leaves a mount that goes on, and
//! says in its log and its status that nobody watches it.

mod course;
mod policy;
mod shell;
mod state;
mod worker;

pub(super) use shell::NUDGE;
pub use shell::{Supervised, run};
pub use state::{Death, SupervisorState, SupervisorStatus, status};
pub(super) use state::{forget_earlier, forget_lost};
