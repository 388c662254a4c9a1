//! Gives bookmarks our changes: a forward-only move, or else the server's merge.
//!
//! Nothing is repeated blindly: what a lost answer stands for is found out by asking where the
//! bookmark points, and whether it reaches our change. A merge goes through a bookmark of its own,
//! named after the publication, which whoever goes on removes.

use std::sync::Arc;

use uuid::Uuid;

use super::api::{MergeRequest, Resolution, Take};
use super::{Conflict, Extensions, Failure, Remote, RepositoryName};
use crate::failpoints;
use crate::tree::{ChangeId, GitOid, TreePath};

/// Pages of a bookmark's history that are searched for our change: 2,000 changes by others between
/// our asking and theirs. Beyond, it counts as not there, and merging it again changes nothing.
const PAGES_MAX: u32 = 20;

/// How far publishing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Only a move, and only forward.
    FastForward,
    /// A merge where a move is not forward.
    Merge,
}

/// What becomes of a bookmark that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It is made.
    Made,
    /// Somebody removed it, and that counts.
    Respected,
}

/// Whether an earlier attempt may have left something behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// This is the first.
    None,
    /// It may have.
    Possible,
}

/// What is to be published.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// Identifies it, also to the server.
    pub id: [u8; 16],
    /// The bookmark.
    pub bookmark: &'a str,
    /// Our change.
    pub change: ChangeId,
    /// The change that ours was made on.
    pub base: ChangeId,
    /// How far to go.
    pub how: How,
    /// What becomes of a bookmark that does not exist.
    pub absent: Absent,
    /// Whether this id was used before.
    pub earlier: Earlier,
}

/// How a publication ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The bookmark has the change.
    Published,
    /// The bookmark is elsewhere, on this change, or gone.
    Diverged(Option<ChangeId>),
    /// The bookmark has other edits of the same paths; nothing was done.
    Conflict {
        /// The paths, as far as the server names them.
        paths: Vec<TreePath>,
        /// The bookmark's change.
        at: ChangeId,
        /// That change's commit.
        theirs: GitOid,
    },
}

/// What a bookmark has to do with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It points at the change, or reaches it.
    Has,
    /// It is on this change, which does not.
    Elsewhere(ChangeId),
    /// There is no such bookmark.
    Absent,
}

/// Publishes the changes of one repository.
#[derive(Debug)]
pub struct Publisher {
    remote: Arc<Remote>,
    repository: RepositoryName,
}

impl Publisher {
    pub(super) fn new(remote: Arc<Remote>, repository: RepositoryName) -> Publisher {
        Publisher { remote, repository }
    }

    /// Where a bookmark points; `None` when there is no such bookmark.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries.
    pub fn at(&self, bookmark: &str) -> Result<Option<ChangeId>, Failure> {
        let client = self.remote.client();
        let ask = self
            .remote
            .ask(async || client.bookmark(&self.repository, bookmark).await);
        match self.remote.block_on(ask) {
            Ok(found) => Ok(Some(found.change_id)),
            Err(Failure::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What a bookmark has to do with a change that was made on `base`.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries for each page of history.
    pub fn standing(
        &self,
        bookmark: &str,
        change: ChangeId,
        base: ChangeId,
    ) -> Result<Standing, Failure> {
        let Some(at) = self.at(bookmark)? else {
            return Ok(Standing::Absent);
        };
        if at == change {
            return Ok(Standing::Has);
        }
        if at == base || at == ChangeId::ROOT {
            return Ok(Standing::Elsewhere(at));
        }
        let client = self.remote.client();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let after = cursor.as_deref();
            let ask = self.remote.ask(async || {
                client
                    .bookmark_changes(&self.repository, bookmark, after)
                    .await
            });
            let page = self.remote.block_on(ask)?;
            if page.changes.iter().any(|one| one.id == change) {
                return Ok(Standing::Has);
            }
            cursor = page.next_cursor.filter(|_| page.has_more);
            if cursor.is_none() {
                break;
            }
        }
        Ok(Standing::Elsewhere(at))
    }

    /// Publishes, asking first what an earlier attempt may have done.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; doing it again, with the same id, goes on from there.
    pub fn publish(&self, publication: &Publication<'_>) -> Result<Outcome, Failure> {
        let Publication {
            bookmark,
            change,
            base,
            ..
        } = *publication;
        let at = match self.standing(bookmark, change, base)? {
            Standing::Has => return self.published(publication),
            Standing::Elsewhere(at) => at,
            Standing::Absent => return self.make(publication),
        };
        // A server of the first generation moves anywhere: there, only what is known to be forward.
        let extensions = self
            .remote
            .block_on(self.remote.extensions(&self.repository))?;
        let guarded = extensions != Extensions::default();
        if guarded || at == base || at == ChangeId::ROOT {
            let client = self.remote.client();
            let call = client.move_bookmark(&self.repository, bookmark, change);
            match self.remote.block_on(self.remote.write(call)) {
                Ok(moved) => {
                    failpoints::BOOKMARK_MOVED.reach();
                    let displaced = moved.from_change_id.filter(|from| {
                        !guarded && ![at, base, change, ChangeId::ROOT].contains(from)
                    });
                    return match displaced {
                        Some(displaced) => self.restore(publication, displaced),
                        None => self.published(publication),
                    };
                }
                Err(Failure::Conflict(Conflict::NotForward)) => {}
                Err(failure) => return Err(failure),
            }
        }
        match publication.how {
            How::FastForward => Ok(Outcome::Diverged(Some(at))),
            How::Merge => self.merge(publication, Vec::new()),
        }
    }

    /// Merges with one side for all paths that contradict, if these are among `paths`.
    ///
    /// # Errors
    ///
    /// As [`Publisher::publish`].
    pub fn resolve(
        &self,
        publication: &Publication<'_>,
        paths: &[TreePath],
        take: Take,
    ) -> Result<Outcome, Failure> {
        let found = match self.publish(publication)? {
            Outcome::Conflict { paths, .. } => paths,
            other => return Ok(other),
        };
        let is_known = |path: &TreePath| paths.iter().any(|known| path.starts_with(known));
        if !found.iter().all(is_known) || found.is_empty() {
            return self.merge(publication, Vec::new());
        }
        let resolution = |path: &TreePath| {
            Some(Resolution {
                path: path.as_str()?.to_owned(),
                take: Some(take),
                ..Resolution::default()
            })
        };
        self.merge(publication, found.iter().filter_map(resolution).collect())
    }

    /// The bookmark that a merge goes through.
    fn own_bookmark(id: [u8; 16]) -> String {
        format!("mesa/{}", Uuid::from_bytes(id))
    }

    fn make(&self, publication: &Publication<'_>) -> Result<Outcome, Failure> {
        if publication.absent == Absent::Respected {
            return Ok(Outcome::Diverged(None));
        }
        let client = self.remote.client();
        let call =
            client.create_bookmark(&self.repository, publication.bookmark, publication.change);
        self.remote.block_on(self.remote.write(call))?;
        self.published(publication)
    }

    /// Leaves nothing of the way behind.
    fn published(&self, publication: &Publication<'_>) -> Result<Outcome, Failure> {
        if publication.earlier == Earlier::Possible {
            self.forget(publication.id)?;
        }
        Ok(Outcome::Published)
    }

    /// Removes the bookmark that a merge would have gone through, if it is there.
    ///
    /// # Errors
    ///
    /// Any [`Failure`] but that it is not there.
    pub fn forget(&self, id: [u8; 16]) -> Result<(), Failure> {
        let client = self.remote.client();
        let name = Self::own_bookmark(id);
        let call = client.delete_bookmark(&self.repository, &name);
        match self.remote.block_on(self.remote.write(call)) {
            Ok(()) | Err(Failure::NotFound) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn merge(
        &self,
        publication: &Publication<'_>,
        resolutions: Vec<Resolution>,
    ) -> Result<Outcome, Failure> {
        let Publication {
            id,
            bookmark,
            change,
            ..
        } = *publication;
        let outcome = self.merge_change(id, bookmark, change, resolutions)?;
        if let Outcome::Conflict { .. } = outcome {
            self.forget(id)?;
        }
        Ok(outcome)
    }

    fn merge_change(
        &self,
        id: [u8; 16],
        bookmark: &str,
        change: ChangeId,
        resolutions: Vec<Resolution>,
    ) -> Result<Outcome, Failure> {
        let client = self.remote.client();
        let source = Self::own_bookmark(id);
        let call = client.create_bookmark(&self.repository, &source, change);
        match self.remote.block_on(self.remote.write(call)) {
            Ok(_) => {}
            // Ours, by a request whose answer was lost, if it is where it should be.
            Err(failure @ (Failure::Conflict(_) | Failure::Refused { .. })) => {
                if self.at(&source)? != Some(change) {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        failpoints::MERGE_NAMED.reach();
        let request = MergeRequest {
            target: bookmark.to_owned(),
            source,
            delete_source: true,
            message: Some(format!("Merge edits from a Mesa mount into {bookmark}\n")),
            resolutions,
            ..MergeRequest::default()
        };
        let call = client.merge_bookmarks(&self.repository, &request, Uuid::from_bytes(id));
        match self.remote.block_on(self.remote.write(call)) {
            Ok(_) => {
                failpoints::MERGED.reach();
                Ok(Outcome::Published)
            }
            Err(Failure::Conflict(Conflict::Merge { paths, .. })) => {
                let at = self.at(bookmark)?.unwrap_or(ChangeId::ROOT);
                let ask = self
                    .remote
                    .ask(async || client.change(&self.repository, at).await);
                let theirs = self.remote.block_on(ask)?.change.current_commit_oid;
                Ok(Outcome::Conflict { paths, at, theirs })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Brings back what a move of ours displaced, on a server that does not refuse such moves.
    fn restore(
        &self,
        publication: &Publication<'_>,
        displaced: ChangeId,
    ) -> Result<Outcome, Failure> {
        let Publication { bookmark, id, .. } = *publication;
        match self.standing(bookmark, displaced, publication.base)? {
            Standing::Has | Standing::Absent => {}
            Standing::Elsewhere(_) => {
                tracing::warn!(bookmark, %displaced, "a move displaced it; it is merged in again");
                self.merge_change(id, bookmark, displaced, Vec::new())?;
            }
        }
        Ok(Outcome::Published)
    }
}
