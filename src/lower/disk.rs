//! The few file operations that the store is made of, each total over what a damaged or foreign
//! file can be: what cannot be used is removed and counts as missing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::tree::ContentHash;

/// What files and folders are rounded up to on most disks; a count corrects what is not.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// Makes a folder, and those above it, for our eyes only.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Does `create`, and once more after making the folder of `path` if that was what was missing.
pub(super) fn in_folder<T>(
    path: &Path,
    mut create: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folder)?;
            create()
        }
        other => other,
    }
}

/// Removes what is damaged; that it is gone already is as good.
pub(super) fn discard(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a damaged cache file stays");
        }
    }
}

/// Opens a regular file; anything else that has the name is removed and counts as missing.
///
/// # Errors
///
/// Only what says nothing about the file: no descriptors or memory left.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    match opened {
        Ok((file, metadata)) if metadata.is_file() => Ok(Some((file, metadata.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)
            ) =>
        {
            Err(error)
        }
        Ok(_) | Err(_) => {
            discard(path);
            Ok(None)
        }
    }
}

/// Whether the file's bytes have this hash; the file's position stays where it is.
pub(super) fn has_hash(file: &File, length: u64, hash: ContentHash) -> bool {
    let mut hasher = blake3::Hasher::new();
    // One byte more than a small file has, so that its end shows with the second read.
    let mut buffer = vec![
        0;
        usize::try_from(length + 1)
            .unwrap_or(usize::MAX)
            .min(64 * 1024)
    ];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return *hasher.finalize().as_bytes() == hash.0,
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A disk that cannot read the bytes has lost them.
            Err(_) => return false,
        }
    }
}

/// The hash that an index entry holds; a damaged entry is removed and counts as missing.
pub(super) fn read_index(path: &Path) -> Option<ContentHash> {
    let target = match fs::read_link(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => {
            discard(path);
            return None;
        }
    };
    let mut hash = [0; 32];
    match URL_SAFE_NO_PAD.decode_slice(target.as_os_str().as_bytes(), &mut hash) {
        Ok(32) => Some(ContentHash(hash)),
        Ok(_) | Err(_) => {
            discard(path);
            None
        }
    }
}

/// Writes an index entry, atomically, in place of what may be there.
pub(super) fn write_index(
    path: &Path,
    hash: ContentHash,
    temporary: impl FnOnce() -> io::Result<std::path::PathBuf>,
) -> io::Result<()> {
    let target = URL_SAFE_NO_PAD.encode(hash.0);
    match in_folder(path, || std::os::unix::fs::symlink(&target, path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if read_index(path) == Some(hash) {
                return Ok(());
            }
            let temporary = temporary()?;
            std::os::unix::fs::symlink(&target, &temporary)?;
            in_folder(path, || fs::rename(&temporary, path))
        }
        other => other,
    }
}

/// Where something of that name is.
pub(super) fn place(folder: &Path, kind: &str, name: &[u8]) -> PathBuf {
    let mut path = folder.join(kind);
    if let Some((first, rest)) = name.split_first() {
        path.push(hex(&[*first]));
        path.push(hex(rest));
    }
    path
}

/// Nobody takes the object away while this is open. If somebody is just about to, the bytes stay all the
/// same, without a name.
pub(super) fn held(file: File) -> File {
    let _going = file.try_lock_shared();
    file
}

/// Makes the object one that was used now. Where that cannot be done, it goes sooner.
pub(super) fn mark_used(file: &File) {
    if let Err(error) = file.set_modified(SystemTime::now()) {
        tracing::debug!(%error, "the time of a cached object stays");
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| {
        DIGITS
            .get(usize::from(value))
            .map(|digit| char::from(*digit))
    };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .flatten()
        .collect()
}
