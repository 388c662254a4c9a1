//! Which paths a commit touches.

use std::collections::BTreeMap;

use super::error::{Doing, Error};
use super::{Repository, theirs, tree};
use crate::tree::GitOid;

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
        let mut touched = Vec::new();
        let mut pending: Vec<(Vec<u8>, Side, Side)> = vec![(Vec::new(), old, Some(new))];
        while let Some((folder, old, new)) = pending.pop() {
            if old == new {
                continue;
            }
            compare(&repo, &folder, old, new, &mut pending, &mut touched)?;
        }
        touched.sort_unstable();
        touched.dedup();
        Ok(touched)
    }
}

/// Compares two versions of one directory; directories below go onto `pending`.
fn compare(
    repo: &gix::Repository,
    folder: &[u8],
    old: Side,
    new: Side,
    pending: &mut Vec<(Vec<u8>, Side, Side)>,
    touched: &mut Vec<String>,
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
        let mut trees = [None, None];
        for (tree, side) in trees.iter_mut().zip([old, new]) {
            match side {
                Some((mode, oid)) if mode.is_tree() => *tree = Some(oid),
                Some(_) => touched.push(String::from_utf8_lossy(&path).into_owned()),
                None => {}
            }
        }
        if trees != [None, None] {
            let [old, new] = trees;
            pending.push((path, old, new));
        }
    }
    Ok(())
}
