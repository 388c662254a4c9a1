//! Room for a new data directory or repository, asked for before anything is made: a mount that runs
//! out of space at its first edit helps nobody. What has local state is opened on a full disk too,
//! since pushing and deleting are what makes room there.

use std::io;
use std::path::Path;

use super::{Error, at_rest};
use crate::overlay::Space;

/// What a mount without local state needs: 4 MiB for its first repository, as below, and as much
/// again for each of a few more, for what is read through it, for its log, and for the first edits.
pub(super) const MOUNT_BYTES_MIN: u64 = 32 << 20;
/// What a new repository needs: 2 MiB of journal, filled ahead with its reserve, up to 1 MiB of
/// index, and as much again for the first edits and for compacting them.
pub(super) const REPOSITORY_BYTES_MIN: u64 = 4 << 20;

/// Bytes that can still be written where a path is or will be.
pub(super) fn available(path: &Path) -> io::Result<u64> {
    let mut there = path;
    loop {
        match nix::sys::statvfs::statvfs(there) {
            Ok(found) => return Ok(found.blocks_available() * found.fragment_size()),
            Err(nix::errno::Errno::ENOENT) => match there.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => there = parent,
                _ => there = Path::new("."),
            },
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The space of a data directory, as a mount shows it.
///
/// # Errors
///
/// That of `statvfs`.
pub(super) fn as_shown(folder: &Path) -> io::Result<Space> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    Ok(Space {
        block_bytes: u32::try_from(found.fragment_size()).unwrap_or(4096),
        blocks: found.blocks(),
        blocks_free: found.blocks_free(),
        blocks_available: found.blocks_available(),
        files: found.files(),
        files_free: found.files_free(),
    })
}

/// Checks that there is room for a mount. One with local state is let in whatever there is.
///
/// # Errors
///
/// [`Error::NoSpace`], with nothing made.
pub(super) fn check_mount(data: &Path) -> Result<(), Error> {
    let failed = |source| Error::Folder {
        path: data.to_owned(),
        source,
    };
    let available = available(data).map_err(failed)?;
    if available >= MOUNT_BYTES_MIN || has_state(data) {
        return Ok(());
    }
    Err(Error::NoSpace {
        path: data.to_owned(),
        available,
        needed: MOUNT_BYTES_MIN,
    })
}

/// Whether any repository has a journal here.
fn has_state(data: &Path) -> bool {
    let repositories = at_rest::repositories_folder(data);
    let organizations = at_rest::organizations(&repositories).unwrap_or_default();
    organizations.iter().any(|organization| {
        let folder = repositories.join(organization.as_os_str());
        super::known::opened(&folder).is_ok_and(|names| !names.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_space_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let here = available(folder.path()).unwrap();
        let below = available(&folder.path().join("not/yet/there")).unwrap();
        assert!(here > 0 && below > 0);
        assert!(below.abs_diff(here) < 1 << 30, "{below} and {here}");
        check_mount(&folder.path().join("data")).unwrap();
        assert!(!folder.path().join("data").exists());
    }
}
