//! The read-only lower layer: one pinned snapshot of a repository, fetched as it is looked at.
//!
//! A [`Lower`] answers two questions, "what does this directory list" and "give me this object's
//! file", from memory and from a [`Store`] on disk, and never from the network: what is not there
//! is a [`Want`], and [`Lower::fetch`], which blocks, gets it from a [`Source`]. So the caller
//! decides which thread waits.
//!
//! ```text
//! listing(oid) --> recent listings --> store: listings/<domain>/<tree sha>  -+
//! object(oid)  --> known objects   --> store: index/<blob sha> --------------+-> objects/<blake3>
//! fetch(want)  --> one flight per oid --> Source --> verified temporary file --> published
//!              --> a walk is noticed --> one sweep for all listings below it
//!              --> a run of files is noticed --> the next ones in batches
//! list_ahead() --> listings from the root down, as many as one answer takes
//! read_partly  --> chunks of a large object, and the next ones of who reads from front to back
//! looked_into() --> what was read the last times, in batches
//! ```
//!
//! Everything is immutable by its hash, so nothing here is ever invalidated. Invariants:
//!
//! * A published object has the Git hash that its index entry says, and the blake3 hash that is its
//!   name; the first use in a process checks the latter again (see `store.rs` for why).
//! * What is read of a large object before it is here as a whole is the word of its server, checked against
//!   damage on the way; the whole is compared with its Git hash, and a server that was wrong is believed no
//!   part any more (`parts.rs`).
//! * Every listing was decoded into [`Name`](crate::tree::Name)s, without duplicates.
//! * Memory is bounded by constants, not by the size of a repository.
//! * A full disk costs fetching again: what it does not take is served from memory (`unkept.rs`).
//! * A store with a limit stays within 5 % of it; what is open or pinned is not evicted (`evict.rs`,
//!   `pinned.rs`).
//! * No lock is held over I/O or over a call of the source.
//!
//! The layer knows nothing of HTTP or FUSE, or that anything can be written.

mod ahead;
mod amount;
mod audit;
mod batches;
mod below;
mod census;
mod chunks;
mod codec;
mod coming;
mod disk;
mod echo;
mod error;
mod evict;
mod expected;
mod fetch;
mod first_look;
mod flight;
mod fresh;
mod incoming;
mod limits;
mod listing;
mod listings;
mod order;
mod pace;
mod partial;
mod partials;
mod parts;
mod pinned;
mod policy;
mod reads;
mod recent;
mod runs;
mod shelves;
mod source;
mod store;
mod sweep;
mod temporary;
mod unkept;
mod usage;
mod walk;

pub use audit::{Audit, audit};
pub use batches::ALONG_BYTES_MAX;
pub use below::Progress;
pub use census::{Held, held};
pub use error::{Error, SourceError};
pub use evict::{Evicted, collect};
pub use fetch::{Counters, Lower};
pub use limits::Limits;
pub use listing::{EntryKind, LISTING_ENTRIES_MAX, Listing, ListingEntry};
pub use pinned::{Holder, discard_damaged};
pub use policy::Prefetch;
pub use reads::{READS_MAX, Reads};
pub use source::{Domain, Located, Part, Pin, Source, Taker, Want};
pub use store::Store;
pub use sweep::SWEEP_ENTRIES_MAX;

#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod batches_tests;
#[cfg(test)]
mod below_tests;
#[cfg(test)]
mod evict_tests;
#[cfg(test)]
mod expected_tests;
#[cfg(test)]
mod parts_tests;
#[cfg(test)]
mod pinned_tests;
#[cfg(test)]
mod tests;
