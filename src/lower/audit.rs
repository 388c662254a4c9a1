//! A look at every object of a store: whether the disk kept it as it was written.
//!
//! A mount needs no such look, since an object is hashed before its first use and fetched again if it
//! is damaged. This is for whoever wants to know beforehand, for instance before going offline.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::disk::has_hash;
use crate::tree::ContentHash;

/// What a look at a store found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Objects that were looked at.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are not what their name says, and anything else that has such a name.
    pub damaged: Vec<PathBuf>,
    /// Whether there was no time for the rest.
    pub is_cut_short: bool,
}

/// Reads the objects of the store in `folder`, until then at most; changes nothing. A store that is not
/// there is empty. Mounts may use it meanwhile.
///
/// # Errors
///
/// A folder that cannot be read.
pub fn audit(folder: &Path, until: Instant) -> io::Result<Audit> {
    let mut audit = Audit::default();
    let shelves = match fs::read_dir(folder.join("objects")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(audit),
        shelves => shelves?,
    };
    for shelf in shelves {
        let shelf = shelf?;
        for object in fs::read_dir(shelf.path())? {
            if Instant::now() >= until {
                audit.is_cut_short = true;
                return Ok(audit);
            }
            let object = object?;
            let path = object.path();
            match look(&path, content(&shelf.file_name(), &object.file_name())) {
                Ok(Some(length)) => {
                    audit.objects += 1;
                    audit.bytes += length;
                }
                Ok(None) => audit.damaged.push(path),
                // A mount found out first.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(audit)
}

/// The length of a sound object.
fn look(path: &Path, content: Option<ContentHash>) -> io::Result<Option<u64>> {
    let Some(content) = content else {
        return Ok(None);
    };
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let is_sound = metadata.is_file() && has_hash(&file, metadata.len(), content);
    Ok(is_sound.then_some(metadata.len()))
}

/// The hash that the two parts of a place spell.
fn content(shelf: &OsStr, name: &OsStr) -> Option<ContentHash> {
    let digits = format!("{}{}", shelf.to_str()?, name.to_str()?);
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(ContentHash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn object(folder: &Path, bytes: &[u8]) -> PathBuf {
        let name = blake3::hash(bytes).to_hex();
        let shelf = folder.join("objects").join(&name[..2]);
        fs::create_dir_all(&shelf).unwrap();
        let path = shelf.join(&name[2..]);
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn every_kind_of_damage_is_found_and_nothing_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let later = || Instant::now() + Duration::from_secs(60);
        assert_eq!(audit(folder, later()).unwrap(), Audit::default());
        for index in 0..20 {
            object(folder, format!("object {index}").as_bytes());
        }
        let flipped = object(folder, b"flipped");
        fs::write(&flipped, b"flopped").unwrap();
        let cut = object(folder, b"cut short");
        fs::write(&cut, b"cut").unwrap();
        let link = object(folder, b"a link");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(folder, &link).unwrap();
        let pipe = object(folder, b"a pipe");
        fs::remove_file(&pipe).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let stray = folder.join("objects/ab/stray");
        fs::create_dir_all(stray.parent().unwrap()).unwrap();
        fs::write(&stray, "").unwrap();
        let mut found = audit(folder, later()).unwrap();
        found.damaged.sort();
        let mut damaged = vec![flipped, cut, link, pipe, stray];
        damaged.sort();
        assert_eq!((found.objects, found.damaged), (20, damaged.clone()));
        assert!(damaged.iter().all(|path| path.symlink_metadata().is_ok()));
        assert!(audit(folder, Instant::now()).unwrap().is_cut_short);
    }
}
