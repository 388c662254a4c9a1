//! A repository as the lower layer's source.
//!
//! With `commit-read` a read names the pinned commit and is exact. Without it, it names the change,
//! whose commit may have moved on; then what comes is compared with the hash that the snapshot has,
//! and anything else is `Moved`. Blocking; for worker threads only.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::batches::Take;
use super::failure::Violation;
use super::patience::Patience;
use super::sinks::{Bounded, Hashing};
use super::{At, Extensions, Failure, Remote, RepositoryName};
use crate::lower::{
    Domain, ListingEntry, Located, Part, Pin, Prefetch, Source, SourceError, Taker,
};
use crate::tree::{GitOid, TreePath};

/// Objects up to this are held in memory until they are whole: nearly all that there are, and for
/// sixteen at a time a sixth of the daemon's memory at worst.
const BUFFERED_BYTES_MAX: usize = 1024 * 1024;

/// One repository of a server, as a source of its snapshots.
#[derive(Debug)]
pub struct RepositorySource {
    pub(super) remote: Arc<Remote>,
    pub(super) repository: RepositoryName,
    domain: Domain,
    /// Requests at once, over all repositories of the server, for what nobody waits for.
    pub(super) requests_max: u32,
}

impl RepositorySource {
    /// Reads `repository`.
    pub fn new(remote: Arc<Remote>, repository: RepositoryName) -> RepositorySource {
        RepositorySource {
            domain: Self::domain_of(remote.base()),
            remote,
            repository,
            requests_max: Prefetch::default().requests_max,
        }
    }

    /// The same, with so many requests at once for what nobody waits for, of a server that sends one object
    /// for a request.
    pub fn with_requests_max(mut self, requests_max: u32) -> RepositorySource {
        self.requests_max = requests_max;
        self
    }

    /// Whose word the listings of the server at `address` are, without a connection to it.
    pub fn domain_of(address: &str) -> Domain {
        Domain::of(address.trim_end_matches('/'))
    }

    pub(super) async fn at(&self, patience: Patience, pin: &Pin) -> Result<At, Failure> {
        let extensions = self
            .remote
            .extensions_within(patience, &self.repository)
            .await?;
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
        let patience = self.remote.patience();
        let at = self.at(patience, pin).await?;
        let client = self.remote.client();
        let directory = self
            .remote
            .read_within(patience, async |left| {
                client.directory(&self.repository, at, path, 1, left).await
            })
            .await
            .map_err(|failure| moved_if_gone(at, failure))?;
        if directory.tree != tree {
            return Err(moved(at));
        }
        Ok(directory.entries)
    }

    async fn sweep(
        &self,
        pin: &Pin,
        top: (&TreePath, GitOid),
        bytes_max: Option<u64>,
        take: Take<'_>,
    ) -> Result<bool, SourceError> {
        let client = self.remote.client();
        let wanted = (pin.commit, top.1, bytes_max);
        let knows = |extensions: Extensions| {
            extensions.trees && (bytes_max.is_none() || extensions.snapshots)
        };
        let read = self.read_many(knows, async |left, taken| {
            client
                .trees(&self.repository, wanted, left, &mut *take, taken)
                .await
        });
        match read.await? {
            // Without a limit of bytes a level more may be much more.
            false if bytes_max.is_none() => self.layers(pin, top, take).await.map(|()| true),
            could => Ok(could),
        }
    }

    async fn batch(
        &self,
        pin: &Pin,
        wanted: &[Located],
        taker: &mut dyn Taker,
    ) -> Result<(), SourceError> {
        let client = self.remote.client();
        let oids: Vec<GitOid> = wanted.iter().map(|(_, oid, _)| *oid).collect();
        let what = (pin.commit, &oids[..]);
        let knows = |extensions: Extensions| extensions.objects;
        let read = self.read_many(knows, async |left, taken| {
            client
                .objects(&self.repository, what, left, &mut *taker, taken)
                .await
        });
        match read.await? {
            true => Ok(()),
            false => self.one_by_one(pin, wanted, taker).await,
        }
    }

    /// Reads many things at once, if the server knows such a request; `read` counts what has come. That is
    /// kept when the rest does not come, so the same is not asked for again.
    async fn read_many(
        &self,
        knows: impl Fn(Extensions) -> bool,
        mut read: impl AsyncFnMut(Duration, &mut u64) -> Result<(), Failure>,
    ) -> Result<bool, SourceError> {
        let patience = self.remote.patience();
        let extensions = self
            .remote
            .extensions_within(patience, &self.repository)
            .await?;
        if !knows(extensions) || !extensions.commit_read {
            return Ok(false);
        }
        let (mut taken, mut broken) = (0, None);
        let read = self
            .remote
            .read_within(patience, async |left| match read(left, &mut taken).await {
                Err(failure) if taken > 0 => {
                    broken = Some(failure);
                    Ok(())
                }
                other => other,
            })
            .await;
        broken.map_or(read, Err)?;
        Ok(true)
    }

    async fn read_range(
        &self,
        pin: &Pin,
        (oid, size): (GitOid, u64),
        range: &Range<u64>,
    ) -> Result<Option<Part>, SourceError> {
        let patience = self.remote.patience();
        let extensions = self
            .remote
            .extensions_within(patience, &self.repository)
            .await?;
        if !extensions.ranges || !extensions.commit_read {
            return Ok(None);
        }
        let (client, what) = (self.remote.client(), (pin.commit, oid, size));
        let read = self.remote.read_within(patience, async |left| {
            client.range(&self.repository, what, range, left).await
        });
        Ok(read.await?)
    }

    /// Into memory first: a body that is cut off is asked for again.
    pub(super) async fn read_small(
        &self,
        patience: Patience,
        at: At,
        path: &TreePath,
        size: usize,
        sink: &mut dyn Write,
    ) -> Result<(), Failure> {
        let client = self.remote.client();
        let mut buffer = Bounded {
            bytes: Vec::with_capacity(size),
            bytes_max: size,
        };
        self.remote
            .read_within(patience, async |left| {
                buffer.bytes.clear();
                let (repository, written) = (&self.repository, &mut 0);
                client
                    .object(repository, at, path, left, &mut buffer, written)
                    .await
            })
            .await
            // More than was announced is not cut off, it is something else.
            .or_else(|failure| match failure {
                Failure::Sink(_) => Ok(()),
                failure => Err(failure),
            })?;
        sink.write_all(&buffer.bytes).map_err(Failure::Sink)
    }

    /// As it comes: a body that is cut off is the end of the read, since what the sink has cannot be
    /// taken back.
    async fn read_large(
        &self,
        patience: Patience,
        at: At,
        path: &TreePath,
        sink: &mut dyn Write,
    ) -> Result<(), Failure> {
        let client = self.remote.client();
        let mut broken = None;
        let read = self
            .remote
            .read_within(patience, async |left| {
                let mut written = 0;
                let result = client
                    .object(&self.repository, at, path, left, sink, &mut written)
                    .await;
                match result {
                    Err(failure) if written > 0 => {
                        broken = Some(failure);
                        Ok(())
                    }
                    other => other,
                }
            })
            .await;
        broken.map_or(read, Err)
    }

    async fn read_object(
        &self,
        pin: &Pin,
        path: &TreePath,
        (oid, size): (GitOid, u64),
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        let patience = self.remote.patience();
        let at = self.at(patience, pin).await?;
        let mut sink = Hashing::new(sink, size);
        let read = match usize::try_from(size) {
            Ok(size) if size <= BUFFERED_BYTES_MAX => {
                self.read_small(patience, at, path, size, &mut sink).await
            }
            _ => self.read_large(patience, at, path, &mut sink).await,
        };
        read.map_err(|failure| moved_if_gone(at, failure))?;
        match at {
            // The lower layer verifies, and asks once more.
            At::Commit(_) => Ok(()),
            At::Change(_) if sink.oid() == oid => Ok(()),
            At::Change(_) => Err(SourceError::Moved),
        }
    }
}

/// A commit has what it has; a change may have another by now.
pub(super) fn moved(at: At) -> SourceError {
    match at {
        At::Commit(_) => Failure::from(Violation::OtherObject).into(),
        At::Change(_) => SourceError::Moved,
    }
}

pub(super) fn moved_if_gone(at: At, failure: Failure) -> SourceError {
    match (at, failure) {
        (At::Change(_), Failure::NotFound | Failure::NotAcceptable) => SourceError::Moved,
        (_, failure) => failure.into(),
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

    fn listings_below(
        &self,
        pin: &Pin,
        top: (&TreePath, GitOid),
        bytes_max: Option<u64>,
        take: Take<'_>,
    ) -> Result<bool, SourceError> {
        self.remote.block_on(self.sweep(pin, top, bytes_max, take))
    }

    fn asks_one_by_one(&self) -> bool {
        let known = self.remote.known_extensions();
        known.is_some_and(|extensions| !extensions.objects || !extensions.commit_read)
    }

    fn objects(
        &self,
        pin: &Pin,
        wanted: &[Located],
        taker: &mut dyn Taker,
    ) -> Result<bool, SourceError> {
        self.remote.block_on(self.batch(pin, wanted, taker))?;
        Ok(true)
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

    fn range(
        &self,
        pin: &Pin,
        oid: GitOid,
        size: u64,
        range: &Range<u64>,
    ) -> Result<Option<Part>, SourceError> {
        self.remote
            .block_on(self.read_range(pin, (oid, size), range))
    }

    fn domain(&self) -> Domain {
        self.domain
    }
}
