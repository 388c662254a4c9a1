//! What differs between the pinned commit and the exported tree, file by file, in path order.

use std::collections::BTreeSet;

use super::base::Base;
use super::error::Error;
use super::model::{Directory, Leaf, Node};
use crate::lower::{EntryKind, ListingEntry};
use crate::tree::{GitOid, Name, TreePath};

/// One path that differs.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) path: TreePath,
    /// What the pinned commit has there, if that is no directory.
    pub(super) old: Option<Old>,
    /// What is there now.
    pub(super) new: Option<New>,
}

/// A file, link or submodule of the pinned commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Old {
    pub(super) kind: EntryKind,
    pub(super) oid: GitOid,
    pub(super) size: u64,
}

/// What is at a path now.
#[derive(Debug, Clone)]
pub(super) enum New {
    Leaf(Leaf),
    /// An empty directory, which Git cannot hold.
    EmptyDirectory,
}

/// Compares.
pub(super) fn changes(root: &mut Directory, base: Base<'_>) -> Result<Vec<Change>, Error> {
    let mut compare = Compare {
        base,
        changes: Vec::new(),
    };
    let tree = base.0.pin().tree;
    compare.directories(&TreePath::ROOT, Some(tree), Some(root))?;
    Ok(compare.changes)
}

struct Compare<'a> {
    base: Base<'a>,
    changes: Vec<Change>,
}

impl Compare<'_> {
    /// Either side may be missing; a side that is no directory is for the caller.
    fn directories(
        &mut self,
        path: &TreePath,
        old: Option<GitOid>,
        new: Option<&mut Directory>,
    ) -> Result<(), Error> {
        if let (Some(old), Some(new)) = (old, &new)
            && new.untouched() == Some(old)
        {
            return Ok(());
        }
        let listing = match old {
            Some(oid) => Some(self.base.listing(path, oid)?),
            None => None,
        };
        let olds = listing.as_deref().map_or(&[][..], |one| one.entries());
        let mut names: BTreeSet<Name> = olds.iter().map(|entry| entry.name.clone()).collect();
        let mut news = match new {
            Some(new) => Some(new.open(self.base)?),
            None => None,
        };
        names.extend(news.iter().flat_map(|news| news.keys().cloned()));
        for name in names {
            let old = listing.as_deref().and_then(|one| one.find(&name));
            let new = news.as_mut().and_then(|news| news.get_mut(&name));
            self.nodes(path.join(&name)?, old, new)?;
        }
        Ok(())
    }

    fn nodes(
        &mut self,
        path: TreePath,
        old: Option<&ListingEntry>,
        new: Option<&mut Node>,
    ) -> Result<(), Error> {
        let old_tree = old.filter(|old| old.kind == EntryKind::Directory);
        let old_leaf = old.filter(|old| old.kind != EntryKind::Directory);
        let old_leaf = old_leaf.map(|old| Old {
            kind: old.kind,
            oid: old.oid,
            size: old.size,
        });
        let (new_tree, new_leaf) = match new {
            Some(Node::Directory(directory)) => (Some(directory), None),
            Some(Node::Leaf(leaf)) => (None, Some(leaf.clone())),
            None => (None, None),
        };
        let mut here = new_leaf.map(New::Leaf);
        let mut below = None;
        if let Some(directory) = new_tree {
            // A tree of the pinned commit is not looked into only to find it full.
            if directory.untouched().is_none() && directory.open(self.base)?.is_empty() {
                here = Some(New::EmptyDirectory);
            } else {
                below = Some(directory);
            }
        }
        let same = match (&old_leaf, &here) {
            (Some(old), Some(New::Leaf(new))) => (old.kind, old.oid) == (new.kind, new.oid),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.changes.push(Change {
                path: path.clone(),
                old: old_leaf,
                new: here,
            });
        }
        self.directories(&path, old_tree.map(|old| old.oid), below)
    }
}
