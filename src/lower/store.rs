//! The content-addressed store on disk, shared by all repositories and by other daemons.
//!
//! ```text
//! objects/ab/<62 hex digits>            bytes, named by their blake3 hash
//! index/ab/<38 hex digits>              blob sha -> blake3
//! listings/<domain>/ab/<38 hex digits>  tree sha -> blake3 of the encoded listing
//! tmp/<random>/<number>                 what is being written
//! tmp/<random>/<number>.part            large objects of which some chunks are here (`partial.rs`)
//! pins/<holder>/<path>/<tree sha>/      second names of what is to stay (`pinned.rs`)
//! usage, evicting                       where there is a limit: its account, and whose turn it is
//! ```
//!
//! An index entry is a symbolic link whose target text is the hash, in base64: its 43 characters
//! fit into the inode (ext4 keeps up to 59 there), so an entry is atomic and takes no data block.
//!
//! **Power cuts.** Nothing is synced: an fdatasync per object costs 4 ms here, 200 s for a tree of
//! 50,000 files, to save bytes that can be fetched again. So a name may come back after a power
//! cut with fewer bytes or with zeros. Therefore each object is hashed at its first use in a
//! process (12 us for 4 KiB in a debug build, 4 GB/s for large ones, and the page cache then holds
//! what is about to be read), which also notices what a disk forgot; later uses compare the length
//! only. Objects over [`HASH_AT_ONCE_BYTES_MAX`] are not hashed on the caller's thread: they count
//! as missing, and `fetch`, which may block, finds them and makes them known.
//!
//! **Limits.** The time of an object is that of its last use, to a minute, and what was not used for
//! longest goes first (`evict.rs`). Every file that is given out has a shared flock, for as long as it is
//! open, which keeps the object in its place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub(super) use super::disk::make_folder;
use super::disk::{
    BLOCK_BYTES, discard, has_hash, held, hex, in_folder, mark_used, open_regular, place,
    read_index, write_index,
};
use super::evict::Keeper;
use super::fetch::Kept;
use super::fresh::Fresh;
use super::incoming::Incoming;
use super::partials::Partials;
use super::policy::{Gate, Prefetch};
use super::recent::Recent;
use super::shelves::Shelves;
use super::temporary::Temporary;
use super::unkept::{Unkept, is_full};
use super::{Domain, Error, Limits, Listing};
use crate::tree::{ContentHash, GitOid};

/// Largest object that is hashed on the event loop: 1 MiB is a quarter of a millisecond.
const HASH_AT_ONCE_BYTES_MAX: u64 = 1024 * 1024;

/// What an entry of a listing takes in memory, with its name.
const ENTRY_BYTES: u64 = 100;
/// What an object takes that was hashed and need not be again.
const KNOWN_BYTES: u64 = 70;

/// How old the time of an object's last use may be: a minute is nothing beside the hours after which it
/// may go, and setting a time dirties an inode.
pub(super) const USED_EVERY: Duration = Duration::from_secs(60);
/// How much a look-up may cost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// The caller must not be kept waiting: a large object that is not known yet is missing.
    Brief,
    /// The caller may block: everything is hashed that needs to be.
    Whole,
}

#[derive(Clone, Copy)]
struct Known {
    content: ContentHash,
    length: u64,
    used: Instant,
}

impl Known {
    fn now(content: ContentHash, length: u64) -> Known {
        Known {
            content,
            length,
            used: Instant::now(),
        }
    }
}

/// The content-addressed store on disk, shared by all repositories (and by other daemons).
pub struct Store {
    pub(super) folder: PathBuf,
    pub(super) temporary: Temporary,
    known: Mutex<Recent<GitOid, Known>>,
    pub(super) listings: Mutex<Recent<(Domain, GitOid), Arc<Listing>>>,
    unkept: Mutex<Unkept>,
    pub(super) keeper: Keeper,
    fresh: Option<Mutex<Fresh>>,
    shelves: Shelves,
    pub(super) partials: Mutex<Partials>,
    /// Objects that were found damaged.
    pub(super) lost: AtomicU64,
    pub(super) prefetch: Option<Prefetch>,
    pub(super) gate: Gate,
}

impl Store {
    /// As [`Store::open_within`] the limits that a daemon has by default.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn open(folder: &Path) -> Result<Store, Error> {
        Store::open_within(folder, Limits::default())
    }

    /// Opens the store in `folder`, makes it if need be, and sweeps what dead processes left. On a
    /// full disk it serves what is there, and keeps nothing new.
    ///
    /// A store that is not kept is a folder of its own below this one, and goes with this value.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the folder cannot be made or written to.
    pub fn open_within(folder: &Path, limits: Limits) -> Result<Store, Error> {
        match make_folder(folder) {
            Err(error) if !is_full(&error) => return Err(Error::Store(error)),
            _ => {}
        }
        let temporary = Temporary::open(&folder.join("tmp")).map_err(Error::Store)?;
        let folder = match limits.is_kept {
            true => folder.to_owned(),
            false => temporary.path().map_err(Error::Store)?,
        };
        let of_memory = |parts: u64, bytes: u64| {
            usize::try_from(limits.memory_bytes_max / parts / bytes).unwrap_or(usize::MAX)
        };
        Ok(Store {
            keeper: Keeper::new(&folder, limits.disk_bytes_max),
            folder,
            temporary,
            known: Mutex::new(Recent::new(of_memory(16, KNOWN_BYTES))),
            listings: Mutex::new(Recent::new(of_memory(4, ENTRY_BYTES))),
            unkept: Mutex::new(Unkept::new(limits.memory_bytes_max / 4)),
            fresh: limits.disk_bytes_max.map(Fresh::new).map(Mutex::new),
            shelves: Shelves::default(),
            partials: Mutex::default(),
            lost: AtomicU64::new(0),
            prefetch: Some(Prefetch::default()),
            gate: Gate::new(Prefetch::default().requests_max),
        })
    }

    /// Counts what is on disk, and evicts what is too much; nothing without a limit. Looks at every
    /// object.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the folder cannot be read.
    pub fn enforce(&self) -> Result<(), Error> {
        let enforced = self.keeper.enforce(&self.folder);
        enforced.map(drop).map_err(Error::Store)
    }

    /// The share of the limit on disk that is used; 0 without one.
    pub fn pressure(&self) -> f64 {
        self.keeper.pressure()
    }

    /// Bytes on disk where there is a limit, and how many objects this process evicted.
    pub fn figures(&self) -> (Option<u64>, u64) {
        (self.keeper.used(), self.keeper.evicted())
    }

    /// Removes an object that is damaged; whoever pins it has to look after it.
    pub(super) fn lose(&self, place: &Path) {
        discard(place);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn object_place(&self, content: ContentHash) -> PathBuf {
        place(&self.folder, "objects", &content.0)
    }

    pub(super) fn blob_place(&self, oid: GitOid) -> PathBuf {
        place(&self.folder, "index", &oid.0)
    }

    pub(super) fn listing_place(&self, domain: Domain, oid: GitOid) -> PathBuf {
        let kind = format!("listings/{}", hex(domain.bytes()));
        place(&self.folder, &kind, &oid.0)
    }

    /// The blob's file; `None` when it is not here, or not within this effort.
    pub(super) fn blob(&self, oid: GitOid, effort: Effort) -> Result<Option<File>, Error> {
        let known = self.known.lock().find(&oid);
        if let Some(known) = known {
            let place = self.object_place(known.content);
            match open_regular(&place).map_err(Error::Store)? {
                Some((file, length)) if length == known.length => {
                    if known.used.elapsed() >= USED_EVERY {
                        mark_used(&file);
                        let now = Known::now(known.content, length);
                        self.known.lock().insert(oid, now, 1);
                    }
                    return Ok(Some(held(file)));
                }
                Some(_) => {
                    tracing::warn!(%oid, "a cached object changed its length");
                    self.lose(&place);
                }
                None => {}
            }
            self.known.lock().remove(&oid);
        }
        match self.unknown_blob(oid, effort)? {
            None => Ok(self.unkept.lock().find(oid)),
            found => Ok(found),
        }
    }

    /// Whether there is a blob's file, sound or not.
    pub(super) fn has_blob(&self, oid: GitOid) -> bool {
        read_index(&self.blob_place(oid)).is_some_and(|content| self.object_place(content).exists())
    }

    /// Whether so many bytes are free where the store is.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let found = nix::sys::statvfs::statvfs(&self.folder);
        found.is_ok_and(|found| found.blocks_available() * found.fragment_size() >= bytes)
    }

    fn unknown_blob(&self, oid: GitOid, effort: Effort) -> Result<Option<File>, Error> {
        let index = self.blob_place(oid);
        let Some(content) = read_index(&index) else {
            return Ok(None);
        };
        let place = self.object_place(content);
        let Some((file, length)) = open_regular(&place).map_err(Error::Store)? else {
            discard(&index);
            return Ok(None);
        };
        if effort == Effort::Brief && length > HASH_AT_ONCE_BYTES_MAX {
            return Ok(None);
        }
        if !has_hash(&file, length, content) {
            tracing::warn!(%oid, length, "a cached object is damaged");
            self.lose(&place);
            discard(&index);
            return Ok(None);
        }
        mark_used(&file);
        self.known
            .lock()
            .insert(oid, Known::now(content, length), 1);
        Ok(Some(held(file)))
    }

    /// A file for `size` bytes that are about to come.
    pub(super) fn incoming<'a>(
        &self,
        size: u64,
        progress: &'a AtomicU64,
    ) -> Result<Incoming<'a>, Error> {
        Incoming::create(self.temporary.path(), size, progress).map_err(Error::Store)
    }

    /// As [`Store::publish_blob_as`] what nobody pins.
    pub(super) fn publish_blob(
        &self,
        incoming: Incoming<'_>,
        oid: GitOid,
        size: u64,
    ) -> Result<bool, Error> {
        self.publish_blob_as(incoming, oid, size, Kept::WithinLimits)
    }

    /// Publishes a blob if it is the one that was wanted; says whether. What a full disk does not
    /// take is held without a name.
    pub(super) fn publish_blob_as(
        &self,
        mut incoming: Incoming<'_>,
        oid: GitOid,
        size: u64,
        kept: Kept,
    ) -> Result<bool, Error> {
        let arrived = incoming.arrived();
        if arrived.blob != oid || arrived.length != size {
            return Ok(false);
        }
        let content = arrived.content;
        if kept == Kept::WithinLimits && size > self.keeper.object_bytes_max() {
            tracing::debug!(%oid, size, "served without being kept: too large for the cache");
            let file = incoming.file().map_err(Error::Store)?;
            self.unkept.lock().insert(oid, file, size);
            return Ok(true);
        }
        match self.publish(&mut incoming, content, &self.blob_place(oid)) {
            Ok(taken) => {
                self.known.lock().insert(oid, Known::now(content, size), 1);
                self.published(&incoming, taken);
            }
            Err(error) if is_full(&error) => {
                tracing::debug!(%oid, size, "served without being kept: the disk is full");
                let file = incoming.file().map_err(Error::Store)?;
                self.unkept.lock().insert(oid, file, size);
            }
            Err(error) => return Err(Error::Store(error)),
        }
        Ok(true)
    }

    /// Accounts for what was published, and keeps it for whoever waits for it.
    pub(super) fn published(&self, incoming: &Incoming<'_>, taken: u64) {
        if let Some(fresh) = &self.fresh
            && let Ok(file) = incoming.file()
        {
            let object = held(file);
            fresh.lock().insert(object, taken);
        }
        if let Err(error) = self.keeper.published(&self.folder, taken) {
            tracing::warn!(%error, "the cache may grow over its limit");
        }
    }

    /// First the object, then the index entry: an entry without an object is damage. Gives the bytes that
    /// this took on disk.
    pub(super) fn publish(
        &self,
        incoming: &mut Incoming<'_>,
        content: ContentHash,
        index: &Path,
    ) -> io::Result<u64> {
        let place = self.object_place(content);
        let folders = self.shelves.make(&place)? + self.shelves.make(index)?;
        in_folder(&place, || incoming.publish(&place))?;
        write_index(index, content, || self.temporary.path())?;
        Ok(folders + incoming.arrived().length.next_multiple_of(BLOCK_BYTES))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Store")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}
