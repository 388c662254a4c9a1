//! File contents: open, read, write, release, fsync.
//!
//! There are no file handles: the overlay counts opens by inode, and `fh` says no more than of which kind an
//! open was. Every open that asks us keeps the kernel's pages (`FOPEN_KEEP_CACHE`), unless the kernel has
//! written the body by itself: whatever else changes a file's bytes either goes through the kernel or sends
//! a notification.
//!
//! With [`Opens::Kernel`] we are not told of opens at all, nor of closes, also not of files that were
//! created. What has no name any more then ends when the kernel forgets it, which it does at once when
//! nobody has it open.

use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenFlags, WriteFlags};

use super::Opens;
use super::adapter::{self, Adapter, Place, Refuse, Target};
use super::passthrough;
use super::reply::{ReplyData, ReplyEmpty, ReplyOpen, ReplyWrite};
use super::request::Request;
use crate::overlay::{Aim, Error, Overlay, Pages, Way};
use crate::tree::Ino;

/// An open whose reads and writes are requests, or of a passage that is only read.
const ORDINARY: FileHandle = FileHandle(0);
/// An open for writing by a passage.
const WRITER: FileHandle = FileHandle(1);

pub(super) fn aim(flags: OpenFlags) -> Aim {
    match flags.0 & libc::O_ACCMODE {
        libc::O_RDONLY => Aim::Reading,
        _ => Aim::Writing,
    }
}

/// What a release of this open is to tell.
pub(super) fn handle(aim: Aim, way: &Way) -> FileHandle {
    match (aim, way) {
        (Aim::Writing, Way::Through(_)) => WRITER,
        (Aim::Writing | Aim::Reading, _) => ORDINARY,
    }
}

/// Undoes an open.
fn release(overlay: &Overlay, ino: Ino, handle: FileHandle) {
    match handle {
        WRITER => overlay.release_writer(ino),
        _ => overlay.release(ino),
    }
}

/// Of a file that is written synchronously by a passage, the kernel syncs the body at each write and asks
/// us nothing: so what the journal has of it becomes durable before the first one.
pub(super) fn settle_open(
    overlay: &Overlay,
    ino: Ino,
    flags: OpenFlags,
    way: &Way,
) -> Result<(), Error> {
    let handle = handle(aim(flags), way);
    match handle == WRITER && flags.0 & libc::O_DSYNC != 0 {
        true => overlay
            .sync(ino)
            .inspect_err(|_| release(overlay, ino, handle)),
        false => Ok(()),
    }
}

impl Adapter {
    /// A regular file or symbolic link of a repository; those of the virtual root are read-only.
    pub(super) fn file(&self, node: INodeNo) -> Result<(Place, Ino), Errno> {
        match self.target(node)? {
            Target::Repository(place, ino) => Ok((place, ino)),
            Target::Virtual(_) if self.report(node).is_some() => Err(Errno::EROFS),
            Target::Virtual(_) => Err(Errno::EISDIR),
        }
    }

    /// Opens. Nothing is fetched yet, so that a file that is cut to nothing next, by the setattr that the
    /// kernel makes of `O_TRUNC`, never is.
    pub(super) fn on_open(&self, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.opens == Opens::Kernel {
            return reply.error(Errno::ENOSYS);
        }
        if self.report(node).is_some() {
            return self.open_report(flags, reply);
        }
        let Some(((place, ino), reply)) = reply.given(self.file(node)) else {
            return;
        };
        let aim = aim(flags);
        if aim == Aim::Writing {
            // By a passage, the kernel writes without a word to us from here on.
            self.preload.changes(node);
        }
        let passthrough = self.passthrough.clone();
        self.run(
            place,
            reply,
            move |overlay, _| {
                if !passthrough.is_wanted() {
                    if aim == Aim::Writing {
                        overlay.check_edits()?;
                    }
                    return overlay.open(ino).map(|()| Way::Asking(Pages::Kept));
                }
                let mut pass = |body: &_| passthrough.pass(body);
                let way = overlay.open_through(ino, aim, &mut pass)?;
                settle_open(overlay, ino, flags, &way)?;
                Ok(way)
            },
            move |_, way, reply| {
                let handle = handle(aim, &way);
                let flags = match way {
                    Way::Asking(Pages::Kept) => FopenFlags::FOPEN_KEEP_CACHE,
                    _ => FopenFlags::empty(),
                };
                reply.opened(handle, flags, passthrough::backing(&way));
            },
        );
    }

    pub(super) fn on_read(&self, node: INodeNo, offset: u64, size: u32, reply: ReplyData) {
        if let Some((_, ino)) = self.report(node) {
            return self.read_report(ino, offset, size, reply);
        }
        self.preload.read(node);
        let Some(((place, ino), reply)) = reply.given(self.file(node)) else {
            return;
        };
        self.run(
            place,
            reply,
            move |overlay, _| {
                let mut buffer = Vec::new();
                overlay.read_as_it_comes(ino, offset, size as usize, &mut buffer)?;
                Ok(buffer)
            },
            |_, buffer, reply| reply.data(buffer),
        );
    }

    /// Writes. The bytes are the event loop's buffer, and are copied only if the write has to wait.
    pub(super) fn on_write(
        &self,
        request: Request,
        node: INodeNo,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        reply: ReplyWrite,
    ) {
        let Some(((place, ino), reply)) = reply.given(self.file(node)) else {
            return;
        };
        self.preload.changes(node);
        // The kernel says when the writer is one from whom a file's privileges are to be taken.
        let strip = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let group = request.gid;
        let write = move |overlay: &Overlay, data: &[u8]| {
            if strip {
                overlay.clear_privileges(ino, Some(group))?;
            }
            overlay.write(ino, offset, data)
        };
        // The kernel sends at most 1 MiB.
        let written = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let finish = move |_: &Place, (), reply: ReplyWrite| reply.written(written);
        match write(&place.overlay, data) {
            Err(Error::Missing(want)) => {
                let data = data.to_vec();
                let write = move |overlay: &Overlay, _: &mut ReplyWrite| write(overlay, &data);
                self.settle(place, want, reply, write, finish);
            }
            result => adapter::answer(&place, result, reply, finish),
        }
    }

    pub(super) fn on_release(&self, node: INodeNo, handle: FileHandle, reply: ReplyEmpty) {
        // Of a file that was created before the kernel knew.
        if self.opens == Opens::Kernel || self.report(node).is_some() {
            return reply.ok();
        }
        if let Some(((place, ino), reply)) = reply.given(self.file(node)) {
            release(&place.overlay, ino, handle);
            reply.ok();
        }
    }

    /// Makes a file or directory durable, on a thread that may wait for the disk.
    pub(super) fn on_fsync(&self, node: INodeNo, reply: ReplyEmpty) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        match target {
            // Nothing of the virtual directories is on a disk.
            Target::Virtual(_) => reply.ok(),
            Target::Repository(place, ino) => self.sync(move || {
                let result = place.overlay.sync(ino);
                adapter::answer(&place, result, reply, |_, (), reply| reply.ok());
            }),
        }
    }
}
