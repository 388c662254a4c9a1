//! What fuser calls: one line for each kind of request.
//!
//! Kinds that are not here are answered ENOSYS by fuser, which the kernel takes as "do it yourself"
//! or "not here", and mostly remembers: locks stay local to the machine, `access` is decided by
//! `default_permissions`. O_TMPFILE is not in fuser's protocol, and fails with EOPNOTSUPP.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::adapter::Adapter;
use super::capabilities;
use super::counters::RequestKind as Kind;
use super::metadata::Wish;
use crate::overlay::Overlay;

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        capabilities::negotiate(config);
        self.passthrough.negotiate(config);
        Ok(())
    }

    fn forget(&self, request: &Request, node: INodeNo, lookups: u64) {
        self.guard(Kind::Forget, request, node, || {
            self.on_forget(node, lookups)
        });
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.guard(Kind::Lookup, request, parent, || {
            self.on_lookup(parent, name, reply)
        });
    }

    fn getattr(&self, request: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.guard(Kind::Getattr, request, node, || {
            self.on_getattr(node, reply)
        });
    }

    fn readlink(&self, request: &Request, node: INodeNo, reply: ReplyData) {
        self.guard(Kind::Readlink, request, node, || {
            self.on_readlink(node, reply)
        });
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
            atime,
            mtime,
        };
        self.guard(Kind::Setattr, request, node, || {
            self.on_setattr(request, node, &wish, reply)
        });
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
        self.guard(Kind::Mknod, request, parent, || {
            self.on_mknod(request, parent, name, mode, rdev, reply)
        });
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
        self.guard(Kind::Mkdir, request, parent, || {
            self.on_mkdir(request, parent, name, mode, reply)
        });
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.guard(Kind::Symlink, request, parent, || {
            self.on_symlink(request, parent, name, target, reply)
        });
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
        self.guard(Kind::Create, request, parent, || {
            self.on_create(request, (parent, name), mode, OpenFlags(flags), reply)
        });
    }

    fn link(
        &self,
        request: &Request,
        node: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        self.guard(Kind::Link, request, node, || {
            self.on_link(node, new_parent, new_name, reply)
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guard(Kind::Unlink, request, parent, || {
            self.on_remove(parent, name, Overlay::remove_file, reply)
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guard(Kind::Rmdir, request, parent, || {
            self.on_remove(parent, name, Overlay::remove_directory, reply)
        });
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
        self.guard(Kind::Rename, request, parent, || {
            self.on_rename((parent, name), (new_parent, new_name), flags, reply)
        });
    }

    fn open(&self, request: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.guard(Kind::Open, request, node, || {
            self.on_open(node, flags, reply)
        });
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
        self.guard(Kind::Read, request, node, || {
            self.on_read(node, offset, size, reply)
        });
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
        self.guard(Kind::Write, request, node, || {
            self.on_write(request, node, offset, data, write_flags, reply)
        });
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
        self.guard(Kind::Flush, request, node, || reply.error(Errno::ENOSYS));
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
        self.guard(Kind::Release, request, node, || {
            self.on_release(node, handle, reply)
        });
    }

    fn fsync(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.guard(Kind::Fsync, request, node, || self.on_fsync(node, reply));
    }

    // See `directory`: from here on the kernel opens directories by itself.
    fn opendir(&self, request: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.guard(Kind::Opendir, request, node, || reply.error(Errno::ENOSYS));
    }

    fn readdir(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        self.guard(Kind::Readdir, request, node, || {
            self.on_readdir(node, offset, reply)
        });
    }

    fn readdirplus(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.guard(Kind::Readdirplus, request, node, || {
            self.on_readdirplus(node, offset, reply)
        });
    }

    fn fsyncdir(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.guard(Kind::Fsyncdir, request, node, || self.on_fsync(node, reply));
    }

    fn statfs(&self, request: &Request, node: INodeNo, reply: ReplyStatfs) {
        self.guard(Kind::Statfs, request, node, || self.on_statfs(node, reply));
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
        self.guard(Kind::Setxattr, request, node, || {
            self.on_setxattr(node, name, value, flags, reply)
        });
    }

    fn getxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        self.guard(Kind::Getxattr, request, node, || {
            self.on_getxattr(node, name, size, reply)
        });
    }

    fn listxattr(&self, request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        self.guard(Kind::Listxattr, request, node, || {
            self.on_listxattr(request, node, size, reply)
        });
    }

    fn removexattr(&self, request: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guard(Kind::Removexattr, request, node, || {
            self.on_removexattr(node, name, reply)
        });
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
        self.guard(Kind::Fallocate, request, node, || {
            self.on_fallocate(request, node, (offset, bytes), mode, reply)
        });
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
        self.guard(Kind::Lseek, request, node, || {
            self.on_lseek(node, offset, whence, reply)
        });
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
        self.guard(Kind::CopyFileRange, request, source, || {
            self.on_copy_file_range(request, (source, from), (target, to), bytes, reply)
        });
    }
}
