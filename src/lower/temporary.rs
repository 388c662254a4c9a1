//! A folder of our own for files that are not published yet.
//!
//! Each process makes `tmp/<random>/` and holds an flock on it. What a dead process left behind is a
//! folder whose lock is free, whatever pid namespace that process lived in; opening sweeps those. On
//! a full disk the folder is made when there is room again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::store::make_folder;
use super::unkept::is_full;

/// Attempts at a folder: another process may sweep ours between making and locking it, once each.
const ATTEMPTS_MAX: u32 = 8;

pub(super) struct Temporary {
    parent: PathBuf,
    /// The folder and its lock, once there was room for it.
    own: OnceLock<(PathBuf, Flock<File>)>,
    next: AtomicU64,
}

impl Temporary {
    /// Sweeps `parent` and makes a folder in it.
    pub(super) fn open(parent: &Path) -> io::Result<Temporary> {
        let temporary = Temporary {
            parent: parent.to_owned(),
            own: OnceLock::new(),
            next: AtomicU64::new(0),
        };
        let ready = make_folder(parent)
            .and_then(|()| sweep(parent))
            .and_then(|()| temporary.folder().map(drop));
        match ready {
            Err(error) if !is_full(&error) => Err(error),
            _ => Ok(temporary),
        }
    }

    /// A path that nothing has.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(self.folder()?.join(number.to_string()))
    }

    fn folder(&self) -> io::Result<&Path> {
        if let Some((folder, _)) = self.own.get() {
            return Ok(folder);
        }
        make_folder(&self.parent)?;
        let made = make(&self.parent)?;
        // Another thread may have been faster: then ours is empty and goes with its lock.
        let spare = made.0.clone();
        let (folder, _) = self.own.get_or_init(|| made);
        if *folder != spare {
            drop(fs::remove_dir(spare));
        }
        Ok(folder)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some((folder, _)) = self.own.get() {
            // Whatever this leaves behind, the next process sweeps.
            drop(fs::remove_dir_all(folder));
        }
    }
}

fn make(parent: &Path) -> io::Result<(PathBuf, Flock<File>)> {
    for _ in 0..ATTEMPTS_MAX {
        let folder = parent.join(uuid::Uuid::new_v4().simple().to_string());
        make_folder(&folder)?;
        let Some(lock) = lock(&folder)? else { continue };
        if folder.exists() {
            return Ok((folder, lock));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
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
        fs::write(living.path().unwrap(), b"being written").unwrap();
        let dead = parent.path().join("left-behind");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("0"), b"half").unwrap();

        let other = Temporary::open(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.folder().unwrap().join("0").exists());

        drop(living);
        drop(other);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
