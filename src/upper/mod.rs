//! The upper layer: what was changed locally, over a lower layer that it knows nothing of.
//!
//! [`Upper`] is a state machine: [`Upper::apply`] takes one journal record and nothing else changes
//! it, neither at run time nor in recovery, so a tree that was rebuilt is the tree that was. Its
//! nodes are keyed by inode number and its entries by directory and name; an [`Entry`] without a
//! node is a whiteout. File bytes are outside, one file each ([`Bodies`]). [`Index`] keeps a copy of
//! the state in sled, so that opening need not read the whole journal; it is never the only copy and
//! never ahead of the journal, and losing it costs a rebuild and nothing else.

mod apply;
mod body;
mod convert;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod remote;
mod snapshot;
mod state;
mod stored;
mod tally;

pub(crate) use apply::set_attributes;
pub use body::{Bodies, Prepared};
pub use convert::{journal_path, journal_time, kind_of, node_kind, timestamp, tree_path};
#[cfg(test)]
pub(crate) use index::Fault;
pub use index::{Index, IndexError};
pub use remote::records_of;
pub(crate) use state::ADOPTED_BIT;
pub use state::{Conflict, Entry, Node, Origin, Publishing, RemoteState, Upper};
pub use tally::Tally;

/// Why the upper layer cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record names a path that the state does not have: the two are not of one history.
    #[error("record {sequence} does not fit the tree: nothing at {path}")]
    NoSuchPath {
        /// The record.
        sequence: journal::Sequence,
        /// The path as text.
        path: String,
    },
    /// A record carries a path that cannot be one.
    #[error("record {sequence} carries an impossible path")]
    BadPath {
        /// The record.
        sequence: journal::Sequence,
        /// What is wrong with it.
        #[source]
        source: crate::tree::NameError,
    },
    /// A body file could not be read or written.
    #[error("body of inode {inode}")]
    Body {
        /// Which.
        inode: u64,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// The index could not be written. Reading it never fails: a doubtful index is rebuilt.
    #[error("the index of the upper layer")]
    Index(#[source] IndexError),
    /// A folder of the upper layer could not be made or synced.
    #[error("folder of the upper layer")]
    Folder(#[source] std::io::Error),
}
