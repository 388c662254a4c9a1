//! Between the journal's words and the tree's: the journal crate imports nothing of ours.

use journal::{NodeKind, Path, Time};

use crate::tree::{Kind, NameError, Timestamp, TreePath};

/// The journal's form of a path.
pub fn journal_path(path: &TreePath) -> Path {
    Path(path.as_bytes().to_vec())
}

/// The checked form of a journal's path.
///
/// # Errors
///
/// What makes it no path.
pub fn tree_path(path: &Path) -> Result<TreePath, NameError> {
    TreePath::try_from(&path.0[..])
}

/// The journal's form of a point in time.
pub fn journal_time(time: Timestamp) -> Time {
    Time {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

/// A journal's point in time.
pub fn timestamp(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

/// The journal's form of a kind.
pub fn node_kind(kind: Kind) -> NodeKind {
    match kind {
        Kind::File => NodeKind::File,
        Kind::Directory => NodeKind::Directory,
        Kind::Symlink => NodeKind::Symlink,
        Kind::Fifo => NodeKind::Fifo,
        Kind::Socket => NodeKind::Socket,
        Kind::CharDevice => NodeKind::CharDevice,
        Kind::BlockDevice => NodeKind::BlockDevice,
    }
}

/// A journal's kind.
pub fn kind_of(kind: NodeKind) -> Kind {
    match kind {
        NodeKind::File => Kind::File,
        NodeKind::Directory => Kind::Directory,
        NodeKind::Symlink => Kind::Symlink,
        NodeKind::Fifo => Kind::Fifo,
        NodeKind::Socket => Kind::Socket,
        NodeKind::CharDevice => Kind::CharDevice,
        NodeKind::BlockDevice => Kind::BlockDevice,
    }
}
