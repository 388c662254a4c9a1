//! The words of a report on a journal.

use std::fmt;
use std::path::PathBuf;

use crate::codec::Malformed;
use crate::error::{Damage, Error};
use crate::record::Sequence;

/// What a journal's folder holds, and what is wrong with it.
#[derive(Debug)]
pub struct Report {
    /// The journal's folder.
    pub folder: PathBuf,
    /// The journal's identity, if a header is intact.
    pub epoch: Option<[u8; 16]>,
    /// Every file of the journal: snapshots, then logs, each oldest first.
    pub files: Vec<FileReport>,
    /// Everything that is not as a journal that was closed leaves it.
    pub findings: Vec<Finding>,
    /// What opening would say, if it would refuse the journal.
    pub refusal: Option<Error>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileReport {
    /// Its name in the folder.
    pub name: String,
    /// What it is.
    pub role: FileRole,
    /// Of a log, the first intact record; of a snapshot, 1 if it has any. 0 without a record.
    pub first: Sequence,
    /// Of a log, the last intact record, or 0; of a snapshot, the record that it reaches.
    pub last: Sequence,
    /// How many intact records it has.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileRole {
    /// Records as they were appended.
    Log,
    /// Records that stand for older ones.
    Snapshot,
    /// A file that was never published.
    Temporary,
    /// A snapshot that an interrupted rebuild is about to begin a new journal with.
    Rebuild,
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file, or the folder.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What.
    pub problem: Problem,
    /// What opening makes of it.
    pub verdict: Verdict,
}

/// What opening makes of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is lost by it and opening mends it.
    Repaired,
    /// Opening does not need what is damaged, and leaves it alone or deletes it.
    Ignored,
    /// Opening refuses the journal.
    Refused,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// What had been durable is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk does not give these bytes.
    #[error("{bytes} bytes cannot be read")]
    Unreadable {
        /// How many.
        bytes: u64,
    },
    /// A file of another version of the format.
    #[error("format version {0} is not known")]
    Version(u16),
    /// An intact record that cannot be understood.
    #[error("record {sequence} cannot be understood: {cause}")]
    Malformed {
        /// Which.
        sequence: Sequence,
        /// Why.
        cause: Malformed,
    },
    /// The end of a write that a crash cut short; no record that was known to be durable.
    #[error("a torn write follows the last record")]
    Torn,
    /// The file that has this record does not exist.
    #[error("the segment that begins with record {0} is missing")]
    Missing(Sequence),
    /// A file that another one replaces.
    #[error("a file that has been replaced")]
    Replaced,
    /// A file that was being written.
    #[error("a file that was never finished")]
    Temporary,
    /// A rebuild that was not finished.
    #[error("a rebuild that was interrupted")]
    Rebuild,
    /// Opening fails for a reason that no other finding names.
    #[error("the journal does not open")]
    Refused,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            formatter,
            "{path}, offset {}: {}",
            self.offset, self.problem
        )
    }
}
