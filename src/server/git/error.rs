//! What can go wrong with a repository: facts that HTTP turns into statuses, and damage.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::merge::Conflicts;
use crate::tree::{GitOid, NameError};

/// Why a Git operation was not done. Nothing that was refused has moved a reference.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum Error {
    #[error("no such change")]
    UnknownChange,
    #[error("no such commit")]
    UnknownCommit,
    #[error("nothing at this path")]
    UnknownPath,
    #[error("no such bookmark")]
    UnknownBookmark,
    #[error("the repository has no blob {0}")]
    UnknownBlob(GitOid),
    #[error("the repository has no tree {0}")]
    UnknownTree(GitOid),
    #[error("the change has advanced past base_commit_oid")]
    Stale,
    #[error("another writer moved the same name at the same time")]
    Raced,
    #[error("the bookmark is elsewhere than expected_change_id or expected_commit_oid say")]
    StaleBookmark,
    #[error("the upload is at offset {offset}; the part begins elsewhere")]
    UploadOffset { offset: u64 },
    #[error("the bytes are the blob {0}, not the one that was announced; send them again")]
    UploadDiffers(GitOid),
    #[error("the bookmark exists")]
    BookmarkExists,
    #[error("not a valid bookmark name, or in conflict with one that exists")]
    BookmarkName,
    #[error("the move is not forward: the target does not descend from the bookmark")]
    NotForward,
    #[error("the default bookmark cannot be deleted")]
    DefaultBookmark,
    #[error("the virtual root cannot be changed")]
    VirtualRoot,
    #[error("the change is conflicted; resolve that first")]
    Conflicted(Box<Conflicts>),
    #[error("resolutions: the change records no conflict that can be resolved here")]
    NotConflicted,
    #[error("the bookmarks conflict; nothing was merged")]
    MergeConflict(Box<Conflicts>),
    #[error("resolutions: {path:?} is in no conflict")]
    NoConflict { path: String },
    #[error("a bookmark cannot be merged into itself and then be removed")]
    MergeIntoItself,
    #[error("path: {0}")]
    Path(#[from] NameError),
    #[error("path: empty")]
    PathEmpty,
    #[error("path: over {} components", super::DEPTH_MAX)]
    PathDepth,
    #[error("path: nothing can be renamed into itself")]
    RenameIntoItself,
    #[error("path: no file whose mode could change")]
    NoFile,
    #[error("path: a component that Git reserves")]
    PathReserved,
    #[error("path: a file is in the way of a directory")]
    FileInTheWay,
    #[error("path: a directory is in the way of a file")]
    DirectoryInTheWay,
    #[error("content is not canonical padded base64")]
    Encoding(#[source] base64::DecodeError),
    #[error("a symbolic link's target has 1 to 4095 bytes and no NUL")]
    LinkTarget,
    #[error("a name or address is empty, or has one of < > CR LF NUL")]
    Identity,
    #[error("a date before 1970, or no ISO 8601 date-time")]
    Date,
    #[error("a description cannot have NUL")]
    Message,
    #[error("over {} entries; ask for less depth", super::LISTING_ENTRIES_MAX)]
    ListingTooLong,
    #[error("the patch would be over 64 MiB or 3,000 paths: ask for JSON, or use git")]
    PatchTooLarge,
    #[error("{path:?} changed while it was imported")]
    SourceChanged { path: PathBuf },
    #[error("{path:?} is a partial clone: some of its objects are elsewhere")]
    SourcePartial { path: PathBuf },
    #[error("{path:?} does not use SHA-1 object ids")]
    SourceHash { path: PathBuf },
    #[error("{path:?} is neither a Git repository nor a directory")]
    SourceKind { path: PathBuf },
    #[error("the server needs the git program for this; install it there (apt-get install git)")]
    ProgramMissing,
    #[error("running git")]
    Program {
        #[source]
        source: io::Error,
    },
    #[error("git ended with {status}: {said}")]
    ProgramFailed { status: ExitStatus, said: String },
    #[error("a task of the server ended early")]
    Task(#[source] tokio::task::JoinError),
    #[error("{doing}")]
    Git {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{path:?}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Names what was being done when gix failed.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Git {
            doing,
            source: source.into(),
        })
    }
}

/// Names the file that the disk failed on.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
    }
}
