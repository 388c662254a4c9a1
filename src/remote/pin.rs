//! From a name to a snapshot, in a number of calls that does not depend on the repository's size:
//! repository or bookmark -> change -> commit and time -> root tree.

use super::api::{ChangeDetail, parse_date};
use super::failure::Violation;
use super::patience::Patience;
use super::{At, Failure, Remote, RepositoryName};
use crate::lower::Pin;
use crate::tree::{ChangeId, GitOid, Timestamp, TreePath};
use std::time::Duration;

/// How often a change may move on under our eyes before that counts as a failure.
const ATTEMPTS_MAX: u32 = 3;

/// What a checkout should show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Where the default bookmark points.
    DefaultBookmark,
    /// Where this bookmark points.
    Bookmark(String),
    /// This change.
    Change(ChangeId),
}

/// What it does show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The bookmark that named it, if one did.
    pub bookmark: Option<String>,
    /// The snapshot.
    pub pin: Pin,
}

impl Remote {
    /// Finds the snapshot that `target` names now.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; `NotFound` when there is no such repository, bookmark or change.
    pub fn resolve(
        &self,
        repository: &RepositoryName,
        target: &Target,
    ) -> Result<Resolved, Failure> {
        self.block_on(self.resolve_within(self.patience(), repository, target))
    }

    /// The same for somebody who has another snapshot to show: if the server says nothing to anyone
    /// for `unheard`, that is the end of it.
    ///
    /// # Errors
    ///
    /// As [`Remote::resolve`].
    pub fn resolve_unless_unheard(
        &self,
        repository: &RepositoryName,
        target: &Target,
        unheard: Duration,
    ) -> Result<Resolved, Failure> {
        let patience = self.patience().unless_heard(unheard);
        self.block_on(self.resolve_within(patience, repository, target))
    }

    async fn resolve_within(
        &self,
        patience: Patience,
        repository: &RepositoryName,
        target: &Target,
    ) -> Result<Resolved, Failure> {
        let client = self.client();
        let (bookmark, change) = match target {
            Target::DefaultBookmark => {
                let repo = self
                    .ask_within(patience, async || client.repository(repository).await)
                    .await?;
                (Some(repo.default_bookmark), repo.head_change_id)
            }
            Target::Bookmark(name) => {
                let bookmark = self
                    .ask_within(patience, async || client.bookmark(repository, name).await)
                    .await?;
                (Some(bookmark.name), bookmark.change_id)
            }
            Target::Change(change) => (None, *change),
        };
        let pin = self.pin(patience, repository, change).await?;
        Ok(Resolved { bookmark, pin })
    }

    async fn pin(
        &self,
        patience: Patience,
        repository: &RepositoryName,
        change: ChangeId,
    ) -> Result<Pin, Failure> {
        if change == ChangeId::ROOT {
            // The empty tree that every history starts from has no commit to ask for.
            return Ok(Pin {
                change,
                commit: GitOid([0; 20]),
                tree: GitOid::EMPTY_TREE,
                time: Timestamp::default(),
            });
        }
        let client = self.client();
        let extensions = self.extensions_within(patience, repository).await?;
        let ask = async || {
            self.ask_within(patience, async || client.change(repository, change).await)
                .await
        };
        let mut now = ask().await?;
        for _ in 0..ATTEMPTS_MAX {
            let commit = now.change.current_commit_oid;
            let at = if extensions.commit_read {
                At::Commit(commit)
            } else {
                At::Change(change)
            };
            let root = self
                .read_within(patience, async |left| {
                    client
                        .directory(repository, at, &TreePath::ROOT, 0, left)
                        .await
                })
                .await?;
            let pin = Pin {
                change,
                commit,
                tree: root.tree,
                time: time_of(&now)?,
            };
            if extensions.commit_read {
                return Ok(pin);
            }
            // The tree was that of the moment: it is this commit's if the change stayed.
            now = ask().await?;
            if now.change.current_commit_oid == commit {
                return Ok(pin);
            }
        }
        Err(Failure::Protocol(Violation::OtherObject))
    }
}

fn time_of(change: &ChangeDetail) -> Result<Timestamp, Failure> {
    let text = change.change.committer.date.as_ref();
    let text = text.unwrap_or(&change.change.updated_at);
    Ok(parse_date(text).map_err(|_| Violation::Date)?)
}
