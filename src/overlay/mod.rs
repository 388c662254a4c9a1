//! Lower and upper layer as one tree of inodes, and the one path by which it changes.
//!
//! Every mutation is validated, appended to the journal as one record, and then applied to the
//! upper layer by the function that recovery uses, all under the state lock; then the reply goes
//! out. A lower node that a mutation touches is first *adopted*: it gets a node in the upper layer
//! with the same inode number, and so do its ancestors. Adoption changes nothing visible, so an
//! operation that fails after it has changed nothing.
//!
//! Nothing here waits for the network. An operation that needs a listing or an object that is not in
//! the local store fails with [`Error::Missing`], having changed nothing; the caller fetches it
//! ([`Overlay::fetch`]), off any event loop, and calls again. Of a large file it is only what is read that is
//! needed (`partly.rs`).
//!
//! File bytes do not pass through the journal. The first write of a file after a capture appends
//! [`journal::Record::Write`], and the bytes go to the body file. Bodies are made durable before the
//! journal that names them (see `ledger.rs`). After a power cut they may be newer than the journal
//! says, and then all of them are pushed once more (`witness.rs`); what fsync promised is written again
//! then, and a copy of a lower file that may be half there is undone (`doubts.rs`). On a full disk what was
//! removed makes room at once (`room.rs`).
//!
//! The kernel may read and write bodies by itself, also when we are dead; then their ctime tells what nobody
//! else does (`through.rs`, `stamp.rs`).
//!
//! What an ignore rule matches is journaled and recovered like all else, and left out where a capture
//! makes edits of it (`ignore/`).
//!
//! # Lock order
//!
//! 1. `gate`: shared by whoever is about to change bytes of a body, from marking it in the journal
//!    until the bytes are written; exclusive for a capture, which therefore sees no half-done write.
//! 2. `index`: checkpoints, one at a time.
//! 3. `state`: everything in memory.
//! 4. the journal's own locks.
//! 5. the ledger's own locks.
//!
//! A body write holds the `gate` alone. No lock is held while the lower layer reads its store or
//! fetches, nor while a visitor of a directory is called.

mod attributes;
mod bell;
mod capture;
mod commit;
mod content;
mod decisions;
mod descriptors;
mod directory;
mod dirty;
mod doubts;
mod edits;
mod error;
mod ignore;
mod inodes;
mod kept;
mod ledger;
mod links;
mod locks;
mod namespace;
mod open;
mod partly;
mod passing;
mod ranges;
mod recover;
mod remote;
mod rename;
mod repair;
mod room;
mod stamp;
mod state;
#[cfg(test)]
mod tests;
mod through;
mod types;
mod upkeep;
mod verify;
mod witness;
mod xattrs;

pub use capture::{Capture, KeptLocal, KeptLocalReason, Scope};
pub use directory::Visitor;
pub use error::Error;
pub use open::{Local, Options, Overlay};
pub use recover::Opening;
pub use remote::{Pending, PendingEffect, Position};
pub use repair::{Repaired, repair};
pub use through::{Pages, Pass, Passage, Way};
pub use types::{
    Access, Aim, Allocation, AttributeChange, NewNode, Owner, Rename, Sought, Space, Visit,
    XattrMode,
};
pub use upkeep::Usage;
pub use verify::{Soundness, verify};
