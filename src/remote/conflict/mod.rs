//! Whether somebody else's edits of our change contradict ours.
//!
//! Two commits of the change are compared, our last one and theirs: that gives [`Foreign`], the files
//! that they changed. What we are about to push contradicts it where both say something about one
//! path and do not say the same. Where nothing contradicts, ours can be pushed on top of theirs.
//!
//! ```text
//! diff     pure: two trees, listed as the walk needs them -> Foreign
//! decide   pure: Foreign and edits -> the paths that contradict
//! judge    the server's listings, and the hashes of local bodies
//! ```
//!
//! It is coarse where precision would cost reading whole directories, and then errs on the side of a
//! conflict, which keeps both sides.

mod decide;
mod diff;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::lower::EntryKind;
use crate::tree::{GitOid, Name, TreePath};

pub use self::decide::bounded;
pub(super) use self::decide::{contradictions, wanted};
pub(super) use self::diff::diff;
pub use self::judge::{ForeignEdits, Verdict};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// What it is.
    pub kind: EntryKind,
    /// Its blob or tree.
    pub oid: GitOid,
    /// Bytes; 0 for directories.
    pub size: u64,
}

/// What somebody else did to a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// The files, links and empty directories that are different now, with what they are; `None` for
    /// what is gone. A directory in place of a file is here as well.
    Leaves(BTreeMap<TreePath, Option<Spot>>),
    /// More than is looked at.
    TooMuch,
}

impl Default for Foreign {
    fn default() -> Foreign {
        Foreign::Leaves(BTreeMap::new())
    }
}

impl Foreign {
    /// Both together; what `later` says of a path counts.
    pub fn join(&mut self, later: Foreign) {
        match (&mut *self, later) {
            (Foreign::Leaves(leaves), Foreign::Leaves(later)) => leaves.extend(later),
            (Foreign::TooMuch, _) | (_, Foreign::TooMuch) => *self = Foreign::TooMuch,
        }
    }

    /// Forgets a path and what is below it, which are ours again.
    pub fn forget(&mut self, path: &TreePath) {
        if let Foreign::Leaves(leaves) = self {
            let below: Vec<TreePath> = below(leaves, path).map(|(path, _)| path.clone()).collect();
            for path in below.iter().chain([path]) {
                leaves.remove(path);
            }
        }
    }

    /// Whether something of it is at a path, or below it.
    pub fn is_at(&self, path: &TreePath) -> bool {
        match self {
            Foreign::Leaves(leaves) => {
                leaves.contains_key(path) || below(leaves, path).next().is_some()
            }
            Foreign::TooMuch => true,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Foreign::Leaves(leaves) if leaves.is_empty())
    }
}

/// What a map has below a path.
fn below<'a, T>(
    map: &'a BTreeMap<TreePath, T>,
    path: &TreePath,
) -> impl Iterator<Item = (&'a TreePath, &'a T)> {
    let first = path.join(&Name::lowest()).ok();
    let range = first.map(|first| map.range(first..));
    let path = path.clone();
    range
        .into_iter()
        .flatten()
        .take_while(move |(found, _)| found.starts_with(&path))
}
