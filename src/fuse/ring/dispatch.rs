//! From a request in a frame to the handler of its kind: for rings, what `filesystem` is for the device.

use std::path::Path;

use fuser::{Errno, FileHandle, INodeNo, OpenFlags, RenameFlags, WriteFlags};

use super::Answer;
use super::frame::Arrived;
use super::queue::Serve;
use crate::fuse::adapter::Adapter;
use crate::fuse::counters::RequestKind;
use crate::fuse::metadata::{SetTime, Wish};
use crate::fuse::reply::Reply;
use crate::fuse::wire::{Fields, name, opcode, setattr};
use crate::overlay::Overlay;
use crate::tree::Timestamp;

impl Serve for Adapter {
    fn request(&self, arrived: &Arrived, answer: Answer) {
        self.count_ring();
        dispatch(self, arrived, answer);
    }

    fn room(&self, arrived: &Arrived) -> u32 {
        match arrived.opcode {
            opcode::READDIR | opcode::READDIRPLUS => {
                let mut fields = Fields::of(arrived.structure);
                let (_handle, _offset) = (fields.u64(), fields.u64());
                fields.u32()
            }
            _ => 0,
        }
    }

    fn untaken(&self) {
        self.agree_on_rings(false);
    }
}

fn dispatch(adapter: &Adapter, arrived: &Arrived, answer: Answer) {
    let mut fields = Fields::of(arrived.structure);
    let (request, node, payload) = (arrived.request, INodeNo(arrived.node), arrived.payload);
    macro_rules! serve {
        ($kind:ident, $handler:expr) => {
            adapter.guard(RequestKind::$kind, request.unique, node, || $handler)
        };
    }
    match arrived.opcode {
        opcode::LOOKUP => {
            serve!(
                Lookup,
                adapter.on_lookup(node, name(payload).0, Reply::Ring(answer))
            );
        }
        opcode::GETATTR => serve!(Getattr, adapter.on_getattr(node, Reply::Ring(answer))),
        opcode::SETATTR => {
            let wish = wish(&mut fields);
            let reply = Reply::Ring(answer);
            serve!(Setattr, adapter.on_setattr(request, node, &wish, reply));
        }
        opcode::READLINK => serve!(Readlink, adapter.on_readlink(node, Reply::Ring(answer))),
        opcode::SYMLINK => {
            let (link, rest) = name(payload);
            let (target, reply) = (Path::new(name(rest).0), Reply::Ring(answer));
            serve!(
                Symlink,
                adapter.on_symlink(request, node, link, target, reply)
            );
        }
        opcode::MKNOD => {
            let (mode, device) = (fields.u32(), fields.u32());
            let (name, reply) = (name(payload).0, Reply::Ring(answer));
            serve!(
                Mknod,
                adapter.on_mknod(request, node, name, mode, device, reply)
            );
        }
        opcode::MKDIR => {
            let (mode, name, reply) = (fields.u32(), name(payload).0, Reply::Ring(answer));
            serve!(Mkdir, adapter.on_mkdir(request, node, name, mode, reply));
        }
        opcode::UNLINK => {
            let (name, reply) = (name(payload).0, Reply::Ring(answer));
            serve!(
                Unlink,
                adapter.on_remove(node, name, Overlay::remove_file, reply)
            );
        }
        opcode::RMDIR => {
            let (name, reply) = (name(payload).0, Reply::Ring(answer));
            serve!(
                Rmdir,
                adapter.on_remove(node, name, Overlay::remove_directory, reply)
            );
        }
        opcode::RENAME | opcode::RENAME2 => {
            let new_parent = INodeNo(fields.u64());
            let flags = match arrived.opcode {
                opcode::RENAME2 => RenameFlags::from_bits_retain(fields.u32()),
                _ => RenameFlags::empty(),
            };
            let (old, rest) = name(payload);
            let (from, to) = ((node, old), (new_parent, name(rest).0));
            serve!(
                Rename,
                adapter.on_rename(from, to, flags, Reply::Ring(answer))
            );
        }
        opcode::LINK => {
            let (linked, new_name) = (INodeNo(fields.u64()), name(payload).0);
            let reply = Reply::Ring(answer);
            serve!(Link, adapter.on_link(linked, node, new_name, reply));
        }
        opcode::CREATE => {
            let (flags, mode) = (OpenFlags(fields.i32()), fields.u32());
            let (place, reply) = ((node, name(payload).0), Reply::Ring(answer));
            serve!(
                Create,
                adapter.on_create(request, place, mode, flags, reply)
            );
        }
        opcode::OPEN => {
            let flags = OpenFlags(fields.i32());
            serve!(Open, adapter.on_open(node, flags, Reply::Ring(answer)));
        }
        opcode::READ => {
            let (_handle, offset, size) = (fields.u64(), fields.u64(), fields.u32());
            serve!(
                Read,
                adapter.on_read(node, offset, size, Reply::Ring(answer))
            );
        }
        opcode::WRITE => {
            let (_handle, offset, _size) = (fields.u64(), fields.u64(), fields.u32());
            let flags = WriteFlags::from_bits_retain(fields.u32());
            let reply = Reply::Ring(answer);
            serve!(
                Write,
                adapter.on_write(request, node, offset, payload, flags, reply)
            );
        }
        opcode::RELEASE => {
            let handle = FileHandle(fields.u64());
            serve!(
                Release,
                adapter.on_release(node, handle, Reply::Ring(answer))
            );
        }
        opcode::FSYNC => serve!(Fsync, adapter.on_fsync(node, Reply::Ring(answer))),
        opcode::FSYNCDIR => serve!(Fsyncdir, adapter.on_fsync(node, Reply::Ring(answer))),
        opcode::READDIR => {
            let (_handle, offset) = (fields.u64(), fields.u64());
            serve!(
                Readdir,
                adapter.on_readdir(node, offset, Reply::Ring(answer))
            );
        }
        opcode::READDIRPLUS => {
            let (_handle, offset) = (fields.u64(), fields.u64());
            let reply = Reply::Ring(answer);
            serve!(Readdirplus, adapter.on_readdirplus(node, offset, reply));
        }
        opcode::STATFS => serve!(Statfs, adapter.on_statfs(node, Reply::Ring(answer))),
        opcode::SETXATTR => {
            let (_size, flags) = (fields.u32(), fields.i32());
            let ((name, value), reply) = (name(payload), Reply::Ring(answer));
            serve!(
                Setxattr,
                adapter.on_setxattr(node, name, value, flags, reply)
            );
        }
        opcode::GETXATTR => {
            let (size, name, reply) = (fields.u32(), name(payload).0, Reply::Ring(answer));
            serve!(Getxattr, adapter.on_getxattr(node, name, size, reply));
        }
        opcode::LISTXATTR => {
            let size = fields.u32();
            let reply = Reply::Ring(answer);
            serve!(Listxattr, adapter.on_listxattr(request, node, size, reply));
        }
        opcode::REMOVEXATTR => {
            let (name, reply) = (name(payload).0, Reply::Ring(answer));
            serve!(Removexattr, adapter.on_removexattr(node, name, reply));
        }
        opcode::FALLOCATE => {
            let (_handle, range) = (fields.u64(), (fields.u64(), fields.u64()));
            let (mode, reply) = (fields.i32(), Reply::Ring(answer));
            serve!(
                Fallocate,
                adapter.on_fallocate(request, node, range, mode, reply)
            );
        }
        opcode::LSEEK => {
            let (_handle, offset) = (fields.u64(), fields.i64());
            let (whence, reply) = (fields.i32(), Reply::Ring(answer));
            serve!(Lseek, adapter.on_lseek(node, offset, whence, reply));
        }
        opcode::COPY_FILE_RANGE => {
            let (_handle, from) = (fields.u64(), fields.u64());
            let (target, _handle, to) = (INodeNo(fields.u64()), fields.u64(), fields.u64());
            let (bytes, reply) = (fields.u64(), Reply::Ring(answer));
            serve!(
                CopyFileRange,
                adapter.on_copy_file_range(request, (node, from), (target, to), bytes, reply)
            );
        }
        opcode::FLUSH => serve!(Flush, answer.refuse(Errno::ENOSYS)),
        opcode::OPENDIR => serve!(Opendir, answer.refuse(Errno::ENOSYS)),
        // As `filesystem` says: the kernel does it by itself, or tells that it is not here.
        _ => answer.refuse(Errno::ENOSYS),
    }
}

/// `fuse_setattr_in`.
fn wish(fields: &mut Fields) -> Wish {
    let (valid, _padding, _handle) = (fields.u32(), fields.u32(), fields.u64());
    let (size, _lock_owner) = (fields.u64(), fields.u64());
    let [atime, mtime, _ctime] = std::array::from_fn(|_| fields.i64());
    let [atime_nanoseconds, mtime_nanoseconds, _] = std::array::from_fn(|_| fields.u32());
    let (mode, _unused) = (fields.u32(), fields.u32());
    let (uid, gid) = (fields.u32(), fields.u32());
    let has = |bit: u32| valid & bit != 0;
    let time = |set: u32, now: u32, seconds: i64, nanoseconds: u32| {
        let time = Timestamp {
            seconds,
            nanoseconds,
        };
        has(set).then_some(match has(now) {
            true => SetTime::Now,
            false => SetTime::To(time),
        })
    };
    Wish {
        mode: has(setattr::MODE).then_some(mode),
        uid: has(setattr::UID).then_some(uid),
        gid: has(setattr::GID).then_some(gid),
        size: has(setattr::SIZE).then_some(size),
        atime: time(setattr::ATIME, setattr::ATIME_NOW, atime, atime_nanoseconds),
        mtime: time(setattr::MTIME, setattr::MTIME_NOW, mtime, mtime_nanoseconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setattr_sets_what_counts_alone() {
        let mut bytes = [0_u8; 88];
        let valid = setattr::MODE | setattr::ATIME | setattr::ATIME_NOW | setattr::MTIME;
        bytes[..4].copy_from_slice(&valid.to_ne_bytes());
        bytes[16..24].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[40..48].copy_from_slice(&(-2_i64).to_ne_bytes());
        bytes[60..64].copy_from_slice(&800_000_000_u32.to_ne_bytes());
        bytes[68..72].copy_from_slice(&0o640_u32.to_ne_bytes());
        let wish = wish(&mut Fields::of(&bytes));
        let before_1970 = Timestamp {
            seconds: -2,
            nanoseconds: 800_000_000,
        };
        assert_eq!((wish.mode, wish.size), (Some(0o640), None));
        assert_eq!((wish.uid, wish.gid), (None, None));
        assert_eq!(wish.atime, Some(SetTime::Now));
        assert_eq!(wish.mtime, Some(SetTime::To(before_1970)));
    }
}
