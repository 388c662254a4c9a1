//! Taking an exported tar in: first every path is looked at, then the first one is changed.
//!
//! A path may be what the export was made on, or what it becomes; so an import that was cut short is
//! finished by the next one, and one that was finished changes nothing. Files get their names whole.
//! Removals come first, the deepest first, and take directories with them that they leave empty, as
//! Git does; empty directories that are part of the work come last.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};

use super::error::Error;
use super::folder::{Folder, Found};
use super::manifest::{Step, Target};
use super::object::copy;
use super::read::Archive;
use crate::failpoints;
use crate::lower::EntryKind;
use crate::tree::TreePath;

/// Paths that are named at most when they contradict: nobody reads more.
const CONTRADICTIONS_MAX: usize = 1000;

/// What becomes of a path that is neither what the export was made on nor what it becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overwrite {
    /// Nothing is changed at all.
    Never,
    /// It is overwritten; a directory with files that the export does not know stays.
    Always,
}

/// What an import did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Paths that were changed.
    pub changed: u64,
    /// Paths that were as they should be already.
    pub unchanged: u64,
    /// Paths that contradict. Without [`Overwrite::Always`] nothing was changed then.
    pub contradicting: Vec<TreePath>,
}

impl<R: Read + Seek> Archive<R> {
    /// Applies the export below a folder. Run again after a failure, it finishes.
    ///
    /// # Errors
    ///
    /// The folder or the export cannot be read or written.
    pub fn apply(&mut self, folder: &Folder, overwrite: Overwrite) -> Result<Applied, Error> {
        let steps = std::mem::take(&mut self.manifest.changes);
        let applied = Import::new(folder, &steps).run(self, overwrite);
        self.manifest.changes = steps;
        applied
    }
}

struct Import<'a> {
    folder: &'a Folder,
    steps: &'a [Step],
    /// Paths that go away.
    removed: BTreeSet<&'a TreePath>,
    /// Paths that become a file or a link.
    leaves: BTreeSet<&'a TreePath>,
    /// Directories that the result needs.
    needed: BTreeSet<TreePath>,
    applied: Applied,
}

impl<'a> Import<'a> {
    fn new(folder: &'a Folder, steps: &'a [Step]) -> Import<'a> {
        let mut needed = BTreeSet::new();
        let mut removed = BTreeSet::new();
        let mut leaves = BTreeSet::new();
        for step in steps {
            match &step.new {
                None => {
                    removed.insert(&step.path);
                    continue;
                }
                Some(Target::Directory) => {
                    needed.insert(step.path.clone());
                }
                Some(Target::File { .. } | Target::Symlink { .. }) => {
                    leaves.insert(&step.path);
                }
            }
            let mut above = step.path.split_last();
            while let Some((parent, _)) = above {
                above = parent.split_last();
                if !needed.insert(parent) {
                    break;
                }
            }
        }
        Import {
            folder,
            steps,
            removed,
            leaves,
            needed,
            applied: Applied::default(),
        }
    }

    fn run<R: Read + Seek>(
        mut self,
        archive: &mut Archive<R>,
        overwrite: Overwrite,
    ) -> Result<Applied, Error> {
        for step in self.steps {
            if self.applied.contradicting.len() == CONTRADICTIONS_MAX {
                break;
            }
            if !self.fits(step)? {
                self.applied.contradicting.push(step.path.clone());
            }
        }
        if overwrite == Overwrite::Never && !self.applied.contradicting.is_empty() {
            return Ok(self.applied);
        }
        for step in self.steps.iter().rev() {
            self.clear(step)?;
        }
        let (folder, applied) = (self.folder, &mut self.applied);
        archive.contents(&mut |step, content| {
            let (Some(goal), Some((kind, oid))) = (step.leaf(), step.leaf()) else {
                return Ok(());
            };
            if folder.look(&step.path)? == Found::Leaf(goal.0, goal.1) {
                copy(content, &mut std::io::sink())?;
                applied.unchanged += 1;
                return Ok(());
            }
            let into = |file: &mut File| {
                copy(content, file).map_err(|error| into_folder(error, &step.path))?;
                match content.is(oid) {
                    true => Ok(()),
                    false => Err(Error::Damaged {
                        path: step.path.clone(),
                        oid,
                    }),
                }
            };
            folder.put_file(&step.path, kind, into)?;
            failpoints::IMPORT_PUT.reach();
            applied.changed += 1;
            Ok(())
        })?;
        for step in self.steps {
            self.finish(step)?;
        }
        self.folder.sync()?;
        Ok(self.applied)
    }

    /// Whether what stands at a path is what the export was made on, or what it becomes.
    fn fits(&self, step: &Step) -> Result<bool, Error> {
        let found = self.folder.look(&step.path)?;
        if let Found::Leaf(kind, oid) = found {
            let found = Some((kind, oid));
            return Ok(found == step.old || (found.is_some() && found == step.leaf()));
        }
        // What only goes away may be gone already, as an import that was cut short leaves it.
        let is_leaf = step.leaf().is_some();
        let is_submodule = step.old.is_some_and(|old| old.0 == EntryKind::Submodule);
        match found {
            Found::Nothing => Ok(step.old.is_none() || !is_leaf || is_submodule),
            Found::Directory => match &step.new {
                Some(Target::Directory) => Ok(true),
                None if is_submodule => Ok(true),
                None => Ok(self.needed.contains(&step.path)),
                Some(_) => self.goes_away(&step.path),
            },
            // What is on the way there is judged by itself.
            Found::Below(at) => Ok(match step.new {
                None => self.leaves.contains(&at),
                Some(_) => self.removed.contains(&at) && step.old.is_none(),
            }),
            Found::Other | Found::Leaf(..) => Ok(false),
        }
    }

    /// Whether nothing is left in a directory once what is removed is gone.
    fn goes_away(&self, directory: &TreePath) -> Result<bool, Error> {
        let mut open = vec![directory.clone()];
        while let Some(directory) = open.pop() {
            for path in self.folder.list(&directory)? {
                match self.folder.look(&path)? {
                    Found::Directory => open.push(path),
                    Found::Nothing => {}
                    _ if self.removed.contains(&path) => {}
                    _ => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Takes away what has to go before anything comes: in reverse order, so the deepest first.
    fn clear(&mut self, step: &Step) -> Result<(), Error> {
        let path = &step.path;
        let found = self.folder.look(path)?;
        let goes = match &step.new {
            None => true,
            // Links are replaced in one step; a directory must be gone before.
            Some(Target::File { .. } | Target::Symlink { .. }) => found == Found::Directory,
            Some(Target::Directory) => !matches!(found, Found::Directory | Found::Nothing),
        };
        if !goes {
            return Ok(());
        }
        match found {
            Found::Directory => {
                if step.new.is_some() || !self.needed.contains(path) {
                    self.remove_emptied(path)?;
                }
            }
            Found::Leaf(..) | Found::Other => {
                self.folder.remove(path)?;
                failpoints::IMPORT_REMOVED.reach();
            }
            Found::Nothing | Found::Below(_) => {}
        }
        if step.new.is_none() {
            match found {
                Found::Leaf(..) | Found::Other => self.applied.changed += 1,
                _ => self.applied.unchanged += 1,
            }
            self.prune(path)?;
        }
        Ok(())
    }

    /// Removes a directory of empty directories.
    fn remove_emptied(&self, directory: &TreePath) -> Result<(), Error> {
        let mut found = vec![directory.clone()];
        let mut next = 0;
        while let Some(directory) = found.get(next).cloned() {
            next += 1;
            for path in self.folder.list(&directory)? {
                if self.folder.look(&path)? == Found::Directory {
                    found.push(path);
                }
            }
        }
        for directory in found.iter().rev() {
            self.folder.remove_directory(directory)?;
        }
        Ok(())
    }

    /// Removes the directories above a removed path that it left empty.
    fn prune(&self, path: &TreePath) -> Result<(), Error> {
        let mut above = path.split_last();
        while let Some((parent, _)) = above {
            if parent.is_root()
                || self.needed.contains(&parent)
                || !self.folder.remove_directory(&parent)?
            {
                break;
            }
            above = parent.split_last();
        }
        Ok(())
    }

    /// Makes the links and the empty directories.
    fn finish(&mut self, step: &Step) -> Result<(), Error> {
        let path = &step.path;
        let is_there = match &step.new {
            Some(Target::Symlink { oid, target }) => {
                let is_there = self.folder.look(path)? == Found::Leaf(EntryKind::Symlink, *oid);
                if !is_there {
                    self.folder.put_link(path, target)?;
                }
                is_there
            }
            Some(Target::Directory) => {
                let is_there = self.folder.look(path)? == Found::Directory;
                if !is_there {
                    self.folder.make_directory(path)?;
                }
                is_there
            }
            Some(Target::File { .. }) | None => return Ok(()),
        };
        match is_there {
            true => self.applied.unchanged += 1,
            false => self.applied.changed += 1,
        }
        Ok(())
    }
}

/// What is written fails in the folder, and what is read in the export.
fn into_folder(error: Error, path: &TreePath) -> Error {
    match error {
        Error::Output(source) => Error::Folder {
            path: path.clone(),
            source,
        },
        Error::Body(source) => Error::Input(source),
        error => error,
    }
}
