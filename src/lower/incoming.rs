//! A file on its way into the store: hashed while it is written, published only when it is right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha1::{Digest, Sha1};

use crate::tree::{ContentHash, GitOid};

/// An unpublished file of exactly `size` bytes; dropping it removes it.
pub(super) struct Incoming<'a> {
    path: Option<PathBuf>,
    file: File,
    content: blake3::Hasher,
    blob: Sha1,
    size: u64,
    length: u64,
    overflown: bool,
    progress: &'a AtomicU64,
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
        path: PathBuf,
        size: u64,
        progress: &'a AtomicU64,
    ) -> io::Result<Incoming<'a>> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&path)?;
        let mut blob = Sha1::new();
        blob.update(format!("blob {size}\0"));
        Ok(Incoming {
            path: Some(path),
            file,
            content: blake3::Hasher::new(),
            blob,
            size,
            length: 0,
            overflown: false,
            progress,
        })
    }

    /// Whether more came than was expected; the write that would have been too much failed.
    pub(super) fn overflown(&self) -> bool {
        self.overflown
    }

    /// What arrived so far.
    pub(super) fn arrived(&self) -> Arrived {
        Arrived {
            content: ContentHash(*self.content.finalize().as_bytes()),
            blob: GitOid(self.blob.clone().finalize().into()),
            length: self.length,
        }
    }

    /// Moves the file to its final place, in place of what may be there.
    ///
    /// It survives the death of the process; after a power cut the place may hold fewer bytes or
    /// zeros, which the first use notices.
    pub(super) fn publish(mut self, place: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, place)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Write for Incoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.size - self.length {
            // Nothing beyond the announced size reaches the disk.
            self.overflown = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.file.write(bytes)?;
        let written = bytes.get(..count).unwrap_or(bytes);
        self.content.update(written);
        self.blob.update(written);
        self.length += written.len() as u64;
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
