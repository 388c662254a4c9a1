//! Which paths differ between two trees, and which a commit touches.

use std::collections::BTreeMap;

use gix::objs::tree::EntryMode;

use super::error::{Doing, Error};
use super::{Repository, theirs, tree};
use crate::tree::GitOid;

/// What a tree has at a path, if it is no directory.
pub(super) type Leaf = (EntryMode, gix::ObjectId);

/// One path on which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Differing {
    pub(super) path: Vec<u8>,
    pub(super) old: Option<Leaf>,
    pub(super) new: Option<Leaf>,
}

/// Most directories that are compared: with as many trees read, a walk takes seconds.
const FOLDERS_MAX: usize = 50_000;

type Side = Option<gix::ObjectId>;

impl Repository {
    /// Files and links that differ between a commit and its first parent, by path.
    pub(in crate::server) fn touched(&self, oid: GitOid) -> Result<Vec<String>, Error> {
        let repo = self.local();
        let commit = repo.find_commit(theirs(oid)).doing("reading a commit")?;
        let new = commit.tree_id().doing("reading a commit")?.detach();
        let parent = commit.parent_ids().next().map(gix::Id::detach);
        let old = match parent {
            // Not there behind the boundary of a shallow clone: everything is new.
            Some(parent) => match repo.try_find_object(parent).doing("reading a commit")? {
                Some(parent) => Some(
                    parent
                        .try_into_commit()
                        .and_then(|parent| parent.tree_id().map(gix::Id::detach))
                        .doing("reading a commit")?,
                ),
                None => None,
            },
            None => None,
        };
        let (differing, _) = differing(&repo, old, Some(new), usize::MAX, usize::MAX)?;
        let shown = |one: Differing| String::from_utf8_lossy(&one.path).into_owned();
        let mut touched: Vec<String> = differing.into_iter().map(shown).collect();
        touched.dedup();
        Ok(touched)
    }
}

/// The paths on which two trees differ, in order, and whether there may be more than `max`.
pub(super) fn bounded(
    repo: &gix::Repository,
    old: gix::ObjectId,
    new: gix::ObjectId,
    max: usize,
) -> Result<(Vec<Differing>, bool), Error> {
    differing(repo, Some(old), Some(new), max, FOLDERS_MAX)
}

fn differing(
    repo: &gix::Repository,
    old: Side,
    new: Side,
    max: usize,
    folders_max: usize,
) -> Result<(Vec<Differing>, bool), Error> {
    let mut found = Vec::new();
    let mut pending: Vec<(Vec<u8>, Side, Side)> = vec![(Vec::new(), old, new)];
    let mut folders = 0;
    let mut is_cut = false;
    while let Some((folder, old, new)) = pending.pop() {
        if old == new {
            continue;
        }
        if found.len() > max || folders >= folders_max {
            is_cut = true;
            break;
        }
        folders += 1;
        compare(repo, &folder, old, new, &mut pending, &mut found)?;
    }
    found.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    is_cut |= found.len() > max;
    found.truncate(max);
    Ok((found, is_cut))
}

/// Compares two versions of one directory; directories below go onto `pending`.
fn compare(
    repo: &gix::Repository,
    folder: &[u8],
    old: Side,
    new: Side,
    pending: &mut Vec<(Vec<u8>, Side, Side)>,
    found: &mut Vec<Differing>,
) -> Result<(), Error> {
    let mut both = BTreeMap::new();
    for (side, is_new) in [(old, false), (new, true)] {
        let Some(side) = side else { continue };
        for entry in tree::entries(repo, &side)? {
            let (old, new) = both.entry(entry.filename).or_insert((None, None));
            *(if is_new { new } else { old }) = Some((entry.mode, entry.oid));
        }
    }
    for (name, (old, new)) in both {
        if old == new {
            continue;
        }
        let mut path = folder.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let tree = |side: Option<Leaf>| side.filter(|(mode, _)| mode.is_tree());
        let leaf = |side: Option<Leaf>| side.filter(|(mode, _)| !mode.is_tree());
        let trees = [old, new].map(|side| tree(side).map(|(_, oid)| oid));
        if trees != [None, None] {
            let [old, new] = trees;
            pending.push((path.clone(), old, new));
        }
        let (old, new) = (leaf(old), leaf(new));
        if old.is_some() || new.is_some() {
            found.push(Differing { path, old, new });
        }
    }
    Ok(())
}
