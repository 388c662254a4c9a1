//! What the adapter asks of the daemon: which repositories there are, and to open one.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::Slot;
use crate::lower::SourceError;
use crate::overlay::{self, Overlay, Space};
use crate::tree::Name;

/// Why a repository cannot be listed or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither the server nor the data directory has a repository of this name.
    #[error("no such repository")]
    NotFound,
    /// Another process has this repository's state open.
    #[error("the repository is open in another process")]
    Locked,
    /// All slots of the data directory are given away.
    #[error("the data directory has seen more repositories than it can number")]
    TooMany,
    /// The server could not be asked, or refused.
    #[error("asking the server for the repository")]
    Source(#[from] SourceError),
    /// The repository's overlay did not open.
    #[error("opening the repository's overlay")]
    Overlay(#[from] overlay::Error),
    /// The repository's local state could not be read or written.
    #[error("the repository's local state")]
    State(#[source] io::Error),
}

/// An open repository, and the number that its inodes carry.
#[derive(Clone)]
pub struct Opened {
    /// The repository's slot: the same at each opening.
    pub slot: Slot,
    /// Its tree.
    pub overlay: Arc<Overlay>,
}

/// The repositories of a mount. The adapter calls every method from many threads.
///
/// What is said to block runs on the adapter's workers and must have a deadline, since a process
/// that waits for it cannot be killed. Everything else runs on the event loop: at most a short lock.
pub trait Repositories: Send + Sync + 'static {
    /// The organizations, each of which is a directory of the root. Never blocks.
    fn organizations(&self) -> Vec<Name>;

    /// The names of an organization's repositories as they are known here, if they are, however old
    /// that is. Never blocks; it may have them asked for in the background.
    fn known(&self, _organization: &Name) -> Option<Arc<BTreeSet<Name>>> {
        None
    }

    /// Whether a repository was opened before, so that opening it needs no server. Never blocks.
    fn is_here(&self, _organization: &Name, _repository: &Name) -> bool {
        false
    }

    /// The names of an organization's repositories. May block. Asked for each part of a directory
    /// listing, so it should answer from a list that is some seconds old where it has one.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; offline, the repositories that were ever opened should be listed instead.
    fn repositories(&self, organization: &Name) -> Result<Vec<Name>, OpenError>;

    /// Opens a repository, or finds it open. May block. Concurrent calls for one repository give
    /// the same overlay. Programs look up names that are no repository's (`.git`, `.hg`, `HEAD`) in
    /// every directory above their own: such names should cost no request to the server.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; [`OpenError::NotFound`] becomes a negative entry of short life.
    fn open(&self, organization: &Name, repository: &Name) -> Result<Opened, OpenError>;

    /// The overlay of a slot, as long as it is open. Never blocks.
    fn opened(&self, slot: Slot) -> Option<Arc<Overlay>>;

    /// A repository by name, if it is open already. Never blocks.
    fn opened_by_name(&self, organization: &Name, repository: &Name) -> Option<Opened>;

    /// The space that is left for changes, as `df` on the mount point shows it. Never blocks on
    /// the network.
    ///
    /// # Errors
    ///
    /// That of `statvfs` on the data directory.
    fn space(&self) -> io::Result<Space>;
}
