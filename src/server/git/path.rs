//! Paths of files in a tree, checked: what Git reserves or would not check out is refused.

use super::DEPTH_MAX;
use super::error::Error;
use crate::remote::api::FileMode;
use crate::tree::TreePath;

/// A checked path: its names, at least one.
pub(super) struct FilePath {
    pub(super) parents: Vec<Vec<u8>>,
    pub(super) name: Vec<u8>,
}

impl FilePath {
    /// The path of something that a tree has, whatever its names; `None` is the root.
    pub(super) fn existing(mut names: Vec<Vec<u8>>) -> Option<FilePath> {
        let name = names.pop()?;
        Some(FilePath {
            parents: names,
            name,
        })
    }

    /// Whether another path is this one, or below it.
    pub(super) fn is_or_is_above(&self, other: &FilePath) -> bool {
        let own = self.parents.iter().chain([&self.name]);
        let mut others = other.parents.iter().chain([&other.name]);
        own.into_iter().all(|name| others.next() == Some(name))
    }

    /// Refuses what is no path of a file, and what Git reserves or would not check out.
    pub(super) fn check(bytes: &[u8], mode: Option<FileMode>) -> Result<FilePath, Error> {
        let path = TreePath::try_from(bytes)?;
        let mut parents: Vec<Vec<u8>> = path.names().map(|name| name.as_bytes().to_vec()).collect();
        if parents.len() > DEPTH_MAX {
            return Err(Error::PathDepth);
        }
        let name = parents.pop().ok_or(Error::PathEmpty)?;
        for parent in &parents {
            check_component(parent, false)?;
        }
        check_component(&name, mode == Some(FileMode::Symlink))?;
        Ok(FilePath { parents, name })
    }
}

fn check_component(name: &[u8], is_symlink: bool) -> Result<(), Error> {
    let options = gix::validate::path::component::Options {
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    let mode = is_symlink.then_some(gix::validate::path::component::Mode::Symlink);
    gix::validate::path::component(name.into(), mode, options)
        .map(drop)
        .map_err(|_| Error::PathReserved)
}
