//! Wiring and lifecycle: turns a configuration into a running mount, and ends it in order.
//!
//! ```text
//! mount ──> lock the data directory ──> open the store ──> mount ──> ready ──┐
//!                                                                            │ SIGTERM, SIGINT,
//! stopped <── unmount <── draining: push what is left, with a deadline <─────┘ `mesa umount`
//! ```
//!
//! Every repository has an overlay (made on first use), and beside it a replay worker: a thread
//! that pushes the repository's journal. Whatever happens to the network or the credential, the
//! mount goes on; only the status changes.

pub mod at_rest;
pub mod audience;
pub mod background;
mod clock;
mod conflicts;
pub mod control;
pub mod credentials;
mod desk;
pub mod doctor;
pub mod ending;
mod error;
mod expiry;
pub mod exporting;
mod failure;
mod folders;
mod harden;
mod holders;
mod journals;
mod keeper;
mod known;
mod lists;
mod lock;
pub mod log;
mod loss;
pub mod meeting;
mod memory;
mod opener;
mod opening;
mod pinning;
mod pins;
mod prefetching;
pub mod profile;
mod pruning;
mod publishing;
pub mod ready;
mod replay_worker;
mod reports;
mod repositories;
mod repository;
mod rounds;
mod run;
mod selection;
mod service;
mod signals;
mod slots;
mod space;
mod stats;
pub mod status;
pub mod supervisor;
mod traces;
mod upkeep;
pub mod verification;

use std::path::PathBuf;

use crate::config::Config;

pub use error::{Error, credential_hint};
pub use failure::{Failure, Reason};
pub use folders::private_folder;
pub use lock::{DataLock, Holder, Holding, holder, is_dead};
pub use run::run;
pub use selection::Selection;
pub use service::Service;
pub use status::Status;

/// Where the daemon of a configuration listens.
pub fn control_socket(config: &Config) -> PathBuf {
    config.runtime_folder.join(control::SOCKET_NAME)
}
