//! The kernel's structures, as `include/uapi/linux/fuse.h` has them, for what comes and goes by a ring, and for
//! messages that fuser has no words for: it keeps its own to itself.
//!
//! Numbers are in the machine's own order. What an answer consists of is laid out field by field, in the
//! order of the header file, with its padding.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use fuser::{FileAttr, FileHandle, FileType, FopenFlags, INodeNo};

use crate::overlay::Space;
use crate::tree::{NAME_BYTES_MAX, Timestamp};

/// Entries of a listing begin at multiples of this.
const ENTRY_ALIGNMENT: usize = 8;

/// What an answer or a message begins with.
const HEADER_BYTES: usize = 16;
/// The numbers of two messages.
const NOTIFY_STORE: u32 = 4;
const NOTIFY_PRUNE: u32 = 9;

/// The numbers of the requests that we know.
pub(super) mod opcode {
    pub(in super::super) const LOOKUP: u32 = 1;
    pub(in super::super) const GETATTR: u32 = 3;
    pub(in super::super) const SETATTR: u32 = 4;
    pub(in super::super) const READLINK: u32 = 5;
    pub(in super::super) const SYMLINK: u32 = 6;
    pub(in super::super) const MKNOD: u32 = 8;
    pub(in super::super) const MKDIR: u32 = 9;
    pub(in super::super) const UNLINK: u32 = 10;
    pub(in super::super) const RMDIR: u32 = 11;
    pub(in super::super) const RENAME: u32 = 12;
    pub(in super::super) const LINK: u32 = 13;
    pub(in super::super) const OPEN: u32 = 14;
    pub(in super::super) const READ: u32 = 15;
    pub(in super::super) const WRITE: u32 = 16;
    pub(in super::super) const STATFS: u32 = 17;
    pub(in super::super) const RELEASE: u32 = 18;
    pub(in super::super) const FSYNC: u32 = 20;
    pub(in super::super) const SETXATTR: u32 = 21;
    pub(in super::super) const GETXATTR: u32 = 22;
    pub(in super::super) const LISTXATTR: u32 = 23;
    pub(in super::super) const REMOVEXATTR: u32 = 24;
    pub(in super::super) const FLUSH: u32 = 25;
    pub(in super::super) const OPENDIR: u32 = 27;
    pub(in super::super) const READDIR: u32 = 28;
    pub(in super::super) const FSYNCDIR: u32 = 30;
    pub(in super::super) const CREATE: u32 = 35;
    pub(in super::super) const FALLOCATE: u32 = 43;
    pub(in super::super) const READDIRPLUS: u32 = 44;
    pub(in super::super) const RENAME2: u32 = 45;
    pub(in super::super) const LSEEK: u32 = 46;
    pub(in super::super) const COPY_FILE_RANGE: u32 = 47;
}

/// Which fields of a setattr count.
pub(super) mod setattr {
    pub(in super::super) const MODE: u32 = 1;
    pub(in super::super) const UID: u32 = 1 << 1;
    pub(in super::super) const GID: u32 = 1 << 2;
    pub(in super::super) const SIZE: u32 = 1 << 3;
    pub(in super::super) const ATIME: u32 = 1 << 4;
    pub(in super::super) const MTIME: u32 = 1 << 5;
    pub(in super::super) const ATIME_NOW: u32 = 1 << 7;
    pub(in super::super) const MTIME_NOW: u32 = 1 << 8;
}

/// Reads the fields of a structure, one after the other. What a short one lacks is 0.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Fields<'a> {
        Fields(bytes)
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *first
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    pub(super) fn i32(&mut self) -> i32 {
        self.u32().cast_signed()
    }

    pub(super) fn i64(&mut self) -> i64 {
        self.u64().cast_signed()
    }
}

/// The name at the front, which ends with a zero byte, and what is behind that.
pub(super) fn name(bytes: &[u8]) -> (&OsStr, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (name, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    (OsStr::from_bytes(name), rest.get(1..).unwrap_or_default())
}

/// A structure that is laid out.
struct Layout(Vec<u8>);

impl Layout {
    fn of(bytes: usize) -> Layout {
        Layout(Vec::with_capacity(bytes))
    }

    fn u32s(mut self, numbers: &[u32]) -> Layout {
        let bytes = numbers.iter().flat_map(|number| number.to_ne_bytes());
        self.0.extend(bytes);
        self
    }

    fn u64s(mut self, numbers: &[u64]) -> Layout {
        let bytes = numbers.iter().flat_map(|number| number.to_ne_bytes());
        self.0.extend(bytes);
        self
    }

    /// `fuse_attr`.
    fn attr(self, attr: &FileAttr) -> Layout {
        let times = [attr.atime, attr.mtime, attr.ctime].map(Timestamp::from);
        self.u64s(&[attr.ino.0, attr.size, attr.blocks])
            .u64s(&times.map(|time| time.seconds.cast_unsigned()))
            .u32s(&times.map(|time| time.nanoseconds))
            .u32s(&[type_bits(attr.kind) | u32::from(attr.perm), attr.nlink])
            .u32s(&[attr.uid, attr.gid, attr.rdev, attr.blksize, attr.flags])
    }
}

/// The file type as `st_mode` has it.
fn type_bits(kind: FileType) -> u32 {
    match kind {
        FileType::NamedPipe => libc::S_IFIFO,
        FileType::CharDevice => libc::S_IFCHR,
        FileType::BlockDevice => libc::S_IFBLK,
        FileType::Directory => libc::S_IFDIR,
        FileType::RegularFile => libc::S_IFREG,
        FileType::Symlink => libc::S_IFLNK,
        FileType::Socket => libc::S_IFSOCK,
    }
}

/// `fuse_attr_out`.
pub(super) fn attributes(valid: Duration, attr: &FileAttr) -> Vec<u8> {
    let layout = Layout::of(104).u64s(&[valid.as_secs()]);
    layout.u32s(&[valid.subsec_nanos(), 0]).attr(attr).0
}

/// `fuse_entry_out`. The generation is always 0: a number is never given to another file.
pub(super) fn entry(attr_valid: Duration, entry_valid: Duration, attr: &FileAttr) -> Vec<u8> {
    let layout = Layout::of(128).u64s(&[attr.ino.0, 0]);
    let layout = layout.u64s(&[entry_valid.as_secs(), attr_valid.as_secs()]);
    let layout = layout.u32s(&[entry_valid.subsec_nanos(), attr_valid.subsec_nanos()]);
    layout.attr(attr).0
}

/// `fuse_open_out`; `backing`: the number of a body that the kernel reads and writes by itself.
pub(super) fn opened(handle: FileHandle, flags: FopenFlags, backing: Option<u32>) -> Vec<u8> {
    let flags = match backing {
        Some(_) => flags | FopenFlags::FOPEN_PASSTHROUGH,
        None => flags,
    };
    let layout = Layout::of(16).u64s(&[handle.0]);
    layout.u32s(&[flags.bits(), backing.unwrap_or(0)]).0
}

/// `fuse_write_out` and `fuse_getxattr_out`.
pub(super) fn number(number: u32) -> Vec<u8> {
    Layout::of(8).u32s(&[number, 0]).0
}

/// `fuse_statfs_out`.
pub(super) fn space(space: &Space) -> Vec<u8> {
    let layout = Layout::of(80).u64s(&[space.blocks, space.blocks_free, space.blocks_available]);
    let layout = layout.u64s(&[space.files, space.files_free]);
    let sizes = [space.block_bytes, NAME_BYTES_MAX as u32, space.block_bytes];
    layout.u32s(&sizes).u32s(&[0; 7]).0
}

/// `fuse_dirent`, with the name, and as much room behind it as brings the next one to its place.
pub(super) fn directory_entry(node: INodeNo, cookie: u64, kind: FileType, name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    let layout = Layout::of(24 + name.len() + ENTRY_ALIGNMENT).u64s(&[node.0, cookie]);
    let Layout(mut bytes) = layout.u32s(&[name.len() as u32, type_bits(kind) >> 12]);
    bytes.extend_from_slice(name);
    bytes.resize(bytes.len().next_multiple_of(ENTRY_ALIGNMENT), 0);
    bytes
}

/// What the kernel is told without having asked.
pub(super) enum Notification<'a> {
    /// So many bytes of a file, from its beginning, which follow.
    Store { node: u64, bytes: u32 },
    /// Inodes that it is to let go of, if nobody uses them.
    Prune(&'a [u64]),
}

/// `fuse_out_header`, whose error is the kind of message and which answers no request, with
/// `fuse_notify_store_out`, or `fuse_notify_prune_out` and the inodes.
pub(super) fn notification(told: &Notification) -> Vec<u8> {
    let (kind, body, following) = match told {
        Notification::Store { node, bytes } => {
            let body = Layout::of(24).u64s(&[*node, 0]).u32s(&[*bytes, 0]);
            (NOTIFY_STORE, body, *bytes)
        }
        Notification::Prune(inodes) => {
            let body = Layout::of(16 + 8 * inodes.len()).u32s(&[inodes.len() as u32, 0]);
            (NOTIFY_PRUNE, body.u64s(&[0]).u64s(inodes), 0)
        }
    };
    let length = (HEADER_BYTES + body.0.len()) as u32 + following;
    let Layout(mut message) = Layout::of(length as usize).u32s(&[length, kind]).u64s(&[0]);
    message.extend_from_slice(&body.0);
    message
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn attr() -> FileAttr {
        FileAttr {
            ino: INodeNo(7),
            size: 10,
            blocks: 8,
            atime: SystemTime::UNIX_EPOCH + Duration::new(1, 11),
            mtime: SystemTime::UNIX_EPOCH - Duration::new(0, 1),
            ctime: SystemTime::UNIX_EPOCH + Duration::new(3, 33),
            crtime: SystemTime::UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0o644,
            nlink: 2,
            uid: 1000,
            gid: 100,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    #[test]
    fn every_structure_has_the_size_that_the_kernel_knows() {
        let second = Duration::from_secs(1);
        assert_eq!(attributes(second, &attr()).len(), 104);
        assert_eq!(entry(second, second, &attr()).len(), 128);
        assert_eq!(
            opened(FileHandle(1), FopenFlags::FOPEN_KEEP_CACHE, None).len(),
            16
        );
        assert_eq!(number(7).len(), 8);
        for (name, bytes) in [("a", 32), ("eight-by", 32), ("nine-byte", 40)] {
            let entry = directory_entry(INodeNo(7), 1, FileType::Directory, OsStr::new(name));
            assert_eq!(entry.len(), bytes, "{name}");
        }
    }

    #[test]
    fn attributes_are_where_the_kernel_reads_them() {
        let bytes = entry(Duration::new(5, 6), Duration::new(7, 8), &attr());
        let mut fields = Fields::of(&bytes);
        let numbers = std::array::from_fn(|_| fields.u64());
        assert_eq!(numbers, [7, 0, 7, 5]);
        assert_eq!([fields.u32(), fields.u32()], [8, 6]);
        let numbers = std::array::from_fn(|_| fields.u64());
        assert_eq!(numbers, [7, 10, 8]);
        assert_eq!([fields.i64(), fields.i64(), fields.i64()], [1, -1, 3]);
        let numbers = std::array::from_fn(|_| fields.u32());
        assert_eq!(numbers, [11, 999_999_999, 33, 0o100_644, 2]);
        let numbers = std::array::from_fn(|_| fields.u32());
        assert_eq!(numbers, [1000, 100, 0, 4096, 0]);
    }

    #[test]
    fn a_message_says_how_long_it_is_with_what_follows() {
        let store = notification(&Notification::Store {
            node: 7 << 48 | 9,
            bytes: 1_000,
        });
        let mut fields = Fields::of(&store);
        assert_eq!((fields.u32(), fields.u32(), fields.u64()), (1_040, 4, 0));
        assert_eq!((fields.u64(), fields.u64()), (7 << 48 | 9, 0));
        assert_eq!((fields.u32(), fields.u32()), (1_000, 0));
        assert_eq!(store.len(), 40);
        let prune = notification(&Notification::Prune(&[5, 6]));
        let mut fields = Fields::of(&prune);
        assert_eq!((fields.u32(), fields.u32(), fields.u64()), (48, 9, 0));
        assert_eq!((fields.u32(), fields.u32(), fields.u64()), (2, 0, 0));
        assert_eq!((fields.u64(), fields.u64()), (5, 6));
        assert_eq!(prune.len(), 48);
    }

    #[test]
    fn names_end_with_a_zero_byte_and_what_lacks_is_zero() {
        assert_eq!(name(b"one\0two\0"), (OsStr::new("one"), &b"two\0"[..]));
        assert_eq!(name(b"\0"), (OsStr::new(""), &b""[..]));
        assert_eq!(name(b"cut"), (OsStr::new("cut"), &b""[..]));
        let mut fields = Fields::of(&[1, 0, 0, 0, 2]);
        assert_eq!(
            (fields.u32(), fields.u64()),
            (u32::from_ne_bytes([1, 0, 0, 0]), 0)
        );
    }
}
