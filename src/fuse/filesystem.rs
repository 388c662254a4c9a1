//! What fuser calls: one line for each kind of request.
//!
//! Kinds that are not here are answered ENOSYS by fuser, which the kernel takes as "do it yourself"
//! or "not here", and mostly remembers: locks stay local to the machine, `access` is decided by
//! `default_permissions`. O_TMPFILE is not in fuser's protocol, and fails with EOPNOTSUPP.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::Transport;
use super::adapter::Adapter;
use super::capabilities;
use super::counters::RequestKind as Kind;
use super::metadata::{SetTime, Wish};
use crate::overlay::Overlay;

/// What fuser drives: the handshake, and all that comes by the device.
pub(super) struct Device {
    pub(super) adapter: Arc<Adapter>,
    /// Which way the rest may come.
    pub(super) transport: Transport,
}

/// Hands a request to its handler.
macro_rules! serve {
    ($kind:ident of $request:ident at $node:ident: $device:ident.$($handler:tt)+) => {
        $device.adapter.guard(Kind::$kind, $request.unique().0, $node, || {
            $device.adapter.$($handler)+
        })
    };
}

impl Filesystem for Device {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        capabilities::negotiate(config);
        self.adapter.passthrough.negotiate(config);
        let agreed = self.transport == Transport::IoUring
            && config
                .add_capabilities(InitFlags::FUSE_OVER_IO_URING)
                .is_ok();
        self.adapter.agree_on_rings(agreed);
        Ok(())
    }

    fn forget(&self, request: &Request, node: INodeNo, lookups: u64) {
        serve!(Forget of request at node: self.on_forget(node, lookups));
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        serve!(Lookup of request at parent: self.on_lookup(parent, name, reply.into()));
    }

    fn getattr(&self, request: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        serve!(Getattr of request at node: self.on_getattr(node, reply.into()));
    }

    fn readlink(&self, request: &Request, node: INodeNo, reply: ReplyData) {
        serve!(Readlink of request at node: self.on_readlink(node, reply.into()));
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wish = Wish {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(SetTime::from),
            mtime: mtime.map(SetTime::from),
        };
        serve!(Setattr of request at node:
            self.on_setattr(request.into(), node, &wish, reply.into()));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        serve!(Mknod of request at parent:
            self.on_mknod(request.into(), parent, name, mode, rdev, reply.into()));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        serve!(Mkdir of request at parent:
            self.on_mkdir(request.into(), parent, name, mode, reply.into()));
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        serve!(Symlink of request at parent:
            self.on_symlink(request.into(), parent, name, target, reply.into()));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        serve!(Create of request at parent:
            self.on_create(request.into(), (parent, name), mode, OpenFlags(flags), reply.into()));
    }

    fn link(
        &self,
        request: &Request,
        node: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        serve!(Link of request at node: self.on_link(node, new_parent, new_name, reply.into()));
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        serve!(Unlink of request at parent:
            self.on_remove(parent, name, Overlay::remove_file, reply.into()));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        serve!(Rmdir of request at parent:
            self.on_remove(parent, name, Overlay::remove_directory, reply.into()));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        serve!(Rename of request at parent:
            self.on_rename((parent, name), (new_parent, new_name), flags, reply.into()));
    }

    fn open(&self, request: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        serve!(Open of request at node: self.on_open(node, flags, reply.into()));
    }

    fn read(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        serve!(Read of request at node: self.on_read(node, offset, size, reply.into()));
    }

    fn write(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        serve!(Write of request at node:
            self.on_write(request.into(), node, offset, data, write_flags, reply.into()));
    }

    // Nothing waits for a close. The kernel asks once and never again.
    fn flush(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.adapter
            .guard(Kind::Flush, request.unique().0, node, || {
                reply.error(Errno::ENOSYS)
            });
    }

    fn release(
        &self,
        request: &Request,
        node: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        serve!(Release of request at node: self.on_release(node, handle, reply.into()));
    }

    fn fsync(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        serve!(Fsync of request at node: self.on_fsync(node, reply.into()));
    }

    // See `directory`: from here on the kernel opens directories by itself.
    fn opendir(&self, request: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.adapter
            .guard(Kind::Opendir, request.unique().0, node, || {
                reply.error(Errno::ENOSYS)
            });
    }

    fn readdir(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        serve!(Readdir of request at node: self.on_readdir(node, offset, reply.into()));
    }

    fn readdirplus(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        serve!(Readdirplus of request at node: self.on_readdirplus(node, offset, reply.into()));
    }

    fn fsyncdir(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        serve!(Fsyncdir of request at node: self.on_fsync(node, reply.into()));
    }

    fn statfs(&self, request: &Request, node: INodeNo, reply: ReplyStatfs) {
        serve!(Statfs of request at node: self.on_statfs(node, reply.into()));
    }

    fn setxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        serve!(Setxattr of request at node:
            self.on_setxattr(node, name, value, flags, reply.into()));
    }

    fn getxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        serve!(Getxattr of request at node: self.on_getxattr(node, name, size, reply.into()));
    }

    fn listxattr(&self, request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        serve!(Listxattr of request at node:
            self.on_listxattr(request.into(), node, size, reply.into()));
    }

    fn removexattr(&self, request: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        serve!(Removexattr of request at node: self.on_removexattr(node, name, reply.into()));
    }

    fn fallocate(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        serve!(Fallocate of request at node:
            self.on_fallocate(request.into(), node, (offset, bytes), mode, reply.into()));
    }

    fn lseek(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        serve!(Lseek of request at node: self.on_lseek(node, offset, whence, reply.into()));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        source: INodeNo,
        _: FileHandle,
        from: u64,
        target: INodeNo,
        _: FileHandle,
        to: u64,
        bytes: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        serve!(CopyFileRange of request at source:
            self.on_copy_file_range(
                request.into(), (source, from), (target, to), bytes, reply.into()));
    }
}
