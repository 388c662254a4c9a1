//! Arguments of the overlay's operations.

use crate::tree::{Permissions, Timestamp};

/// Who makes a new node: it will belong to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Whether a repository takes edits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// It does.
    #[default]
    ReadWrite,
    /// It shows what it has, and what was edited before; whoever would change it is refused.
    ReadOnly,
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aim {
    /// Its bytes stay.
    Reading,
    /// Its bytes may change.
    Writing,
}

/// Attributes to set; `None` leaves one as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttributeChange {
    /// Mode bits.
    pub permissions: Option<Permissions>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bytes: truncates or extends a regular file.
    pub size: Option<u64>,
    /// Last read.
    pub atime: Option<Timestamp>,
    /// Last change of the content.
    pub mtime: Option<Timestamp>,
}

/// What a rename does when its destination exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rename {
    /// Replaces it.
    Replace,
    /// Fails.
    NoReplace,
    /// Makes the two change places.
    Exchange,
}

/// What a new node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NewNode {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it points to.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A character device.
    CharDevice {
        /// Its number.
        rdev: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its number.
        rdev: u32,
    },
}

/// Whether a visitor of a directory took an entry or has no room for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visit {
    /// Took it; the next one, please.
    Taken,
    /// No room: the entry does not count as read.
    Full,
}

/// What becomes of a range of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocation {
    /// Has space from now on; the file reaches at least to its end.
    Reserve,
    /// Has space from now on, if only behind the file's end.
    ReserveKeepingSize,
    /// Reads as zeros and has no space.
    Empty,
    /// Reads as zeros; the file reaches at least to its end.
    Zero,
    /// Reads as zeros as far as the file goes.
    ZeroKeepingSize,
}

/// What is looked for in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sought {
    /// Bytes that somebody wrote.
    Data,
    /// A range without any, or the end.
    Hole,
}

/// What setting an extended attribute expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrMode {
    /// Nothing.
    Any,
    /// That it is not there yet.
    Create,
    /// That it is there.
    Replace,
}

/// Space of the local disk that edits go to, as `statfs` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes in a block.
    pub block_bytes: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks that an unprivileged user may take.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
}
