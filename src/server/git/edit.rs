//! Editing a tree: steps applied in order, in memory, to the directories that they touch.
//!
//! Directories are read when a step first passes through them and lie in one list, a child always
//! after its parent; so writing them back is a walk from the end of the list to its start, without
//! recursion, however deep the tree. A directory that no step passes through keeps its object, and
//! so do the entries of kinds and modes that we do not know (submodules, old file modes).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gix::objs::WriteTo as _;
use gix::objs::tree::{EntryKind, EntryMode};

use super::error::{Doing, Error};
use super::path::FilePath;
use crate::remote::api::FileMode;
use crate::tree::GitOid;

/// Where the bytes of a file come from.
#[derive(Debug, Clone)]
pub(in crate::server) enum Source {
    /// Base64 text, decoded when its step applies so that one file at a time is in memory twice.
    Inline(String),
    /// A blob of the repository.
    Blob(GitOid),
}

/// One step; paths are checked when it applies.
#[derive(Debug, Clone)]
pub(in crate::server) enum Step {
    /// A file or link stands at the path; an existing file keeps its mode if there is none here.
    Write {
        path: String,
        source: Source,
        mode: Option<FileMode>,
    },
    /// Nothing is at the path, nor directories above it that this left empty.
    Delete { path: String },
    /// A directory stands at the path, in place of a file.
    MakeDirectory { path: String },
    /// The path is an existing tree.
    Graft { path: String, tree: GitOid },
    /// What was at `from` is at the path.
    Rename { from: String, path: String },
    /// The file at the path is executable, or plain.
    SetMode { path: String, mode: FileMode },
}

/// The object database, as far as editing needs it.
pub(super) trait Objects {
    fn tree(&self, oid: &gix::ObjectId) -> Result<Vec<gix::objs::tree::Entry>, Error>;
    fn store_tree(&mut self, bytes: &[u8]) -> Result<gix::ObjectId, Error>;
}

type Index = usize;

const ROOT: Index = 0;

#[derive(Debug, Clone, Copy)]
enum Slot {
    /// An object as it is.
    Object(EntryMode, gix::ObjectId),
    /// A directory of the list.
    Open(Index),
}

/// A tree being edited.
pub(super) struct Editor {
    folders: Vec<BTreeMap<Vec<u8>, Slot>>,
}

/// Decodes base64, strictly.
pub(in crate::server) fn decode(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(Error::Encoding)
}

impl Editor {
    pub(super) fn new(objects: &impl Objects, root: &gix::ObjectId) -> Result<Editor, Error> {
        Ok(Editor {
            folders: vec![load(objects, root)?],
        })
    }

    /// The mode of the file or link at a path, if there is one.
    pub(super) fn mode(
        &mut self,
        objects: &impl Objects,
        path: &FilePath,
    ) -> Result<Option<EntryMode>, Error> {
        let Some(folder) = self.descend(objects, &path.parents)?.last().copied() else {
            return Ok(None);
        };
        Ok(match self.slot(folder, &path.name) {
            Some(Slot::Object(mode, _)) if mode.is_blob_or_symlink() => Some(mode),
            _ => None,
        })
    }

    /// Puts a file or link; its parents come into being.
    pub(super) fn put(
        &mut self,
        objects: &impl Objects,
        path: FilePath,
        mode: EntryMode,
        oid: gix::ObjectId,
    ) -> Result<(), Error> {
        let folder = self.make(objects, &path.parents)?;
        match self.slot(folder, &path.name) {
            Some(Slot::Open(_)) => Err(Error::DirectoryInTheWay),
            Some(Slot::Object(old, _)) if old.is_tree() => Err(Error::DirectoryInTheWay),
            _ => {
                self.set(folder, path.name, Slot::Object(mode, oid));
                Ok(())
            }
        }
    }

    /// Puts a whole tree in place of whatever is there.
    pub(super) fn graft(
        &mut self,
        objects: &impl Objects,
        path: FilePath,
        tree: gix::ObjectId,
    ) -> Result<(), Error> {
        let folder = self.make(objects, &path.parents)?;
        self.set(
            folder,
            path.name,
            Slot::Object(EntryKind::Tree.into(), tree),
        );
        Ok(())
    }

    /// Moves a file or directory, in place of a file that is there; its parents come into being,
    /// and those that it left empty go away.
    pub(super) fn rename(
        &mut self,
        objects: &impl Objects,
        from: &FilePath,
        to: FilePath,
    ) -> Result<(), Error> {
        if from.is_or_is_above(&to) {
            return Err(Error::RenameIntoItself);
        }
        let folder = self.descend(objects, &from.parents)?.last().copied();
        let slot = folder.and_then(|folder| self.slot(folder, &from.name));
        let slot = slot.ok_or(Error::UnknownPath)?;
        // The way to the target must be there before anything goes away.
        let folder = self.make(objects, &to.parents)?;
        match self.slot(folder, &to.name) {
            Some(Slot::Open(_)) => return Err(Error::DirectoryInTheWay),
            Some(Slot::Object(old, _)) if old.is_tree() => return Err(Error::DirectoryInTheWay),
            _ => {}
        }
        self.set(folder, to.name, slot);
        self.delete(objects, from)
    }

    /// Gives a file another mode.
    pub(super) fn set_mode(
        &mut self,
        objects: &impl Objects,
        path: FilePath,
        mode: EntryMode,
    ) -> Result<(), Error> {
        let folder = self.descend(objects, &path.parents)?.last().copied();
        let folder = folder.ok_or(Error::NoFile)?;
        match self.slot(folder, &path.name) {
            Some(Slot::Object(old, oid)) if old.is_blob() => {
                self.set(folder, path.name, Slot::Object(mode, oid));
                Ok(())
            }
            _ => Err(Error::NoFile),
        }
    }

    /// Makes a directory; one that exists stays as it is.
    pub(super) fn make_directory(
        &mut self,
        objects: &impl Objects,
        path: FilePath,
    ) -> Result<(), Error> {
        let folder = self.make(objects, &path.parents)?;
        match self.slot(folder, &path.name) {
            Some(Slot::Open(_)) => {}
            Some(Slot::Object(mode, _)) if mode.is_tree() => {}
            _ => {
                let empty = gix::ObjectId::empty_tree(super::HASH);
                self.set(
                    folder,
                    path.name,
                    Slot::Object(EntryKind::Tree.into(), empty),
                );
            }
        }
        Ok(())
    }

    /// Removes whatever is at a path, and the directories above it that become empty.
    pub(super) fn delete(&mut self, objects: &impl Objects, path: &FilePath) -> Result<(), Error> {
        let folders = self.descend(objects, &path.parents)?;
        let Some(folder) = folders.last().copied() else {
            return Ok(());
        };
        if !self.unset(folder, &path.name) {
            return Ok(());
        }
        // The folder at position n + 1 has the n-th name in the folder at position n.
        for (above, name) in folders.iter().zip(&path.parents).rev() {
            let is_empty = match self.slot(*above, name) {
                Some(Slot::Open(below)) => self.folders.get(below).is_some_and(BTreeMap::is_empty),
                _ => false,
            };
            if !is_empty {
                break;
            }
            self.unset(*above, name);
        }
        Ok(())
    }

    /// Writes every open directory and returns the root's tree.
    pub(super) fn finish(self, objects: &mut impl Objects) -> Result<gix::ObjectId, Error> {
        let mut is_reachable = vec![false; self.folders.len()];
        if let Some(root) = is_reachable.first_mut() {
            *root = true;
        }
        for (index, folder) in self.folders.iter().enumerate() {
            if !is_reachable.get(index).copied().unwrap_or(false) {
                continue;
            }
            for slot in folder.values() {
                if let Slot::Open(child) = slot
                    && let Some(child) = is_reachable.get_mut(*child)
                {
                    *child = true;
                }
            }
        }
        let mut written = vec![gix::ObjectId::empty_tree(super::HASH); self.folders.len()];
        for (index, folder) in self.folders.into_iter().enumerate().rev() {
            if !is_reachable.get(index).copied().unwrap_or(false) {
                continue;
            }
            let mut entries = Vec::with_capacity(folder.len());
            for (name, slot) in folder {
                let (mode, oid) = match slot {
                    Slot::Object(mode, oid) => (mode, oid),
                    Slot::Open(child) => {
                        let oid = written.get(child).copied();
                        (
                            EntryKind::Tree.into(),
                            oid.unwrap_or_else(|| gix::ObjectId::empty_tree(super::HASH)),
                        )
                    }
                };
                entries.push(gix::objs::tree::Entry {
                    mode,
                    filename: name.into(),
                    oid,
                });
            }
            entries.sort();
            let mut bytes = Vec::new();
            gix::objs::Tree { entries }
                .write_to(&mut bytes)
                .doing("encoding a tree")?;
            if let Some(slot) = written.get_mut(index) {
                *slot = objects.store_tree(&bytes)?;
            }
        }
        Ok(written
            .first()
            .copied()
            .unwrap_or_else(|| gix::ObjectId::empty_tree(super::HASH)))
    }

    /// The folders from the root to the last of `names`; empty if one of them is not there.
    fn descend(&mut self, objects: &impl Objects, names: &[Vec<u8>]) -> Result<Vec<Index>, Error> {
        let mut folders = vec![ROOT];
        let mut folder = ROOT;
        for name in names {
            match self.open(objects, folder, name)? {
                Some(below) => folder = below,
                None => return Ok(Vec::new()),
            }
            folders.push(folder);
        }
        Ok(folders)
    }

    /// The folder at the end of `names`, with those that were missing.
    fn make(&mut self, objects: &impl Objects, names: &[Vec<u8>]) -> Result<Index, Error> {
        let mut folder = ROOT;
        for name in names {
            folder = match self.open(objects, folder, name)? {
                Some(below) => below,
                None if self.slot(folder, name).is_some() => return Err(Error::FileInTheWay),
                None => {
                    let below = self.folders.len();
                    self.folders.push(BTreeMap::new());
                    self.set(folder, name.clone(), Slot::Open(below));
                    below
                }
            };
        }
        Ok(folder)
    }

    /// Opens a directory for editing; `None` if there is no directory of that name.
    fn open(
        &mut self,
        objects: &impl Objects,
        folder: Index,
        name: &[u8],
    ) -> Result<Option<Index>, Error> {
        match self.slot(folder, name) {
            Some(Slot::Open(below)) => Ok(Some(below)),
            Some(Slot::Object(mode, oid)) if mode.is_tree() => {
                let below = self.folders.len();
                self.folders.push(load(objects, &oid)?);
                self.set(folder, name.to_vec(), Slot::Open(below));
                Ok(Some(below))
            }
            _ => Ok(None),
        }
    }

    fn slot(&self, folder: Index, name: &[u8]) -> Option<Slot> {
        self.folders.get(folder)?.get(name).copied()
    }

    fn set(&mut self, folder: Index, name: Vec<u8>, slot: Slot) {
        if let Some(folder) = self.folders.get_mut(folder) {
            folder.insert(name, slot);
        }
    }

    fn unset(&mut self, folder: Index, name: &[u8]) -> bool {
        self.folders
            .get_mut(folder)
            .is_some_and(|folder| folder.remove(name).is_some())
    }
}

fn load(objects: &impl Objects, oid: &gix::ObjectId) -> Result<BTreeMap<Vec<u8>, Slot>, Error> {
    let entries = objects.tree(oid)?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.filename.into(), Slot::Object(entry.mode, entry.oid)))
        .collect())
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
