//! Reading a large object before it is here as a whole: by chunks, as they are asked for, with those that a
//! reader from front to back will want next.
//!
//! ```text
//! read_partly --> chunks of the partial object --> bytes
//!            `--> Want::Part --> fetch: requests of up to 2 MiB --> digest --> chunks
//!                                              the last one --> Git hash of the whole --> published
//! ```
//!
//! **Whose word it is.** A Git hash proves an object as a whole and no part of it. So until all of it is
//! here, a part is believed as a listing is: on the word of the server that was authenticated, and only
//! within its domain. What the digest of each range proves is that the bytes are those that this server sent;
//! one that does not fit is asked for once more, and then an error. As soon as the whole is here, its Git
//! hash is compared. If it is another, the server is believed no part of anything any more, so that
//! everything is proved before it is read, and the caller is told to forget what it was given
//! ([`Lower::is_distrusted`]).
//!
//! Without ranges, and for what the store would not keep, an object is read as a whole, as small ones are.
//! Whoever wants the whole, such as a copy-up, gets what lacks where more than half is here: beyond that one
//! request that brings all is sooner done than many.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::batches::{ROOM_BYTES_MIN, start};
use super::chunks::CHUNK_BYTES;
use super::coming::Ranges;
use super::fetch::{ATTEMPTS_MAX, Counts, Kept};
use super::pace::Pace;
use super::partial::{Look, Partial, bytes_of};
use super::partials::PARTIAL_BYTES_MAX;
use super::{Error, Lower, Pin, Source, Store, Want};
use crate::tree::{GitOid, TreePath};

/// Objects up to this are fetched as a whole: they come within a second of a slow network.
pub(super) const WHOLE_BYTES_MAX: u64 = 4 << 20;
/// Chunks that are hashed by whoever brought one, before it goes on: some milliseconds.
const HASHED_AT_ONCE_MAX: u64 = 16;

/// Everything that the threads need that fetch parts of one snapshot's objects.
pub(super) struct Parts {
    store: Arc<Store>,
    source: Arc<dyn Source>,
    pin: Pin,
    counts: Arc<Counts>,
    pace: Pace,
    /// The source has no ranges.
    is_unknown: AtomicBool,
    /// Nothing is fetched ahead.
    is_as_asked: AtomicBool,
}

impl Parts {
    pub(super) fn new(
        store: &Arc<Store>,
        source: &Arc<dyn Source>,
        pin: Pin,
        counts: &Arc<Counts>,
    ) -> Parts {
        Parts {
            store: store.clone(),
            source: source.clone(),
            pin,
            counts: counts.clone(),
            pace: Pace::new(),
            is_unknown: AtomicBool::new(false),
            is_as_asked: AtomicBool::new(store.prefetch.is_none()),
        }
    }

    /// Ends what is fetched ahead, with the request that is under way.
    pub(super) fn close(&self) {
        self.is_as_asked.store(true, Ordering::Relaxed);
    }

    /// Whether an object is read in parts while it is not here.
    fn are_of(&self, size: u64) -> bool {
        (WHOLE_BYTES_MAX + 1..=PARTIAL_BYTES_MAX).contains(&size)
            && self.store.keeps(size)
            && !self.is_unknown.load(Ordering::Relaxed)
            && !self.store.distrusts(self.source.domain())
    }

    fn find(&self, oid: GitOid) -> Option<Arc<Partial>> {
        self.store.partial(self.source.domain(), oid)
    }

    /// Fetches bytes of an object; says whether the source can.
    pub(super) fn fetch(
        parts: &Arc<Parts>,
        (path, oid, size): (&TreePath, GitOid, u64),
        range: &Range<u64>,
    ) -> Result<Ranges, Error> {
        if !parts.are_of(size) || parts.store.has_blob(oid) {
            return Ok(Ranges::Unknown);
        }
        let range = range.start.min(size)..range.end.min(size);
        let partial = parts
            .store
            .partial_or_new(parts.source.domain(), oid, size)?;
        Parts::note(parts, &partial, &range);
        let mut mine = false;
        let ranges = partial.obtain(&range, &parts.pace, |chunks| {
            mine = true;
            parts.request(&partial, path, chunks)
        })?;
        if mine {
            Parts::hash_soon(parts, &partial);
        }
        Ok(ranges)
    }

    /// Notes that bytes are read, and fetches what will be read next.
    fn note(parts: &Arc<Parts>, partial: &Arc<Partial>, range: &Range<u64>) {
        let Some(ahead) = partial.note(range, parts.pace.window()) else {
            return;
        };
        let bytes = (ahead.end - ahead.start) * CHUNK_BYTES;
        if parts.is_as_asked.load(Ordering::Relaxed)
            || !parts.store.has_room(ROOM_BYTES_MIN + bytes)
        {
            return;
        }
        let step = parts.pace.request();
        let mut first = ahead.start;
        while first < ahead.end {
            let chunks = first..ahead.end.min(first + step);
            first = chunks.end;
            let (parts, partial) = (parts.clone(), partial.clone());
            // Without a thread, whoever reads on asks for themselves.
            let _begun = start("mesa-part", move || parts.fetch_ahead(&partial, &chunks));
        }
    }

    fn fetch_ahead(&self, partial: &Arc<Partial>, chunks: &Range<u64>) {
        {
            let _pass = self.store.gate.enter();
            if self.is_as_asked.load(Ordering::Relaxed) {
                return;
            }
            partial.obtain_ahead(chunks, &self.pace, |chunks| {
                self.request(partial, &TreePath::ROOT, chunks)
            });
        }
        self.hash(partial);
    }

    /// Gets chunks that nobody else gets.
    fn request(
        &self,
        partial: &Partial,
        path: &TreePath,
        chunks: &Range<u64>,
    ) -> Result<Ranges, Error> {
        let (oid, size) = (partial.oid, partial.size);
        let range = bytes_of(chunks, size);
        for attempt in 1..=ATTEMPTS_MAX {
            let begun = Instant::now();
            let Some(part) = self.source.range(&self.pin, oid, size, &range)? else {
                self.is_unknown.store(true, Ordering::Relaxed);
                return Ok(Ranges::Unknown);
            };
            self.pace.came(chunks.end - chunks.start, begun.elapsed());
            if part.is_sound(range.end - range.start) {
                let written = partial.keep(chunks, &part.bytes).map_err(Error::Store)?;
                self.store.count_chunks(written);
                return Ok(Ranges::Came);
            }
            self.counts.note_damaged();
            tracing::warn!(%oid, %path, ?range, attempt, "a part of an object arrived damaged");
        }
        Err(Error::Corrupt { oid })
    }

    /// Fetches what lacks of an object of which more than half is here; says whether it is whole then. Adds
    /// the bytes that come to `progress`.
    pub(super) fn complete(
        &self,
        (path, oid, size): (&TreePath, GitOid, u64),
        progress: &AtomicU64,
    ) -> Result<bool, Error> {
        if !self.are_of(size) {
            return Ok(false);
        }
        let Some(partial) = self.find(oid).filter(|found| found.is_mostly_here()) else {
            return Ok(false);
        };
        let came = partial.obtain(&(0..size), &self.pace, |chunks| {
            let came = self.request(&partial, path, chunks);
            let range = bytes_of(chunks, size);
            progress.fetch_add(range.end - range.start, Ordering::Relaxed);
            came
        });
        match came {
            Ok(Ranges::Came) => {}
            // All of it in one request may do better.
            Ok(Ranges::Unknown) | Err(Error::Corrupt { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.hash(&partial);
        // Who hashes the last of it, or publishes it, may be another thread.
        let is_over = || {
            self.find(oid)
                .is_none_or(|found| !Arc::ptr_eq(&found, &partial))
        };
        partial.wait_for_hashes(is_over);
        Ok(self.store.has_blob(oid))
    }

    /// Hashes what came, on another thread if that is much.
    fn hash_soon(parts: &Arc<Parts>, partial: &Arc<Partial>) {
        if partial.unhashed(HASHED_AT_ONCE_MAX + 1) > HASHED_AT_ONCE_MAX {
            let (hasher, object) = (parts.clone(), partial.clone());
            if start("mesa-part", move || hasher.hash(&object)).is_some() {
                return;
            }
        }
        parts.hash(partial);
    }

    /// Hashes what came, and publishes the object if that was the last of it.
    fn hash(&self, partial: &Arc<Partial>) {
        let oid = partial.oid;
        let incoming = match partial.hash() {
            Ok(None) => return,
            Ok(Some(incoming)) => incoming,
            Err(error) => {
                tracing::debug!(%oid, %error, "parts of an object are gone");
                return self.store.forget_partial(partial);
            }
        };
        let size = partial.size;
        self.store.keeper.removed(size);
        match self
            .store
            .publish_blob_as(incoming, oid, size, Kept::Always)
        {
            Ok(true) => self.counts.note_object(size),
            Ok(false) => {
                self.counts.note_damaged();
                self.store.distrust(self.source.domain());
                tracing::error!(
                    %oid,
                    size,
                    "an object is not what its parts were told to be: from now on everything of this \
                     server is read as a whole, and what was read of it in parts is read again"
                );
            }
            Err(error) => tracing::debug!(%oid, %error, "parts of an object are gone"),
        }
        self.store.forget_partial(partial);
    }
}

impl Lower {
    /// Appends bytes of a large object that is not here as a whole. What has to be fetched, if they are not
    /// here: the whole where it is not read in parts.
    ///
    /// Until [`Lower::object`] finds it, the object is not proved to be what its id says.
    ///
    /// # Errors
    ///
    /// What to fetch.
    pub fn read_partly(
        &self,
        want: &Want,
        range: &Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Want> {
        let Want::Object { path, oid, size } = want else {
            return Err(want.clone());
        };
        let range = range.start.min(*size)..range.end.min(*size);
        if !self.parts.are_of(*size) {
            return Err(want.clone());
        }
        if range.is_empty() {
            return Ok(());
        }
        if let Some(partial) = self.parts.find(*oid) {
            match partial.read(&range, buffer) {
                Look::Read => {
                    Parts::note(&self.parts, &partial, &range);
                    return Ok(());
                }
                Look::Lacking => {}
                Look::Gone => self.store().forget_partial(&partial),
            }
        }
        // It has to be hashed, by a thread that may wait for the disk.
        if self.store().has_blob(*oid) {
            return Err(want.clone());
        }
        Err(Want::Part {
            path: path.clone(),
            oid: *oid,
            size: *size,
            range,
        })
    }

    /// Whether bytes that [`Lower::read_partly`] gave, of any object, may have been wrong: the server said
    /// so of one at least. What was read has to be read again.
    pub fn is_distrusted(&self) -> bool {
        self.store().distrusts(self.source().domain())
    }
}

#[cfg(test)]
impl Lower {
    /// How many threads wait for what others fetch of an object.
    pub(super) fn waiting_for(&self, oid: GitOid) -> usize {
        self.parts.find(oid).map_or(0, |partial| partial.waiting())
    }
}
