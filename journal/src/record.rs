//! What the journal holds: one [`Record`] for every change of the local tree, and for every step
//! of its replay to the remote.
//!
//! Records name nodes by path, so that coalescing, listing and export need nothing but the records
//! themselves; they carry inode numbers where a node comes into being, so that a rebuilt tree shows
//! the numbers that the old one did.

pub use crate::words::{
    AttributeChange, ConflictKind, Effect, Node, NodeKind, Origin, Path, RenameMode, Sequence, Time,
};

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
    /// A person gave up what is pending at this very path: the remote will not get it, neither by this
    /// change nor by another. The local tree stays as it is; what changes there later counts again.
    Dropped {
        /// Where.
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
    /// The body of a file is a copy of the lower layer's bytes, which a power cut may take until
    /// [`Record::BodiesDurable`] says otherwise; comes before the [`Record::Write`] that makes it count.
    CopyUp {
        /// The file's inode number.
        inode: u64,
    },
    /// The bodies are durable as the records up to `through` tell of them, copies and bytes.
    BodiesDurable {
        /// The last of them.
        through: Sequence,
    },
    /// Bytes that an fsync promised, so that the journal's sync is the only one: until
    /// [`Record::BodiesDurable`] says otherwise, the body may lack them after a power cut.
    Bytes {
        /// The file's inode number.
        inode: u64,
        /// How much of what the body had before still counts.
        kept: u64,
        /// The file's size.
        size: u64,
        /// Where the bytes belong.
        offset: u64,
        /// When the file was last written to.
        time: Time,
        /// The bytes; may be none.
        data: Vec<u8>,
    },
    /// A power cut may have taken a copy before it was durable: the file shows the lower layer's bytes
    /// again, as it did before its [`Record::CopyUp`].
    CopyUpUndone {
        /// The file's inode number.
        inode: u64,
    },
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
            | Record::Published { .. }
            | Record::CopyUp { .. }
            | Record::BodiesDurable { .. }
            | Record::CopyUpUndone { .. }
            | Record::Bytes { .. } => false,
        }
    }

    /// The paths that a record of pending work changes: one, or both of a rename.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            Record::Create { path, .. }
            | Record::Remove { path, .. }
            | Record::Write { path, .. }
            | Record::SetAttributes { path, .. }
            | Record::Link { to: path, .. } => (Some(path), None),
            Record::Rename { from, to, .. } => (Some(from), Some(to)),
            Record::Pending { effect, .. } | Record::PendingLater { effect, .. } => {
                (Some(effect.path()), None)
            }
            _ => (None, None),
        };
        one.into_iter().chain(other)
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
            | Record::Published { .. }
            | Record::CopyUp { .. }
            | Record::BodiesDurable { .. }
            | Record::CopyUpUndone { .. }
            | Record::Bytes { .. } => None,
        }
    }
}
