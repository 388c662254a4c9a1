//! A folder of our own for files that are not published yet.
//!
//! Each process makes `tmp/<random>/` and holds an flock on it. What a dead process left behind is a
//! folder whose lock is free, whatever pid namespace that process lived in; opening sweeps those.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::store::make_folder;

/// Attempts at a folder: another process may sweep ours between making and locking it, once each.
const ATTEMPTS_MAX: u32 = 8;

pub(super) struct Temporary {
    folder: PathBuf,
    next: AtomicU64,
    _lock: Flock<File>,
}

impl Temporary {
    /// Sweeps `parent` and makes a folder in it.
    pub(super) fn open(parent: &Path) -> io::Result<Temporary> {
        make_folder(parent)?;
        sweep(parent)?;
        for _ in 0..ATTEMPTS_MAX {
            let folder = parent.join(uuid::Uuid::new_v4().simple().to_string());
            make_folder(&folder)?;
            let Some(lock) = lock(&folder)? else { continue };
            if folder.exists() {
                return Ok(Temporary {
                    folder,
                    next: AtomicU64::new(0),
                    _lock: lock,
                });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// A path that nothing has.
    pub(super) fn path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(number.to_string())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Whatever this leaves behind, the next process sweeps.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// `None` when another process holds the lock or has removed the folder.
fn lock(folder: &Path) -> io::Result<Option<Flock<File>>> {
    let handle = match File::open(folder) {
        Ok(handle) => handle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match Flock::lock(handle, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if let Ok(Some(_lock)) = lock(&path) {
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::debug!(path = %path.display(), "swept temporary files"),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "temporary files stay behind");
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_dead_processes_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let living = Temporary::open(parent.path()).unwrap();
        fs::write(living.path(), b"being written").unwrap();
        let dead = parent.path().join("left-behind");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("0"), b"half").unwrap();

        let other = Temporary::open(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.folder.join("0").exists());

        drop(living);
        drop(other);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
