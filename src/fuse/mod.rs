//! The FUSE adapter: a request of the kernel becomes one call of the overlay and one reply.
//!
//! ```text
//! kernel <-+-> session (fuser, 2 threads) -> filesystem -+-> adapter -+-> overlay of a repository
//!          +-> ring (one thread a processor) -> dispatch -+            +-> root (virtual directories)
//!                                            workers: what waits for the network, or for an fsync
//! ```
//!
//! The rules of this folder:
//! - No event-loop thread waits for the network (`workers`).
//! - No panic of a handler ends the mount (`adapter`).
//! - One table makes errno values (`errno`).
//! - A handler does not know which way its request came, nor its reply goes (`request`, `reply`).
//! - We mount and unmount by ourselves (`mount`, `unmount`), because fuser's own unmounting hits
//!   strangers: nothing is unmounted that is not, by device and mount id, what we mounted.
//!
//! Nothing changes a tree but the kernel's own requests, so two notifications are enough to keep it right: which
//! repositories an organization shows can change by hand, and parts of a file that were read before the
//! whole was proved can turn out to be wrong (`session`). Two more are for speed and memory: files that somebody
//! is about to read (`preload`), and inodes that nobody uses.

mod adapter;
mod attributes;
mod capabilities;
mod content;
mod counters;
mod current;
mod directory;
mod errno;
mod error;
mod filesystem;
mod health;
mod helper;
mod incident;
mod inode;
mod latency;
mod metadata;
mod mount;
mod mountinfo;
mod namespace;
mod passthrough;
mod preload;
mod ranges;
mod reply;
mod reports;
mod repositories;
mod request;
mod ring;
mod root;
mod session;
mod snapshots;
mod unmount;
mod wire;
mod workers;
mod xattr;

pub use counters::{Counters, RequestKind};
pub use error::Error;
pub use health::{MountHealth, our_mounts};
pub use incident::TARGET as INCIDENTS;
pub use inode::{Slot, SlotError};
pub use latency::{BOUNDS_MICROSECONDS, Latency};
pub use mount::{Access, Opens, Options, SpecialFiles, Transport};
pub use reports::{Rendered, Report, Reports};
pub use repositories::{OpenError, Opened, Repositories};
pub use ring::{NoRings, rings_offered};
pub use session::{Ended, Mounted};
pub use unmount::{Unmount, Unmounted, abort_mount, clear_dead_mount, mounts_inside};
