//! One daemon per data directory: an flock, which the kernel lets go when its holder dies.
//!
//! The process id in the file is for people and for messages. The word beside it tells a daemon, which
//! keeps the lock for long, from a command that looks at what is there and lets go in a moment.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// What the file holds: a process id, a word, and spaces.
const HOLDER_BYTES: usize = 32;

/// How long a process that was killed may take to let go of its lock: it closes its files first, and
/// throws away the memory of a large mount.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a holder that lets go soon.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the holder of a lock does with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// A command looks at what is there.
    Command,
    /// A daemon that does not answer yet.
    Starting,
    /// A daemon that answers.
    Serving,
}

impl Holding {
    fn word(self) -> &'static str {
        match self {
            Holding::Command => "command",
            Holding::Starting => "starting",
            Holding::Serving => "serving",
        }
    }

    fn of_word(word: &str) -> Option<Holding> {
        let all = [Holding::Command, Holding::Starting, Holding::Serving];
        all.into_iter().find(|holding| holding.word() == word)
    }
}

/// Who holds a lock, as far as the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// What it does.
    pub holding: Holding,
}

impl Holder {
    /// Whether it will not hold the lock for long.
    fn lets_go(self) -> bool {
        self.holding == Holding::Command || is_dead(self.pid)
    }
}

/// The right to use a data directory; let go when dropped.
#[derive(Debug)]
pub struct DataLock {
    file: Flock<File>,
}

impl DataLock {
    /// Takes the lock of a data directory, waiting for nobody but a holder that is dying, and commands
    /// that look at the data directory.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`] when a living process has it.
    pub fn take(data: &Path, holding: Holding) -> Result<DataLock, Error> {
        let deadline = Instant::now() + DEATH_PATIENCE;
        loop {
            match DataLock::acquire(data) {
                Ok(lock) => {
                    lock.say(holding);
                    return Ok(lock);
                }
                Err(Error::AlreadyRunning { .. })
                    if Instant::now() < deadline && holder(data).is_none_or(Holder::lets_go) =>
                {
                    thread::sleep(LOOK_AGAIN);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says what the holder does from now on.
    pub fn say(&self, holding: Holding) {
        // Written over what is there, and always as long: a full disk has room for that.
        let holder = format!("{} {}", std::process::id(), holding.word());
        let holder = format!("{holder:<0$}\n", HOLDER_BYTES - 1);
        if let Err(error) = self.file.write_all_at(holder.as_bytes(), 0) {
            tracing::warn!(%error, "the lock does not say who holds it");
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
                let lock = DataLock { file };
                lock.say(Holding::Command);
                Ok(lock)
            }
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => Err(Error::AlreadyRunning {
                data: data.to_owned(),
                pid: written(&file).map(|holder| holder.pid),
            }),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

/// Who holds the lock of a data directory, if somebody does, and says so.
pub fn holder(data: &Path) -> Option<Holder> {
    // What is written there may be of an earlier holder, whose number is another process's now: only
    // the lock itself tells.
    if !data.join("lock").exists() {
        return None;
    }
    match DataLock::acquire(data) {
        Err(Error::AlreadyRunning { .. }) => {
            let file = File::open(data.join("lock")).ok()?;
            written(&file)
        }
        _ => None,
    }
}

fn written(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    let mut start = Read::by_ref(&mut file).take(HOLDER_BYTES as u64);
    start.read_to_string(&mut text).ok()?;
    let mut words = text.split_whitespace();
    Some(Holder {
        pid: words.next()?.parse().ok()?,
        holding: words
            .next()
            .and_then(Holding::of_word)
            .unwrap_or(Holding::Serving),
    })
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
        let (pid, holding) = (std::process::id(), Holding::Command);
        assert_eq!(holder(folder.path()), Some(Holder { pid, holding }));
        first.say(Holding::Serving);
        let holding = Holding::Serving;
        assert_eq!(holder(folder.path()), Some(Holder { pid, holding }));
        assert!(!is_dead(std::process::id()));
        assert!(is_dead(u32::MAX));
        drop(first);
        DataLock::acquire(folder.path()).unwrap();
    }
}
