//! Private directories and files: 0700 and 0600, owned by us, or refused.
//!
//! The data directory holds unpushed work, the runtime directory a socket that obeys whoever can
//! reach it; neither may be writable by somebody else.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::Uid;

use super::Error;

/// Makes sure that a directory exists, is ours, and is closed to everybody else.
///
/// # Errors
///
/// The directory cannot be made, or belongs to another user.
pub fn private_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Folder {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let metadata = path.metadata().map_err(failed)?;
    let owner = metadata.uid();
    if owner != Uid::effective().as_raw() {
        return Err(Error::ForeignFolder {
            path: path.to_owned(),
            owner,
        });
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// Replaces a file in one step: a reader sees the old content or the new, also after a power cut.
///
/// # Errors
///
/// What the disk says; the old file is then untouched.
pub(super) fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_folders_are_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        private_folder(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        private_folder(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn publishing_replaces_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slots.json");
        publish(&path, b"a long first version").unwrap();
        publish(&path, b"short").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
