//! Attributes and times, between our words and fuser's.

use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo};

use crate::tree::{Attributes, Kind};

/// How long the kernel may believe entries and attributes of a repository: a year, that is, until it
/// is told otherwise.
///
/// It is right because every change passes through this same kernel mount, which updates or drops
/// what the change touches, because inode numbers are never reused, and because whoever changes a
/// tree from outside has to send a notification first.
pub(super) const TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long the kernel may believe these attributes. A store through a map changes a file that the kernel
/// writes by itself, and the kernel does not take it for a change of ours.
pub(super) fn valid(attributes: &Attributes) -> Duration {
    match attributes.volatile {
        true => Duration::ZERO,
        false => TTL,
    }
}

/// How long the kernel may believe that an organization has no such repository, and what it knows of
/// the virtual directories: repositories are made on the server, and nobody tells us.
pub(super) const TTL_VIRTUAL: Duration = Duration::from_secs(1);

/// What `st_blksize` says: a page, as every file system without larger units.
const BLOCK_BYTES: u32 = 4096;

pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
    }
}

/// The attributes under the kernel's number for the inode.
pub(super) fn file_attr(number: INodeNo, attributes: &Attributes) -> FileAttr {
    FileAttr {
        ino: number,
        size: attributes.size,
        blocks: attributes.blocks,
        atime: attributes.atime.into(),
        mtime: attributes.mtime.into(),
        ctime: attributes.ctime.into(),
        crtime: attributes.ctime.into(),
        kind: file_type(attributes.kind),
        perm: attributes.permissions.bits(),
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: attributes.rdev,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// The attributes that go with a negative entry: the kernel looks at the inode number alone, and 0
/// says that there is nothing.
pub(super) fn nothing() -> FileAttr {
    let zero = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: zero,
        mtime: zero,
        ctime: zero,
        crtime: zero,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}
