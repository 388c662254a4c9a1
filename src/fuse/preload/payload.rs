//! Bytes of a message that can be withdrawn while the kernel is reading them.
//!
//! The kernel copies a message page by page, each when it has locked the page that it is for. What is withdrawn
//! by then it finds unreadable, and gives up: what was copied stays, and no more is.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};

/// Memory for the bytes of one message. It begins with a page, so that no page of it is for two of a file.
pub(super) struct Payload {
    memory: NonNull<c_void>,
    size: NonZeroUsize,
}

// SAFETY: it is memory of the process, as good for one thread as for another.
unsafe impl Send for Payload {}
// SAFETY: `fill` alone touches it, which its caller calls by itself.
unsafe impl Sync for Payload {}

impl Payload {
    /// Of at most so many bytes.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(super) fn new(size: NonZeroUsize) -> io::Result<Payload> {
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that nobody has asked for.
        let memory = unsafe { mmap_anonymous(None, size, rights, MapFlags::MAP_PRIVATE)? };
        let payload = Payload { memory, size };
        // Unlike what is beside it, so that the kernel does not join them: to protect a part of a mapping may
        // fail, all of one cannot.
        // SAFETY: all of our own mapping.
        unsafe { madvise(memory, size.get(), MmapAdvise::MADV_DONTFORK)? };
        Ok(payload)
    }

    /// Puts bytes in; says whether there is room for them.
    ///
    /// # Safety
    ///
    /// One thread at a time, which knows that they are not withdrawn.
    pub(super) unsafe fn fill(&self, bytes: &[u8]) -> bool {
        if bytes.len() > self.size.get() {
            return false;
        }
        // SAFETY: there is room, it is ours to write to, and nobody else has a pointer to it but the kernel.
        unsafe {
            self.memory
                .cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        true
    }

    /// Writes a header and the first bytes at once.
    ///
    /// # Errors
    ///
    /// `EFAULT` when they are withdrawn meanwhile; what the other end says.
    pub(super) fn write(&self, to: BorrowedFd, header: &[u8], bytes: usize) -> io::Result<()> {
        let part = |base: *const u8, length| libc::iovec {
            iov_base: base.cast_mut().cast(),
            iov_len: length,
        };
        let parts = [
            part(header.as_ptr(), header.len()),
            part(
                self.memory.as_ptr().cast_const().cast(),
                bytes.min(self.size.get()),
            ),
        ];
        // SAFETY: the kernel reads what the two parts say, which is ours; of what it may not read it says so.
        let written = unsafe { libc::writev(to.as_raw_fd(), parts.as_ptr(), 2) };
        match written {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Makes them unreadable, for the kernel as well.
    ///
    /// # Errors
    ///
    /// There is no memory for that.
    pub(super) fn withdraw(&self) -> io::Result<()> {
        self.protect(ProtFlags::PROT_NONE)
    }

    /// Undoes a withdrawal.
    ///
    /// # Errors
    ///
    /// There is no memory for that.
    pub(super) fn restore(&self) -> io::Result<()> {
        self.protect(ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    fn protect(&self, rights: ProtFlags) -> io::Result<()> {
        // SAFETY: all of our own mapping, and no reference of ours leads into it.
        unsafe { mprotect(self.memory, self.size.get(), rights)? };
        Ok(())
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        // SAFETY: all of our own mapping, to which nobody has a pointer any more.
        let _gone = unsafe { munmap(self.memory, self.size.get()) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_withdrawn_goes_nowhere() {
        let payload = Payload::new(NonZeroUsize::new(8192).unwrap()).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: there is one thread, and nothing is withdrawn.
        assert!(unsafe { payload.fill(b"bytes") });
        payload.write(writer.as_fd(), b"some ", 5).unwrap();
        payload.withdraw().unwrap();
        let header_only = payload.write(writer.as_fd(), b"", 5);
        assert_eq!(header_only.unwrap_err().raw_os_error(), Some(libc::EFAULT));
        payload.restore().unwrap();
        payload.write(writer.as_fd(), b" again ", 5).unwrap();
        drop(writer);
        let mut came = String::new();
        reader.read_to_string(&mut came).unwrap();
        assert_eq!(came, "some bytes again bytes");
        // SAFETY: as above.
        assert!(!unsafe { payload.fill(&[0; 8193]) });
    }
}
