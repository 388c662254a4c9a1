//! What the kernel says about mounts, and what the machine must have.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fails with what is missing: a test that cannot mount has proved nothing, so it does not pass.
///
/// # Panics
///
/// `/dev/fuse` cannot be opened, or (for other users than root) there is no `fusermount3`.
pub fn require_fuse() {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        panic!(
            "these tests mount through the kernel and need /dev/fuse: {error} \
             (a container needs --device /dev/fuse --cap-add SYS_ADMIN)"
        );
    }
    let root = nix::unistd::Uid::effective().is_root();
    assert!(
        root || Command::new("fusermount3").arg("-V").output().is_ok(),
        "these tests mount as a plain user and need fusermount3: apt-get install fuse3"
    );
}

/// Mount points at or below a path, deepest first.
pub fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap();
    let mut found: Vec<PathBuf> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(std::ffi::OsString::from_vec(unescape(field))))
        .filter(|point| point.starts_with(path))
        .collect();
    found.reverse();
    found
}

/// Takes a mount away, whoever uses it.
pub fn detach(point: &Path) {
    let name = CString::new(point.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a C string, alive during the call.
    let result = unsafe { libc::umount2(name.as_ptr(), libc::MNT_DETACH) };
    if result != 0 {
        let _refused = Command::new("fusermount3")
            .args(["-u", "-z", "--"])
            .arg(point)
            .output();
    }
}

/// The octal escapes of the mount table: `\040` is a space.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Settings of all mounts of a run, which can be of another mode than the default.
pub fn modes() -> Vec<(String, String)> {
    ["MESA_OPENS", "MESA_TRANSPORT"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}

/// Whether the requests of this run are to come by io_uring.
pub fn by_ring() -> bool {
    std::env::var("MESA_TRANSPORT").is_ok_and(|transport| transport == "io-uring")
}

/// Fails a run whose requests are to come by io_uring, and do not: there is a thread for each ring as long as
/// that is so.
#[track_caller]
pub fn check_transport(daemon: u32) {
    if !by_ring() {
        return;
    }
    let threads = std::fs::read_dir(format!("/proc/{daemon}/task")).unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    let mut names = names.filter(|name| name.starts_with("mesa-ring"));
    assert!(names.next().is_some(), "requests do not come by io_uring");
}
