//! A durable, replayable, bounded list of file system mutations.
//!
//! The caller appends a [`Record`] before it acknowledges a change, and applies the very same record
//! to its own state with the function that recovery uses; so state is always what the records say.
//! `FORMAT.md` beside this crate is the only description of the bytes and of every damaged state.
//!
//! ```
//! use std::collections::BTreeSet;
//! use journal::{Journal, NodeKind, Options, Path, Record, Recovered, Time};
//!
//! /// The state: which files there are. This is all that ever changes it.
//! fn apply(files: &mut BTreeSet<Path>, record: &Record) {
//!     match record {
//!         Record::Write { path, .. } => drop(files.insert(path.clone())),
//!         Record::Remove { path, .. } => drop(files.remove(path)),
//!         _ => {}
//!     }
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("journal");
//! let time = Time { seconds: 1_700_000_000, nanoseconds: 0 };
//! let path = |name: &str| Path(name.as_bytes().to_vec());
//! let records = [
//!     Record::Write { path: path("notes"), inode: 2, time },
//!     Record::Write { path: path("draft"), inode: 3, time },
//!     Record::Remove { path: path("notes"), kind: NodeKind::File, time },
//! ];
//!
//! let mut files = BTreeSet::new();
//! let journal = Journal::open(&folder, Options::default())?.journal;
//! for record in &records {
//!     journal.append(record)?; // from here on it survives the death of the process
//!     apply(&mut files, record);
//! }
//! journal.sync(journal.head())?; // and from here on a power cut
//! drop(journal);
//!
//! // After whatever happened: the same state, from the records alone.
//! let Recovered { journal, records, .. } = Journal::open(&folder, Options::default())?;
//! let mut again = BTreeSet::new();
//! records.iter().for_each(|(_, record)| apply(&mut again, record));
//! assert_eq!(again, files);
//!
//! // Now and then: as few records as rebuild the state take the place of all that led to it.
//! let through = journal.head();
//! journal.sync(through)?;
//! let mut snapshot = files.iter().map(|path| Record::Write { path: path.clone(), inode: 3, time });
//! journal.compact(through, &mut snapshot)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What survives
//!
//! | event | what is there afterwards |
//! | --- | --- |
//! | the process dies | every record whose [`Journal::append`] returned |
//! | power is cut | every record that a [`Journal::sync`] covered, and those before the last [`Options::commit_interval`]; of later ones a prefix |
//! | an operation of the disk fails | the same; the call says so, and a failed sync stops the journal |
//! | bytes on the disk change | never a wrong record: an error that names the place, and [`verify()`], [`salvage()`] and [`rebuild()`] |
//!
//! The tests hold it to that on a simulated disk ([`disk`], feature `sim`), which programs that use a
//! journal can be tested on as well.
//!
//! # Shape
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
//! | [`failpoint`] | where a debug build can be made to die, for tests of crashes |
//! | [`replay`] | pure: when to push, wait, fork or ask |
//!
//! The crate knows nothing of the kernel, the network or where the caller keeps file contents.

#![forbid(unsafe_code)]

pub mod coalesce;
pub mod codec;
mod commit;
pub mod disk;
mod error;
pub mod failpoint;
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
