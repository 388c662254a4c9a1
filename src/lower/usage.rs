//! How many bytes a store with a limit has on disk: one number in a file, which every process adds to
//! that shares the store.
//!
//! It is an estimate between two counts: a process that dies between publishing and adding, a power cut,
//! or a file that somebody removed leaves it wrong until the next one ([`super::evict`]), which is at the
//! start of each mount, at every eviction, and now and then. A store in which nobody has a limit has no
//! such file, and nothing is added.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often one looks whether somebody counts by now: what comes in between is little beside the hundredths
/// that a store may be over its limit, and a look for each object is one system call of the ten that keeping it takes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Usage {
    path: PathBuf,
    /// The lock of the file is one for all threads of a process.
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Once it is there.
    file: Option<File>,
    /// When it was last found not to be.
    missed: Option<Instant>,
}

impl Usage {
    pub(super) fn new(folder: &Path) -> Usage {
        Usage {
            path: folder.join("usage"),
            found: Mutex::default(),
        }
    }

    /// Adds bytes, and gives the sum; `None` where nobody counts.
    pub(super) fn add(&self, bytes: u64) -> io::Result<Option<u64>> {
        let mut found = self.found.lock();
        if found.file.is_none() {
            if found
                .missed
                .is_some_and(|missed| missed.elapsed() < LOOK_EVERY)
            {
                return Ok(None);
            }
            match OpenOptions::new().read(true).write(true).open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    found.missed = Some(Instant::now());
                    return Ok(None);
                }
                opened => found.file = Some(opened?),
            }
        }
        match &found.file {
            Some(file) => change(file, |sum| sum.saturating_add(bytes)).map(|(_, sum)| Some(sum)),
            None => Ok(None),
        }
    }

    /// Subtracts bytes, where somebody counts.
    pub(super) fn subtract(&self, bytes: u64) -> io::Result<()> {
        // Opens the file.
        if self.sum()?.is_some()
            && let Some(file) = &self.found.lock().file
        {
            change(file, |sum| sum.saturating_sub(bytes))?;
        }
        Ok(())
    }

    /// The sum; `None` where nobody counts.
    pub(super) fn sum(&self) -> io::Result<Option<u64>> {
        self.add(0)
    }

    /// Begins a count: from now on everybody adds.
    pub(super) fn begin(&self) -> io::Result<u64> {
        let file = &mut self.found.lock().file;
        if file.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            *file = Some(options.mode(0o600).open(&self.path)?);
        }
        match file {
            Some(file) => change(file, |sum| sum).map(|(before, _)| before),
            None => Ok(0),
        }
    }

    /// Ends a count that found so many bytes: what was added meanwhile, since the sum was `before`, is
    /// added to it, though some of it may have been found as well.
    pub(super) fn end(&self, before: u64, found: u64) -> io::Result<()> {
        match &self.found.lock().file {
            Some(file) => change(file, |sum| found + sum.saturating_sub(before)).map(drop),
            None => Ok(()),
        }
    }
}

/// Changes the number under the file's lock, and gives it as it was and is. What is no number is 0.
fn change(file: &File, to: impl FnOnce(u64) -> u64) -> io::Result<(u64, u64)> {
    file.lock()?;
    let changed = change_locked(file, to);
    file.unlock()?;
    changed
}

fn change_locked(file: &File, to: impl FnOnce(u64) -> u64) -> io::Result<(u64, u64)> {
    let mut bytes = [0; 8];
    let before = match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
        Err(error) => return Err(error),
    };
    let after = to(before);
    if after != before {
        file.write_all_at(&after.to_le_bytes(), 0)?;
    }
    Ok((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_to_count_is_noticed_a_moment_later() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Usage::new(folder.path()), Usage::new(folder.path()));
        assert_eq!(one.add(5).unwrap(), None);
        other.begin().unwrap();
        let begun = Instant::now();
        while one.add(1).unwrap().is_none() {
            assert!(begun.elapsed() < 50 * LOOK_EVERY);
        }
    }

    #[test]
    fn processes_add_to_one_number_and_a_count_corrects_it() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Usage::new(folder.path()), Usage::new(folder.path()));
        assert_eq!(one.add(5).unwrap(), None, "nobody counts");
        assert_eq!(one.begin().unwrap(), 0);
        assert_eq!(other.add(5).unwrap(), Some(5));
        assert_eq!(one.add(2).unwrap(), Some(7));
        one.end(0, 100).unwrap();
        assert_eq!(other.sum().unwrap(), Some(107));
        let before = other.begin().unwrap();
        other.end(before, 40).unwrap();
        assert_eq!(one.sum().unwrap(), Some(40));
        std::thread::scope(|scope| {
            for usage in [&one, &other, &one, &other] {
                scope.spawn(|| (0..500).for_each(|_| assert!(usage.add(1).unwrap().is_some())));
            }
        });
        assert_eq!(one.sum().unwrap(), Some(2_040));
        std::fs::write(folder.path().join("usage"), b"bad").unwrap();
        assert_eq!(one.add(3).unwrap(), Some(3));
    }
}
