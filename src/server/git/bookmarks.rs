//! Bookmarks: Git branches that point at changes.
//!
//! A bookmark's reference names a commit; what the bookmark points at is that commit's change, and
//! its content is that change's current commit. A bookmark on the virtual root has no commit to
//! name, so it lives under another prefix. The default bookmark always exists: without a
//! reference it is on the virtual root.

use std::collections::BTreeSet;

use super::changes::{CHANGES, Snapshot};
use super::error::{Doing, Error};
use super::refs::{self, Move};
use super::{Repository, commit, history, ours, theirs};
use crate::remote::api::Expected;
use crate::tree::{ChangeId, GitOid};

pub(super) const HEADS: &str = "refs/heads/";
const UNBORN: &str = "refs/mesa/unborn/";

/// What a bookmark points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Target {
    pub(in crate::server) change: ChangeId,
    /// The commit that the reference names; `None` on the virtual root.
    pub(in crate::server) commit: Option<GitOid>,
}

impl Target {
    const ROOT: Target = Target {
        change: ChangeId::ROOT,
        commit: None,
    };
}

/// A bookmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Bookmark {
    pub(in crate::server) name: String,
    pub(in crate::server) target: Target,
}

/// Which moves are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Direction {
    Forward,
    Any,
}

/// Which bookmarks that are not where their change is were left behind by a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lag {
    /// All: nobody else writes here.
    Any,
    /// Those on a version that was amended; others were put there by another program.
    Amended,
}

/// Refuses what is not the name of a Git branch.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let full = format!("{HEADS}{name}");
    if name == "HEAD" || name.starts_with('-') || full.len() > NAME_BYTES_MAX {
        return Err(Error::BookmarkName);
    }
    gix::validate::reference::name(full.as_str().into())
        .map(drop)
        .map_err(|_| Error::BookmarkName)
}

/// A component is a file name with `.lock` behind it, and the whole a path.
const NAME_BYTES_MAX: usize = 240;

impl Repository {
    /// The name of the default bookmark.
    pub(in crate::server) fn default_bookmark(&self) -> Result<String, Error> {
        let repo = self.local();
        default_name(&repo)
    }

    /// Makes an existing bookmark the default. The one that was it stays, also on the virtual root.
    pub(in crate::server) fn set_default_bookmark(&self, name: &str) -> Result<(), Error> {
        self.bookmark(name)?;
        let repo = self.local();
        let old = default_name(&repo)?;
        if old == name {
            return Ok(());
        }
        let has_reference = [HEADS, UNBORN]
            .iter()
            .map(|prefix| format!("{prefix}{old}"));
        let mut is_kept = check_name(&old).is_err();
        for reference in has_reference {
            is_kept |= refs::find(&repo, &reference)?.is_some();
        }
        if !is_kept {
            refs::apply(&repo, &[unborn(&old, true)])?;
        }
        refs::write_head(&self.folder, name)
    }

    /// One bookmark.
    pub(in crate::server) fn bookmark(&self, name: &str) -> Result<Bookmark, Error> {
        let repo = self.local();
        self.look_again(&repo)?;
        let target = find(&repo, name)?.ok_or(Error::UnknownBookmark)?;
        Ok(Bookmark {
            name: name.to_owned(),
            target,
        })
    }

    /// All bookmarks, by name.
    pub(in crate::server) fn bookmarks(&self) -> Result<Vec<Bookmark>, Error> {
        let repo = self.local();
        self.look_again(&repo)?;
        let mut found = Vec::new();
        for (name, oid) in refs::below(&repo, HEADS)? {
            let target = target(&repo, oid)?;
            found.push(Bookmark { name, target });
        }
        let unborn = refs::below(&repo, UNBORN)?
            .into_iter()
            .map(|(name, _)| name);
        for name in unborn.chain([default_name(&repo)?]) {
            if !found.iter().any(|bookmark| bookmark.name == name) {
                found.push(Bookmark {
                    name,
                    target: Target::ROOT,
                });
            }
        }
        found.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }

    /// Makes a bookmark; on return it survives a power cut.
    pub(in crate::server) fn create_bookmark(
        &self,
        name: &str,
        change: ChangeId,
    ) -> Result<Bookmark, Error> {
        check_name(name)?;
        let repo = self.local();
        if find(&repo, name)?.is_some() {
            return Err(Error::BookmarkExists);
        }
        if names(&repo)?.iter().any(|other| is_entangled(name, other)) {
            return Err(Error::BookmarkName);
        }
        let to = self.snapshot_in(&repo, change)?;
        refs::apply(&repo, &placing(&repo, name, None, &to)?)?;
        Ok(Bookmark {
            name: name.to_owned(),
            target: Target {
                change,
                commit: to.commit,
            },
        })
    }

    /// Moves a bookmark and returns what it pointed at; on return the move survives a power cut.
    pub(in crate::server) fn move_bookmark(
        &self,
        name: &str,
        change: ChangeId,
        direction: Direction,
        expected: &Expected,
    ) -> Result<ChangeId, Error> {
        let repo = self.local();
        let from = find(&repo, name)?.ok_or(Error::UnknownBookmark)?;
        self.check_expected(&repo, &from, expected)?;
        let to = self.snapshot_in(&repo, change)?;
        if direction == Direction::Forward {
            let is_forward = match (from.commit, to.commit) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(from), Some(to)) => history::descends(&repo, to, from)?,
            };
            if !is_forward {
                return Err(Error::NotForward);
            }
        }
        refs::apply(&repo, &placing(&repo, name, from.commit, &to)?)?;
        Ok(from.change)
    }

    /// Removes a bookmark; on return it is gone for good.
    pub(in crate::server) fn delete_bookmark(
        &self,
        name: &str,
        expected: &Expected,
    ) -> Result<(), Error> {
        let repo = self.local();
        let target = find(&repo, name)?.ok_or(Error::UnknownBookmark)?;
        self.check_expected(&repo, &target, expected)?;
        if default_name(&repo)? == name {
            return Err(Error::DefaultBookmark);
        }
        refs::apply(&repo, &[removal(name, &target)])
    }

    /// Refuses a bookmark that is not where the caller saw it. The caller holds the turn of
    /// writers, so it stays there.
    pub(super) fn check_expected(
        &self,
        repo: &gix::Repository,
        target: &Target,
        expected: &Expected,
    ) -> Result<(), Error> {
        let is_change = expected
            .change_id
            .is_none_or(|change| change == target.change);
        let is_commit = match expected.commit_oid {
            Some(wanted) => self.snapshot_in(repo, target.change)?.commit == Some(wanted),
            None => true,
        };
        match is_change && is_commit {
            true => Ok(()),
            false => Err(Error::StaleBookmark),
        }
    }

    /// Moves bookmarks that a crash left on an older commit of their change.
    pub(super) fn catch_up_bookmarks(&self, lag: Lag) -> Result<(), Error> {
        let repo = self.local();
        for (name, from) in refs::below(&repo, HEADS)? {
            let change = commit::change_of(&repo, from)?;
            match refs::find(&repo, &format!("{CHANGES}{change}"))? {
                Some(current)
                    if current != from
                        && (lag == Lag::Any
                            || commit::succeeds(&repo, ours(&current), ours(&from))?) =>
                {
                    tracing::info!(bookmark = name, %change, "bookmark caught up after a crash");
                    let name = format!("{HEADS}{name}");
                    refs::apply(
                        &repo,
                        &[Move {
                            name,
                            from: Some(from),
                            to: Some(current),
                        }],
                    )?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The names of all bookmarks that have a reference.
pub(super) fn names(repo: &gix::Repository) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    for prefix in [HEADS, UNBORN] {
        names.extend(refs::below(repo, prefix)?.into_iter().map(|(name, _)| name));
    }
    Ok(names)
}

/// Whether one name is a folder of the other: Git keeps references as files.
pub(super) fn is_entangled(one: &str, other: &str) -> bool {
    let is_within = |one: &str, other: &str| {
        one.strip_prefix(other)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    is_within(one, other) || is_within(other, one)
}

pub(super) fn default_name(repo: &gix::Repository) -> Result<String, Error> {
    let head = repo.find_reference("HEAD").doing("reading HEAD")?;
    let name = match head.target() {
        gix::refs::TargetRef::Symbolic(name) => name.as_bstr().to_string(),
        gix::refs::TargetRef::Object(_) => String::new(),
    };
    Ok(name.strip_prefix(HEADS).unwrap_or("main").to_owned())
}

/// What a name points at, if it is a bookmark.
pub(super) fn find(repo: &gix::Repository, name: &str) -> Result<Option<Target>, Error> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    if let Some(oid) = refs::find(repo, &format!("{HEADS}{name}"))? {
        return target(repo, oid).map(Some);
    }
    let is_unborn = refs::find(repo, &format!("{UNBORN}{name}"))?.is_some();
    Ok((is_unborn || default_name(repo)? == name).then_some(Target::ROOT))
}

fn target(repo: &gix::Repository, oid: gix::ObjectId) -> Result<Target, Error> {
    Ok(Target {
        change: commit::change_of(repo, oid)?,
        commit: Some(ours(&oid)),
    })
}

fn unborn(name: &str, exists: bool) -> Move {
    let empty = gix::ObjectId::empty_tree(super::HASH);
    Move {
        name: format!("{UNBORN}{name}"),
        from: (!exists).then_some(empty),
        to: exists.then_some(empty),
    }
}

/// The step that removes a bookmark.
pub(super) fn removal(name: &str, target: &Target) -> Move {
    match target.commit {
        Some(oid) => Move {
            name: format!("{HEADS}{name}"),
            from: Some(theirs(oid)),
            to: None,
        },
        None => unborn(name, false),
    }
}

/// The steps that put a bookmark from a commit, or the virtual root, onto a snapshot.
pub(super) fn placing(
    repo: &gix::Repository,
    name: &str,
    from: Option<GitOid>,
    to: &Snapshot,
) -> Result<Vec<Move>, Error> {
    let mut moves = Vec::new();
    let is_unborn = refs::find(repo, &format!("{UNBORN}{name}"))?.is_some();
    if to.commit.is_none() && !is_unborn {
        moves.push(unborn(name, true));
    }
    moves.push(Move {
        name: format!("{HEADS}{name}"),
        from: from.map(theirs),
        to: to.commit.map(theirs),
    });
    if to.commit.is_some() && is_unborn {
        moves.push(unborn(name, false));
    }
    Ok(moves)
}
