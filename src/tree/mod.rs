//! The words that every layer shares: names, paths, identifiers, attributes, and edits of a tree.
//!
//! Nothing here does I/O or knows of another module. Checked types ([`Name`], [`TreePath`],
//! [`GitOid`], [`ChangeId`], …) are made by `TryFrom` or `FromStr`, so holding one is the proof
//! that the check was passed: whatever a server or a kernel sends becomes one of them, or an error,
//! before it goes further.

mod attributes;
mod edit;
mod id;
mod name;

pub use attributes::{Attributes, Ino, Kind, Permissions, Timestamp};
pub use edit::{Content, ContentSource, Edit};
pub use id::{ChangeId, ContentHash, GitOid, IdError};
pub use name::{NAME_BYTES_MAX, Name, NameError, PATH_BYTES_MAX, TreePath};
