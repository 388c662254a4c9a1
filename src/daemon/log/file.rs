//! The log as a file that never grows beyond a bound: a full one is moved aside, and the oldest of
//! those goes.
//!
//! A daemon and its supervisor write into one file. Only the daemon moves it aside; both look before
//! each line whether the file is still the one at its path, so each follows, and whatever else moves
//! logs on this machine may move this one. Where standard error or output is the log, it stays the log.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file beyond this is moved aside: months of warnings, or minutes of everything.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files that were moved aside and are kept: with the current one, 16 MiB.
const OLDER_MAX: u32 = 3;

/// Who moves a full file aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    /// This process.
    Rotates,
    /// Another one, which this one follows.
    Follows,
}

/// A log file that is written to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    keeping: Keeping,
}

impl LogFile {
    /// Opens a log, with the folders around it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub(super) fn open(path: &Path, keeping: Keeping) -> io::Result<LogFile> {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let file = append(path)?;
        // Behind a link, the file itself is what is moved aside.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(LogFile {
            path,
            file,
            keeping,
        })
    }

    /// The file, as standard error of a child.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// The file that takes the next line.
    ///
    /// # Errors
    ///
    /// There is none: the disk is full, for one.
    pub(super) fn for_line(&mut self, line_bytes: usize) -> io::Result<&File> {
        let ours = self.file.metadata()?;
        // A device or a pipe has no size, and its place is not ours to change.
        if ours.is_file() {
            if !self.is_at_its_path(&ours) {
                self.reopen()?;
            }
            let bytes = self.file.metadata()?.len();
            if self.keeping == Keeping::Rotates && bytes + line_bytes as u64 > FILE_BYTES_MAX {
                self.rotate()?;
            }
        }
        Ok(&self.file)
    }

    fn is_at_its_path(&self, ours: &Metadata) -> bool {
        fs::metadata(&self.path).is_ok_and(|there| is_same(ours, &there))
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = append(&self.path)?;
        redirect(&self.file, &file)?;
        self.file = file;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Daemons of several mounts may share a log: one moves it, the others write on and follow.
        if self.file.try_lock().is_err() {
            return Ok(());
        }
        let moved = match self.is_at_its_path(&self.file.metadata()?) {
            true => self.move_aside(),
            false => Ok(()),
        };
        self.file.unlock()?;
        match moved {
            Ok(()) => self.reopen(),
            // Whoever may write the file may not always rename it: then the old lines have to go.
            Err(_) => self.file.set_len(0),
        }
    }

    fn move_aside(&self) -> io::Result<()> {
        for number in (1..OLDER_MAX).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.older(1))
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        // For a named pipe: to open one without a reader fails, and a full one loses lines.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Makes what was the old file the new one, of standard error and standard output.
fn redirect(old: &File, new: &File) -> io::Result<()> {
    let old = old.metadata()?;
    let was_old = |stream: &dyn AsFd| -> io::Result<bool> {
        let stream = File::from(stream.as_fd().try_clone_to_owned()?);
        Ok(is_same(&stream.metadata()?, &old))
    };
    if was_old(&io::stderr())? {
        nix::unistd::dup2_stderr(new)?;
    }
    if was_old(&io::stdout())? {
        nix::unistd::dup2_stdout(new)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(log: &mut LogFile, line: &[u8]) {
        log.for_line(line.len()).unwrap().write_all(line).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_log_is_never_larger_than_its_bound_and_the_newest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/log");
        let mut log = LogFile::open(&path, Keeping::Rotates).unwrap();
        let line = vec![b'x'; 64 << 10];
        for _ in 0..500 {
            write(&mut log, &line);
        }
        write(&mut log, b"last\n");
        let folder = path.parent().unwrap();
        assert_eq!(names(folder), ["log", "log.1", "log.2", "log.3"]);
        for name in names(folder) {
            let metadata = folder.join(name).metadata().unwrap();
            assert!(metadata.len() <= FILE_BYTES_MAX);
            assert_eq!(metadata.mode() & 0o777, 0o600);
        }
        assert!(fs::read(&path).unwrap().ends_with(b"last\n"));
    }

    #[test]
    fn whoever_moves_a_log_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut owner = LogFile::open(&path, Keeping::Rotates).unwrap();
        let mut follower = LogFile::open(&path, Keeping::Follows).unwrap();
        owner.file.set_len(FILE_BYTES_MAX).unwrap();
        write(&mut follower, b"follower, before\n");
        write(&mut owner, b"owner\n");
        write(&mut follower, b"follower\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "owner\nfollower\n");
        fs::remove_file(&path).unwrap();
        write(&mut owner, b"again\n");
        write(&mut follower, b"again\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "again\nagain\n");
        assert_eq!(names(folder.path()), ["log", "log.1"]);
    }

    #[test]
    fn what_cannot_be_moved_aside_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // A folder that is not empty is no file that a rename replaces.
        fs::create_dir_all(folder.path().join("log.1/in-the-way")).unwrap();
        fs::create_dir_all(folder.path().join("log.2/in-the-way")).unwrap();
        let mut log = LogFile::open(&path, Keeping::Rotates).unwrap();
        log.file.set_len(FILE_BYTES_MAX).unwrap();
        write(&mut log, b"new\n");
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
    }
}
