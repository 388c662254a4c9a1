//! Large blobs that come in parts, and go on after a break, a restart or a crash.
//!
//! A part is appended to `uploads/<id>` and is durable before it is acknowledged. The id says which
//! blob is wanted and for whom, so whoever asks for the same upload again finds it where it was.
//! When the last byte is there, the file becomes an object if it is the blob that it should be,
//! and goes away in any case.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{At, Error};
use super::staging::{Staging, sync_folders};
use super::{Repository, ours};
use crate::tree::GitOid;

/// Name of the folder inside the repository.
const FOLDER: &str = "uploads";
/// An upload that got nothing for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One upload that nobody else writes to while this value lives.
#[derive(Debug)]
pub(in crate::server) struct Part {
    file: Flock<File>,
    path: PathBuf,
}

/// Removes uploads that were given up.
pub(super) fn sweep(repository: &Path) -> Result<(), Error> {
    let folder = repository.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.at(&folder)?,
    };
    for entry in entries {
        let path = entry.at(&folder)?.path();
        let changed = fs::metadata(&path)
            .and_then(|facts| facts.modified())
            .at(&path)?;
        let is_idle = SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|idle| idle > IDLE_MAX);
        if is_idle {
            fs::remove_file(&path).at(&path)?;
        }
    }
    Ok(())
}

impl Repository {
    /// Bytes of an upload that are there; 0 if it has not begun.
    pub(in crate::server) fn upload_offset(&self, id: &str) -> Result<u64, Error> {
        let path = self.folder.join(FOLDER).join(id);
        match fs::metadata(&path) {
            Ok(facts) => Ok(facts.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).at(&path),
        }
    }

    /// Opens an upload, which begins if it has not, to append at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::UploadOffset`] if it is elsewhere, [`Error::Raced`] if somebody else appends.
    pub(in crate::server) fn open_upload(&self, id: &str, offset: u64) -> Result<Part, Error> {
        let folder = self.folder.join(FOLDER);
        fs::create_dir_all(&folder).at(&folder)?;
        if offset == 0 {
            sweep(&self.folder)?;
        }
        let path = folder.join(id);
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .at(&path)?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(
            |(_, errno)| match errno {
                Errno::EWOULDBLOCK => Error::Raced,
                errno => Error::Io {
                    path: path.clone(),
                    source: errno.into(),
                },
            },
        )?;
        let end = file.seek(SeekFrom::End(0)).at(&path)?;
        if end != offset {
            return Err(Error::UploadOffset { offset: end });
        }
        Ok(Part { file, path })
    }

    /// Stores an upload that has all its bytes as a blob; on return it survives a power cut.
    ///
    /// # Errors
    ///
    /// [`Error::UploadDiffers`] if the bytes are not the blob; the upload begins anew.
    pub(in crate::server) fn finish_upload(
        &self,
        mut part: Part,
        sha: GitOid,
        size: u64,
    ) -> Result<(), Error> {
        part.file.seek(SeekFrom::Start(0)).at(&part.path)?;
        let repo = self.local();
        let mut staging = Staging::new(&repo)?;
        let oid = ours(&staging.write_stream(size, &mut *part.file)?);
        if oid == sha {
            staging.publish()?;
        }
        fs::remove_file(&part.path).at(&part.path)?;
        match oid == sha {
            true => Ok(()),
            false => Err(Error::UploadDiffers(oid)),
        }
    }
}

impl Part {
    /// A second handle on the file, to write at its end.
    pub(in crate::server) fn writer(&self) -> Result<File, Error> {
        self.file.try_clone().at(&self.path)
    }

    /// Makes what was appended durable, and says how many bytes there are now.
    pub(in crate::server) fn sync(&self) -> Result<u64, Error> {
        self.file.sync_all().at(&self.path)?;
        let folder: Vec<PathBuf> = self.path.parent().map(Path::to_owned).into_iter().collect();
        sync_folders(&folder)?;
        Ok(self.file.metadata().at(&self.path)?.len())
    }
}
