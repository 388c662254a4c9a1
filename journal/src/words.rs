//! The words that records are made of: sequences, paths, times, nodes, effects.

use std::fmt;

/// Position of a record: 1 for a journal's first, one more for each next, never reused.
/// 0 stands for "before the first".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first record.
    pub const ZERO: Sequence = Sequence(0);

    /// The sequence of the record after this one.
    pub fn next(self) -> Sequence {
        // A record a nanosecond fills 64 bits in five centuries.
        Sequence(self.0.saturating_add(1))
    }

    /// The sequence of the record before this one; zero stays zero.
    pub fn previous(self) -> Sequence {
        Sequence(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A path relative to the tree's root: components joined by `/`; empty for the root itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<u8>);

impl fmt::Debug for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}

/// A point in time; `nanoseconds` is below 10^9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time {
    /// Whole seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds past `seconds`.
    pub nanoseconds: u32,
}

/// What a path stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// A node as it comes into being.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The twelve permission bits.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, else 0.
    pub rdev: u32,
    /// Target of a symbolic link, else empty.
    pub target: Vec<u8>,
    /// Last read.
    pub atime: Time,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or attributes.
    pub ctime: Time,
}

/// Where the read-only lower layer has what an adopted node shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Path in the pinned commit.
    pub path: Path,
    /// Git object: the blob of a file or symbolic link, the tree of a directory.
    pub oid: [u8; 20],
    /// Bytes of the blob; 0 for a directory.
    pub size: u64,
}

/// Attributes to set; `None` leaves one as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttributeChange {
    /// The twelve permission bits.
    pub permissions: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last read.
    pub atime: Option<Time>,
    /// Last change of the content.
    pub mtime: Option<Time>,
    /// Last change of content or attributes.
    pub ctime: Option<Time>,
}

/// How a rename treats what stands at its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Nothing stood there, or what stood there is replaced.
    Replace {
        /// The kind of what was replaced.
        replaced: Option<NodeKind>,
    },
    /// The two change places.
    Exchange {
        /// The kind of what stood at the destination.
        other: NodeKind,
    },
}

/// What the remote tree must become at one path: the result of coalescing.
///
/// A list of effects is a parallel assignment: every `Copy` reads the tree as it was before any of
/// them. [`crate::Plan`] lists them by path, parents first, and for one path first `Remove`, then
/// `Copy`, then `Put`; done in that order (with copies still read from the old tree), they are right.
///
/// A `Copy` onto its own path is one: it brings back what the `Remove` of a parent took.
/// A `Put` of a directory leaves what is below it, in the old tree or by a `Copy`, where it is. A
/// `Copy` of what did not stand in the old tree copies nothing: a plan that was stored and made anew
/// does not know whether a directory that was put, and then renamed, was new or only changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// What stood at `path`, and below it, is gone.
    Remove {
        /// Where.
        path: Path,
    },
    /// `to` holds what stood at `from`, with everything below it.
    Copy {
        /// Where it stood.
        from: Path,
        /// Where it stands.
        to: Path,
    },
    /// The node at `path` is new, or its content, target or permissions changed.
    Put {
        /// Where.
        path: Path,
        /// Its inode number.
        inode: u64,
    },
}

impl Effect {
    /// The path that changes.
    pub fn path(&self) -> &Path {
        match self {
            Effect::Remove { path } | Effect::Copy { to: path, .. } | Effect::Put { path, .. } => {
                path
            }
        }
    }
}

/// How a conflict came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConflictKind {
    /// Somebody edited the change that takes our edits, at the same paths; ours went on in a sibling.
    Foreign,
    /// The bookmark that was to be published to has other edits at the same paths.
    Publish,
}
