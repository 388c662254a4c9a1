//! What is different between two trees, by walking only the directories that are.

use std::collections::BTreeMap;

use super::{Foreign, Spot};
use crate::lower::{EntryKind, ListingEntry};
use crate::tree::{GitOid, Name, TreePath};

/// Most files that are told apart: a batch that somebody else wrote by hand or by a tool has fewer,
/// and these cost some 20 MiB.
pub(super) const LEAVES_MAX: usize = 100_000;
/// Most directories that are listed for it: a minute of requests.
pub(super) const LISTINGS_MAX: usize = 10_000;

/// Which of the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Side {
    /// Our last commit.
    Base,
    /// The commit that somebody else made of it.
    Theirs,
}

/// Lists a directory of one side, which has this tree.
pub(in super::super) type List<'a, E> =
    &'a mut dyn FnMut(Side, &TreePath, GitOid) -> Result<Vec<ListingEntry>, E>;

/// What `theirs` has that `base` has not, and the other way around.
pub(in super::super) fn diff<E>(
    base: GitOid,
    theirs: GitOid,
    list: List<'_, E>,
) -> Result<Foreign, E> {
    let mut walk = Walk {
        leaves: BTreeMap::new(),
        waiting: vec![(TreePath::ROOT, Some(base), Some(theirs))],
    };
    let mut listings = 0;
    while let Some((path, base, theirs)) = walk.waiting.pop() {
        if base == theirs {
            continue;
        }
        listings += usize::from(base.is_some()) + usize::from(theirs.is_some());
        if listings > LISTINGS_MAX || walk.leaves.len() > LEAVES_MAX {
            return Ok(Foreign::TooMuch);
        }
        let mut names: BTreeMap<Name, (Option<Spot>, Option<Spot>)> = BTreeMap::new();
        if let Some(tree) = base {
            for entry in list(Side::Base, &path, tree)? {
                names.entry(entry.name.clone()).or_default().0 = Some(Spot::of(&entry));
            }
        }
        if let Some(tree) = theirs {
            for entry in list(Side::Theirs, &path, tree)? {
                names.entry(entry.name.clone()).or_default().1 = Some(Spot::of(&entry));
            }
        }
        for (name, (base, theirs)) in names {
            // Longer than any path that a mount could have.
            let Ok(path) = path.join(&name) else { continue };
            if base != theirs {
                walk.entry(path, base, theirs);
            }
        }
    }
    Ok(Foreign::Leaves(walk.leaves))
}

struct Walk {
    leaves: BTreeMap<TreePath, Option<Spot>>,
    waiting: Vec<(TreePath, Option<GitOid>, Option<GitOid>)>,
}

impl Walk {
    fn entry(&mut self, path: TreePath, base: Option<Spot>, theirs: Option<Spot>) {
        let full = |spot: Option<Spot>| spot.filter(Spot::is_full_directory).map(|spot| spot.oid);
        let (was_full, is_full) = (full(base), full(theirs));
        // A leaf that came, went or changed; also a directory in place of one.
        let leaf = match (base, theirs) {
            (None, Some(_)) => is_full.is_none(),
            (Some(_), None) => was_full.is_none(),
            _ => was_full.is_none() || is_full.is_none(),
        };
        if leaf {
            self.leaves.insert(path.clone(), theirs);
        }
        if was_full.is_some() || is_full.is_some() {
            self.waiting.push((path, was_full, is_full));
        }
    }
}

impl Spot {
    pub(super) fn of(entry: &ListingEntry) -> Spot {
        Spot {
            kind: entry.kind,
            oid: entry.oid,
            size: entry.size,
        }
    }

    fn is_full_directory(&self) -> bool {
        self.kind == EntryKind::Directory && self.oid != GitOid::EMPTY_TREE
    }
}
