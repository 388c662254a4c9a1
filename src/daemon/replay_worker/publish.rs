//! Publishing: the bookmark follows what was pushed.
//!
//! ```text
//! pushed, nothing pending -> announce -> move the bookmark, or merge -> record
//! ```
//!
//! The announcement is durable before anything is sent, and whatever became of it is found out by
//! asking. What is refused (the bookmark is elsewhere, or has other edits of the same paths) is not
//! tried again before something changes: our commit, the bookmark, or a person's mind. Publishing
//! never keeps anything from being pushed.

use journal::ConflictKind;
use uuid::Uuid;

use super::attempt::{Error, Replay};
use super::plan::Due;
use crate::remote::api::Take;
use crate::remote::{Absent, Earlier, How, Outcome, Publication, Standing, bounded};
use crate::tree::{ChangeId, GitOid, Timestamp, TreePath};
use crate::upper::{Conflict, Publishing, RemoteState};

/// Paths of one conflict that are kept.
const CONFLICT_PATHS_MAX: usize = 1_000;
impl Replay {
    /// Finds out whether an announced publication took effect, before the change is amended: what
    /// others build on is not rewritten.
    pub(super) fn settle_publishing(&mut self) -> Result<(), Error> {
        let remote = self.overlay.remote();
        let Some(publishing) = &remote.publishing else {
            return Ok(());
        };
        let ours = remote.change.is_some_and(|(id, _)| id == publishing.change);
        if !ours || remote.is_published() || self.unpublished == Some(publishing.id) {
            return Ok(());
        }
        let base = self.base_of(&remote);
        let standing = self
            .publisher
            .standing(&publishing.bookmark, publishing.change, base)?;
        if standing == Standing::Has {
            self.published(&remote, publishing.change, &publishing.bookmark)?;
            self.publisher.forget(publishing.id)?;
        } else {
            self.unpublished = Some(publishing.id);
        }
        Ok(())
    }

    /// Publishes, and records how it went.
    ///
    /// # Errors
    ///
    /// Why it is not known how it went, or that it did not go; doing it again goes on from there.
    pub(super) fn publish(
        &mut self,
        due: &Due,
        (how, absent): (How, Absent),
        resolution: Option<(&Conflict, Take)>,
    ) -> Result<Outcome, Error> {
        let remote = self.overlay.remote();
        let before = remote.publishing.as_ref().filter(|one| {
            one.change == due.change && one.bookmark == due.bookmark && resolution.is_none()
        });
        let id = before.map_or_else(|| Uuid::new_v4().into_bytes(), |one| one.id);
        let publishing = Publishing {
            id,
            change: due.change,
            commit: due.commit,
            bookmark: due.bookmark.clone(),
        };
        if let Some(other) = &remote.publishing
            && other.id != id
        {
            self.publisher.forget(other.id)?;
        }
        if remote.publishing.as_ref() != Some(&publishing) {
            self.overlay.record_publish_intended(&publishing)?;
        }
        let publication = Publication {
            id,
            bookmark: &due.bookmark,
            change: due.change,
            base: self.base_of(&remote),
            how,
            absent,
            earlier: match before {
                Some(_) => Earlier::Possible,
                None => Earlier::None,
            },
        };
        // Until it is known how it goes.
        self.unpublished = None;
        let outcome = match resolution {
            None => self.publisher.publish(&publication)?,
            Some((conflict, take)) => {
                self.publisher
                    .resolve(&publication, &conflict.paths, take)?
            }
        };
        match &outcome {
            Outcome::Published => {
                self.published(&remote, due.change, &due.bookmark)?;
            }
            Outcome::Diverged(_) => self.unpublished = Some(id),
            Outcome::Conflict { paths, theirs, .. } => {
                self.unpublished = Some(id);
                self.note_conflict(&remote, due, paths.clone(), *theirs)?;
            }
        }
        Ok(outcome)
    }

    /// The change that ours was made on.
    fn base_of(&self, remote: &RemoteState) -> ChangeId {
        remote.continues.unwrap_or(self.overlay.pin().change)
    }

    /// Records a conflict with a bookmark; the same one again, later, stays one.
    fn note_conflict(
        &self,
        remote: &RemoteState,
        due: &Due,
        paths: Vec<TreePath>,
        theirs: GitOid,
    ) -> Result<(), Error> {
        let known = remote.conflicts.iter().find(|one| {
            one.kind == ConflictKind::Publish && one.bookmark.as_deref() == Some(&due.bookmark)
        });
        let found = Conflict {
            id: known.map_or_else(|| Uuid::new_v4().into_bytes(), |known| known.id),
            kind: ConflictKind::Publish,
            change: due.change,
            base: due.commit,
            theirs,
            bookmark: Some(due.bookmark.clone()),
            sibling: None,
            time: known.map_or_else(
                || Timestamp::from(std::time::SystemTime::now()),
                |known| known.time,
            ),
            paths: bounded(paths, CONFLICT_PATHS_MAX),
        };
        if known == Some(&found) {
            return Ok(());
        }
        // Should we die in between, the next attempt finds it once more.
        if let Some(known) = known {
            self.overlay.record_conflict_resolved(known.id)?;
        }
        self.overlay.record_conflict(&found)?;
        tracing::warn!(
            bookmark = due.bookmark,
            paths = found.paths.len(),
            "a merge conflicts"
        );
        Ok(())
    }

    /// Records that a bookmark has our change, which settles what contradicted it.
    fn published(
        &self,
        remote: &RemoteState,
        change: ChangeId,
        bookmark: &str,
    ) -> Result<(), Error> {
        self.overlay.record_published(change, bookmark)?;
        tracing::info!(%change, bookmark, "published");
        for known in &remote.conflicts {
            let of_it = known.bookmark.as_deref() == Some(bookmark);
            if known.kind == ConflictKind::Publish && of_it {
                self.overlay.record_conflict_resolved(known.id)?;
            }
        }
        Ok(())
    }
}
