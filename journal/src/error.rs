//! Every way in which the journal fails; each variant is a fact with its place.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::codec::{Malformed, Unrepresentable};
use crate::record::Sequence;

/// Why the journal cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system failed a call; the journal is as it was, and usable.
    #[error("journal I/O failed on {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// There is no room for the record; the journal is as it was, and usable again once there is.
    #[error("no space left for the journal at {}", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Another process, or another `Journal` of this one, has the folder open.
    #[error("the journal at {} is in use", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Bytes that had been made durable are not what was written.
    #[error("the journal is damaged: {}, offset {offset}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it the first unbelievable byte range begins.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// A segment that must exist does not.
    #[error("the journal at {} has lost the segment that begins with record {first}", folder.display())]
    MissingSegment {
        /// The journal's folder.
        folder: PathBuf,
        /// The first record that is nowhere.
        first: Sequence,
    },
    /// A file was written by a version that this one does not know.
    #[error("{} is of journal format version {version}; this program knows version 1", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version that it names.
        version: u16,
    },
    /// A record is intact but cannot be understood.
    #[error("record {sequence} in {}, offset {offset}, cannot be understood", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Its sequence.
        sequence: Sequence,
        /// Why not.
        #[source]
        source: Malformed,
    },
    /// The record exceeds a bound of the format; nothing was appended.
    #[error("the record cannot be written")]
    Unrepresentable(#[from] Unrepresentable),
    /// Making records durable failed once. Nobody can know what the disk holds, so the journal
    /// takes nothing more until it is opened again.
    #[error("the journal could not be made durable and takes no more records")]
    SyncFailed(#[source] Arc<io::Error>),
    /// A record was asked for that has not been appended.
    #[error("record {through} does not exist: the last one is {head}")]
    NotAppended {
        /// The record that was named.
        through: Sequence,
        /// The last that exists.
        head: Sequence,
    },
    /// Compaction was asked to replace records that a power cut could still take back.
    #[error("record {through} is not durable yet: {synced} is the last that is")]
    NotSynced {
        /// The record that was named.
        through: Sequence,
        /// The last durable one.
        synced: Sequence,
    },
    /// Compaction was asked to go back before the snapshot that exists.
    #[error("a snapshot through record {snapshot} exists: one through {through} would go back")]
    Compacted {
        /// The record that was named.
        through: Sequence,
        /// Where the existing snapshot ends.
        snapshot: Sequence,
    },
}

/// What is wrong at a damaged place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// The file is shorter than a header.
    #[error("the header is cut off")]
    HeaderCut,
    /// The file does not begin with the magic bytes.
    #[error("this is no journal file")]
    Magic,
    /// The header's checksum does not match.
    #[error("the header's checksum is wrong")]
    HeaderChecksum,
    /// The header is intact but is not that of a file of this name.
    #[error("the header does not match the file's name")]
    HeaderName,
    /// The file is intact but is of another journal.
    #[error("the file belongs to another journal")]
    Foreign,
    /// A record's length, checksum or sequence is wrong.
    #[error("the record is not what was written")]
    Record,
    /// Records that must follow do not.
    #[error("the file ends before record {expected}")]
    Short {
        /// The first record that is not there.
        expected: Sequence,
    },
}

impl Error {
    /// Sorts an I/O error into "no room" and the rest.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { path, source }
            }
            _ => Error::Io { path, source },
        }
    }
}
