//! One daemon per data directory: an flock, which the kernel lets go when its holder dies.
//!
//! The process id in the file is for people; nothing is decided by it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// What the file holds: a process id, and spaces.
const HOLDER_BYTES: usize = 32;

/// How long a process that was killed may take to let go of its lock: it closes its files first, and
/// throws away the memory of a large mount.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a dying holder.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The right to use a data directory; let go when dropped.
#[derive(Debug)]
pub struct DataLock {
    _file: Flock<File>,
}

impl DataLock {
    /// Takes the lock of a data directory, waiting for nobody but a holder that is dying.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`] when a living process has it.
    pub fn take(data: &Path) -> Result<DataLock, Error> {
        let deadline = Instant::now() + DEATH_PATIENCE;
        loop {
            match DataLock::acquire(data) {
                Err(Error::AlreadyRunning { pid: Some(pid), .. })
                    if is_dead(pid) && Instant::now() < deadline =>
                {
                    thread::sleep(LOOK_AGAIN);
                }
                result => return result,
            }
        }
    }

    /// Takes the lock of a data directory, without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`] when another process has it.
    pub fn acquire(data: &Path) -> Result<DataLock, Error> {
        let path = data.join("lock");
        let failed = |source| Error::Folder {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => {
                // Written over what is there, and always as long: a full disk has room for that.
                let holder = format!("{:<1$}\n", std::process::id(), HOLDER_BYTES - 1);
                if let Err(error) = file.write_all_at(holder.as_bytes(), 0) {
                    tracing::warn!(%error, "the lock does not say who holds it");
                }
                Ok(DataLock { _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                let _unreadable = Read::by_ref(&mut file)
                    .take(HOLDER_BYTES as u64)
                    .read_to_string(&mut holder);
                Err(Error::AlreadyRunning {
                    data: data.to_owned(),
                    pid: holder.trim().parse().ok(),
                })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

/// Whether a process is gone, or has ended and only waits for its parent or its last threads.
pub fn is_dead(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // After the name, which is in parentheses and may hold anything, comes the state.
        Ok(stat) => stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with(['Z', 'X'])),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_is_refused_and_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataLock::acquire(folder.path()).unwrap();
        match DataLock::acquire(folder.path()) {
            Err(Error::AlreadyRunning { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        assert!(!is_dead(std::process::id()));
        assert!(is_dead(u32::MAX));
        drop(first);
        DataLock::acquire(folder.path()).unwrap();
    }
}
