//! Ranges of files: fallocate, lseek to data or holes, copy_file_range.

use fuser::{Errno, INodeNo};

use super::adapter::{Adapter, Place, Refuse};
use super::metadata::Caller;
use super::reply::{ReplyEmpty, ReplyLseek, ReplyWrite};
use super::request::Request;
use crate::overlay::{Allocation, Sought};
use crate::tree::Ino;

/// What the flags of `fallocate(2)` ask for. The kernel has refused what FUSE does not carry.
fn allocation(mode: i32) -> Result<Allocation, Errno> {
    const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const EMPTY: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP_SIZE;
    const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
    const ZERO_KEEPING_SIZE: i32 = ZERO | KEEP_SIZE;
    match mode {
        0 => Ok(Allocation::Reserve),
        KEEP_SIZE => Ok(Allocation::ReserveKeepingSize),
        EMPTY => Ok(Allocation::Empty),
        ZERO => Ok(Allocation::Zero),
        ZERO_KEEPING_SIZE => Ok(Allocation::ZeroKeepingSize),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

impl Adapter {
    pub(super) fn on_fallocate(
        &self,
        request: Request,
        node: INodeNo,
        (offset, bytes): (u64, u64),
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let words = || Ok((allocation(mode)?, self.file(node)?));
        let Some(((allocation, (place, ino)), reply)) = reply.given(words()) else {
            return;
        };
        let caller = Caller::of(request);
        self.run_resizing(
            node,
            place,
            reply,
            move |overlay, _| {
                caller.strip(overlay, ino)?;
                overlay.allocate(ino, offset, bytes, allocation)
            },
            |_, (), reply| reply.ok(),
        );
    }

    pub(super) fn on_lseek(&self, node: INodeNo, offset: i64, whence: i32, reply: ReplyLseek) {
        let words = || {
            let sought = match whence {
                libc::SEEK_DATA => Sought::Data,
                libc::SEEK_HOLE => Sought::Hole,
                _ => return Err(Errno::EINVAL),
            };
            // A negative offset is as little in the file as one behind its end.
            let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            Ok((sought, offset))
        };
        let Some(((sought, offset), reply)) = reply.given(words()) else {
            return;
        };
        if let Some((_, ino)) = self.report(node) {
            return self.seek_report(ino, offset, sought, reply);
        }
        if let Some(((place, ino), reply)) = reply.given(self.file(node)) {
            self.run(
                place,
                reply,
                move |overlay, _| overlay.seek(ino, offset, sought),
                |_, found, reply| reply.offset(found.cast_signed()),
            );
        }
    }

    /// Copies between two files of one repository. For others EOPNOTSUPP: then the kernel reads and
    /// writes.
    pub(super) fn on_copy_file_range(
        &self,
        request: Request,
        (source, from): (INodeNo, u64),
        (target_node, to): (INodeNo, u64),
        bytes: u64,
        reply: ReplyWrite,
    ) {
        let words = || -> Result<(Place, Ino, Ino), Errno> {
            if self.report(source).is_some() {
                return Err(Errno::EOPNOTSUPP);
            }
            let ((place, source), (other, target)) = (self.file(source)?, self.file(target_node)?);
            match place.slot == other.slot {
                true => Ok((place, source, target)),
                false => Err(Errno::EOPNOTSUPP),
            }
        };
        let Some(((place, source, target), reply)) = reply.given(words()) else {
            return;
        };
        let caller = Caller::of(request);
        self.run_resizing(
            target_node,
            place,
            reply,
            move |overlay, _| {
                caller.strip(overlay, target)?;
                overlay.copy((source, from), (target, to), bytes)
            },
            // One call copies far less than what a number of 32 bits says.
            |_, copied, reply| reply.written(u32::try_from(copied).unwrap_or(u32::MAX)),
        );
    }
}
