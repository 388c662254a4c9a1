//! Edits of a remote tree: what replay asks of the server, in words that know no protocol.
//!
//! A list of edits applies in order, to the tree that the last accepted push left behind. The
//! overlay makes it; the remote sends it.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{GitOid, TreePath};

/// One step that turns the last pushed tree into the captured one.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Whatever is at `path` goes away, with everything below it; nothing there is no error.
    Remove {
        /// Where.
        path: TreePath,
    },
    /// A regular file stands at `path`, in place of whatever was there.
    File {
        /// Where.
        path: TreePath,
        /// Its bytes.
        content: Content,
        /// Whether the owner may execute it.
        executable: bool,
    },
    /// A symbolic link stands at `path`; servers without the extension cannot take it.
    Symlink {
        /// Where.
        path: TreePath,
        /// Its target, as `readlink` shows it.
        target: Vec<u8>,
    },
    /// An empty directory stands at `path`; servers without the extension cannot take it.
    Directory {
        /// Where.
        path: TreePath,
    },
    /// The directory `path` is the existing Git tree `tree`, which was read below `from` in the
    /// pinned commit: a renamed directory of the lower layer, named instead of sent.
    Graft {
        /// Where.
        path: TreePath,
        /// The tree object.
        tree: GitOid,
        /// Where the pinned commit has that tree, for servers that must be sent every file.
        from: TreePath,
    },
}

impl Edit {
    /// The path that the edit changes.
    pub fn path(&self) -> &TreePath {
        match self {
            Edit::Remove { path }
            | Edit::File { path, .. }
            | Edit::Symlink { path, .. }
            | Edit::Directory { path }
            | Edit::Graft { path, .. } => path,
        }
    }
}

/// Where the bytes of a pushed file come from.
#[derive(Debug, Clone)]
pub enum Content {
    /// A blob that the pinned commit has at `from`: a renamed or re-moded file of the lower layer.
    Lower {
        /// The Git blob.
        oid: GitOid,
        /// Bytes.
        size: u64,
        /// Where the pinned commit has it.
        from: TreePath,
    },
    /// No bytes.
    Empty,
    /// A local body.
    Body(Arc<dyn ContentSource>),
}

/// Bytes that were captured at one point in time.
pub trait ContentSource: fmt::Debug + Send + Sync {
    /// Bytes at the time of the capture.
    fn size(&self) -> u64;

    /// Opens the bytes for reading, from the start.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn open(&self) -> io::Result<File>;

    /// Whether the bytes are still those of the capture. Ask after reading: `false` means that what
    /// was read may mix two states, must not be pushed, and has to be captured again.
    fn is_unchanged(&self) -> bool;
}
