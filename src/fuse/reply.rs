//! Replies, one type for each kind, whichever way the request came: by the device, where fuser writes
//! them, or by a ring ([`super::ring`]), where we do.
//!
//! A reply goes out once: one that is dropped answers EIO by itself.

use std::ffi::OsStr;
use std::time::Duration;

use fuser::{Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo};

use super::adapter::Refuse;
use super::passthrough::Backing;
use super::ring::Answer;
use super::wire;
use crate::overlay::Space;
use crate::tree::NAME_BYTES_MAX;

/// A reply of the kind that fuser calls `D`.
pub(super) enum Reply<D> {
    Device(D),
    Ring(Answer),
}

/// A kind of reply.
pub(super) trait Kind: Send + 'static {
    fn error(self, errno: Errno);
}

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {$(
        pub(super) type $kind = Reply<fuser::$kind>;

        impl Kind for fuser::$kind {
            fn error(self, errno: Errno) {
                fuser::$kind::error(self, errno);
            }
        }
    )*};
}

kinds!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr,
);

impl<D> From<D> for Reply<D> {
    fn from(reply: D) -> Reply<D> {
        Reply::Device(reply)
    }
}

impl<D: Kind> Reply<D> {
    pub(super) fn error(self, errno: Errno) {
        match self {
            Reply::Device(reply) => reply.error(errno),
            Reply::Ring(answer) => answer.refuse(errno),
        }
    }
}

impl<D: Kind> Refuse for Reply<D> {
    fn refuse(self, errno: Errno) {
        self.error(errno);
    }
}

impl ReplyAttr {
    pub(super) fn attr(self, valid: &Duration, attr: &FileAttr) {
        match self {
            Reply::Device(reply) => reply.attr(valid, attr),
            Reply::Ring(answer) => answer.send(wire::attributes(*valid, attr)),
        }
    }
}

impl ReplyEntry {
    pub(super) fn entry(self, attr_valid: &Duration, entry_valid: &Duration, attr: &FileAttr) {
        match self {
            Reply::Device(reply) => {
                reply.entry_with_ttls(attr_valid, entry_valid, attr, Generation(0));
            }
            Reply::Ring(answer) => answer.send(wire::entry(*attr_valid, *entry_valid, attr)),
        }
    }
}

impl ReplyData {
    pub(super) fn data(self, data: Vec<u8>) {
        match self {
            Reply::Device(reply) => reply.data(&data),
            Reply::Ring(answer) => answer.send(data),
        }
    }
}

impl ReplyEmpty {
    pub(super) fn ok(self) {
        match self {
            Reply::Device(reply) => reply.ok(),
            Reply::Ring(answer) => answer.send(Vec::new()),
        }
    }
}

impl ReplyWrite {
    pub(super) fn written(self, bytes: u32) {
        match self {
            Reply::Device(reply) => reply.written(bytes),
            Reply::Ring(answer) => answer.send(wire::number(bytes)),
        }
    }
}

impl ReplyLseek {
    pub(super) fn offset(self, offset: i64) {
        match self {
            Reply::Device(reply) => reply.offset(offset),
            Reply::Ring(answer) => answer.send(offset.to_ne_bytes().to_vec()),
        }
    }
}

impl ReplyXattr {
    pub(super) fn size(self, bytes: u32) {
        match self {
            Reply::Device(reply) => reply.size(bytes),
            Reply::Ring(answer) => answer.send(wire::number(bytes)),
        }
    }

    pub(super) fn data(self, data: &[u8]) {
        match self {
            Reply::Device(reply) => reply.data(data),
            Reply::Ring(answer) => answer.send(data.to_vec()),
        }
    }
}

impl ReplyStatfs {
    pub(super) fn space(self, space: &Space) {
        match self {
            Reply::Device(reply) => reply.statfs(
                space.blocks,
                space.blocks_free,
                space.blocks_available,
                space.files,
                space.files_free,
                space.block_bytes,
                NAME_BYTES_MAX as u32,
                space.block_bytes,
            ),
            Reply::Ring(answer) => answer.send(wire::space(space)),
        }
    }
}

fn number(backing: Option<&Backing>) -> Option<u32> {
    backing.map(Backing::number)
}

impl ReplyOpen {
    /// `backing`: of a body that the kernel serves.
    pub(super) fn opened(self, handle: FileHandle, flags: FopenFlags, backing: Option<&Backing>) {
        match (self, backing) {
            (Reply::Device(reply), Some(backing)) => {
                // SAFETY: the number is one that the kernel gave, and it stays open: what is made of it here
                // does not close it.
                let lent = unsafe { reply.wrap_backing(backing.number()) };
                reply.opened_passthrough(handle, flags, &lent);
                let _ = lent.into_raw();
            }
            (Reply::Device(reply), None) => reply.opened(handle, flags),
            (Reply::Ring(answer), backing) => {
                answer.send(wire::opened(handle, flags, number(backing)))
            }
        }
    }
}

impl ReplyCreate {
    /// `backing`: of a body that the kernel serves.
    pub(super) fn created(
        self,
        valid: &Duration,
        attr: &FileAttr,
        (handle, flags): (FileHandle, FopenFlags),
        backing: Option<&Backing>,
    ) {
        let generation = Generation(0);
        match (self, backing) {
            (Reply::Device(reply), Some(backing)) => {
                // SAFETY: as of an open.
                let lent = unsafe { reply.wrap_backing(backing.number()) };
                reply.created_passthrough(valid, attr, generation, handle, flags, &lent);
                let _ = lent.into_raw();
            }
            (Reply::Device(reply), None) => reply.created(valid, attr, generation, handle, flags),
            (Reply::Ring(answer), backing) => {
                let mut bytes = wire::entry(*valid, *valid, attr);
                bytes.extend(wire::opened(handle, flags, number(backing)));
                answer.send(bytes);
            }
        }
    }
}

impl ReplyDirectory {
    /// Adds an entry; tells whether the reply is full, and has not taken it.
    pub(super) fn add(&mut self, node: INodeNo, cookie: u64, kind: FileType, name: &OsStr) -> bool {
        match self {
            Reply::Device(reply) => reply.add(node, cookie, kind, name),
            Reply::Ring(answer) => {
                answer.add(&[], &wire::directory_entry(node, cookie, kind, name))
            }
        }
    }

    pub(super) fn ok(self) {
        match self {
            Reply::Device(reply) => reply.ok(),
            Reply::Ring(answer) => answer.send_added(),
        }
    }
}

impl ReplyDirectoryPlus {
    /// Adds an entry with attributes; tells whether the reply is full, and has not taken it.
    pub(super) fn add(
        &mut self,
        node: INodeNo,
        cookie: u64,
        name: &OsStr,
        valid: &Duration,
        attr: &FileAttr,
    ) -> bool {
        match self {
            Reply::Device(reply) => reply.add(node, cookie, name, valid, attr, Generation(0)),
            Reply::Ring(answer) => answer.add(
                &wire::entry(*valid, *valid, attr),
                &wire::directory_entry(node, cookie, attr.kind, name),
            ),
        }
    }

    pub(super) fn ok(self) {
        match self {
            Reply::Device(reply) => reply.ok(),
            Reply::Ring(answer) => answer.send_added(),
        }
    }
}
