//! Bodies: the bytes of locally written files, one file each, named by inode number.
//!
//! ```text
//! bodies/shelf-<last 6 bits of the number, hex>/<the number>
//! bodies/copy-<random>                                         what is to become one
//! ```
//!
//! A directory of some thousands is slow to add to: ext4 looks through the names of a whole block each time
//! (of 12,000 bodies each takes 27 us to make in one directory, 17 us in 64). The shelves are all made at
//! the first opening, so that a full disk is not in the way of an empty body.
//!
//! A body belongs to an inode, not to a path, so hard links, renames and open-unlinked files need
//! nothing here. Its size and mtime are the file's size and mtime. Bytes reach it by `pwrite`, so
//! they survive the death of the daemon; [`Bodies::sync`] makes them survive a power cut.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::failpoints;
use crate::tree::Ino;

/// Above this many files, one syncfs is cheaper than a sync of each: about 6 ms against 4 ms a
/// file on a virtio disk.
const SYNC_EACH_MAX: usize = 4;

/// Up to here a copy is read before it is written, which takes two calls; beyond, it gets a file that is
/// renamed, and no lock is held while the bytes are copied.
const IN_MEMORY_BYTES_MAX: u64 = 64 << 10;

/// Directories that bodies are spread over: 256 KiB of disk, and about a millisecond once.
const SHELVES: u64 = 64;

/// What a copy's file is called until it is a body, or for as long as a capture lasts.
const COPY_PREFIX: &str = "copy-";

/// Bytes that are to become a body.
#[derive(Debug)]
pub enum Prepared {
    /// In memory.
    InMemory(Vec<u8>),
    /// In a file beside the bodies.
    Aside(tempfile::NamedTempFile),
}

/// The folder of bodies.
#[derive(Debug)]
pub struct Bodies {
    folder: PathBuf,
    /// Whether the names of the shelves are known to survive a power cut.
    has_durable_shelves: AtomicBool,
}

impl Bodies {
    /// Opens the folder, making it (0700) with its shelves if need be, and removes half-made copies that a
    /// dead daemon left. Bodies that an earlier version left beside each other find their shelves.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn open(folder: PathBuf) -> io::Result<Bodies> {
        let bodies = Bodies {
            folder,
            has_durable_shelves: AtomicBool::new(false),
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for shelf in 0..SHELVES {
            builder.create(bodies.shelf(Ino(shelf)))?;
        }
        for file in fs::read_dir(&bodies.folder)? {
            let file = file?;
            let name = file.file_name();
            if name.as_encoded_bytes().starts_with(COPY_PREFIX.as_bytes()) {
                fs::remove_file(file.path())?;
            } else if let Some(ino) = number(&name) {
                fs::rename(file.path(), bodies.path(ino))?;
            }
        }
        Ok(bodies)
    }

    /// Where the body of an inode is.
    pub fn path(&self, ino: Ino) -> PathBuf {
        self.shelf(ino).join(ino.to_string())
    }

    fn shelf(&self, ino: Ino) -> PathBuf {
        self.folder.join(format!("shelf-{:02x}", ino.0 % SHELVES))
    }

    /// What the disk knows of a body: its size and times.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn metadata(&self, ino: Ino) -> io::Result<fs::Metadata> {
        fs::metadata(self.path(ino))
    }

    /// Opens a body that must be there.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn file(&self, ino: Ino) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(ino))
    }

    /// Opens a body, making an empty one if need be.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn make(&self, ino: Ino) -> io::Result<File> {
        Bodies::options().open(self.path(ino))
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        options
    }

    /// Reads or copies the first `bytes` of `source`, for [`Bodies::fill`] or [`Bodies::adopt`]. Others may
    /// read `source` by offset meanwhile. Nothing is synced.
    ///
    /// # Errors
    ///
    /// What the disk says, and a `source` that is shorter; nothing is left behind then.
    pub fn prepare(&self, source: &File, bytes: u64) -> io::Result<Prepared> {
        if bytes > IN_MEMORY_BYTES_MAX {
            return Ok(Prepared::Aside(self.copy_aside(source, bytes)?));
        }
        let mut copy = vec![0; usize::try_from(bytes).unwrap_or_default()];
        source.read_exact_at(&mut copy, 0)?;
        Ok(Prepared::InMemory(copy))
    }

    /// Copies the first `bytes` of `source` to a file without a lasting name. The kernel copies, or shares
    /// the blocks where the file system can.
    ///
    /// # Errors
    ///
    /// As [`Bodies::prepare`].
    pub fn copy_aside(&self, source: &File, bytes: u64) -> io::Result<tempfile::NamedTempFile> {
        let mut copy = tempfile::Builder::new()
            .prefix(COPY_PREFIX)
            .tempfile_in(&self.folder)?;
        // A description of its own: others read this one by offset, not by cursor.
        let source = File::open(format!("/proc/self/fd/{}", source.as_raw_fd()))?;
        let copied = io::copy(&mut source.take(bytes), copy.as_file_mut())?;
        if copied < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(copy)
    }

    /// Makes a body of a copy that was made aside.
    ///
    /// # Errors
    ///
    /// What the disk says; the copy is gone then.
    pub fn adopt(&self, copy: tempfile::NamedTempFile, ino: Ino) -> io::Result<File> {
        copy.persist(self.path(ino)).map_err(|error| error.error)
    }

    /// Makes a body of these bytes, in place of one that no record tells of.
    ///
    /// # Errors
    ///
    /// What the disk says; a part may be there then, which the next opening sweeps.
    pub fn fill(&self, ino: Ino, bytes: &[u8]) -> io::Result<File> {
        let mut options = Bodies::options();
        let body = options.truncate(true).open(self.path(ino))?;
        body.write_all_at(bytes, 0)?;
        Ok(body)
    }

    /// Makes a body have again what an fsync promised: at most `kept` of its earlier bytes, these bytes, this
    /// size and this time of its last change. One that is missing is made. Nothing is synced.
    ///
    /// # Errors
    ///
    /// What the disk says; calling again with the same repairs what a failed call left.
    pub fn restore(
        &self,
        ino: Ino,
        kept: u64,
        size: u64,
        offset: u64,
        time: SystemTime,
        data: &[u8],
    ) -> io::Result<()> {
        let body = self.make(ino)?;
        if body.metadata()?.len() > kept {
            body.set_len(kept)?;
        }
        body.write_all_at(data, offset)?;
        body.set_len(size)?;
        body.set_modified(time)
    }

    /// Makes those bodies that are missing, empty: a power cut took them, and only a body that was
    /// made empty can be missing while a record names it. Says how many.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn make_missing(&self, inodes: &[Ino]) -> io::Result<usize> {
        let mut missing = 0;
        for ino in inodes.iter().filter(|ino| !self.path(**ino).exists()) {
            self.make(*ino)?;
            missing += 1;
        }
        Ok(missing)
    }

    /// Deletes a body; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn remove(&self, ino: Ino) -> io::Result<()> {
        match fs::remove_file(self.path(ino)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the bytes of these bodies, and their names, survive a power cut. A body that was
    /// deleted meanwhile needs nothing.
    ///
    /// # Errors
    ///
    /// What the disk says; the caller must not count anything as durable then.
    pub fn sync(&self, inodes: &[Ino]) -> io::Result<()> {
        if inodes.is_empty() {
            return Ok(());
        }
        if inodes.len() > SYNC_EACH_MAX {
            return Ok(nix::unistd::syncfs(File::open(&self.folder)?)?);
        }
        let mut shelves = BTreeSet::new();
        for ino in inodes {
            match File::open(self.path(*ino)) {
                Ok(body) => body.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            shelves.insert(self.shelf(*ino));
        }
        for shelf in shelves {
            File::open(shelf)?.sync_all()?;
        }
        if !self.has_durable_shelves.load(Ordering::Acquire) {
            File::open(&self.folder)?.sync_all()?;
            self.has_durable_shelves.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// The inodes that have a body in a folder; none if the folder is not there.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn present(folder: &Path) -> io::Result<BTreeSet<Ino>> {
        let mut inodes = BTreeSet::new();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(inodes),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                for body in fs::read_dir(entry.path())? {
                    inodes.extend(number(&body?.file_name()));
                }
            } else {
                inodes.extend(number(&entry.file_name()));
            }
        }
        Ok(inodes)
    }

    /// Deletes the bodies of inodes that `keep` does not want: what a crash left behind.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn sweep(&self, keep: impl Fn(Ino) -> bool) -> io::Result<usize> {
        let mut swept = 0;
        for ino in Bodies::present(&self.folder)? {
            if !keep(ino) {
                self.remove(ino)?;
                swept += 1;
                failpoints::BODY_SWEPT.reach();
            }
        }
        Ok(swept)
    }

    /// The folder: for asking the space of its file system.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The inode that a file is named by.
fn number(name: &OsStr) -> Option<Ino> {
    name.to_str()?.parse().ok().map(Ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_an_earlier_version_find_their_shelves() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("bodies");
        fs::create_dir(&folder).unwrap();
        let inodes = [7, 10, 300, u64::MAX].map(Ino);
        for ino in inodes {
            fs::write(folder.join(ino.to_string()), ino.to_string()).unwrap();
        }
        fs::write(folder.join("copy-half"), b"half").unwrap();
        assert_eq!(Bodies::present(&folder).unwrap(), BTreeSet::from(inodes));
        let bodies = Bodies::open(folder.clone()).unwrap();
        assert_eq!(Bodies::present(&folder).unwrap(), BTreeSet::from(inodes));
        for ino in inodes {
            let bytes = fs::read(bodies.path(ino)).unwrap();
            assert_eq!(bytes, ino.to_string().into_bytes());
            assert!(!folder.join(ino.to_string()).is_file());
        }
        assert!(!folder.join("copy-half").exists());
        bodies.sync(&inodes).unwrap();
        assert_eq!(bodies.sweep(|ino| ino.0 < 10).unwrap(), 3);
        assert_eq!(Bodies::present(&folder).unwrap(), BTreeSet::from([Ino(7)]));
    }
}
