//! The journal's folder on any disk: files that appear whole or not at all.
//!
//! A file is published by writing it under a temporary name, syncing it, renaming it, and syncing
//! the folder. What has a published name was durable before it had it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::failpoint;
use crate::recovery::{Files, Repair};
use crate::scan::Source;
use crate::segment::{FileName, RebuildName, TEMPORARY_SUFFIX};

/// Zeroes are written in pieces of this: large enough to cost few calls.
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// A folder with a journal's files.
pub(crate) struct Folder {
    disk: Arc<dyn Disk>,
}

/// The names in a folder.
pub(crate) struct Listing {
    pub(crate) published: BTreeSet<FileName>,
    /// Left behind by a crash while a file was being written.
    pub(crate) temporary: Vec<String>,
    /// Left behind by a crash in the midst of a rebuild.
    pub(crate) rebuilds: Vec<RebuildName>,
    /// The number of the last folder of files that a rebuild set aside; 0 without one.
    pub(crate) set_aside: u64,
}

/// Why a file was not published.
pub(crate) enum PublishError {
    /// It does not exist: nothing has changed.
    Unpublished(Error),
    /// It has its name, but a power cut may take that back; the folder, and what its sync said.
    Unsynced(PathBuf, io::Error),
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Error {
        match error {
            PublishError::Unpublished(error) => error,
            PublishError::Unsynced(folder, error) => Error::io(folder)(error),
        }
    }
}

impl Folder {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Folder {
        Folder { disk }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The disk itself, for another look at all of it.
    pub(crate) fn shared_disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    pub(crate) fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing {
            published: BTreeSet::new(),
            temporary: Vec::new(),
            rebuilds: Vec::new(),
            set_aside: 0,
        };
        for text in self.disk.list().map_err(Error::io(self.disk.path()))? {
            // A name that is none of ours is left alone.
            if let Some(name) = FileName::parse(&text) {
                listing.published.insert(name);
            } else if let Some(name) = RebuildName::parse(&text) {
                listing.rebuilds.push(name);
            } else if let Some(number) = RebuildName::parse_folder(&text) {
                listing.set_aside = listing.set_aside.max(number);
            } else if text.strip_suffix(TEMPORARY_SUFFIX).is_some_and(|text| {
                FileName::parse(text).is_some() || RebuildName::parse(text).is_some()
            }) {
                listing.temporary.push(text);
            }
        }
        Ok(listing)
    }

    pub(crate) fn path_of(&self, name: FileName) -> PathBuf {
        self.disk.path().join(name.to_string())
    }

    /// Opens a published file for writing.
    pub(crate) fn open_file(&self, name: FileName) -> Result<Arc<dyn DiskFile>, Error> {
        let file = self.disk.open(&name.to_string());
        file.map_err(Error::io(self.path_of(name)))
    }

    /// Publishes what `write` writes.
    pub(crate) fn publish<T>(
        &self,
        name: &str,
        write: impl FnOnce(&dyn DiskFile, &FilePath) -> Result<T, Error>,
        before_rename: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(Arc<dyn DiskFile>, T), PublishError> {
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        let path = self.disk.path().join(&temporary);
        let file = self
            .disk
            .create(&temporary)
            .map_err(Error::io(&path))
            .map_err(PublishError::Unpublished)?;
        let written = write(&*file, &path).and_then(|written| {
            file.sync_all().map_err(Error::io(&path))?;
            before_rename()?;
            let renamed = self.disk.rename(&temporary, name);
            renamed.map_err(Error::io(&path))?;
            failpoint::renamed(name);
            Ok(written)
        });
        let written = written.map_err(|error| {
            // What cannot be removed now is removed by the next open.
            let _ = self.disk.remove(&temporary);
            PublishError::Unpublished(error)
        })?;
        self.disk
            .sync()
            .map_err(|error| PublishError::Unsynced(self.disk.path().into(), error))?;
        Ok((file, written))
    }

    /// Removes a published file; one that is gone is no error.
    pub(crate) fn delete(&self, name: FileName) -> Result<(), Error> {
        self.delete_file(&name.to_string())
    }

    pub(crate) fn delete_file(&self, file: &str) -> Result<(), Error> {
        match self.disk.remove(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(self.disk.path().join(file))(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes the names durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.disk.sync().map_err(Error::io(self.disk.path()))
    }

    /// Makes repairs, durably.
    pub(crate) fn repair(&self, repairs: &[Repair]) -> Result<(), Error> {
        for repair in repairs {
            match repair {
                Repair::Delete { name } => self.delete(*name)?,
                Repair::Erase { name, from } => self.erase(*name, *from)?,
            }
        }
        Ok(())
    }

    fn erase(&self, name: FileName, from: u64) -> Result<(), Error> {
        let file = self.open_file(name)?;
        let erased = file.size().and_then(|size| {
            write_zeroes(&*file, from, size)?;
            file.sync_data()
        });
        erased.map_err(Error::io(self.path_of(name)))
    }
}

impl Files for Folder {
    fn folder(&self) -> &FilePath {
        self.disk.path()
    }

    fn read(&self, name: FileName) -> Result<Source, Error> {
        let path = self.path_of(name);
        let bytes = read(&*self.open_file(name)?).map_err(Error::io(&path))?;
        Ok(Source { path, name, bytes })
    }
}

pub(crate) fn read(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Fills a range of the file with zeroes.
pub(crate) fn write_zeroes(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let step = usize::try_from(to - at).map_or(ZEROES.len(), |left| left.min(ZEROES.len()));
        file.write_all_at(ZEROES.get(..step).unwrap_or_default(), at)?;
        at += step as u64;
    }
    Ok(())
}
