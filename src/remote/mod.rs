//! A Mesa server, from the client's side.
//!
//! ```text
//! http, exchange, sending   one exchange, every wait and every body bounded; the only place with the HTTP client
//! call, client, bookmarks, keys   the REST contract as typed calls, one attempt each
//! authorize        which credential goes along, and what becomes of one that is refused
//! retry, breaker, patience   pure: when a read is tried again, when it fails at once
//! connection       blocking face: reads with retries, writes with none, probes, known extensions
//! source, pin, push, publish   what lower layer and replay ask for
//! singly, layers, concurrency   the same of a server that has nothing but the contract
//! conflict         pure but for its listings: whether what others did contradicts ours
//! ```
//!
//! Nothing that a server sends is believed before it is checked: identifiers and names become the
//! types of [`crate::tree`] while they are decoded, answers are bounded, and objects are verified by
//! the lower layer. Async lives in this folder only; its callers are threads that may block.

mod anticipated;
pub mod api;
mod authorize;
mod batches;
mod bookmarks;
mod breaker;
mod call;
mod client;
mod concurrency;
mod conflict;
mod connection;
mod exchange;
mod extensions;
mod failure;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod keys;
mod layers;
mod listing;
mod patience;
mod pin;
mod publish;
mod push;
mod ranges;
mod refusal;
mod repository;
mod requests;
mod retry;
mod sending;
mod singly;
mod sinks;
mod source;
mod tally;
mod uploading;

pub use call::At;
pub use client::Client;
pub use conflict::{Foreign, ForeignEdits, Spot, Verdict, bounded};
pub use connection::Remote;
pub use extensions::Extensions;
pub use failure::{Cause, Conflict, Failure, Violation};
pub use http::{Collector, Destination};
pub use pin::{Along, Listed, Resolved, Target};
pub use publish::{Absent, Earlier, How, Outcome, Publication, Publisher, Standing};
pub use push::{Forked, KeptLocal, KeptReason, Push, PushError, Pushed, Pusher, Settled};
pub use repository::RepositoryName;
pub use requests::Requests;
pub use retry::READ_PATIENCE;
pub use source::RepositorySource;
pub use tally::{OUTCOMES, Outcome as RequestOutcome, Tally};

#[cfg(test)]
mod bookmarks_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod publish_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod tests;
