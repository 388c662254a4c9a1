//! A durable, replayable, bounded list of file system mutations.
//!
//! The caller appends a [`Record`] before it acknowledges a change, and applies the very same record
//! to its own state with the function that recovery uses; so state is always what the records say.
//! `FORMAT.md` beside this crate is the only description of the bytes and of every damaged state.
//!
//! | module | what it is |
//! | --- | --- |
//! | `record`, `words` | what a record says, and the words that it says it in |
//! | `codec` | a record as bytes, and back; total |
//! | `frame`, `segment` | checksummed records in a file; a file's name and header |
//! | `scan`, `recovery` | pure: what stands in one file, in all of them, and what to repair |
//! | [`disk`] | what is needed of a disk; a real folder; a simulated one |
//! | `folder` | files that appear whole or not at all |
//! | `log` | the segment that is appended to: preallocation, rotation, reserve |
//! | `commit` | one thread that makes appended records durable, for all who wait |
//! | `journal` | the door: open, append, sync, compact |
//! | [`verify()`], [`salvage()`], [`rebuild()`] | for a journal that is damaged: what is wrong, what is sound, a new one |
//! | [`coalesce`] | pure: many records to the few effects that the remote must see |
//! | [`replay`] | pure: when to push, wait, fork or ask |
//!
//! The crate knows nothing of the kernel, the network or where the caller keeps file contents.

pub mod coalesce;
pub mod codec;
mod commit;
pub mod disk;
mod error;
mod folder;
mod frame;
mod inspect;
mod journal;
mod log;
mod rebuild;
pub mod record;
mod recovery;
pub mod replay;
mod scan;
mod segment;
mod words;

pub use coalesce::Plan;
pub use codec::{Malformed, Unrepresentable};
pub use disk::{Disk, DiskFile, FolderDisk};
pub use error::{Damage, Error};
pub use inspect::{
    FileReport, FileRole, Finding, Gap, Problem, Report, Salvaged, Verdict, salvage, salvage_on,
    verify, verify_on,
};
pub use journal::{Barrier, Journal, Options, Read, Recovered, Sizes};
pub use rebuild::{rebuild, rebuild_on};
pub use record::{
    AttributeChange, ConflictKind, Effect, Node, NodeKind, Origin, Path, Record, RenameMode,
    Sequence, Time,
};
