//! Files that hold credentials: read whole and bounded, noticed when they change, replaced in one
//! step, written by one process at a time.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::Error;

/// File systems keep times in ticks of some milliseconds (and some in seconds), so a file that was
/// just written may be written again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);
/// How long somebody else's writing is waited for: it takes tenths of a second.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What tells whether a file is still the one that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signature {
    identity: (u64, u64, u64),
    times: (i64, i64, i64, i64),
    settled: bool,
}

impl Signature {
    fn of(metadata: &Metadata) -> Signature {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = SystemTime::now().duration_since(modified);
        Signature {
            identity: (metadata.dev(), metadata.ino(), metadata.size()),
            times: (
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ),
            settled: age.is_ok_and(|age| age > SETTLED),
        }
    }

    /// Whether it looks the same; what was written within one tick of the other, does.
    pub(super) fn is_same(self, now: Signature) -> bool {
        (self.identity, self.times) == (now.identity, now.times)
    }

    /// Whether a file whose signature was this one must be read again; `now` is its signature of now.
    pub(super) fn is_stale(self, now: Option<Signature>) -> bool {
        match now {
            Some(now) => !self.settled || !self.is_same(now),
            None => true,
        }
    }
}

/// The signature of a file; `None` when there is none.
pub(super) fn signature(path: &Path) -> Option<Signature> {
    path.metadata().ok().map(|found| Signature::of(&found))
}

/// A file as it was at one moment.
pub(super) struct Content {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) metadata: Metadata,
    pub(super) signature: Signature,
}

/// Reads a file; `None` when there is none.
///
/// # Errors
///
/// [`Error::Io`], also for what is no regular file; [`Error::TooLarge`].
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Option<Content>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    // Opening a fifo would wait for its writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let count = file.take(bytes_max + 1).read_to_end(&mut bytes);
    if count.map_err(failed)? as u64 > bytes_max {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(Some(Content {
        bytes,
        signature: Signature::of(&metadata),
        metadata,
    }))
}

/// Replaces a file in one step, closed to others: a reader sees the old content or the new, also
/// after a power cut.
///
/// # Errors
///
/// [`Error::Io`]; the old file is then untouched.
pub(super) fn publish(path: &Path, content: &[u8]) -> Result<(), Error> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        // Made with mode 0600.
        let mut temporary = tempfile::Builder::new()
            .prefix(".secrets-")
            .tempfile_in(folder)?;
        temporary.write_all(content)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

/// The right to write the store of a folder; given back when dropped.
pub(super) struct Lock(#[allow(dead_code, reason = "held, not used")] Flock<File>);

impl Lock {
    /// Takes it, waiting for whoever has it.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] after ten seconds.
    pub(super) fn take(folder: &Path) -> Result<Lock, Error> {
        let path: PathBuf = folder.join("secrets.lock");
        let failed = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Lock(lock)),
                Err((_, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() >= deadline => {
                    return Err(Error::Busy { path });
                }
                Err((again, nix::errno::Errno::EWOULDBLOCK)) => file = again,
                Err((_, errno)) => return Err(failed(errno.into())),
            }
            thread::sleep(LOCK_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replaced_or_rewritten_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path, 10).unwrap().is_none());
        publish(&path, b"one").unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = read(&path, 10).unwrap().unwrap();
        assert_eq!(*first.bytes, b"one");
        // Written a moment ago: its times prove nothing yet.
        assert!(first.signature.is_stale(signature(&path)));
        let settled = Signature {
            settled: true,
            ..first.signature
        };
        assert!(!settled.is_stale(signature(&path)));
        publish(&path, b"two").unwrap();
        assert!(settled.is_stale(signature(&path)));
        assert!(settled.is_stale(None));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_or_too_long_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        publish(&path, b"12345678901").unwrap();
        assert!(matches!(read(&path, 10), Err(Error::TooLarge { .. })));
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(read(&fifo, 10), Err(Error::Io { .. })));
        assert!(matches!(read(folder.path(), 10), Err(Error::Io { .. })));
    }
}
