//! History: which commit shows a change, what is reachable, and what descends from what.
//!
//! A change that nobody touched has no reference, so it is found by walking history, once: the
//! walk fills an index in memory (64 bytes a commit), and later walks stop where it has been.
//! Commits that we make enter the index as they are made; only bookmarks that something else
//! moved lead to more walking.

use std::collections::{HashMap, HashSet};

use super::error::{Doing, Error};
use super::{Access, Repository, commit, ours, refs, theirs};
use crate::tree::{ChangeId, GitOid};

/// What the walks have found.
#[derive(Debug, Default)]
pub(super) struct Index {
    commits: HashMap<ChangeId, GitOid>,
    seen: HashSet<GitOid>,
    has_walked_changes: bool,
}

impl Repository {
    /// The commit that a change without a reference is, if history shows it.
    pub(super) fn indexed(
        &self,
        repo: &gix::Repository,
        change: ChangeId,
    ) -> Result<Option<GitOid>, Error> {
        if let Some(oid) = self.index.read().commits.get(&change) {
            return Ok(Some(*oid));
        }
        self.walk_news(repo)?;
        Ok(self.index.read().commits.get(&change).copied())
    }

    /// Whether a bookmark or a change leads to a commit, or did since the repository was opened.
    pub(super) fn is_reachable(&self, commit: GitOid) -> Result<bool, Error> {
        if self.index.read().seen.contains(&commit) {
            return Ok(true);
        }
        self.walk_news(&self.local())?;
        Ok(self.index.read().seen.contains(&commit))
    }

    /// Notes a commit that was made here.
    pub(super) fn note(&self, change: ChangeId, oid: GitOid) {
        let mut index = self.index.write();
        index.commits.insert(change, oid);
        index.seen.insert(oid);
        drop(index);
        self.lineage.note(&self.local(), change, oid);
    }

    /// Notes commits that came by a push; what is below them is walked when it is needed.
    pub(super) fn note_pushed(&self, commits: impl Iterator<Item = (ChangeId, GitOid)>) {
        self.index.write().commits.extend(commits);
        self.lineage.forget();
    }

    /// Looks at what other programs have done to the bookmarks, where they may.
    pub(super) fn look_again(&self, repo: &gix::Repository) -> Result<(), Error> {
        match self.access == Access::ReadOnly || self.claim.is_some() {
            true => self.walk_news(repo),
            false => Ok(()),
        }
    }

    fn walk_news(&self, repo: &gix::Repository) -> Result<(), Error> {
        let mut tips = refs::below(repo, super::bookmarks::HEADS)?;
        if !self.index.read().has_walked_changes {
            tips.extend(refs::below(repo, super::changes::CHANGES)?);
        }
        let boundary = shallow(repo)?;
        let is_first = !self.index.read().has_walked_changes;
        let mut found_now = HashSet::new();
        for (_, tip) in tips {
            let mut pending = vec![ours(&tip)];
            while let Some(oid) = pending.pop() {
                if self.index.read().seen.contains(&oid) {
                    continue;
                }
                let id = theirs(oid);
                let found = repo.find_commit(id).doing("walking history")?;
                let decoded = found.decode().doing("walking history")?;
                let change = commit::change_id(&id, &decoded);
                if !boundary.contains(&oid) {
                    pending.extend(decoded.parents().map(|parent| ours(&parent)));
                }
                let mut index = self.index.write();
                index.seen.insert(oid);
                // The walk comes from the tips, so the first commit of a change is the newest.
                // What came later is newer than what is known: somebody else rewrote it.
                if found_now.insert(change) && !is_first {
                    index.commits.insert(change, oid);
                } else {
                    index.commits.entry(change).or_insert(oid);
                }
            }
        }
        self.index.write().has_walked_changes = true;
        Ok(())
    }

    /// One page of the commits reachable from `tip`, newest first, and whether there are more.
    pub(in crate::server) fn log(
        &self,
        tip: GitOid,
        skip: usize,
        limit: usize,
    ) -> Result<(Vec<commit::Commit>, bool), Error> {
        use gix::revision::walk::Sorting;
        use gix::traverse::commit::simple::CommitTimeOrder;
        let repo = self.local();
        let walk = repo
            .rev_walk([theirs(tip)])
            .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
            .all()
            .doing("walking history")?;
        let mut commits = Vec::new();
        for info in walk.skip(skip) {
            let info = info.doing("walking history")?;
            if commits.len() == limit {
                return Ok((commits, true));
            }
            commits.push(commit::read(&repo, ours(&info.id))?);
        }
        Ok((commits, false))
    }
}

/// Whether `ancestor` is `commit` or reachable from it.
pub(super) fn descends(
    repo: &gix::Repository,
    commit: GitOid,
    ancestor: GitOid,
) -> Result<bool, Error> {
    use gix::revision::walk::Sorting;
    use gix::traverse::commit::simple::CommitTimeOrder;
    let walk = repo
        .rev_walk([theirs(commit)])
        .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
        .all()
        .doing("walking history")?;
    for info in walk {
        if ours(&info.doing("walking history")?.id) == ancestor {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Commits whose parents a shallow clone left out.
fn shallow(repo: &gix::Repository) -> Result<HashSet<GitOid>, Error> {
    let commits = repo
        .shallow_commits()
        .doing("reading the shallow boundary")?;
    Ok(commits
        .map(|commits| commits.iter().map(|oid| ours(oid)).collect())
        .unwrap_or_default())
}
