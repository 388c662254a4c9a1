//! `/proc/self/mountinfo`: which mounts this process sees, and which of them is ours.
//!
//! It is the one way to look at a mount without talking to whoever serves it, who may be dead.

use std::ffi::{CString, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::Error;

/// The file system type that the kernel lists for our mounts.
pub(super) const KIND: &str = "fuse.mesa";

/// Asks `statx` for the unique mount number (`linux/stat.h`).
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

/// A line of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MountEntry {
    /// The mount's number; may be reused after it is gone.
    pub(super) id: u64,
    /// The mount that this one is attached to.
    pub(super) parent: u64,
    /// The device number of its file system; also may be reused.
    pub(super) device: (u32, u32),
    /// Where it is attached.
    pub(super) path: PathBuf,
    /// The file system type.
    pub(super) kind: Vec<u8>,
}

impl MountEntry {
    /// Whether it is a mount of this program, of whichever process.
    pub(super) fn is_ours(&self) -> bool {
        self.kind == KIND.as_bytes()
    }
}

/// The number of the mount that a path leads into, which no other mount ever gets; `None` before
/// Linux 6.8. Does not talk to whoever serves the mount.
pub(super) fn unique_id(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path ends with a NUL, and the answer has the size and type that the call fills.
    let result = unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT | libc::AT_SYMLINK_NOFOLLOW,
            STATX_MNT_ID_UNIQUE,
            answer.as_mut_ptr(),
        )
    };
    // SAFETY: all zeros is a valid value of this structure of numbers, whatever the call did to it.
    let answer = unsafe { answer.assume_init() };
    (result == 0 && answer.stx_mask & STATX_MNT_ID_UNIQUE != 0).then_some(answer.stx_mnt_id)
}

/// The mounts of this process.
///
/// # Errors
///
/// [`Error::MountInfo`] when `/proc` is not there.
pub(super) fn read() -> Result<Vec<MountEntry>, Error> {
    let text = fs::read("/proc/self/mountinfo").map_err(Error::MountInfo)?;
    Ok(parse(&text))
}

/// The mount that a path leads into, among those attached at exactly this path.
pub(super) fn topmost<'a>(entries: &'a [MountEntry], path: &Path) -> Option<&'a MountEntry> {
    let at_path = || entries.iter().filter(|entry| entry.path == path);
    // A mount on top of another is attached to it.
    at_path().find(|entry| at_path().all(|other| other.parent != entry.id))
}

fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

/// `36 35 98:0 /root /mount/point options [optional ...] - kind source superoptions`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let mut device = fields.next()?.split(|byte| *byte == b':');
    let device = (number(device.next()?)?, number(device.next()?)?);
    let path = fields.nth(1)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(MountEntry {
        id,
        parent,
        device,
        path: PathBuf::from(OsString::from_vec(unescape(path))),
        kind: kind.to_vec(),
    })
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Blank, tab, newline and backslash are written as three octal digits.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    while let Some((first, rest)) = field.split_first() {
        let octal = (*first == b'\\')
            .then(|| rest.split_at_checked(3))
            .flatten()
            .and_then(|(digits, rest)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 8).ok()?, rest))
            });
        let (byte, rest) = octal.unwrap_or((*first, rest));
        bytes.push(byte);
        field = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        60 22 0:51 / /mnt/with\\040blank rw,nosuid shared:7 master:2 - fuse.mesa mesa rw,user_id=0\n\
        61 60 0:52 / /mnt/with\\040blank rw - tmpfs tmpfs rw\n\
        nonsense\n";

    #[test]
    fn lines_are_understood_and_nonsense_is_passed_over() {
        let entries = parse(LIST);
        assert_eq!(entries.len(), 3);
        let ours = MountEntry {
            id: 60,
            parent: 22,
            device: (0, 51),
            path: PathBuf::from("/mnt/with blank"),
            kind: KIND.into(),
        };
        assert_eq!(entries[1], ours);
    }

    #[test]
    fn the_topmost_mount_is_the_one_that_carries_no_other() {
        let mut entries = parse(LIST);
        let path = Path::new("/mnt/with blank");
        assert_eq!(topmost(&entries, path).unwrap().id, 61);
        entries.reverse();
        assert_eq!(topmost(&entries, path).unwrap().id, 61);
        assert_eq!(topmost(&entries, Path::new("/mnt")), None);
    }
}
