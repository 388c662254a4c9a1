//! One large object of which some chunks are here: a sparse file, and what is known of it.
//!
//! ```text
//! lacking --> coming (one request, whoever wants it waits for that) --> here
//!    ^------------' it failed
//! ```
//!
//! What is here from the front on is hashed as it grows, by one thread at a time, so that the last chunk of
//! a file that is read from front to back finds nearly all the rest hashed.
//!
//! **Eviction.** Another process may take the file away, first its name and then its bytes (`evict.rs`).
//! So whoever has read looks whether the name was still there: then the bytes were, too. A chunk that was
//! written to a file without a name is lost, which its reader notices in the same way.
//!
//! **A full disk.** What it does not take goes into memory, a few chunks at a time; such an object is never
//! whole here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::chunks::{CHUNK_BYTES, Chunks};
use super::coming::Landing;
use super::disk::mark_used;
use super::incoming::{Hashes, Incoming, memory};
use super::pace::REQUEST_CHUNKS_MAX;
use super::runs::Runs;
use super::store::USED_EVERY;
use super::unkept::is_full;
use crate::tree::GitOid;

/// Chunks that are in memory where the disk is full: those of a few requests of the kernel.
const MEMORY_CHUNKS_MAX: u64 = 32;

/// How long others may take to hash what is here: longer than a slow disk takes to read the largest that a
/// store usually keeps; and how often is looked whether they have.
const HASHED_MAX: Duration = Duration::from_secs(60);
const HASHED_LOOK: Duration = Duration::from_millis(20);

/// What a look at some bytes found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    Read,
    Lacking,
    /// The file was evicted.
    Gone,
}

pub(super) struct Partial {
    pub(super) oid: GitOid,
    pub(super) size: u64,
    pub(super) state: Mutex<State>,
    /// A request has ended.
    pub(super) landed: Condvar,
}

pub(super) struct State {
    file: Arc<File>,
    in_memory: bool,
    /// `None` in memory, once it is whole, and once it is removed.
    path: Option<PathBuf>,
    pub(super) here: Chunks,
    pub(super) coming: Vec<(Range<u64>, Arc<Landing>)>,
    /// Of the first bytes; `None` while a thread adds to it, and when there is no more to add.
    hashes: Option<Hashes>,
    runs: Runs,
    used: Instant,
}

impl Partial {
    /// An object of `size` bytes of which nothing is here, in a file at a path that nothing has.
    pub(super) fn create(path: io::Result<PathBuf>, oid: GitOid, size: u64) -> io::Result<Partial> {
        let created = path.and_then(|path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            let file = options.open(&path)?;
            Ok((file, Some(path)))
        });
        let (file, path) = match created {
            Err(error) if is_full(&error) => (in_memory(error)?, None),
            created => created?,
        };
        let state = State {
            file: Arc::new(file),
            in_memory: path.is_none(),
            path,
            here: Chunks::new(size),
            coming: Vec::new(),
            hashes: Some(Hashes::new(size)),
            runs: Runs::default(),
            used: Instant::now(),
        };
        Ok(Partial {
            oid,
            size,
            state: Mutex::new(state),
            landed: Condvar::new(),
        })
    }

    /// Whether nobody evicted it.
    pub(super) fn is_alive(&self) -> bool {
        let (file, in_memory) = self.state.lock().medium();
        in_memory || has_name(&file)
    }

    /// Whether more than half of it is here, where all of it can be.
    pub(super) fn is_mostly_here(&self) -> bool {
        let chunks = self.size.div_ceil(CHUNK_BYTES);
        let here = self.state.lock().here.count();
        here * 2 > chunks && !self.is_in_memory() && self.is_alive()
    }

    /// Whether a full disk did not take it.
    pub(super) fn is_in_memory(&self) -> bool {
        self.state.lock().in_memory
    }

    /// Appends bytes that are within the object, if all of them are here.
    pub(super) fn read(&self, range: &Range<u64>, buffer: &mut Vec<u8>) -> Look {
        let is_due;
        let (file, in_memory) = {
            let mut state = self.state.lock();
            if !state.here.has_all(&chunks_of(range)) {
                return Look::Lacking;
            }
            is_due = !state.in_memory && state.used.elapsed() >= USED_EVERY;
            if is_due {
                state.used = Instant::now();
            }
            state.medium()
        };
        if is_due {
            mark_used(&file);
        }
        let start = buffer.len();
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        buffer.resize(start + length, 0);
        let room = buffer.get_mut(start..).unwrap_or_default();
        let read = file.read_exact_at(room, range.start);
        if read.is_err() || (!in_memory && !has_name(&file)) {
            buffer.truncate(start);
            return Look::Gone;
        }
        Look::Read
    }

    /// Notes that bytes are read; gives the chunks to fetch ahead.
    pub(super) fn note(&self, range: &Range<u64>, window_max: u64) -> Option<Range<u64>> {
        let mut state = self.state.lock();
        let (chunks, read) = (self.size.div_ceil(CHUNK_BYTES), chunks_of(range));
        let ahead = state.runs.note(&read, chunks, window_max)?;
        // In memory they would drive out each other.
        (!state.in_memory).then_some(ahead)
    }

    /// Takes the bytes of chunks that arrived; gives those that this took on disk.
    ///
    /// # Errors
    ///
    /// What the disk says, but for a full one.
    pub(super) fn keep(&self, chunks: &Range<u64>, bytes: &[u8]) -> io::Result<u64> {
        loop {
            let (file, in_memory) = self.state.lock().medium();
            if in_memory {
                return self.state.lock().keep_in_memory(chunks, bytes).map(|()| 0);
            }
            match file.write_all_at(bytes, chunks.start * CHUNK_BYTES) {
                Ok(()) => {
                    let mut state = self.state.lock();
                    // Another thread found the disk full meanwhile.
                    if Arc::ptr_eq(&state.file, &file) {
                        state.here.add(chunks);
                        return Ok(bytes.len() as u64);
                    }
                }
                Err(error) if is_full(&error) => {
                    let mut state = self.state.lock();
                    if Arc::ptr_eq(&state.file, &file) {
                        state.move_to_memory(error)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How many chunks could be hashed now, as far as the caller counts.
    pub(super) fn unhashed(&self, most: u64) -> u64 {
        let state = self.state.lock();
        let hashed = state.hashes.as_ref().map(Hashes::length);
        hashed.map_or(0, |length| state.here.run_from(length / CHUNK_BYTES, most))
    }

    /// Hashes what is here from the front on. The file, for whoever hashes its last byte.
    ///
    /// # Errors
    ///
    /// It cannot be read, or was evicted: it can never be whole any more.
    pub(super) fn hash(&self) -> io::Result<Option<Incoming<'static>>> {
        loop {
            let (mut hashes, file, range) = {
                let mut state = self.state.lock();
                let is_on_disk = state.path.is_some();
                let Some(hashes) = state.hashes.take_if(|_| is_on_disk) else {
                    return Ok(None);
                };
                let first = hashes.length() / CHUNK_BYTES;
                let run = state.here.run_from(first, REQUEST_CHUNKS_MAX);
                if hashes.length() == self.size {
                    let file = state.file.try_clone()?;
                    file.set_permissions(fs::Permissions::from_mode(0o400))?;
                    let path = state.path.take();
                    return Ok(path.map(|path| Incoming::whole(path, file, hashes)));
                }
                if run == 0 {
                    state.hashes = Some(hashes);
                    return Ok(None);
                }
                (hashes, state.file.clone(), first..first + run)
            };
            let range = bytes_of(&range, self.size);
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            file.read_exact_at(&mut bytes, range.start)?;
            if !has_name(&file) {
                return Err(io::ErrorKind::NotFound.into());
            }
            hashes.update(&bytes);
            self.state.lock().hashes = Some(hashes);
        }
    }

    /// Waits until others have hashed and published it, which is when it `is_over`; not for ever.
    pub(super) fn wait_for_hashes(&self, is_over: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_over() && !self.is_in_memory() && begun.elapsed() < HASHED_MAX {
            let mut state = self.state.lock();
            self.landed.wait_for(&mut state, HASHED_LOOK);
        }
    }

    /// Removes the file; gives the bytes that this freed on disk.
    pub(super) fn remove(&self) -> u64 {
        let (path, chunks) = {
            let mut state = self.state.lock();
            (state.path.take(), state.here.count())
        };
        match path.is_some_and(|path| fs::remove_file(path).is_ok()) {
            true => chunks * CHUNK_BYTES,
            false => 0,
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // A leftover is swept when the store is opened next.
        self.remove();
    }
}

impl State {
    /// The file, and whether it is in memory.
    fn medium(&self) -> (Arc<File>, bool) {
        (self.file.clone(), self.in_memory)
    }

    fn move_to_memory(&mut self, why: io::Error) -> io::Result<()> {
        self.file = Arc::new(in_memory(why)?);
        self.in_memory = true;
        self.here.clear();
        self.hashes = None;
        if let Some(path) = self.path.take() {
            drop(fs::remove_file(path));
        }
        Ok(())
    }

    fn keep_in_memory(&mut self, chunks: &Range<u64>, bytes: &[u8]) -> io::Result<()> {
        if self.here.count() + (chunks.end - chunks.start) > MEMORY_CHUNKS_MAX {
            // Whoever reads the old ones has them open.
            self.file = Arc::new(in_memory(io::ErrorKind::StorageFull.into())?);
            self.here.clear();
        }
        self.file.write_all_at(bytes, chunks.start * CHUNK_BYTES)?;
        self.here.add(chunks);
        Ok(())
    }
}

/// The chunks that have some bytes.
pub(super) fn chunks_of(range: &Range<u64>) -> Range<u64> {
    range.start / CHUNK_BYTES..range.end.div_ceil(CHUNK_BYTES)
}

/// The bytes of some chunks of an object of `size` bytes.
pub(super) fn bytes_of(chunks: &Range<u64>, size: u64) -> Range<u64> {
    chunks.start * CHUNK_BYTES..(chunks.end * CHUNK_BYTES).min(size)
}

fn has_name(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.nlink() > 0)
}

fn in_memory(why: io::Error) -> io::Result<File> {
    memory(MEMORY_CHUNKS_MAX * CHUNK_BYTES).ok_or(why)
}
