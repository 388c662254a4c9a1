//! Whether what was written before this opening is still in the page cache.
//!
//! A write reaches its body without a sync, and the record that says so reaches the journal without
//! one. The kernel writes both back when it likes, so after a power cut a body may be newer than
//! the journal: then nothing tells that the remote lacks those bytes. After the mere death of a
//! process that cannot be, since the page cache has the record.
//!
//! So a small file tells in which boot, and over which mount of the file system, the repository was
//! last written to, and whether it was brought to rest. It is overwritten in place, in one sector,
//! which needs no space on a full disk. Whatever is not understood counts as a power cut, and that
//! costs no more than pushing bodies once again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "witness";
/// What the file always holds: within one sector, so that no cut tears it.
const BYTES: usize = 96;
const AT_REST: &str = "at rest";
/// `STATX_MNT_ID_UNIQUE`, of Linux 6.8: a number that no later mount has.
const MOUNT_UNIQUE: u32 = 0x4000;

/// What the last process left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// Everything was synced, or is in the page cache of this machine.
    Whole,
    /// A power cut may have come between.
    InDoubt,
}

/// The file of one repository.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
}

impl Witness {
    pub(super) fn of(folder: &Path) -> Witness {
        Witness {
            path: folder.join(FILE),
        }
    }

    /// What it says of the last process. Nothing is changed.
    pub(super) fn look(&self) -> Left {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let text = text.trim_end();
        if text == AT_REST || self.here().is_ok_and(|here| here == text) {
            Left::Whole
        } else {
            Left::InDoubt
        }
    }

    /// Says, durably, that bytes will be written from now on.
    ///
    /// # Errors
    ///
    /// What the disk says: nothing must be written then.
    pub(super) fn at_work(&self) -> io::Result<()> {
        let here = self.here()?;
        let said = fs::read_to_string(&self.path).unwrap_or_default();
        match said.trim_end() == here {
            true => Ok(()),
            false => self.say(&here),
        }
    }

    /// Says that everything is synced and nothing will be written.
    ///
    /// # Errors
    ///
    /// What the disk says; the next opening is then more careful than it need be.
    pub(super) fn at_rest(&self) -> io::Result<()> {
        self.say(AT_REST)
    }

    fn say(&self, text: &str) -> io::Result<()> {
        let is_new = !self.path.exists();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all_at(format!("{text:BYTES$}").as_bytes(), 0)?;
        file.sync_data()?;
        match self.path.parent().filter(|_| is_new) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// This boot, and this mount of the file system.
    fn here(&self) -> io::Result<String> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let folder = File::open(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(format!("{} {}", boot.trim_end(), mount_of(&folder)?))
    }
}

/// The number of the mount that a file is on.
fn mount_of(file: &File) -> io::Result<u64> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: an empty name that ends in NUL, and room for the answer; both live during the call.
    let code = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            MOUNT_UNIQUE,
            found.as_mut_ptr(),
        )
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroes are a valid value, and the kernel has filled in the rest.
    let found = unsafe { found.assume_init() };
    // An older kernel has no such number: the boot alone decides then.
    Ok(match found.stx_mask & MOUNT_UNIQUE {
        0 => 0,
        _ => found.stx_mnt_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rest_and_this_very_mount_leave_no_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::of(folder.path());
        assert_eq!(witness.look(), Left::InDoubt, "nobody said anything");
        witness.at_work().unwrap();
        assert_eq!(witness.look(), Left::Whole, "the page cache has everything");
        let path = folder.path().join(FILE);
        assert_eq!(path.metadata().unwrap().len(), BYTES as u64);
        let said = fs::read_to_string(&path).unwrap();
        let (boot, mount) = said.trim_end().rsplit_once(' ').unwrap();
        let other_mount = mount.parse::<u64>().unwrap() + 1;
        for other in [
            format!("{boot} {other_mount}"),
            format!("00000000-0000-0000-0000-000000000000 {mount}"),
            String::new(),
            "\0".repeat(BYTES),
        ] {
            fs::write(&path, &other).unwrap();
            assert_eq!(witness.look(), Left::InDoubt, "{other:?}");
        }
        witness.at_work().unwrap();
        witness.at_rest().unwrap();
        assert_eq!(witness.look(), Left::Whole);
        assert_eq!(path.metadata().unwrap().len(), BYTES as u64);
    }
}
