//! Repositories that are served where they are: every bare repository in a folder, as it is.
//!
//! They belong to somebody else. Nothing that describes them is written into them: ids are derived
//! from their paths, and names, labels and removal are not ours to change. Read-only, nothing is
//! written at all. Read-write, changes and bookmarks are, as in a repository of ours; locks of other
//! programs are respected, and one server at a time claims a repository by a lock on its folder. What
//! other programs push is seen, since references are read at every request.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::Error;
use super::git;
use super::repositories::{Hosted, check_name};
pub use git::Access;

/// Opens every repository in a folder, by name; those that cannot be served are told and left out.
pub(super) fn open(folder: &Path, access: Access, created_at: u64) -> Result<Vec<Hosted>, Error> {
    let io = |error| Error::io(folder, error);
    let folder = &fs::canonicalize(folder).map_err(io)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_bare = ["HEAD", "objects", "refs"]
            .iter()
            .all(|name| path.join(name).exists());
        if !is_bare {
            tracing::warn!(path = %path.display(), "not a bare repository: left out");
            continue;
        }
        match one(&path, access, created_at) {
            Ok(hosted) => found.push(hosted),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(path = %path.display(), %error, cause, "left out");
            }
        }
    }
    found.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Ok(found)
}

fn one(path: &Path, access: Access, created_at: u64) -> Result<Hosted, Error> {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = file_name.strip_suffix(".git").unwrap_or(&file_name);
    check_name(name)?;
    let git = git::Repository::open_in_place(path, access)
        .map_err(|error| Error::repository(path, error))?;
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let digits: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let id = format!("repo_{digits}");
    Ok(Hosted::in_place(id, name, created_at, git, path))
}
