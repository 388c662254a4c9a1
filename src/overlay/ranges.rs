//! Ranges of a file: reserved, emptied, zeroed, copied; and where its data and its holes are.

use std::cell::Cell;
use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};
use nix::unistd::{Whence, lseek};

use super::content::{Bytes, FILE_BYTES_MAX};
use super::dirty::Touch;
use super::error::Error;
use super::open::Overlay;
use super::state::Purpose;
use super::types::{Allocation, Sought};
use crate::lower::Want;
use crate::tree::Ino;

/// Most bytes that one call copies: 5 ms of a thread that serves others as well. Callers go on.
const COPY_BYTES_MAX: u64 = 16 << 20;

impl Overlay {
    /// Reserves, empties or zeroes a range. A lower file is copied first.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::FileTooLarge`], a full disk; [`Error::Unsupported`] where the file
    /// system of the bodies cannot do it.
    pub fn allocate(
        &self,
        ino: Ino,
        offset: u64,
        bytes: u64,
        allocation: Allocation,
    ) -> Result<(), Error> {
        let end = offset.checked_add(bytes);
        if end.is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Error::FileTooLarge);
        }
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (flags, purpose) = match allocation {
            Allocation::Reserve => (FallocateFlags::empty(), Purpose::Change),
            Allocation::ReserveKeepingSize => (keep, Purpose::Change),
            // Like a truncation it gives space back, and must work on a full disk.
            Allocation::Empty => (
                keep | FallocateFlags::FALLOC_FL_PUNCH_HOLE,
                Purpose::Freeing,
            ),
            Allocation::Zero => (FallocateFlags::FALLOC_FL_ZERO_RANGE, Purpose::Change),
            Allocation::ZeroKeepingSize => {
                (keep | FallocateFlags::FALLOC_FL_ZERO_RANGE, Purpose::Change)
            }
        };
        let (offset, bytes) = (offset.cast_signed(), bytes.cast_signed());
        self.change_bytes(ino, u64::MAX, purpose, Touch::Anyhow, |body| {
            Ok(fallocate(body, flags, offset, bytes)?)
        })
        .map_err(unsupported)
    }

    /// Finds the first data, or the first hole, from `offset` on. The end of the file counts as a hole.
    /// What only the lower layer has is data throughout. Pages that are mapped and not yet written back
    /// are the kernel's to know.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRange`] from the end of the file on, and where no data follows.
    pub fn seek(&self, ino: Ino, offset: u64, sought: Sought) -> Result<u64, Error> {
        let bytes = self.bytes(&mut self.state.lock(), ino)?;
        let size = match bytes {
            Bytes::Body(body) => return seek_body(&body, offset, sought),
            Bytes::Opened(object) => object.metadata().map_err(Error::Body)?.len(),
            Bytes::Object(Want::Object { size, .. }) => size,
            Bytes::Object(_) | Bytes::None => 0,
        };
        match sought {
            _ if offset >= size => Err(Error::NoSuchRange),
            Sought::Data => Ok(offset),
            Sought::Hole => Ok(size),
        }
    }

    /// Copies up to `bytes` from one file to another, or within one, without them passing through us;
    /// says how many it were, which may be fewer and is 0 at the end of the source.
    ///
    /// # Errors
    ///
    /// As [`Overlay::write`], also for the source; [`Error::Unsupported`] where the kernel cannot copy
    /// between the two: then they have to be read and written.
    pub fn copy(
        &self,
        (source, from): (Ino, u64),
        (target, to): (Ino, u64),
        bytes: u64,
    ) -> Result<u64, Error> {
        let bytes = bytes.min(COPY_BYTES_MAX);
        let end = |offset: u64| offset.checked_add(bytes);
        if end(from).is_none() || end(to).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Error::FileTooLarge);
        }
        let found = self.bytes(&mut self.state.lock(), source)?;
        let source = match found {
            Bytes::Body(file) | Bytes::Opened(file) => file,
            Bytes::Object(want) => self.object(source, &want)?,
            Bytes::None => return Ok(0),
        };
        if source.metadata().map_err(Error::Body)?.len() <= from {
            return Ok(0);
        }
        let copied = Cell::new(0);
        self.change_bytes(target, u64::MAX, Purpose::Change, Touch::Anyhow, |body| {
            copied.set(copy_range((&source, from), (body, to), bytes)?);
            Ok(())
        })
        .map_err(unsupported)?;
        Ok(copied.get())
    }
}

fn seek_body(body: &File, offset: u64, sought: Sought) -> Result<u64, Error> {
    let whence = match sought {
        Sought::Data => Whence::SeekData,
        Sought::Hole => Whence::SeekHole,
    };
    // Reads and writes of a body give their offset, so its cursor is nobody's.
    match lseek(body, offset.cast_signed(), whence) {
        Ok(found) => Ok(found.unsigned_abs()),
        Err(Errno::ENXIO) => Err(Error::NoSuchRange),
        Err(error) => Err(Error::Body(error.into())),
    }
}

/// Copies until it is done, the source ends, or the disk is full with a part done.
fn copy_range(
    (source, from): (&File, u64),
    (target, to): (&File, u64),
    bytes: u64,
) -> io::Result<u64> {
    let mut copied = 0;
    while copied < bytes {
        let mut from = (from + copied).cast_signed();
        let mut to = (to + copied).cast_signed();
        let left = usize::try_from(bytes - copied).unwrap_or(usize::MAX);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(Errno::EINTR) => {}
            Err(_) if copied > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(copied)
}

/// Tells what the file system of the bodies cannot do from what failed.
fn unsupported(error: Error) -> Error {
    match &error {
        Error::Body(cause) => match cause.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EXDEV | libc::ENOSYS | libc::EINVAL) => {
                Error::Unsupported
            }
            _ => error,
        },
        _ => error,
    }
}
