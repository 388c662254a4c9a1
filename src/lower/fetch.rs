//! One repository's pinned snapshot over the shared store.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use super::batches::Batches;
use super::coming::Ranges;
use super::flight::{Flights, STALL_MAX};
use super::parts::Parts;
use super::reads::Reads;
use super::store::Effort;
use super::{Error, Listing, ListingEntry, Pin, Source, SourceError, Store, Want};
use crate::tree::{GitOid, TreePath};

/// The blob without bytes, which needs no server.
const EMPTY_BLOB: GitOid = GitOid([
    0xe6, 0x9d, 0xe2, 0x9b, 0xb2, 0xd1, 0xd6, 0x43, 0x4b, 0x8b, 0x29, 0xae, 0x77, 0x5a, 0xd8, 0xc2,
    0xe4, 0x8c, 0x53, 0x91,
]);

/// How often damaged bytes are asked for: once more tells a bad line from a bad object.
pub(super) const ATTEMPTS_MAX: u32 = 2;

static EMPTY_LISTING: LazyLock<Arc<Listing>> = LazyLock::new(|| Arc::new(Listing::default()));

/// Whether an object is kept on disk that is too large for the store's limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// It is served from memory, and gone then.
    WithinLimits,
    /// It is: somebody pins it.
    Always,
}

/// What was asked of the source, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Listings that arrived.
    pub listings: u64,
    /// Objects that arrived whole.
    pub objects: u64,
    /// Bytes of these objects.
    pub object_bytes: u64,
    /// Objects that arrived damaged.
    pub damaged: u64,
    /// Listings whose entries do not hash to their tree: old modes, or submodules left out.
    pub listings_unproven: u64,
    /// Listings that were asked for, and were here.
    pub listing_hits: u64,
    /// Objects that were asked for, and were here.
    pub object_hits: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    listings: AtomicU64,
    objects: AtomicU64,
    object_bytes: AtomicU64,
    damaged: AtomicU64,
    listings_unproven: AtomicU64,
    listing_hits: AtomicU64,
    object_hits: AtomicU64,
}

impl Counts {
    pub(super) fn note_listing(&self, listing: &Listing, oid: GitOid) {
        self.listings.fetch_add(1, Ordering::Relaxed);
        if listing.tree_oid() != oid {
            // Not refused: Git trees can have modes that a listing does not tell, and a server may
            // leave submodules out. The blobs are verified in any case.
            self.listings_unproven.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%oid, "a listing does not prove its tree");
        }
    }

    pub(super) fn note_object(&self, size: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.object_bytes.fetch_add(size, Ordering::Relaxed);
    }

    pub(super) fn note_damaged(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }
}

/// One repository's pinned snapshot over the shared store.
pub struct Lower {
    store: Arc<Store>,
    source: Arc<dyn Source>,
    pin: Pin,
    flights: Flights,
    counts: Arc<Counts>,
    batches: Arc<Batches>,
    pub(super) parts: Arc<Parts>,
    reads: Reads,
}

impl Drop for Lower {
    fn drop(&mut self) {
        self.batches.close();
        self.parts.close();
    }
}

impl Lower {
    /// The snapshot `pin`, of which everything missing comes from `source`.
    pub fn new(store: Arc<Store>, source: Arc<dyn Source>, pin: Pin) -> Lower {
        let counts = Arc::default();
        Lower {
            batches: Arc::new(Batches::new(&store, &source, pin, &counts)),
            parts: Arc::new(Parts::new(&store, &source, pin, &counts)),
            store,
            source,
            pin,
            flights: Flights::default(),
            counts,
            reads: Reads::default(),
        }
    }

    /// The same, for a reader of whom nothing is to be guessed: nothing is fetched ahead.
    pub fn as_asked(self) -> Lower {
        self.batches.close();
        self.parts.close();
        self
    }

    /// The snapshot.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// What readers have read; whoever gives them bytes notes it.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Says what readers are likely to want, the likeliest first. It is fetched in the background from the
    /// next [`Lower::looked_into`] on, as far as it may be fetched ahead; what a failure leaves out is tried
    /// again by a later look.
    pub fn expect(&self, paths: Vec<TreePath>) {
        self.batches.expect(paths);
    }

    /// Asks for listings that nobody has asked for yet, in the background, where the snapshot's first have
    /// just come and are not all.
    pub fn list_ahead(&self) {
        Batches::list_ahead(&self.batches);
    }

    /// Notes that somebody looks into a directory. Brief, may be called under a lock.
    pub fn looked_into(&self) {
        Batches::looked_into(&self.batches);
    }

    /// What was asked of the source so far.
    pub fn counters(&self) -> Counters {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            listings: load(&self.counts.listings),
            objects: load(&self.counts.objects),
            object_bytes: load(&self.counts.object_bytes),
            damaged: load(&self.counts.damaged),
            listings_unproven: load(&self.counts.listings_unproven),
            listing_hits: load(&self.counts.listing_hits),
            object_hits: load(&self.counts.object_hits),
        }
    }

    /// From memory alone: never blocks, may be called under a lock.
    pub fn listing_in_memory(&self, oid: GitOid) -> Option<Arc<Listing>> {
        if oid == GitOid::EMPTY_TREE {
            return Some(EMPTY_LISTING.clone());
        }
        self.store.listing_in_memory(self.source.domain(), oid)
    }

    /// From the local store (and then memory); `None` when it has to be fetched. The empty tree is
    /// always there.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the process has no descriptors left. Damage counts as missing.
    pub fn listing(&self, oid: GitOid) -> Result<Option<Arc<Listing>>, Error> {
        if oid == GitOid::EMPTY_TREE {
            return Ok(Some(EMPTY_LISTING.clone()));
        }
        let found = self.store.listing(self.source.domain(), oid)?;
        if found.is_some() {
            self.counts.listing_hits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// The object's file, opened read-only and positioned at its start, from the local store;
    /// `None` when `fetch` has to be called, which for a large object may only mean that it has to
    /// be hashed on a thread that can wait. The empty blob is always there.
    ///
    /// An object found damaged is removed and counts as not there.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the process has no descriptors left.
    pub fn object(&self, oid: GitOid) -> Result<Option<File>, Error> {
        let found = self.store.blob(oid, Effort::Brief)?;
        if found.is_none() && oid == EMPTY_BLOB {
            self.make_empty_blob()?;
            return self.store.blob(oid, Effort::Brief);
        }
        if found.is_some() {
            self.counts.object_hits.fetch_add(1, Ordering::Relaxed);
            self.batches.ahead.used(oid);
        }
        Ok(found)
    }

    /// Whether what is missing is on this machine, and only has to be looked at by a thread that may
    /// block.
    pub fn is_here(&self, want: &Want) -> bool {
        match want {
            Want::Listing { .. } | Want::Part { .. } => false,
            Want::Object { oid, .. } => self.store.has_blob(*oid),
        }
    }

    fn make_empty_blob(&self) -> Result<(), Error> {
        let progress = AtomicU64::new(0);
        let incoming = self.store.incoming(0, &progress)?;
        self.store.publish_blob(incoming, EMPTY_BLOB, 0)?;
        Ok(())
    }

    /// Fetches into the store; blocks; concurrent calls for one object share one request, and its
    /// error.
    ///
    /// # Errors
    ///
    /// [`Error::Source`] as the source says, or `TimedOut` when another thread's fetch of the same
    /// object made no progress for 30 s; [`Error::Corrupt`] when the bytes were wrong twice;
    /// [`Error::DuplicateName`]; [`Error::Store`] when the local disk does not take an object.
    pub fn fetch(&self, want: &Want) -> Result<(), Error> {
        match want {
            Want::Listing { oid, .. } if *oid == GitOid::EMPTY_TREE => Ok(()),
            Want::Object { oid, .. } if *oid == EMPTY_BLOB => Ok(()),
            Want::Listing { path, oid } => self
                .flights
                .run(*oid, STALL_MAX, |_| self.fetch_listing(path, *oid)),
            Want::Object { path, oid, size } => self.flights.run(*oid, STALL_MAX, |progress| {
                self.fetch_object(path, *oid, *size, progress)
            }),
            Want::Part {
                path,
                oid,
                size,
                range,
            } => match Parts::fetch(&self.parts, (path, *oid, *size), range)? {
                Ranges::Came => Ok(()),
                Ranges::Unknown => self.fetch(&Want::Object {
                    path: path.clone(),
                    oid: *oid,
                    size: *size,
                }),
            },
        }
    }

    fn fetch_listing(&self, path: &TreePath, oid: GitOid) -> Result<(), Error> {
        if self.listing(oid)?.is_some() {
            return Ok(());
        }
        let is_here = || self.listing_in_memory(oid).is_some();
        self.batches.sweeps.wait(path, is_here);
        if self.listing(oid)?.is_some() {
            return Ok(());
        }
        // A source may not know the tree by its id alone.
        if !self.batches.listing_and_below(path, oid)? || self.listing_in_memory(oid).is_none() {
            let entries = self.source.listing(&self.pin, path, oid)?;
            self.keep_listing(oid, entries)?;
        }
        Batches::listing_was_fetched(&self.batches, path);
        Ok(())
    }

    /// Keeps a listing of the snapshot that came along with something else.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateName`].
    pub fn keep_listing(&self, oid: GitOid, entries: Vec<ListingEntry>) -> Result<(), Error> {
        let listing = Listing::new(entries)?;
        self.counts.note_listing(&listing, oid);
        self.store.keep_listing(self.source.domain(), oid, listing);
        Ok(())
    }

    fn fetch_object(
        &self,
        path: &TreePath,
        oid: GitOid,
        size: u64,
        progress: &AtomicU64,
    ) -> Result<(), Error> {
        let was_queued = self.batches.ahead.wait(oid);
        if self.store.blob(oid, Effort::Whole)?.is_some() {
            return Ok(());
        }
        if !was_queued {
            self.batches.ahead.missed(path);
        }
        let what = (path, oid, size);
        self.request_object(what, Kept::WithinLimits, progress)?;
        Batches::object_was_fetched(&self.batches, path);
        Ok(())
    }

    /// As [`Lower::fetch`] of an object, by somebody who knows what comes next: nothing is guessed from
    /// it.
    pub(super) fn fetch_alone(
        &self,
        path: &TreePath,
        oid: GitOid,
        size: u64,
        kept: Kept,
    ) -> Result<(), Error> {
        self.flights.run(oid, STALL_MAX, |progress| {
            let is_here = match kept {
                Kept::WithinLimits => self.store.blob(oid, Effort::Whole)?.is_some(),
                Kept::Always => self.store.has_blob(oid),
            };
            match is_here {
                true => Ok(()),
                false => self.request_object((path, oid, size), kept, progress),
            }
        })
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn source(&self) -> &dyn Source {
        &*self.source
    }

    pub(super) fn batches(&self) -> &Arc<Batches> {
        &self.batches
    }

    fn request_object(
        &self,
        what: (&TreePath, GitOid, u64),
        kept: Kept,
        progress: &AtomicU64,
    ) -> Result<(), Error> {
        let (path, oid, size) = what;
        if self.parts.complete(what, progress)? {
            return Ok(());
        }
        for attempt in 1..=ATTEMPTS_MAX {
            if self.attempt_object(what, kept, progress)? {
                self.counts.note_object(size);
                self.store.forget_partials_of(oid);
                return Ok(());
            }
            self.counts.note_damaged();
            tracing::warn!(%oid, %path, size, attempt, "an object arrived damaged");
        }
        Err(Error::Corrupt { oid })
    }

    /// Whether the right bytes came.
    fn attempt_object(
        &self,
        (path, oid, size): (&TreePath, GitOid, u64),
        kept: Kept,
        progress: &AtomicU64,
    ) -> Result<bool, Error> {
        let mut incoming = self.store.incoming(size, progress)?;
        match self
            .source
            .object(&self.pin, path, oid, size, &mut incoming)
        {
            Ok(()) => self.store.publish_blob_as(incoming, oid, size, kept),
            Err(SourceError::Sink(_)) if incoming.overflown() => Ok(false),
            Err(SourceError::Sink(error)) => Err(Error::Store(error)),
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Debug for Lower {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lower")
            .field("pin", &self.pin)
            .finish_non_exhaustive()
    }
}
