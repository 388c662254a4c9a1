//! System calls that `std` does not have, or whose errno matters.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::kernel::by_ring;

/// A path for C.
fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn result(code: libc::c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether the daemon of a mount died while it was to serve this call: that was aborted, or, on its way into
/// a ring, canceled.
pub fn is_gone(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(libc::ENOTCONN | libc::ECONNABORTED) => true,
        Some(libc::ECANCELED) => by_ring(),
        _ => false,
    }
}

/// Whether the daemon of a mount had died before this call: the kernel says so at once, but of a ring, whose
/// end comes a moment after the daemon's.
pub fn is_dead(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOTCONN) || by_ring() && is_gone(error)
}

/// Checks that a call failed with exactly this errno.
#[track_caller]
pub fn refused<T>(result: io::Result<T>, errno: i32) {
    match result {
        Ok(_) => panic!(
            "succeeded, expected {}",
            io::Error::from_raw_os_error(errno)
        ),
        Err(error) => assert_eq!(
            error.raw_os_error(),
            Some(errno),
            "failed with: {error}; expected: {}",
            io::Error::from_raw_os_error(errno)
        ),
    }
}

/// `rename(2)` with `RENAME_NOREPLACE`.
pub fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    rename_with(from, to, libc::RENAME_NOREPLACE)
}

/// `rename(2)` with `RENAME_EXCHANGE`.
pub fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    rename_with(from, to, libc::RENAME_EXCHANGE)
}

fn rename_with(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<()> {
    let (from, to) = (c(from), c(to));
    // SAFETY: both names are C strings, alive during the call.
    result(unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            flags,
        )
    })
}

/// `unlink(2)` itself: `std` may look first.
pub fn unlink(path: &Path) -> io::Result<()> {
    let path = c(path);
    // SAFETY: the name is a C string, alive during the call.
    result(unsafe { libc::unlink(path.as_ptr()) })
}

/// `link(2)` without following.
pub fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c(from), c(to));
    // SAFETY: both names are C strings, alive during the call.
    result(unsafe { libc::link(from.as_ptr(), to.as_ptr()) })
}

/// Sets access and modification time, in nanoseconds since 1970.
pub fn set_times(path: &Path, accessed: i64, modified: i64) -> io::Result<()> {
    let time = |nanoseconds: i64| libc::timespec {
        tv_sec: nanoseconds.div_euclid(1_000_000_000),
        tv_nsec: nanoseconds.rem_euclid(1_000_000_000),
    };
    let times = [time(accessed), time(modified)];
    let path = c(path);
    // SAFETY: a C string and two times, alive during the call.
    result(unsafe {
        libc::utimensat(
            libc::AT_FDCWD,
            path.as_ptr(),
            times.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    })
}

/// Opens with flags of `open(2)` beside those that `std` sets.
pub fn open_with(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// What `statfs(2)` says.
pub fn space(path: &Path) -> libc::statfs {
    let path = c(path);
    let mut answer = std::mem::MaybeUninit::uninit();
    // SAFETY: the kernel fills the structure when it answers 0, which is checked.
    unsafe {
        assert_eq!(libc::statfs(path.as_ptr(), answer.as_mut_ptr()), 0);
        answer.assume_init()
    }
}

/// A shared, writable memory map of a whole file.
pub struct Map {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Map {
    /// Maps a file that is open for reading and writing.
    pub fn of(file: &File, bytes: usize) -> Map {
        // SAFETY: a new map over a file that is long enough; checked below.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(
            start,
            libc::MAP_FAILED,
            "mmap: {}",
            io::Error::last_os_error()
        );
        Map { start, bytes }
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the map has this many bytes, lives as long as `self`, and is borrowed whole.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes) }
    }

    /// `msync(2)`, waiting.
    pub fn sync(&self) {
        // SAFETY: the range is the map's own.
        let code = unsafe { libc::msync(self.start, self.bytes, libc::MS_SYNC) };
        assert_eq!(code, 0, "msync: {}", io::Error::last_os_error());
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is the map's own, and nobody borrows it any more.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}
