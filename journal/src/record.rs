//! What the journal holds: one [`Record`] for every change of the local tree, and for every step
//! of its replay to the remote.
//!
//! Records name nodes by path, so that coalescing, listing and export need nothing but the records
//! themselves; they carry inode numbers where a node comes into being, so that a rebuilt tree shows
//! the numbers that the old one did.

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

/// One entry of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A node of the lower layer gets a place of its own in the upper layer. Nothing visible changes.
    Adopt {
        /// Where.
        path: Path,
        /// Its inode number.
        inode: u64,
        /// What it shows.
        node: Node,
        /// Where the lower layer has it.
        origin: Origin,
    },
    /// A new node.
    Create {
        /// Where; nothing visible stood there.
        path: Path,
        /// Its inode number.
        inode: u64,
        /// What it is.
        node: Node,
    },
    /// Another name for a node that is not a directory.
    Link {
        /// One of its names.
        from: Path,
        /// The new one; nothing visible stood there.
        to: Path,
        /// Its inode number.
        inode: u64,
        /// When.
        time: Time,
    },
    /// A name is gone: unlink, or rmdir of an empty directory.
    Remove {
        /// Which.
        path: Path,
        /// What it stood for.
        kind: NodeKind,
        /// When.
        time: Time,
    },
    /// A node has another name.
    Rename {
        /// The old one.
        from: Path,
        /// The new one, not below the old one.
        to: Path,
        /// What moved.
        kind: NodeKind,
        /// What became of the destination.
        mode: RenameMode,
        /// When.
        time: Time,
    },
    /// The bytes of a file are in its body from now on, and have changed since the last capture.
    Write {
        /// One of its names; a file of several names has one such record for each.
        path: Path,
        /// Its inode number.
        inode: u64,
        /// When the first of these writes was made.
        time: Time,
    },
    /// Attributes of a node were set.
    SetAttributes {
        /// One of its names.
        path: Path,
        /// Its inode number.
        inode: u64,
        /// The new values.
        change: AttributeChange,
    },
    /// An extended attribute was set.
    SetXattr {
        /// One of the node's names.
        path: Path,
        /// The attribute.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// An extended attribute was removed.
    RemoveXattr {
        /// One of the node's names.
        path: Path,
        /// The attribute.
        name: Vec<u8>,
    },
    /// Every inode number below `next` is taken. Written by compaction, so that numbers of nodes
    /// that are gone are not reused.
    InodesTaken {
        /// The next free number.
        next: u64,
    },
    /// The lower layer shows this commit.
    Pin {
        /// The bookmark that named it, if one did.
        bookmark: Option<String>,
        /// The change.
        change: [u8; 16],
        /// The commit it had.
        commit: [u8; 20],
        /// That commit's tree.
        tree: [u8; 20],
        /// When it was committed.
        time: Time,
    },
    /// A change is about to be created; `transaction` will be in its description.
    ForkIntended {
        /// A fresh random identifier.
        transaction: [u8; 16],
        /// The change of ours that it continues, which was published: only what is pending is sent
        /// to it. `None` makes it on the pinned change, and everything is sent to it.
        continues: Option<[u8; 16]>,
    },
    /// The change that takes this journal's edits exists.
    Forked {
        /// Its id.
        change: [u8; 16],
        /// Its commit.
        commit: [u8; 20],
    },
    /// A push of everything up to `through` is about to be sent; `batch` will be in its description.
    PushIntended {
        /// The last record that it covers.
        through: Sequence,
        /// A fresh random identifier.
        batch: [u8; 16],
    },
    /// The remote accepted everything up to `through`.
    Pushed {
        /// The last record that it covers.
        through: Sequence,
        /// The change's commit from then on.
        commit: [u8; 20],
    },
    /// Written by compaction: a coalesced effect that the remote has not yet accepted.
    Pending {
        /// When the oldest record behind it was appended.
        since: Time,
        /// The effect.
        effect: Effect,
    },
    /// Written by compaction while a push is announced and has no outcome: an effect of what came
    /// after it. If the push turns out to be accepted, these are what is left of [`Record::Pending`].
    PendingLater {
        /// When the oldest record behind it was appended.
        since: Time,
        /// The effect.
        effect: Effect,
    },
    /// A person said that nothing more is to be pushed, until [`Record::Released`].
    Held {
        /// When.
        time: Time,
    },
    /// A person took [`Record::Held`] back.
    Released {
        /// When.
        time: Time,
    },
    /// A person gave up what is pending at `path` and below it: the remote will not get it. The
    /// local tree stays as it is, and what changes later is pushed again.
    Dropped {
        /// Where; the root drops everything.
        path: Path,
        /// When.
        time: Time,
    },
    /// Work of ours and of somebody else contradict each other; both sides are kept.
    ConflictFound {
        /// A fresh random identifier.
        conflict: [u8; 16],
        /// How it came about.
        kind: ConflictKind,
        /// Of a foreign edit: the change that both edited. Of publishing: our change.
        change: [u8; 16],
        /// The last commit of `change` that has nothing of theirs.
        base: [u8; 20],
        /// The commit that has theirs.
        theirs: [u8; 20],
        /// The bookmark that was to be published to.
        bookmark: Option<String>,
        /// The change that took our side, once there is one.
        sibling: Option<[u8; 16]>,
        /// When.
        time: Time,
    },
    /// One of the paths that a conflict is about.
    ConflictPath {
        /// The conflict.
        conflict: [u8; 16],
        /// The path.
        path: Path,
    },
    /// A person has settled a conflict.
    ConflictResolved {
        /// The conflict.
        conflict: [u8; 16],
        /// When.
        time: Time,
    },
    /// A bookmark is about to be moved to a change of ours, or merged with it.
    PublishIntended {
        /// A fresh random identifier; a merge goes through a bookmark of this name.
        publish: [u8; 16],
        /// The change.
        change: [u8; 16],
        /// Its commit.
        commit: [u8; 20],
        /// The bookmark.
        bookmark: String,
    },
    /// The bookmark has the change. What is pushed from then on continues it in a new change.
    Published {
        /// The change.
        change: [u8; 16],
        /// The bookmark.
        bookmark: String,
    },
}

/// How a conflict came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConflictKind {
    /// Somebody edited the change that takes our edits, at the same paths; ours went on in a sibling.
    Foreign,
    /// The bookmark that was to be published to has other edits at the same paths.
    Publish,
}

impl Record {
    /// Whether the record is part of the local history that replay carries to the remote.
    pub fn is_pending_work(&self) -> bool {
        match self {
            Record::Create { .. }
            | Record::Link { .. }
            | Record::Remove { .. }
            | Record::Rename { .. }
            | Record::Write { .. }
            | Record::Pending { .. } => true,
            Record::SetAttributes { change, .. } => change.permissions.is_some(),
            Record::Adopt { .. }
            | Record::SetXattr { .. }
            | Record::RemoveXattr { .. }
            | Record::InodesTaken { .. }
            | Record::Pin { .. }
            | Record::ForkIntended { .. }
            | Record::Forked { .. }
            | Record::PushIntended { .. }
            | Record::Pushed { .. }
            | Record::PendingLater { .. }
            | Record::Held { .. }
            | Record::Released { .. }
            | Record::Dropped { .. }
            | Record::ConflictFound { .. }
            | Record::ConflictPath { .. }
            | Record::ConflictResolved { .. }
            | Record::PublishIntended { .. }
            | Record::Published { .. } => false,
        }
    }

    /// The time that the record carries: of most kinds, when the change was made. A commit's own for
    /// [`Record::Pin`].
    pub fn time(&self) -> Option<Time> {
        match self {
            Record::Create { node, .. } => Some(node.ctime),
            Record::Link { time, .. }
            | Record::Remove { time, .. }
            | Record::Rename { time, .. }
            | Record::Write { time, .. }
            | Record::Held { time }
            | Record::Released { time }
            | Record::Dropped { time, .. }
            | Record::ConflictFound { time, .. }
            | Record::ConflictResolved { time, .. }
            | Record::Pin { time, .. } => Some(*time),
            Record::SetAttributes { change, .. } => change.ctime,
            Record::Pending { since, .. } | Record::PendingLater { since, .. } => Some(*since),
            Record::Adopt { .. }
            | Record::SetXattr { .. }
            | Record::RemoveXattr { .. }
            | Record::InodesTaken { .. }
            | Record::ForkIntended { .. }
            | Record::Forked { .. }
            | Record::PushIntended { .. }
            | Record::Pushed { .. }
            | Record::ConflictPath { .. }
            | Record::PublishIntended { .. }
            | Record::Published { .. } => None,
        }
    }
}
