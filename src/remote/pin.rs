//! From a name to a snapshot, in a number of calls that does not depend on the repository's size: one,
//! which brings the first listings along, of a server with the extension `snapshots`; else
//! repository or bookmark -> change -> commit and time -> root tree with its listing.

use super::api::{ChangeDetail, SnapshotAnswer, parse_date};
use super::call::{Call, encoded, of_repository};
use super::client::Client;
use super::failure::Violation;
use super::listing::{LISTING_BYTES_MAX, checked};
use super::patience::Patience;
use super::{At, Failure, Remote, RepositoryName};
use crate::lower::{ListingEntry, Pin};
use crate::tree::{ChangeId, GitOid, Timestamp, TreePath};
use std::time::{Duration, Instant};

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

/// Which listings should come along: the root's alone, unless the server can send more with a snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Along {
    /// How many bytes may tell of them, from the root tree down; 0 is none.
    pub bytes_max: u64,
    /// The root tree of which the listings are here.
    pub known: Option<GitOid>,
}

/// A tree, and what is in it.
pub type Listed = (GitOid, Vec<ListingEntry>);

/// What it does show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The bookmark that named it, if one did.
    pub bookmark: Option<String>,
    /// The snapshot.
    pub pin: Pin,
    /// Trees of it with what is in them.
    pub listings: Vec<Listed>,
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
        along: Along,
    ) -> Result<Resolved, Failure> {
        self.block_on(self.resolve_within(self.patience(), repository, target, along))
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
        along: Along,
        unheard: Duration,
    ) -> Result<Resolved, Failure> {
        let patience = self.patience().unless_heard(unheard);
        self.block_on(self.resolve_within(patience, repository, target, along))
    }

    async fn resolve_within(
        &self,
        patience: Patience,
        repository: &RepositoryName,
        target: &Target,
        along: Along,
    ) -> Result<Resolved, Failure> {
        let left = patience.left(Instant::now());
        if let Some(resolved) = self.take_anticipated(repository, target, left).await {
            return Ok(resolved);
        }
        self.find(patience, repository, target, along).await
    }

    /// Finds a snapshot, whether it was asked for before or not.
    pub(super) async fn find(
        &self,
        patience: Patience,
        repository: &RepositoryName,
        target: &Target,
        along: Along,
    ) -> Result<Resolved, Failure> {
        let client = self.client();
        let extensions = self.extensions_within(patience, repository).await?;
        if extensions.snapshots && extensions.commit_read {
            return self
                .read_within(patience, async |left| {
                    client.snapshot(repository, target, along, left).await
                })
                .await;
        }
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
        let (pin, listings) = self.pin(patience, repository, change, along).await?;
        Ok(Resolved {
            bookmark,
            pin,
            listings,
        })
    }

    async fn pin(
        &self,
        patience: Patience,
        repository: &RepositoryName,
        change: ChangeId,
        along: Along,
    ) -> Result<(Pin, Vec<Listed>), Failure> {
        if change == ChangeId::ROOT {
            // The empty tree that every history starts from has no commit to ask for.
            let pin = Pin {
                change,
                commit: GitOid([0; 20]),
                tree: GitOid::EMPTY_TREE,
                time: Timestamp::default(),
            };
            return Ok((pin, Vec::new()));
        }
        // The root's listing is what is looked at first; where one is known, the tree tells whether it is
        // still that.
        let depth = u8::from(along.known.is_none() && along.bytes_max > 0);
        let client = self.client();
        let commit_read = self
            .extensions_within(patience, repository)
            .await?
            .commit_read;
        let ask = async || {
            self.ask_within(patience, async || client.change(repository, change).await)
                .await
        };
        let mut now = ask().await?;
        for _ in 0..ATTEMPTS_MAX {
            let commit = now.change.current_commit_oid;
            let at = if commit_read {
                At::Commit(commit)
            } else {
                At::Change(change)
            };
            let root = self
                .read_within(patience, async |left| {
                    client
                        .directory(repository, at, &TreePath::ROOT, depth, left)
                        .await
                })
                .await?;
            let listings = (depth > 0).then_some((root.tree, root.entries));
            let listings = listings.into_iter().collect();
            let pin = Pin {
                change,
                commit,
                tree: root.tree,
                time: time_of(&now)?,
            };
            if commit_read {
                return Ok((pin, listings));
            }
            // The tree was that of the moment: it is this commit's if the change stayed.
            now = ask().await?;
            if now.change.current_commit_oid == commit {
                return Ok((pin, listings));
            }
        }
        Err(Failure::Protocol(Violation::OtherObject))
    }
}

impl Client {
    /// What `target` names now, with its first listings.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub(super) async fn snapshot(
        &self,
        repository: &RepositoryName,
        target: &Target,
        along: Along,
        patience: Duration,
    ) -> Result<Resolved, Failure> {
        let mut query = format!("?bytes_max={}", along.bytes_max);
        match target {
            Target::DefaultBookmark => {}
            Target::Bookmark(name) => query += &format!("&bookmark={}", encoded(name.as_bytes())),
            Target::Change(change) => query += &format!("&change_id={change}"),
        }
        if let Some(tree) = along.known {
            query += &format!("&known_tree={tree}");
        }
        let target = of_repository(repository, &format!("/ext/snapshot{query}"));
        let call = Call {
            patience,
            ..Call::get(repository.scope(), target)
        };
        let count = &self.counts.snapshots;
        let bytes = self
            .send(count, call)
            .await?
            .bytes(LISTING_BYTES_MAX)
            .await?;
        count.received(bytes.len());
        let answer: SnapshotAnswer = serde_json::from_slice(&bytes).map_err(Violation::Shape)?;
        let mut listings = Vec::with_capacity(answer.listings.len());
        for listing in answer.listings {
            listings.extend(checked(listing)?);
        }
        Ok(Resolved {
            bookmark: answer.bookmark,
            pin: Pin {
                change: answer.change_id,
                commit: answer.commit_oid,
                tree: answer.tree,
                time: parse_date(&answer.committed_at).map_err(|_| Violation::Date)?,
            },
            listings,
        })
    }
}

fn time_of(change: &ChangeDetail) -> Result<Timestamp, Failure> {
    let text = change.change.committer.date.as_ref();
    let text = text.unwrap_or(&change.change.updated_at);
    Ok(parse_date(text).map_err(|_| Violation::Date)?)
}
