//! A repository as the lower layer's source.
//!
//! With `commit-read` a read names the pinned commit and is exact. Without it, it names the change,
//! whose commit may have moved on; then what comes is compared with the hash that the snapshot has,
//! and anything else is `Moved`. Blocking; for worker threads only.

use std::io::{self, Write};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::failure::Violation;
use super::{At, Failure, Remote, RepositoryName};
use crate::lower::{Domain, ListingEntry, Pin, Source, SourceError};
use crate::tree::{GitOid, TreePath};

/// One repository of a server, as a source of its snapshots.
#[derive(Debug)]
pub struct RepositorySource {
    remote: Arc<Remote>,
    repository: RepositoryName,
    domain: Domain,
}

impl RepositorySource {
    /// Reads `repository`.
    pub fn new(remote: Arc<Remote>, repository: RepositoryName) -> RepositorySource {
        RepositorySource {
            domain: Self::domain_of(remote.base()),
            remote,
            repository,
        }
    }

    /// Whose word the listings of the server at `address` are, without a connection to it.
    pub fn domain_of(address: &str) -> Domain {
        Domain::of(address.trim_end_matches('/'))
    }

    async fn at(&self, pin: &Pin) -> Result<At, Failure> {
        let extensions = self.remote.extensions(&self.repository).await?;
        Ok(if extensions.commit_read {
            At::Commit(pin.commit)
        } else {
            At::Change(pin.change)
        })
    }

    async fn read_listing(
        &self,
        pin: &Pin,
        path: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        let at = self.at(pin).await?;
        let client = self.remote.client();
        let directory = self
            .remote
            .read(async |patience| {
                client
                    .directory(&self.repository, at, path, 1, patience)
                    .await
            })
            .await
            .map_err(|failure| moved_if_gone(at, failure))?;
        if directory.tree != tree {
            return Err(moved(at));
        }
        Ok(directory.entries)
    }

    async fn read_object(
        &self,
        pin: &Pin,
        path: &TreePath,
        (oid, size): (GitOid, u64),
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        let at = self.at(pin).await?;
        let client = self.remote.client();
        let mut sink = Hashing::new(sink, size);
        let mut broken = None;
        let read = self
            .remote
            .read(async |patience| {
                let mut written = 0;
                let result = client
                    .object(
                        &self.repository,
                        at,
                        path,
                        patience,
                        &mut sink,
                        &mut written,
                    )
                    .await;
                match result {
                    // What the sink has cannot be taken back: no further attempt.
                    Err(failure) if written > 0 => {
                        broken = Some(failure);
                        Ok(())
                    }
                    other => other,
                }
            })
            .await;
        if let Err(failure) = broken.map_or(read, Err) {
            return Err(moved_if_gone(at, failure));
        }
        match at {
            // The lower layer verifies, and asks once more.
            At::Commit(_) => Ok(()),
            At::Change(_) if sink.oid() == oid => Ok(()),
            At::Change(_) => Err(SourceError::Moved),
        }
    }
}

/// A commit has what it has; a change may have another by now.
fn moved(at: At) -> SourceError {
    match at {
        At::Commit(_) => Failure::from(Violation::OtherObject).into(),
        At::Change(_) => SourceError::Moved,
    }
}

fn moved_if_gone(at: At, failure: Failure) -> SourceError {
    match (at, failure) {
        (At::Change(_), Failure::NotFound | Failure::NotAcceptable) => SourceError::Moved,
        (_, failure) => failure.into(),
    }
}

/// Passes bytes on, and knows the blob that they are.
pub(super) struct Hashing<'a> {
    sink: &'a mut dyn Write,
    hash: Sha1,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(sink: &'a mut dyn Write, size: u64) -> Hashing<'a> {
        let mut hash = Sha1::new();
        hash.update(format!("blob {size}\0"));
        Hashing { sink, hash }
    }

    pub(super) fn oid(&self) -> GitOid {
        GitOid(self.hash.clone().finalize().into())
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or(bytes));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Source for RepositorySource {
    fn listing(
        &self,
        pin: &Pin,
        path: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        self.remote.block_on(self.read_listing(pin, path, tree))
    }

    fn object(
        &self,
        pin: &Pin,
        path: &TreePath,
        oid: GitOid,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        self.remote
            .block_on(self.read_object(pin, path, (oid, size), sink))
    }

    fn domain(&self) -> Domain {
        self.domain
    }
}
