//! The journal's folder: the lock, and files that appear whole or not at all.
//!
//! A file is published by writing it under a temporary name, syncing it, renaming it, and syncing
//! the folder. What has a published name was durable before it had it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::recovery::{Files, Repair};
use crate::scan::Source;
use crate::segment::{FileName, TEMPORARY_SUFFIX};

/// Zeroes are written in pieces of this: large enough to cost few calls.
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// A folder that this process alone has open as a journal.
pub(crate) struct Folder {
    path: PathBuf,
    /// Holds the lock; closing it, also by dying, gives the lock up.
    handle: File,
}

/// The names in a folder.
pub(crate) struct Listing {
    pub(crate) published: BTreeSet<FileName>,
    /// Left behind by a crash while a file was being written.
    pub(crate) temporary: Vec<Repair>,
}

/// Why a file was not published.
pub(crate) enum PublishError {
    /// It does not exist: nothing has changed.
    Unpublished(Error),
    /// It has its name, but a power cut may take that back.
    Unsynced(io::Error),
}

impl Folder {
    /// Creates the folder if need be, and locks it.
    pub(crate) fn open(path: &FilePath) -> Result<Folder, Error> {
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(Error::io(path))?;
            if let Some(parent) = path.parent().filter(|parent| parent.is_dir()) {
                File::open(parent)
                    .and_then(|parent| parent.sync_all())
                    .map_err(Error::io(parent))?;
            }
        }
        let handle = File::open(path).map_err(Error::io(path))?;
        match handle.try_lock() {
            Ok(()) => Ok(Folder {
                path: path.to_path_buf(),
                handle,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked {
                path: path.to_path_buf(),
            }),
            Err(TryLockError::Error(source)) => Err(Error::io(path)(source)),
        }
    }

    pub(crate) fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing {
            published: BTreeSet::new(),
            temporary: Vec::new(),
        };
        for entry in fs::read_dir(&self.path).map_err(Error::io(&self.path))? {
            let name = entry.map_err(Error::io(&self.path))?.file_name();
            // A name that is none of ours is left alone.
            let Some(text) = name.to_str() else { continue };
            if let Some(name) = FileName::parse(text) {
                listing.published.insert(name);
            } else if text
                .strip_suffix(TEMPORARY_SUFFIX)
                .is_some_and(|text| FileName::parse(text).is_some())
            {
                listing.temporary.push(Repair::Delete {
                    file: text.to_owned(),
                });
            }
        }
        Ok(listing)
    }

    pub(crate) fn path_of(&self, name: FileName) -> PathBuf {
        self.path.join(name.to_string())
    }

    /// Opens a published file for writing.
    pub(crate) fn open_file(&self, name: FileName) -> Result<Arc<File>, Error> {
        let path = self.path_of(name);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        file.map(Arc::new).map_err(Error::io(path))
    }

    /// Publishes what `write` writes.
    pub(crate) fn publish<T>(
        &self,
        name: FileName,
        write: impl FnOnce(&File, &FilePath) -> Result<T, Error>,
        before_rename: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(Arc<File>, T), PublishError> {
        let temporary = self.path.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(Error::io(&temporary))
            .map_err(PublishError::Unpublished)?;
        let written = write(&file, &temporary).and_then(|written| {
            file.sync_all().map_err(Error::io(&temporary))?;
            before_rename()?;
            fs::rename(&temporary, self.path_of(name)).map_err(Error::io(&temporary))?;
            Ok(written)
        });
        let written = written.map_err(|error| {
            // What cannot be removed now is removed by the next open.
            let _ = fs::remove_file(&temporary);
            PublishError::Unpublished(error)
        })?;
        self.handle.sync_all().map_err(PublishError::Unsynced)?;
        Ok((Arc::new(file), written))
    }

    /// Removes a published file; one that is gone is no error.
    pub(crate) fn delete(&self, name: FileName) -> Result<(), Error> {
        self.delete_file(&name.to_string())
    }

    fn delete_file(&self, file: &str) -> Result<(), Error> {
        let path = self.path.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
            _ => Ok(()),
        }
    }

    /// Makes repairs, durably.
    pub(crate) fn repair(&self, repairs: &[Repair]) -> Result<(), Error> {
        for repair in repairs {
            match repair {
                Repair::Delete { file } => self.delete_file(file)?,
                Repair::Erase { name, from } => self.erase(*name, *from)?,
            }
        }
        Ok(())
    }

    fn erase(&self, name: FileName, from: u64) -> Result<(), Error> {
        let file = self.open_file(name)?;
        let erased = file.metadata().and_then(|metadata| {
            write_zeroes(&file, from, metadata.len())?;
            file.sync_data()
        });
        erased.map_err(Error::io(self.path_of(name)))
    }
}

impl Files for Folder {
    fn folder(&self) -> &FilePath {
        &self.path
    }

    fn read(&self, name: FileName) -> Result<Source, Error> {
        let path = self.path_of(name);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        Ok(Source { path, name, bytes })
    }
}

/// Fills a range of the file with zeroes.
pub(crate) fn write_zeroes(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let step = usize::try_from(to - at).map_or(ZEROES.len(), |left| left.min(ZEROES.len()));
        file.write_all_at(ZEROES.get(..step).unwrap_or_default(), at)?;
        at += step as u64;
    }
    Ok(())
}
