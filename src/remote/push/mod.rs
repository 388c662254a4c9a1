//! Sends edits to the change that takes them: all of them in one PATCH, guarded by the commit that
//! they are meant for, so that the remote shows either none of them or all.
//!
//! A few small contents travel within the PATCH. More, and larger ones, go ahead of it where the server
//! can store blobs: many in one compressed request, and a large one in parts, which go on after a break;
//! what the server has already is named and not sent. Every PATCH names its batch in a trailer of the change's
//! description, by which [`Pusher::settle`] tells a lost answer from a refusal.
//!
//! A stock server (no `ordered`, no `blobs`) needs several PATCHes for a path that is removed and
//! written again, or for more than 8 MiB of contents. All but the last carry a trailer of their own,
//! so that an interrupted series is known as ours, and is sent again from its first edit.
//!
//! Blocking, single attempts: when to try again is decided by the journal's replay.

mod batch;
mod contents;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod message;
mod part;
mod plan;

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use self::message::{Mark, describe, mark_of};
use self::part::Part;
use self::plan::plan;
use super::api::{ChangePatch, FileOp, Ident, NewChange};
use super::{Extensions, Failure, ForeignEdits, Publisher, Remote, RepositoryName};
use crate::failpoints;
use crate::lower::{self, Lower};
use crate::tree::{ChangeId, ContentSource, Edit, GitOid, TreePath};

pub use self::plan::{KeptLocal, KeptReason};

/// Whose name a stock server, which demands one, is told; ours takes the credential's.
const STOCK_AUTHOR: (&str, &str) = ("Mesa mount", "mount@mesa.invalid");
/// Looks into the store after a fetch; a second fetch only if eviction was faster.
const LOOKS_MAX: u32 = 3;

/// Why a push did not go through.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The body changed while it was read: capture again. Nothing of this batch was accepted, or
    /// only what `settle` calls not there.
    #[error("{path} changed while it was read")]
    Torn {
        /// Which.
        path: TreePath,
    },
    /// A local body cannot be read.
    #[error("cannot read the body of {path}")]
    Body {
        /// Which.
        path: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Content of the snapshot is needed, and cannot be had.
    #[error("cannot read the snapshot")]
    Lower(#[from] lower::Error),
    /// The server, or the way to it.
    #[error(transparent)]
    Remote(#[from] Failure),
}

impl PushError {
    /// What it is that a body cannot be opened: one of a file that was removed since is captured
    /// otherwise next time.
    pub(super) fn unopened(
        path: &TreePath,
        body: &dyn ContentSource,
        source: io::Error,
    ) -> PushError {
        let path = path.clone();
        match body.is_unchanged() {
            true => PushError::Body { path, source },
            false => PushError::Torn { path },
        }
    }
}

/// A change that was made to take edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forked {
    /// The change.
    pub change: ChangeId,
    /// Its commit.
    pub commit: GitOid,
}

/// One batch of edits.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The change that takes them.
    pub change: ChangeId,
    /// The commit that they are meant for.
    pub base: GitOid,
    /// The fork's identifier, which stays in the description.
    pub transaction: [u8; 16],
    /// This batch's identifier.
    pub batch: [u8; 16],
    /// The edits, in order.
    pub edits: &'a [Edit],
}

/// What a push achieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The change's commit from now on; the base when there was nothing to send.
    pub commit: GitOid,
    /// What this server cannot take.
    pub kept_local: Vec<KeptLocal>,
}

/// What became of a push whose answer was lost, or that was refused by a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The change has it.
    Accepted(GitOid),
    /// The change does not have it: send it again, on this commit.
    NotThere(GitOid),
    /// Somebody else advanced the change to this commit.
    Foreign(GitOid),
}

/// Pushes to one repository.
#[derive(Debug)]
pub struct Pusher {
    remote: Arc<Remote>,
    repository: RepositoryName,
    lower: Arc<Lower>,
}

impl Pusher {
    /// Pushes edits of what `lower` shows of `repository`.
    pub fn new(remote: Arc<Remote>, repository: RepositoryName, lower: Arc<Lower>) -> Pusher {
        Pusher {
            remote,
            repository,
            lower,
        }
    }

    /// The server.
    pub fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// What tells whether others' edits of the same repository contradict ours.
    pub fn foreign_edits(&self) -> ForeignEdits {
        ForeignEdits::new(Arc::clone(&self.remote), self.repository.clone())
    }

    /// What gives bookmarks of the same repository our changes.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(Arc::clone(&self.remote), self.repository.clone())
    }

    /// Makes the change that takes the edits, on top of `base`. Repeating it with the same
    /// `transaction` gives the same change where the server knows idempotency keys, and else an
    /// empty change more.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after one attempt.
    pub fn fork(&self, base: ChangeId, transaction: [u8; 16]) -> Result<Forked, Failure> {
        let key = Uuid::from_bytes(transaction);
        let change = NewChange {
            base_change_id: base,
            message: Some(describe(key, None)),
            author: None,
            committer: None,
            files: Vec::new(),
        };
        let client = self.remote.client();
        let call = client.create_change(&self.repository, &change, key);
        let change = self.remote.block_on(self.remote.write(call))?;
        failpoints::FORK_ANSWERED.reach();
        Ok(Forked {
            change: change.id,
            commit: change.current_commit_oid,
        })
    }

    /// Sends one batch.
    ///
    /// # Errors
    ///
    /// [`PushError::Torn`] when a body has to be captured again; [`PushError::Remote`] as the server
    /// says, after which [`Pusher::settle`] tells what became of the batch if
    /// [`Failure::is_unknown_outcome`] or a conflict.
    pub fn push(&self, push: &Push<'_>) -> Result<Pushed, PushError> {
        if push.edits.is_empty() {
            return Ok(Pushed {
                commit: push.base,
                kept_local: Vec::new(),
            });
        }
        let extensions = self
            .remote
            .block_on(self.remote.extensions(&self.repository))?;
        let plan = plan(push.edits, extensions, &mut |path, tree| {
            self.lower.listing_at(path, tree)
        })?;
        let mut part = Part::new(extensions, plan.body_bytes());
        let mut commit = push.base;
        for step in plan.steps {
            if part.must_end_before(&step) {
                self.send_batch(&mut part.batch, push.base)?;
                commit = self.patch(push, commit, Mark::Part, part.take(), extensions)?;
            }
            let operation = self.operation(&step, &mut part, push.base)?;
            part.add(&step, operation);
        }
        self.send_batch(&mut part.batch, push.base)?;
        if !part.operations.is_empty() {
            commit = self.patch(push, commit, Mark::Batch, part.take(), extensions)?;
        }
        Ok(Pushed {
            commit,
            kept_local: plan.kept_local,
        })
    }

    /// Finds out what became of the batch that was meant for `base`.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries.
    pub fn settle(
        &self,
        change: ChangeId,
        base: GitOid,
        batch: [u8; 16],
    ) -> Result<Settled, Failure> {
        let client = self.remote.client();
        let ask = self
            .remote
            .ask(async || client.change(&self.repository, change).await);
        let found = self.remote.block_on(ask)?.change;
        failpoints::PUSH_SETTLED.reach();
        let commit = found.current_commit_oid;
        Ok(match mark_of(&found.message, Uuid::from_bytes(batch)) {
            Some(Mark::Batch) => Settled::Accepted(commit),
            Some(Mark::Part) => Settled::NotThere(commit),
            None if commit == base => Settled::NotThere(commit),
            None => Settled::Foreign(commit),
        })
    }

    fn patch(
        &self,
        push: &Push<'_>,
        base: GitOid,
        mark: Mark,
        files: Vec<FileOp>,
        extensions: Extensions,
    ) -> Result<GitOid, PushError> {
        let (transaction, batch) = (push.transaction, push.batch);
        let message = describe(
            Uuid::from_bytes(transaction),
            Some((mark, Uuid::from_bytes(batch))),
        );
        let stock_author = || Ident {
            name: STOCK_AUTHOR.0.to_owned(),
            email: STOCK_AUTHOR.1.to_owned(),
            date: None,
        };
        let patch = ChangePatch {
            message: Some(message),
            author: (extensions == Extensions::default()).then(stock_author),
            files: Some(files),
            base_commit_oid: Some(base),
            ..ChangePatch::default()
        };
        let client = self.remote.client();
        let call = client.patch_change(&self.repository, push.change, &patch);
        let change = self.remote.block_on(self.remote.write(call))?;
        failpoints::PUSH_ANSWERED.reach();
        Ok(change.current_commit_oid)
    }
}
