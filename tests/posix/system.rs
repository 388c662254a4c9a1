//! System calls that `std` does not have, and other users.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

/// Nobody in particular.
pub const STRANGER: (u32, u32) = (65_534, 65_534);

fn c(text: impl AsRef<OsStr>) -> CString {
    CString::new(text.as_ref().as_bytes()).unwrap()
}

fn count(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Runs something as another user with one group, in a thread: credentials belong to threads, and the
/// thread ends with them.
pub fn as_user<T: Send>((uid, gid): (u32, u32), act: impl FnOnce() -> T + Send) -> T {
    let become_user = || {
        // SAFETY: these calls take numbers and an empty list, and change this thread alone.
        let done = unsafe {
            [
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()),
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            ]
        };
        assert_eq!(done, [0, 0, 0], "{}", io::Error::last_os_error());
    };
    let run = move || {
        become_user();
        act()
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// `setxattr(2)`.
pub fn set_xattr(path: &Path, name: &str, value: &[u8], flags: i32) -> io::Result<()> {
    let (path, name) = (c(path), c(name));
    // SAFETY: two C strings and a buffer of the length given, alive during the call.
    let done = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flags,
        )
    };
    count(done as libc::ssize_t).map(drop)
}

/// `getxattr(2)` into a buffer of this size; 0 asks for the size of the value.
pub fn xattr_within(path: &Path, name: &str, room: usize) -> io::Result<(usize, Vec<u8>)> {
    let (path, name) = (c(path), c(name));
    let mut value = vec![0_u8; room];
    // SAFETY: two C strings and a buffer of the length given, alive during the call.
    let size = count(unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            room,
        )
    })?;
    value.truncate(size);
    Ok((size, value))
}

/// The value of an extended attribute.
pub fn xattr(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    xattr_within(path, name, 65_536).map(|(_, value)| value)
}

/// `removexattr(2)`.
pub fn remove_xattr(path: &Path, name: &str) -> io::Result<()> {
    let (path, name) = (c(path), c(name));
    // SAFETY: two C strings, alive during the call.
    let done = unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) };
    count(done as libc::ssize_t).map(drop)
}

/// `listxattr(2)`: the names, sorted.
pub fn xattrs(path: &Path) -> io::Result<Vec<String>> {
    let path = c(path);
    let mut list = vec![0_u8; 65_536];
    // SAFETY: a C string and a buffer of the length given, alive during the call.
    let size =
        count(unsafe { libc::llistxattr(path.as_ptr(), list.as_mut_ptr().cast(), list.len()) })?;
    let names = list[..size]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let mut names: Vec<String> = names
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect();
    names.sort();
    Ok(names)
}
