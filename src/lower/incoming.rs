//! A file on its way into the store: hashed while it is written, published only when it is right.
//! Where the disk is full it goes on in memory, from whatever byte that happens at.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::memfd::{MFdFlags, memfd_create};
use sha1::{Digest, Sha1};

use super::unkept::{UNKEPT_BYTES_MAX, is_full};
use crate::tree::{ContentHash, GitOid};

/// An unpublished file of exactly `size` bytes; dropping it removes it.
pub(super) struct Incoming<'a> {
    /// `None` once it is published, or in memory.
    path: Option<PathBuf>,
    file: File,
    in_memory: bool,
    hashes: Hashes,
    size: u64,
    overflown: bool,
    progress: &'a AtomicU64,
}

/// The hashes of the first bytes of a blob.
pub(super) struct Hashes {
    content: blake3::Hasher,
    blob: Sha1,
    length: u64,
}

impl Hashes {
    /// Of nothing yet, of a blob that will have `size` bytes.
    pub(super) fn new(size: u64) -> Hashes {
        let mut blob = Sha1::new();
        blob.update(format!("blob {size}\0"));
        Hashes {
            content: blake3::Hasher::new(),
            blob,
            length: 0,
        }
    }

    /// How many bytes were hashed.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
        self.blob.update(bytes);
        self.length += bytes.len() as u64;
    }
}

/// What arrived.
pub(super) struct Arrived {
    pub(super) content: ContentHash,
    /// The id of a Git blob with these bytes.
    pub(super) blob: GitOid,
    pub(super) length: u64,
}

impl<'a> Incoming<'a> {
    /// Creates the file; each write adds to `progress`, so that others see that bytes come.
    pub(super) fn create(
        path: io::Result<PathBuf>,
        size: u64,
        progress: &'a AtomicU64,
    ) -> io::Result<Incoming<'a>> {
        let created = path.and_then(|path| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o400)
                .open(&path)?;
            Ok((Some(path), file))
        });
        let (path, file) = match created {
            Err(error) if is_full(&error) => (None, memory(size).ok_or(error)?),
            created => created?,
        };
        Ok(Incoming {
            in_memory: path.is_none(),
            path,
            file,
            hashes: Hashes::new(size),
            size,
            overflown: false,
            progress,
        })
    }

    /// A file all of whose bytes are there, and were hashed.
    pub(super) fn whole(path: PathBuf, file: File, hashes: Hashes) -> Incoming<'static> {
        static NOBODY_WAITS: AtomicU64 = AtomicU64::new(0);
        Incoming {
            in_memory: false,
            path: Some(path),
            file,
            size: hashes.length,
            hashes,
            overflown: false,
            progress: &NOBODY_WAITS,
        }
    }

    /// Whether more came than was expected; the write that would have been too much failed.
    pub(super) fn overflown(&self) -> bool {
        self.overflown
    }

    /// What arrived so far.
    pub(super) fn arrived(&self) -> Arrived {
        Arrived {
            content: ContentHash(*self.hashes.content.finalize().as_bytes()),
            blob: GitOid(self.hashes.blob.clone().finalize().into()),
            length: self.hashes.length,
        }
    }

    /// Moves the file to its final place, in place of what may be there; what is in memory has none.
    ///
    /// It survives the death of the process; after a power cut the place may hold fewer bytes or
    /// zeros, which the first use notices.
    pub(super) fn publish(&mut self, place: &Path) -> io::Result<()> {
        if self.in_memory {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(path) = &self.path {
            fs::rename(path, place)?;
        }
        self.path = None;
        Ok(())
    }

    /// The file, for who reads it without a name.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Goes on in memory, if there may be so much of it.
    fn move_to_memory(&mut self, why: io::Error) -> io::Result<()> {
        let mut copy = memory(self.size).ok_or(why)?;
        let mut buffer = vec![0; 64 << 10];
        let mut at = 0;
        loop {
            let count = self.file.read_at(&mut buffer, at)?;
            if count == 0 {
                break;
            }
            copy.write_all(buffer.get(..count).unwrap_or_default())?;
            at += count as u64;
        }
        self.file = copy;
        self.in_memory = true;
        if let Some(path) = self.path.take() {
            drop(fs::remove_file(path));
        }
        Ok(())
    }
}

/// An empty file in memory, for so many bytes.
pub(super) fn memory(size: u64) -> Option<File> {
    if size > UNKEPT_BYTES_MAX {
        return None;
    }
    let made = memfd_create(c"mesa-object", MFdFlags::MFD_CLOEXEC);
    made.ok().map(File::from)
}

impl Write for Incoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.size - self.hashes.length {
            // Nothing beyond the announced size reaches the disk.
            self.overflown = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = match self.file.write(bytes) {
            Err(error) if is_full(&error) && !self.in_memory => {
                self.move_to_memory(error)?;
                self.file.write(bytes)?
            }
            written => written?,
        };
        let written = bytes.get(..count).unwrap_or(bytes);
        self.hashes.update(written);
        self.progress.fetch_add(1, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // A leftover is swept when the store is opened next.
            drop(fs::remove_file(path));
        }
    }
}
