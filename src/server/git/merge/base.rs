//! What two commits began with.
//!
//! Besides history proper, a change's earlier version counts as an ancestor of the later one:
//! amending a change makes a commit beside the old one, and whoever merged or built on the old one
//! has seen what it says. Without this, publishing a change twice would set the second time against
//! the first.
//!
//! Several bases (after merges in both directions) are merged into one; where they disagree, what
//! was before them stands, so that the side that kept one of them is seen to have decided.

use super::trees::{self, Referee, Trees};
use crate::server::git::changes;
use crate::server::git::error::{Doing, Error};
use crate::server::git::staging::Staging;
use crate::server::git::{HASH, commit, history, ours, theirs};
use crate::tree::{ChangeId, GitOid};

/// Most bases that are merged: each pair of merges in both directions adds one, and more of them
/// only spare conflicts.
const BASES_MAX: usize = 8;
/// Most bases of bases, as which two are taken; with it a merge costs at most 7 * 8 merges.
const NESTING_MAX: usize = 8;

/// How the source stands to the target.
pub(super) enum Relation {
    /// The target has it already.
    Reached,
    /// The best commits that both have; none if they only share the virtual root.
    Apart(Vec<gix::ObjectId>),
}

/// Finds out how `source` stands to `target`.
pub(super) fn relation(
    repo: &gix::Repository,
    target: (ChangeId, GitOid),
    source: (ChangeId, GitOid),
) -> Result<Relation, Error> {
    let mut bases = bases(repo, theirs(target.1), theirs(source.1))?;
    if bases.contains(&theirs(source.1)) {
        return Ok(Relation::Reached);
    }
    for (tip, other) in [(target, source), (source, target)] {
        let Some(earlier) = version(repo, tip.1, other)? else {
            continue;
        };
        // Only one side has it, so it is no ancestor of a base; but what both have may be its own.
        let mut left = Vec::new();
        for base in bases {
            if !history::descends(repo, earlier, ours(&base))? {
                left.push(base);
            }
        }
        bases = left;
        bases.push(theirs(earlier));
    }
    Ok(Relation::Apart(bases))
}

fn bases(
    repo: &gix::Repository,
    one: gix::ObjectId,
    other: gix::ObjectId,
) -> Result<Vec<gix::ObjectId>, Error> {
    let found = repo
        .merge_bases_many(one, &[other])
        .doing("finding a merge base")?;
    Ok(found.into_iter().map(gix::Id::detach).collect())
}

/// The newest version of a change that `tip` has and the change's current commit has not.
fn version(
    repo: &gix::Repository,
    tip: GitOid,
    change: (ChangeId, GitOid),
) -> Result<Option<GitOid>, Error> {
    use gix::revision::walk::Sorting;
    use gix::traverse::commit::simple::CommitTimeOrder;
    let walk = repo
        .rev_walk([theirs(tip)])
        .with_hidden([theirs(change.1)])
        .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
        .all()
        .doing("walking history")?;
    for info in walk {
        let oid = info.doing("walking history")?.id;
        if commit::change_of(repo, oid)? == change.0 {
            return Ok(Some(ours(&oid)));
        }
    }
    Ok(None)
}

/// The tree that stands for all bases.
pub(super) fn tree(
    staging: &mut Staging<'_>,
    bases: &[gix::ObjectId],
) -> Result<gix::ObjectId, Error> {
    nested(staging, bases, 0)
}

fn nested(
    staging: &mut Staging<'_>,
    found: &[gix::ObjectId],
    depth: usize,
) -> Result<gix::ObjectId, Error> {
    let Some((first, rest)) = found.split_first() else {
        return Ok(gix::ObjectId::empty_tree(HASH));
    };
    let repo = staging.repo();
    let tree_of = |commit: &gix::ObjectId| changes::tree_of(repo, ours(commit));
    let mut merged = theirs(tree_of(first)?);
    // At the limit one base of several is as good as in a plain history.
    let taken = match depth {
        0 => BASES_MAX - 1,
        _ if depth < NESTING_MAX => 1,
        _ => 0,
    };
    for next in rest.iter().take(taken) {
        let below = bases(repo, *first, *next)?;
        let trees = Trees {
            base: nested(staging, &below, depth + 1)?,
            target: merged,
            source: theirs(tree_of(next)?),
        };
        merged = trees::merge(staging, trees, Referee::Base)?.tree;
    }
    Ok(merged)
}
