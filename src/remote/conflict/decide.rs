//! Where edits contradict what somebody else did.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Extensions;
use super::{Foreign, Spot, below};
use crate::lower::EntryKind;
use crate::tree::{Content, Edit, GitOid, TreePath};

/// What edits make of a path.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Ours<'a> {
    /// Nothing is left there.
    Gone,
    /// This file or link, by the edit that makes it.
    Leaf(&'a Edit),
    /// A directory stands there; what is in it is not said.
    Directory,
    /// A directory stands there, and nothing is in it.
    EmptyDirectory,
    /// A directory stands there, and all that is in it is said.
    Replaced,
}

/// Collapses edits to what they say of each path; what is below a path that is said as a whole is
/// not listed. What this server is not sent is left out.
pub(in super::super) fn wanted(
    edits: &[Edit],
    extensions: Extensions,
) -> BTreeMap<TreePath, Ours<'_>> {
    let mut wanted: BTreeMap<TreePath, Ours<'_>> = BTreeMap::new();
    let mut whole: BTreeSet<TreePath> = BTreeSet::new();
    for edit in edits {
        let path = edit.path();
        let sent = match edit {
            Edit::Symlink { .. } => extensions.symlinks,
            Edit::Directory { .. } => extensions.directories,
            Edit::Remove { .. } | Edit::File { .. } | Edit::Graft { .. } => true,
        };
        if !sent || path.as_str().is_none() {
            continue;
        }
        if let Some(above) = ancestors(path).find(|above| whole.contains(above)) {
            wanted.insert(above, Ours::Replaced);
            continue;
        }
        let ours = match edit {
            Edit::Remove { .. } => Ours::Gone,
            Edit::File { .. } | Edit::Symlink { .. } => Ours::Leaf(edit),
            Edit::Directory { .. } if whole.contains(path) => Ours::EmptyDirectory,
            Edit::Directory { .. } => Ours::Directory,
            Edit::Graft { .. } => Ours::Replaced,
        };
        if matches!(ours, Ours::Gone | Ours::Replaced) {
            whole.insert(path.clone());
            let hidden: Vec<TreePath> =
                below(&wanted, path).map(|(path, _)| path.clone()).collect();
            for path in hidden {
                wanted.remove(&path);
            }
        }
        wanted.insert(path.clone(), ours);
    }
    wanted
}

/// The directories above a path, the nearest first, without the root.
fn ancestors(path: &TreePath) -> impl Iterator<Item = TreePath> {
    let above = |path: &TreePath| path.split_last().map(|(parent, _)| parent);
    std::iter::successors(above(path), move |path| above(path)).filter(|path| !path.is_root())
}

/// The paths on which the two sides contradict each other, in order. `blob` hashes what an edit
/// brings; it is asked only where that decides.
pub(in super::super) fn contradictions<E>(
    wanted: &BTreeMap<TreePath, Ours<'_>>,
    foreign: &Foreign,
    blob: &mut dyn FnMut(&Edit) -> Result<GitOid, E>,
) -> Result<Vec<TreePath>, E> {
    let Foreign::Leaves(leaves) = foreign else {
        return Ok(wanted.keys().cloned().collect());
    };
    let mut found = BTreeSet::new();
    for (path, ours) in wanted {
        // What they have below it, and what they put in place of a directory above it.
        let there = below(leaves, path).filter(|(_, spot)| spot.is_some());
        let there = there.map(|(path, _)| path.clone());
        let in_the_way = || ancestors(path).find(|above| is_file(leaves.get(above)));
        match ours {
            Ours::Gone | Ours::EmptyDirectory => {
                found.extend(there);
                if matches!(leaves.get(path), Some(Some(spot)) if !spot.is_directory()) {
                    found.insert(path.clone());
                }
                if matches!(ours, Ours::EmptyDirectory) {
                    found.extend(in_the_way());
                }
            }
            Ours::Directory => {
                found.extend(in_the_way());
                if is_file(leaves.get(path)) {
                    found.insert(path.clone());
                }
            }
            Ours::Replaced => {
                found.extend(below(leaves, path).map(|(path, _)| path.clone()));
                found.extend(leaves.get_key_value(path).map(|(path, _)| path.clone()));
                found.extend(in_the_way());
            }
            Ours::Leaf(edit) => {
                found.extend(in_the_way());
                let differs = match leaves.get(path) {
                    None => false,
                    Some(None) => true,
                    Some(Some(spot)) => !is_same(edit, spot, blob)?,
                };
                if differs || there.count() > 0 {
                    found.insert(path.clone());
                }
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn is_file(leaf: Option<&Option<Spot>>) -> bool {
    matches!(leaf, Some(Some(spot)) if !spot.is_directory())
}

impl Spot {
    fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

fn is_same<E>(
    edit: &Edit,
    spot: &Spot,
    blob: &mut dyn FnMut(&Edit) -> Result<GitOid, E>,
) -> Result<bool, E> {
    let (kind, size) = match edit {
        Edit::File {
            content,
            executable,
            ..
        } => {
            let size = match content {
                Content::Body(body) => body.size(),
                Content::Lower { size, .. } => *size,
                Content::Empty => 0,
            };
            let kind = match executable {
                true => EntryKind::Executable,
                false => EntryKind::File,
            };
            (kind, size)
        }
        Edit::Symlink { target, .. } => (EntryKind::Symlink, target.len() as u64),
        Edit::Remove { .. } | Edit::Directory { .. } | Edit::Graft { .. } => return Ok(false),
    };
    Ok(kind == spot.kind && size == spot.size && blob(edit)? == spot.oid)
}

/// At most so many paths: while there are more, the deepest give way to the directories that they are
/// in, which then stand for what contradicts below them.
pub fn bounded(paths: Vec<TreePath>, paths_max: usize) -> Vec<TreePath> {
    let mut paths: BTreeSet<TreePath> = paths.into_iter().collect();
    while paths.len() > paths_max.max(1) {
        let deepest = paths.iter().map(|path| path.names().count()).max();
        let above = |path: TreePath| match path.split_last() {
            Some((parent, _)) if Some(path.names().count()) == deepest => parent,
            _ => path,
        };
        paths = paths.into_iter().map(above).collect();
    }
    paths.into_iter().collect()
}
