//! Merging one bookmark into another.
//!
//! The result is a change of its own on the target and the source, whatever their history, unless
//! the target has the source already. Onto a target on the virtual root, which is no commit and so
//! no parent, it is a change on the source alone: not the source itself, since a bookmark follows
//! the change that it points at, and later edits of the source are not merged.
//!
//! The target moves before the merge gets a reference of its own, in one transaction. So a change
//! that exists under an id which was given beforehand (the request's key) is a merge that took
//! effect, and the answer to a repeated request. After a crash between the two steps there is no
//! such change, but the target has the source, and the repeated request finds nothing to do.
//!
//! A conflict refuses the merge, or is recorded if that is wanted: the tree has it as text, and a
//! header of the commit, which Jujutsu reads too, names the trees that were merged. So the conflict
//! can be worked out again from the commit alone, by whoever resolves it.

mod base;
mod conflict;
mod decide;
mod markers;
mod recorded;
mod text;
mod trees;

pub(in crate::server) use conflict::{
    Choice, Conflict, Conflicts, Hunk, Omitted, Resolution, Resolutions, Side,
};
pub(in crate::server) use trees::Unsettled;

use base::Relation;
pub(super) use recorded::{refuse_conflicted, resolve};
use trees::{Referee, Trees};

use super::bookmarks::{self, Target};
use super::changes::{CHANGES, Snapshot, keeping};
use super::commit::{self, NewCommit, Person};
use super::error::{Doing, Error};
use super::refs::{self, Move};
use super::staging::Staging;
use super::{Repository, ours, theirs};
use crate::remote::api::{Author, Expected};
use crate::tree::{ChangeId, GitOid};

/// What becomes of the source bookmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum SourceFate {
    Stays,
    Goes,
}

/// What is merged, and how.
#[derive(Debug)]
pub(in crate::server) struct MergeInput {
    /// The id of the merge's change; if that change exists already, it is the answer.
    pub(in crate::server) id: ChangeId,
    pub(in crate::server) target: String,
    pub(in crate::server) source: String,
    pub(in crate::server) fate: SourceFate,
    pub(in crate::server) message: String,
    pub(in crate::server) author: Person,
    /// Everybody whose work it is; empty if it is the author's alone.
    pub(in crate::server) authors: Vec<Author>,
    pub(in crate::server) resolutions: Resolutions,
    /// Where the target must be.
    pub(in crate::server) expected: Expected,
    pub(in crate::server) unsettled: Unsettled,
}

/// What a merge has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Merged {
    pub(in crate::server) outcome: Outcome,
    /// Where the target is.
    pub(in crate::server) change: ChangeId,
    /// `None` on the virtual root.
    pub(in crate::server) commit: Option<GitOid>,
    pub(in crate::server) source_deleted: bool,
    /// Whether the target's commit records a conflict.
    pub(in crate::server) is_conflicted: bool,
}

/// Whether there was something to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Outcome {
    MergeCommit,
    NoOp,
}

impl Repository {
    /// Merges a bookmark into another; on return the result survives a power cut.
    ///
    /// # Errors
    ///
    /// [`Error::MergeConflict`], and nothing has changed.
    pub(in crate::server) fn merge_bookmarks(&self, input: MergeInput) -> Result<Merged, Error> {
        let repo = self.local();
        if input.fate == SourceFate::Goes {
            if input.source == input.target {
                return Err(Error::MergeIntoItself);
            }
            if bookmarks::default_name(&repo)? == input.source {
                return Err(Error::DefaultBookmark);
            }
        }
        if let Some(done) = self.done_before(&repo, &input)? {
            return Ok(done);
        }
        let find = |name| bookmarks::find(&repo, name)?.ok_or(Error::UnknownBookmark);
        let (target, source) = (find(&input.target)?, find(&input.source)?);
        self.check_expected(&repo, &target, &input.expected)?;
        let onto = self.snapshot_in(&repo, target.change)?;
        let from = self.snapshot_in(&repo, source.change)?;
        let bases = match (onto.commit, from.commit) {
            (_, None) => None,
            (None, Some(_)) => Some(Vec::new()),
            (Some(onto_commit), Some(from_commit)) => {
                let onto = (onto.change, onto_commit);
                match base::relation(&repo, onto, (from.change, from_commit))? {
                    Relation::Reached => None,
                    Relation::Apart(bases) => Some(bases),
                }
            }
        };
        let removal = bookmarks::removal(&input.source, &source);
        let Some(bases) = bases else {
            conflict::check_used(&input.resolutions)?;
            return finish_no_op(&repo, &input, &onto, removal);
        };
        self.merge(&repo, input, &bases, (&target, onto, from), removal)
    }

    fn merge(
        &self,
        repo: &gix::Repository,
        input: MergeInput,
        bases: &[gix::ObjectId],
        (target, onto, from): (&Target, Snapshot, Snapshot),
        removal: Move,
    ) -> Result<Merged, Error> {
        for commit in [onto.commit, from.commit].into_iter().flatten() {
            refuse_conflicted(repo, commit)?;
        }
        let mut resolutions = input.resolutions;
        let mut staging = Staging::new(repo)?;
        let mut conflict = None;
        let tree = match onto.commit {
            None => theirs(from.tree),
            Some(_) => {
                let trees = Trees {
                    base: base::tree(&mut staging, bases)?,
                    target: theirs(onto.tree),
                    source: theirs(from.tree),
                };
                let referee = Referee::Caller(&mut resolutions, input.unsettled);
                let merged = trees::merge(&mut staging, trees, referee)?;
                let terms = [trees.target, trees.base, trees.source];
                conflict = merged.is_conflicted.then_some(terms);
                merged.tree
            }
        };
        conflict::check_used(&resolutions)?;
        let parents = [onto.commit, from.commit].into_iter().flatten();
        let new = NewCommit {
            change: input.id,
            tree,
            parents: parents.map(theirs).collect(),
            author: &input.author,
            authors: &input.authors,
            committer: &input.author,
            message: &input.message,
            conflict,
        };
        let oid = commit::write(&mut staging, &new)?;
        staging.publish()?;
        let to = Snapshot {
            change: input.id,
            commit: Some(oid),
            tree: ours(&tree),
        };
        let mut moves = Vec::new();
        moves.extend(keeping(repo, &onto)?);
        moves.extend(keeping(repo, &from)?);
        moves.extend(bookmarks::placing(repo, &input.target, target.commit, &to)?);
        moves.extend(keeping(repo, &to)?);
        if input.fate == SourceFate::Goes {
            moves.push(removal);
        }
        refs::apply(repo, &moves)?;
        self.note(input.id, oid);
        Ok(Merged {
            outcome: Outcome::MergeCommit,
            change: input.id,
            commit: Some(oid),
            source_deleted: input.fate == SourceFate::Goes,
            is_conflicted: conflict.is_some(),
        })
    }

    /// What an earlier request with the same id has done. A crash may have kept it from removing
    /// the source, which happens now unless the source has moved on.
    fn done_before(
        &self,
        repo: &gix::Repository,
        input: &MergeInput,
    ) -> Result<Option<Merged>, Error> {
        let Some(oid) = refs::find(repo, &format!("{CHANGES}{}", input.id))? else {
            return Ok(None);
        };
        let mut source_deleted = false;
        if input.fate == SourceFate::Goes {
            let merge = repo.find_commit(oid).doing("reading a commit")?;
            let merged = merge.parent_ids().last().map(|parent| ours(&parent));
            source_deleted = match bookmarks::find(repo, &input.source)? {
                None => true,
                Some(source) if source.commit == merged => {
                    refs::apply(repo, &[bookmarks::removal(&input.source, &source)])?;
                    true
                }
                Some(_) => false,
            };
        }
        Ok(Some(Merged {
            outcome: Outcome::MergeCommit,
            change: input.id,
            commit: Some(ours(&oid)),
            source_deleted,
            is_conflicted: commit::read(repo, ours(&oid))?.is_conflicted,
        }))
    }
}

/// The tree that has what `target` and `source` make of `base`; nobody settles conflicts.
pub(super) fn three(
    staging: &mut Staging<'_>,
    base: gix::ObjectId,
    target: gix::ObjectId,
    source: gix::ObjectId,
) -> Result<gix::ObjectId, Error> {
    let trees = Trees {
        base,
        target,
        source,
    };
    let referee = Referee::Caller(&mut Resolutions::new(), Unsettled::Refused);
    Ok(trees::merge(staging, trees, referee)?.tree)
}

fn finish_no_op(
    repo: &gix::Repository,
    input: &MergeInput,
    onto: &Snapshot,
    removal: Move,
) -> Result<Merged, Error> {
    if input.fate == SourceFate::Goes {
        refs::apply(repo, &[removal])?;
    }
    let target = onto.commit.map(|commit| commit::read(repo, commit));
    let target = target.transpose()?;
    Ok(Merged {
        outcome: Outcome::NoOp,
        change: onto.change,
        commit: onto.commit,
        source_deleted: input.fate == SourceFate::Goes,
        is_conflicted: target.is_some_and(|target| target.is_conflicted),
    })
}
