//! What tells from outside whether somebody writes into a body by the kernel alone.
//!
//! Whoever holds a file open by passthrough, or maps it, changes its body without a request. Two
//! questions can be asked of the body itself: whether its bytes have changed since (its [`Stamp`]), and
//! whether anybody could still change them ([`has_writer`]).
//!
//! A store through a shared map moves the body's ctime only where it makes a clean page dirty. So
//! whoever wants to rely on a stamp takes it first, then syncs the body, and then reads: what came
//! before the sync was read, and what comes after it moves the ctime.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::open::now;
use crate::tree::Timestamp;

/// How long after its ctime another write may still leave it as it is: the kernel's clock for that moves
/// 100 times a second at the least.
const TICK: Duration = Duration::from_millis(20);
/// `F_SETSIG`: which signal tells the holder of a lease that somebody waits for it.
const F_SETSIG: i32 = 10;

/// What changes with every write to a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    changed: Timestamp,
    bytes: u64,
    /// Whether a later write is sure to make another one.
    certain: bool,
}

impl Stamp {
    /// The stamp of a body at this moment.
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        let changed = Timestamp {
            seconds: metadata.ctime(),
            nanoseconds: metadata.ctime_nsec().unsigned_abs() as u32,
        };
        Stamp {
            changed,
            bytes: metadata.len(),
            certain: changed < now() || is_ahead(changed),
        }
    }

    /// Whether nothing was written since, as far as is certain.
    pub(super) fn still_holds(&self, metadata: &Metadata) -> bool {
        let later = Stamp::of(metadata);
        self.certain && (self.changed, self.bytes) == (later.changed, later.bytes)
    }
}

/// Whether a time is not the present's, but of a clock that was set back since.
fn is_ahead(time: Timestamp) -> bool {
    time.seconds > now().seconds + 1
}

/// Whether anybody has a file open for writing, or maps it so, in any mount and of any process: then the
/// kernel grants no lease for reading. Who asks must not have it open for writing.
///
/// # Errors
///
/// The file cannot be opened, or its file system knows no leases.
pub(super) fn has_writer(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let set = |command, argument: i32| {
        // SAFETY: commands that take a number; the descriptor lives during the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // Whoever opens it for writing in this instant makes the kernel tell us, and SIGIO would end the
    // process where SIGURG is nothing to it.
    set(F_SETSIG, libc::SIGURG)?;
    match set(libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => set(libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a folder is on a file system that answers both questions. tmpfs, for one, never writes pages
/// back, so that only the first store into a page moves a file's ctime. Takes some 40 ms.
///
/// # Errors
///
/// What the disk says.
pub(super) fn answers(folder: &Path) -> io::Result<bool> {
    let trial = tempfile::Builder::new()
        .prefix("copy-trial-")
        .tempfile_in(folder)?;
    let (file, path) = trial.into_parts();
    // With a block of its own, so that a store needs no space.
    file.write_all_at(&[0], 0)?;
    let mut map = Byte::of(&file)?;
    drop(file);
    if !has_writer(&path).unwrap_or(false) {
        return Ok(false);
    }
    map.store()?;
    let body = OpenOptions::new().read(true).open(&path)?;
    body.sync_data()?;
    std::thread::sleep(TICK);
    let before = Stamp::of(&body.metadata()?);
    map.store()?;
    let is_seen = !before.still_holds(&body.metadata()?);
    drop(map);
    Ok(is_seen && has_writer(&path).is_ok_and(|there| !there))
}

/// The first byte of a file, mapped and shared.
struct Byte(*mut libc::c_void);

impl Byte {
    fn of(file: &File) -> io::Result<Byte> {
        // SAFETY: a new map wherever the kernel likes, of a file that is open.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                1,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match address {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            address => Ok(Byte(address)),
        }
    }

    /// Has the kernel store into the map: what the disk refuses is an error then, where a store of ours
    /// would be the end of us.
    fn store(&mut self) -> io::Result<()> {
        let zero = File::open("/dev/zero")?;
        // SAFETY: the map is one byte long at the least and is ours until it is dropped.
        match unsafe { libc::read(zero.as_raw_fd(), self.0, 1) } {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Byte {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody uses it any more.
        unsafe { libc::munmap(self.0, 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_writer_is_seen_until_its_last_map_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        let file = File::create_new(&path).unwrap();
        assert!(has_writer(&path).unwrap());
        file.set_len(1).unwrap();
        drop(file);
        assert!(!has_writer(&path).unwrap());
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let map = Byte::of(&file).unwrap();
        drop(file);
        assert!(has_writer(&path).unwrap());
        drop(map);
        assert!(!has_writer(&path).unwrap());
    }

    #[test]
    fn a_stamp_holds_until_a_write_and_not_while_the_clock_could_hide_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"one").unwrap();
        std::thread::sleep(TICK);
        let stamp = Stamp::of(&file.metadata().unwrap());
        assert!(stamp.still_holds(&file.metadata().unwrap()));
        file.write_all(b"two").unwrap();
        assert!(!stamp.still_holds(&file.metadata().unwrap()));
        let present = Stamp {
            changed: now(),
            bytes: 6,
            certain: false,
        };
        assert!(!present.still_holds(&file.metadata().unwrap()));
    }

    #[test]
    fn a_disk_answers_and_memory_does_not() {
        let built = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
        assert!(answers(folder.path()).unwrap());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) => assert!(!answers(folder.path()).unwrap()),
            Err(error) => eprintln!("skipped the half about tmpfs: {error}"),
        }
    }

    /// A store into a page that has no space is SIGBUS to whoever does it.
    #[test]
    fn trying_it_out_on_a_full_disk_is_an_error() {
        use nix::mount::{MntFlags, MsFlags, mount, umount2};
        let folder = tempfile::tempdir().unwrap();
        let (path, nothing) = (folder.path(), MsFlags::empty());
        let one_page = Some("size=4096");
        if let Err(error) = mount(Some("tmpfs"), path, Some("tmpfs"), nothing, one_page) {
            return eprintln!("skipped: only root can mount: {error}");
        }
        let filled = std::fs::write(path.join("full"), [1; 4096]);
        let answered = answers(path);
        umount2(path, MntFlags::MNT_DETACH).unwrap();
        filled.unwrap();
        assert_eq!(answered.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
