//! Changes that are built on a change which is amended: they move along.
//!
//! As with Jujutsu, what was made on the old version is made anew on the new one: the same changes
//! with the same ids and messages, their trees merged by three, and bookmarks on them follow. But
//! nobody who builds on a change can keep its owner from amending it, nor see work undone by that, so
//! these stay on the version that they were built on, with all that is built on them in turn:
//!
//! - a change that would conflict with what was amended (it conflicts when it is merged, and its owner
//!   decides then), one that is conflicted already, and what is beyond a number;
//! - a change that adds nothing to what it is built on: it is a snapshot of that, as is what a merge
//!   makes of a bookmark on the virtual root;
//! - everything on a version that a merge has. That version is published: to write the merge anew would
//!   publish an amendment that nobody merged, and what is moved off a merged version meets, when it is
//!   merged itself, the older one as if that were somebody else's work;
//! - commits that came by a push and no change names: whoever pushed them has them, and would find them
//!   rewritten.
//!
//! Which changes are built on a commit is kept in memory: filled from the references when it is first
//! asked for, and told of every change that is made later. An entry that is out of date does no harm,
//! since a change is asked for its parent before it moves.

use std::collections::{BTreeSet, HashMap, VecDeque};

use parking_lot::Mutex;

use super::changes::{CHANGES, tree_of};
use super::commit::{self, Rebased};
use super::error::{Doing, Error};
use super::merge;
use super::refs::{self, Move};
use super::staging::Staging;
use super::{Repository, bookmarks, ours, theirs};
use crate::tree::{ChangeId, GitOid};

/// Most changes that one amendment moves: more than people stack, and about a second's work.
const REBASED_MAX: usize = 256;

/// Which changes are built on which commits, once somebody has asked.
#[derive(Debug, Default)]
pub(super) struct Lineage(Mutex<Option<Children>>);

type Children = HashMap<GitOid, BTreeSet<ChangeId>>;

impl Lineage {
    fn find(&self, repo: &gix::Repository, commit: GitOid) -> Result<Vec<ChangeId>, Error> {
        let is_known = self.0.lock().is_some();
        if !is_known {
            // Only writers ask, and they take turns.
            let mut children = Children::new();
            for (change, oid) in refs::below(repo, CHANGES)? {
                if let Ok(change) = change.parse() {
                    for parent in parents(repo, ours(&oid))? {
                        children.entry(parent).or_default().insert(change);
                    }
                }
            }
            *self.0.lock() = Some(children);
        }
        let children = self.0.lock();
        let found = children.as_ref().and_then(|children| children.get(&commit));
        Ok(found.into_iter().flatten().copied().collect())
    }

    /// Notes a change's new commit.
    pub(super) fn note(&self, repo: &gix::Repository, change: ChangeId, oid: GitOid) {
        if self.0.lock().is_none() {
            return;
        }
        match parents(repo, oid) {
            Ok(parents) => {
                if let Some(children) = self.0.lock().as_mut() {
                    for parent in parents {
                        children.entry(parent).or_default().insert(change);
                    }
                }
            }
            Err(_) => self.forget(),
        }
    }

    /// Has it filled again when it is asked for.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

fn parents(repo: &gix::Repository, oid: GitOid) -> Result<Vec<GitOid>, Error> {
    let Some(object) = repo
        .try_find_object(theirs(oid))
        .doing("reading a commit")?
    else {
        return Ok(Vec::new());
    };
    let commit = object.try_into_commit().doing("reading a commit")?;
    Ok(commit.parent_ids().map(|parent| ours(&parent)).collect())
}

/// A version of a change that is replaced by another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) change: ChangeId,
    pub(super) old: GitOid,
    pub(super) new: GitOid,
    /// The new version's tree.
    pub(super) tree: gix::ObjectId,
}

impl Repository {
    /// Stages new versions of what is built on an amended change, in an order in which each follows
    /// what it is built on. `seconds` is the time of the amendment.
    pub(super) fn rebase(
        &self,
        staging: &mut Staging<'_>,
        amended: Step,
        seconds: i64,
    ) -> Result<Vec<Step>, Error> {
        let repo = staging.repo();
        let mut rebased = Vec::new();
        let mut pending = VecDeque::from([amended]);
        while let Some(parent) = pending.pop_front() {
            let mut children = Vec::new();
            for change in self.lineage.find(repo, parent.old)? {
                let Some(oid) = refs::find(repo, &format!("{CHANGES}{change}"))? else {
                    continue;
                };
                let its_parents = parents(repo, ours(&oid))?;
                if its_parents.contains(&parent.old) {
                    children.push((change, ours(&oid), its_parents.len()));
                }
            }
            if children.iter().any(|(_, _, parents)| *parents > 1) {
                continue;
            }
            for (change, old, _) in children {
                if rebased.len() >= REBASED_MAX {
                    tracing::info!(change = %amended.change, "more is built on a change than moves along");
                    return Ok(rebased);
                }
                if let Some(step) = one(staging, parent, (change, old), seconds)? {
                    rebased.push(step);
                    pending.push_back(step);
                }
            }
        }
        Ok(rebased)
    }
}

/// Stages one change on its parent's new version; `None` if it stays where it is.
fn one(
    staging: &mut Staging<'_>,
    parent: Step,
    (change, old): (ChangeId, GitOid),
    seconds: i64,
) -> Result<Option<Step>, Error> {
    let repo = staging.repo();
    if commit::read(repo, old)?.is_conflicted || commit::read(repo, parent.old)?.is_conflicted {
        return Ok(None);
    }
    let base = theirs(tree_of(repo, parent.old)?);
    let own = theirs(tree_of(repo, old)?);
    if own == base {
        return Ok(None);
    }
    let tree = match base == parent.tree {
        true => own,
        false => match merge::three(staging, base, parent.tree, own) {
            Ok(tree) => tree,
            Err(Error::MergeConflict(_)) => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let rebased = Rebased {
        parent: theirs(parent.new),
        tree,
        seconds,
    };
    let new = commit::rebase(staging, old, &rebased)?;
    Ok(Some(Step {
        change,
        old,
        new,
        tree,
    }))
}

/// The moves of some steps, each with the bookmarks that follow it.
pub(super) fn moves(repo: &gix::Repository, steps: &[Step]) -> Result<Vec<Move>, Error> {
    let heads = refs::below(repo, bookmarks::HEADS)?;
    let mut moves = Vec::new();
    for step in steps {
        let name = format!("{CHANGES}{}", step.change);
        moves.push(Move {
            from: refs::find(repo, &name)?,
            name,
            to: Some(theirs(step.new)),
        });
        for (bookmark, oid) in heads.iter().filter(|(_, oid)| ours(oid) == step.old) {
            moves.push(Move {
                name: format!("{}{bookmark}", bookmarks::HEADS),
                from: Some(*oid),
                to: Some(theirs(step.new)),
            });
        }
    }
    Ok(moves)
}
