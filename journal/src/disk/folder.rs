//! A real folder of the operating system, private to its owner and locked.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile};
use crate::error::Error;

const RANDOM_SOURCE: &str = "/dev/urandom";

/// A folder that this process alone has open as a journal; its files are 0600, it is 0700.
#[derive(Debug)]
pub struct FolderDisk {
    path: PathBuf,
    /// Holds the lock; closing it, also by dying, gives the lock up.
    handle: File,
}

impl FolderDisk {
    /// Creates the folder if need be, durably, and locks it.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody has it; or a failed call.
    pub fn open(path: &FilePath) -> Result<FolderDisk, Error> {
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(Error::io(path))?;
            if let Some(parent) = path.parent().filter(|parent| parent.is_dir()) {
                sync_folder(parent).map_err(Error::io(parent))?;
            }
        }
        FolderDisk::existing(path)
    }

    /// Locks a folder that exists.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody has it; or a failed call.
    pub fn existing(path: &FilePath) -> Result<FolderDisk, Error> {
        let handle = File::open(path).map_err(Error::io(path))?;
        match handle.try_lock() {
            Ok(()) => Ok(FolderDisk {
                path: path.to_path_buf(),
                handle,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked {
                path: path.to_path_buf(),
            }),
            Err(TryLockError::Error(source)) => Err(Error::io(path)(source)),
        }
    }
}

impl Disk for FolderDisk {
    fn path(&self) -> &FilePath {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    /// The folder that the file is moved to is synced at once: [`Disk::sync`] knows of this one only.
    fn set_aside(&self, name: &str, folder: &str) -> io::Result<()> {
        let folder = self.path.join(folder);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let to = folder.join(name);
        // Nobody else changes this folder, so nothing comes between this look and the rename.
        if to.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.path.join(name), to)?;
        sync_folder(&folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        File::open(RANDOM_SOURCE)?.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn sync_folder(path: &FilePath) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }
}
