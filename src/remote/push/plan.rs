//! Edits into steps that this server can take; the rest is kept local, by name. Does no I/O but ask
//! for listings.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Extensions;
use super::super::api::FileMode;
use crate::lower::{self, EntryKind, Listing};
use crate::tree::{Content, ContentSource, Edit, GitOid, TreePath};

/// Largest file for a server that takes contents only as text within a change: it is in memory three
/// times over while it is sent.
pub(super) const INLINE_ONLY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why an edit cannot be sent to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptReason {
    /// The path is not UTF-8, and paths travel as JSON text.
    PathNotText,
    /// A path below a renamed directory would be over 4096 bytes.
    PathTooLong,
    /// The server takes no symbolic links.
    Symlink,
    /// The server knows no empty directories.
    Directory,
    /// The server takes contents within a change only, and this one is over 16 MiB.
    TooLarge,
    /// A submodule below a renamed directory, which only a graft could carry.
    Submodule,
}

/// A path that the remote does not show as the mount does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLocal {
    /// Which.
    pub path: TreePath,
    /// Why.
    pub reason: KeptReason,
}

/// One operation to come, with its content still where it is.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) path: String,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Remove,
    Mkdir,
    Graft(GitOid),
    Put(FileMode, Bytes),
}

#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// A symbolic link's target, or an empty file.
    Here(Vec<u8>),
    Body(TreePath, Arc<dyn ContentSource>),
    Lower {
        oid: GitOid,
        size: u64,
        from: TreePath,
    },
}

/// Where listings of the snapshot come from.
pub(super) type Expand<'a> =
    &'a mut dyn FnMut(&TreePath, GitOid) -> Result<Arc<Listing>, lower::Error>;

#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) kept_local: Vec<KeptLocal>,
}

impl Plan {
    /// Bytes of all bodies that are to be sent.
    pub(super) fn body_bytes(&self) -> u64 {
        let sizes = self.steps.iter().map(|step| match &step.action {
            Action::Put(_, Bytes::Body(_, body)) => body.size(),
            _ => 0,
        });
        sizes.sum()
    }
}

/// Plans all edits, in their order.
pub(super) fn plan(
    edits: &[Edit],
    extensions: Extensions,
    expand: Expand<'_>,
) -> Result<Plan, lower::Error> {
    let mut planner = Planner {
        extensions,
        plan: Plan::default(),
    };
    for edit in edits {
        planner.edit(edit, expand)?;
    }
    Ok(planner.plan)
}

struct Planner {
    extensions: Extensions,
    plan: Plan,
}

impl Planner {
    fn keep(&mut self, path: &TreePath, reason: KeptReason) {
        let path = path.clone();
        self.plan.kept_local.push(KeptLocal { path, reason });
    }

    fn step(&mut self, path: &TreePath, action: Action) {
        match path.as_str() {
            Some(text) => {
                let path = text.to_owned();
                self.plan.steps.push(Step { path, action });
            }
            None => self.keep(path, KeptReason::PathNotText),
        }
    }

    fn edit(&mut self, edit: &Edit, expand: Expand<'_>) -> Result<(), lower::Error> {
        match edit {
            Edit::Remove { path } => self.step(path, Action::Remove),
            Edit::File {
                path,
                content,
                executable,
            } => {
                let mode = if *executable {
                    FileMode::Executable
                } else {
                    FileMode::Plain
                };
                let (bytes, size) = match content {
                    Content::Body(body) => (Bytes::Body(path.clone(), body.clone()), body.size()),
                    Content::Lower { oid, size, from } => {
                        let (oid, size, from) = (*oid, *size, from.clone());
                        (Bytes::Lower { oid, size, from }, size)
                    }
                    Content::Empty => (Bytes::Here(Vec::new()), 0),
                };
                self.file(path, mode, bytes, size);
            }
            Edit::Symlink { path, target } if self.extensions.symlinks => {
                let target = Bytes::Here(target.clone());
                self.step(path, Action::Put(FileMode::Symlink, target));
            }
            Edit::Symlink { path, .. } => self.keep(path, KeptReason::Symlink),
            Edit::Directory { path } => self.directory(path),
            Edit::Graft { path, tree, from } => self.graft(path, *tree, from, expand)?,
        }
        Ok(())
    }

    fn directory(&mut self, path: &TreePath) {
        if self.extensions.directories {
            self.step(path, Action::Mkdir);
        } else {
            self.keep(path, KeptReason::Directory);
        }
    }

    fn file(&mut self, path: &TreePath, mode: FileMode, bytes: Bytes, size: u64) {
        if !self.extensions.blobs && size > INLINE_ONLY_BYTES_MAX {
            self.keep(path, KeptReason::TooLarge);
        } else {
            self.step(path, Action::Put(mode, bytes));
        }
    }

    /// Without the extension, every file below is a step of its own.
    fn graft(
        &mut self,
        path: &TreePath,
        tree: GitOid,
        from: &TreePath,
        expand: Expand<'_>,
    ) -> Result<(), lower::Error> {
        if self.extensions.graft && tree != GitOid::EMPTY_TREE {
            self.step(path, Action::Graft(tree));
            return Ok(());
        }
        let mut waiting = vec![(path.clone(), tree, from.clone())];
        while let Some((path, tree, from)) = waiting.pop() {
            let listing = expand(&from, tree)?;
            if listing.entries().is_empty() {
                self.directory(&path);
            }
            for entry in listing.entries() {
                let (Ok(to), Ok(from)) = (path.join(&entry.name), from.join(&entry.name)) else {
                    // Longer than any path that a kernel would ask for; also what ends the way down.
                    self.keep(&path, KeptReason::PathTooLong);
                    continue;
                };
                let (oid, size) = (entry.oid, entry.size);
                let bytes = Bytes::Lower {
                    oid,
                    size,
                    from: from.clone(),
                };
                match entry.kind {
                    EntryKind::File => self.file(&to, FileMode::Plain, bytes, size),
                    EntryKind::Executable => self.file(&to, FileMode::Executable, bytes, size),
                    EntryKind::Symlink if self.extensions.symlinks => {
                        self.file(&to, FileMode::Symlink, bytes, size);
                    }
                    EntryKind::Symlink => self.keep(&to, KeptReason::Symlink),
                    EntryKind::Submodule => self.keep(&to, KeptReason::Submodule),
                    EntryKind::Directory => waiting.push((to, oid, from)),
                }
            }
        }
        Ok(())
    }
}

/// What one change removed so far: on a server that applies operations in no order, nothing at, above
/// or below such a path can be written in the same call.
#[derive(Default)]
pub(super) struct Removed(BTreeSet<String>);

impl Removed {
    pub(super) fn add(&mut self, path: &str) {
        self.0.insert(path.to_owned());
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn forbids(&self, path: &str) -> bool {
        let above = path
            .match_indices('/')
            .filter_map(|(slash, _)| path.get(..slash));
        let below = format!("{path}/");
        above.chain([path]).any(|path| self.0.contains(path))
            || self
                .0
                .range(below.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&below))
    }
}

#[cfg(test)]
mod tests;
