//! What an operation on the tree can fail with; `fuse` has the table that makes them errno.

use crate::lower::{self, Want};
use crate::tree::NameError;
use crate::upper;

/// Why an operation failed. In every case it has changed nothing that anyone can see.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a failure yet: [`super::Overlay::fetch`] this, off the event loop, and call again.
    #[error("content that is not in the local store is needed")]
    Missing(Want),
    /// Nothing has that name.
    #[error("no such file or directory")]
    NotFound,
    /// Something has that name.
    #[error("the name is taken")]
    Exists,
    /// A directory is needed.
    #[error("not a directory")]
    NotDirectory,
    /// Anything but a directory is needed.
    #[error("a directory")]
    IsDirectory,
    /// A directory with entries cannot go.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The path from the repository's root would pass 4096 bytes.
    #[error("the path would be too long")]
    TooLong,
    /// A directory cannot move below itself.
    #[error("a directory cannot move below itself")]
    Loop,
    /// The operation does not fit the kind of file, or an argument is out of range.
    #[error("an argument does not fit")]
    Invalid,
    /// An inode that is not known, as after a remount.
    #[error("an inode that is not known")]
    Stale,
    /// No extended attribute of that name.
    #[error("no such attribute")]
    NoAttribute,
    /// An extended attribute's name or value is too large.
    #[error("an attribute that is too large")]
    ValueTooLarge,
    /// A file cannot have more extended attributes.
    #[error("too many attributes for one file")]
    TooManyAttributes,
    /// A file cannot have more names.
    #[error("too many names for one file")]
    TooManyLinks,
    /// A file cannot be that large.
    #[error("a file that would be too large")]
    FileTooLarge,
    /// No data, or no hole, from there on.
    #[error("beyond the end of the file")]
    NoSuchRange,
    /// The file system of the local state cannot do it.
    #[error("not supported by the local file system")]
    Unsupported,
    /// The repository is shown, and takes no edits.
    #[error("a repository that takes no edits")]
    NoEdits,
    /// A sync failed, so nobody knows what the disk holds: nothing changes any more until the
    /// repository is opened anew. What [`super::Overlay::failure`] tells is why.
    #[error("read-only since a sync failed")]
    ReadOnly,
    /// The lower layer could not be read.
    #[error("the lower layer")]
    Lower(#[from] lower::Error),
    /// The mutation could not be recorded.
    #[error("the journal")]
    Journal(#[from] journal::Error),
    /// The upper layer.
    #[error("the upper layer")]
    Upper(#[from] upper::Error),
    /// A body could not be read or written.
    #[error("a local body")]
    Body(#[source] std::io::Error),
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Error {
        match error {
            NameError::TooLong => Error::TooLong,
            NameError::Empty | NameError::Dots | NameError::Forbidden => Error::Invalid,
        }
    }
}
