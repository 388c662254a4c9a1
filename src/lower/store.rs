//! The content-addressed store on disk, shared by all repositories and by other daemons.
//!
//! ```text
//! objects/ab/<62 hex digits>            bytes, named by their blake3 hash
//! index/ab/<38 hex digits>              blob sha -> blake3
//! listings/<domain>/ab/<38 hex digits>  tree sha -> blake3 of the encoded listing
//! tmp/<random>/<number>                 what is being written
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

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

pub(super) use super::disk::make_folder;
use super::disk::{discard, has_hash, open_regular, read_index, write_index};
use super::incoming::Incoming;
use super::recent::Recent;
use super::temporary::Temporary;
use super::unkept::{Unkept, is_full};
use super::{Domain, Error, Listing, codec};
use crate::tree::{ContentHash, GitOid};

/// Largest object that is hashed on the event loop: 1 MiB is a quarter of a millisecond.
const HASH_AT_ONCE_BYTES_MAX: u64 = 1024 * 1024;

/// Entries of listings in memory, at about 100 bytes each: 20 MiB of the daemon's 150.
const LISTING_ENTRIES_IN_MEMORY_MAX: usize = 200_000;

/// Objects that were hashed and need not be again; at about 70 bytes each some 4 MiB, and more
/// files than a build reads.
const KNOWN_OBJECTS_MAX: usize = 65_536;

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
}

/// The content-addressed store on disk, shared by all repositories (and by other daemons).
pub struct Store {
    folder: PathBuf,
    temporary: Temporary,
    known: Mutex<Recent<GitOid, Known>>,
    listings: Mutex<Recent<(Domain, GitOid), Arc<Listing>>>,
    unkept: Mutex<Unkept>,
}

impl Store {
    /// Opens the store in `folder`, makes it if need be, and sweeps what dead processes left. On a
    /// full disk it serves what is there, and keeps nothing new.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the folder cannot be made or written to.
    pub fn open(folder: &Path) -> Result<Store, Error> {
        match make_folder(folder) {
            Err(error) if !is_full(&error) => return Err(Error::Store(error)),
            _ => {}
        }
        let temporary = Temporary::open(&folder.join("tmp"));
        Ok(Store {
            folder: folder.to_owned(),
            temporary: temporary.map_err(Error::Store)?,
            known: Mutex::new(Recent::new(KNOWN_OBJECTS_MAX)),
            listings: Mutex::new(Recent::new(LISTING_ENTRIES_IN_MEMORY_MAX)),
            unkept: Mutex::default(),
        })
    }

    fn place(&self, kind: &str, name: &[u8]) -> PathBuf {
        let mut path = self.folder.join(kind);
        if let Some((first, rest)) = name.split_first() {
            path.push(hex(&[*first]));
            path.push(hex(rest));
        }
        path
    }

    fn object_place(&self, content: ContentHash) -> PathBuf {
        self.place("objects", &content.0)
    }

    fn blob_place(&self, oid: GitOid) -> PathBuf {
        self.place("index", &oid.0)
    }

    fn listing_place(&self, domain: Domain, oid: GitOid) -> PathBuf {
        let kind = format!("listings/{}", hex(domain.bytes()));
        self.place(&kind, &oid.0)
    }

    /// The blob's file; `None` when it is not here, or not within this effort.
    pub(super) fn blob(&self, oid: GitOid, effort: Effort) -> Result<Option<File>, Error> {
        let known = self.known.lock().find(&oid);
        if let Some(known) = known {
            let place = self.object_place(known.content);
            match open_regular(&place).map_err(Error::Store)? {
                Some((file, length)) if length == known.length => return Ok(Some(file)),
                Some(_) => {
                    tracing::warn!(%oid, "a cached object changed its length");
                    discard(&place);
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
            discard(&place);
            discard(&index);
            return Ok(None);
        }
        let known = Known { content, length };
        self.known.lock().insert(oid, known, 1);
        Ok(Some(file))
    }

    /// A file for `size` bytes that are about to come.
    pub(super) fn incoming<'a>(
        &self,
        size: u64,
        progress: &'a AtomicU64,
    ) -> Result<Incoming<'a>, Error> {
        Incoming::create(self.temporary.path(), size, progress).map_err(Error::Store)
    }

    /// Publishes a blob if it is the one that was wanted; says whether. What a full disk does not
    /// take is held without a name.
    pub(super) fn publish_blob(
        &self,
        mut incoming: Incoming<'_>,
        oid: GitOid,
        size: u64,
    ) -> Result<bool, Error> {
        let arrived = incoming.arrived();
        if arrived.blob != oid || arrived.length != size {
            return Ok(false);
        }
        let content = arrived.content;
        match self.publish(&mut incoming, content, &self.blob_place(oid)) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                tracing::debug!(%oid, size, "served without being kept: the disk is full");
                let file = incoming.file().map_err(Error::Store)?;
                self.unkept.lock().insert(oid, file, size);
                return Ok(true);
            }
            Err(error) => return Err(Error::Store(error)),
        }
        let known = Known {
            content,
            length: size,
        };
        self.known.lock().insert(oid, known, 1);
        Ok(true)
    }

    /// First the object, then the index entry: an entry without an object is damage.
    fn publish(
        &self,
        incoming: &mut Incoming<'_>,
        content: ContentHash,
        index: &Path,
    ) -> io::Result<()> {
        let place = self.object_place(content);
        if let Some(folder) = place.parent().filter(|folder| !folder.exists()) {
            make_folder(folder)?;
        }
        incoming.publish(&place)?;
        write_index(index, content, || self.temporary.path())
    }

    /// The listing, if it is in memory.
    pub(super) fn listing_in_memory(&self, domain: Domain, oid: GitOid) -> Option<Arc<Listing>> {
        self.listings.lock().find(&(domain, oid))
    }

    /// The listing, from memory or disk.
    pub(super) fn listing(
        &self,
        domain: Domain,
        oid: GitOid,
    ) -> Result<Option<Arc<Listing>>, Error> {
        if let Some(listing) = self.listing_in_memory(domain, oid) {
            return Ok(Some(listing));
        }
        let index = self.listing_place(domain, oid);
        let Some(content) = read_index(&index) else {
            return Ok(None);
        };
        let place = self.object_place(content);
        let Some((file, length)) = open_regular(&place).map_err(Error::Store)? else {
            discard(&index);
            return Ok(None);
        };
        let Some(listing) = read_listing(&file, length, content) else {
            tracing::warn!(%oid, length, "a cached listing is damaged or of another version");
            discard(&place);
            discard(&index);
            return Ok(None);
        };
        Ok(Some(self.remember(domain, oid, listing)))
    }

    fn remember(&self, domain: Domain, oid: GitOid, listing: Listing) -> Arc<Listing> {
        let listing = Arc::new(listing);
        let weight = listing.entries().len() + 1;
        let key = (domain, oid);
        self.listings.lock().insert(key, listing.clone(), weight);
        listing
    }

    /// Keeps a listing in memory and on disk. A disk that does not take it costs a fetch later.
    pub(super) fn keep_listing(&self, domain: Domain, oid: GitOid, listing: Listing) {
        let listing = self.remember(domain, oid, listing);
        let Some(bytes) = codec::encode(&listing) else {
            return;
        };
        let progress = AtomicU64::new(0);
        let kept = Incoming::create(self.temporary.path(), bytes.len() as u64, &progress).and_then(
            |mut incoming| {
                incoming.write_all(&bytes)?;
                let content = incoming.arrived().content;
                self.publish(&mut incoming, content, &self.listing_place(domain, oid))
            },
        );
        if let Err(error) = kept {
            tracing::warn!(%oid, %error, "a listing is kept in memory only");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| {
        DIGITS
            .get(usize::from(value))
            .map(|digit| char::from(*digit))
    };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .flatten()
        .collect()
}

fn read_listing(file: &File, length: u64, content: ContentHash) -> Option<Listing> {
    if length > codec::ENCODED_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
    file.take(length).read_to_end(&mut bytes).ok()?;
    if *blake3::hash(&bytes).as_bytes() == content.0 {
        codec::decode(&bytes)
    } else {
        None
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
