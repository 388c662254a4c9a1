//! Fetching everything below a path, because somebody asked for it.
//!
//! One thread walks the listings, from the top down, and is told of many at once like anybody who walks
//! (`sweep.rs`). Some others fetch what is not here, in an order (`order.rs`): in batches where the source
//! knows such, else one by one, several at a time. What is here already is only counted. What is pinned is given its second name as it comes, while
//! it is held open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::ahead::OBJECT_BYTES_MAX;
use super::batches::ROOM_BYTES_MIN;
use super::fetch::Kept;
use super::order::{Batch, Waiting};
use super::pinned::{Holder, Links};
use super::{EntryKind, Error, Listing, Located, Lower, Want};
use crate::tree::{GitOid, TreePath};

/// Requests at once.
const FETCHERS: usize = 4;
/// Looks at the store after a fetch; a second fetch only if eviction was faster.
const LOOKS_MAX: u32 = 3;

/// How far it has come; any thread may look, and end it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files that were found.
    pub files: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Of these files, those that are here by now.
    pub files_here: AtomicU64,
    /// Their bytes.
    pub bytes_here: AtomicU64,
    /// Whether all files were found.
    pub is_walked: AtomicBool,
    /// Whether it is to end.
    pub is_stopped: AtomicBool,
}

impl Progress {
    fn found(&self, size: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
    }

    fn is_here(&self, size: u64) {
        self.files_here.fetch_add(1, Ordering::Relaxed);
        self.bytes_here.fetch_add(size, Ordering::Relaxed);
    }

    fn has_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

impl Lower {
    /// Fetches what the snapshot has at a path and below; says whether it has anything there. Ends early,
    /// and without an error, when `progress` says so.
    ///
    /// # Errors
    ///
    /// The first that comes, as [`Lower::fetch`] has it; [`Error::Store`] when the disk is nearly full.
    /// What was fetched before stays.
    pub fn fetch_below(&self, top: &TreePath, progress: &Progress) -> Result<bool, Error> {
        self.go_below(top, progress, None)
    }

    /// As [`Lower::fetch_below`], and pins it, with the listings on the way there, for a holder who calls
    /// it `path`; lets go of what the path needed in other snapshots once all of it is here and durable,
    /// and no sooner. No limit of the store is in the way of it. One call at a time for one path.
    ///
    /// # Errors
    ///
    /// As [`Lower::fetch_below`]. What was pinned before stays so.
    pub fn pin_below(
        &self,
        top: &TreePath,
        (holder, path): (Holder, &TreePath),
        progress: &Progress,
    ) -> Result<bool, Error> {
        let links = Links::open(self.store(), holder, path, self.pin().tree);
        let links = links.map_err(Error::Store)?;
        let has_any = self.go_below(top, progress, Some(&links))?;
        if !progress.has_stopped() {
            links.finish().map_err(Error::Store)?;
        }
        Ok(has_any)
    }

    fn go_below(
        &self,
        top: &TreePath,
        progress: &Progress,
        links: Option<&Links<'_>>,
    ) -> Result<bool, Error> {
        let (batches, taken) = bounded::<Batch>(FETCHERS);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let fail = |error: Error| {
            progress.is_stopped.store(true, Ordering::Relaxed);
            failed.lock().get_or_insert(error);
        };
        let has_any = thread::scope(|scope| {
            for _ in 0..FETCHERS {
                let taken: Receiver<Batch> = taken.clone();
                scope.spawn(move || {
                    for batch in taken {
                        if progress.has_stopped() {
                            continue;
                        }
                        if let Err(error) = self.fetch_files(&batch, progress, links) {
                            fail(error);
                        }
                    }
                });
            }
            drop(taken);
            let walked = self.walk_below(top, progress, links, batches);
            progress.is_walked.store(walked.is_ok(), Ordering::Relaxed);
            walked.unwrap_or_else(|error| {
                fail(error);
                true
            })
        });
        match failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(has_any),
        }
    }

    fn walk_below(
        &self,
        top: &TreePath,
        progress: &Progress,
        links: Option<&Links<'_>>,
        batches: Sender<Batch>,
    ) -> Result<bool, Error> {
        let mut waiting = Waiting::default();
        let mut folders = VecDeque::new();
        match self.look_up(top, links)? {
            None => return Ok(false),
            Some((EntryKind::Directory, tree, _)) => folders.push_back((top.clone(), tree)),
            Some((EntryKind::Submodule, ..)) => {}
            Some((_, oid, size)) => {
                self.add((top.clone(), oid, size), progress, links, &mut waiting)?;
            }
        }
        // Nobody takes a batch only once all of them have failed.
        let give = |batch: Batch| drop(batches.send(batch));
        while let Some((path, tree)) = folders.pop_front() {
            for entry in self.listing_for(&path, tree, links)?.entries() {
                if progress.has_stopped() {
                    return Ok(true);
                }
                let Ok(path) = path.join(&entry.name) else {
                    continue;
                };
                match entry.kind {
                    EntryKind::Directory => folders.push_back((path, entry.oid)),
                    EntryKind::Submodule => {}
                    _ => self.add((path, entry.oid, entry.size), progress, links, &mut waiting)?,
                }
                if waiting.is_full()
                    && let Some(batch) = waiting.next()
                {
                    give(batch);
                }
            }
        }
        std::iter::from_fn(|| waiting.next()).for_each(give);
        Ok(true)
    }

    /// Notes a file, and what has to be fetched.
    fn add(
        &self,
        file: Located,
        progress: &Progress,
        links: Option<&Links<'_>>,
        waiting: &mut Waiting,
    ) -> Result<(), Error> {
        let (_, oid, size) = file;
        progress.found(size);
        match self.is_kept(oid, size, links)? {
            true => progress.is_here(size),
            false => waiting.add(file),
        }
        Ok(())
    }

    /// Whether a file is here, and pinned if it is to be.
    fn is_kept(&self, oid: GitOid, size: u64, links: Option<&Links<'_>>) -> Result<bool, Error> {
        match links {
            _ if size == 0 => Ok(true),
            None => Ok(self.store().has_blob(oid)),
            Some(links) => links.blob(oid, size).map_err(Error::Store),
        }
    }

    /// As [`Lower::listing_at`], and pins it if it is to be.
    fn listing_for(
        &self,
        path: &TreePath,
        oid: GitOid,
        links: Option<&Links<'_>>,
    ) -> Result<Arc<Listing>, Error> {
        let listing = self.listing_at(path, oid)?;
        if let Some(links) = links {
            let pinned = links.listing(self.source().domain(), oid, &listing);
            pinned.map_err(Error::Store)?;
        }
        Ok(listing)
    }

    /// What the snapshot has at a path.
    fn look_up(
        &self,
        path: &TreePath,
        links: Option<&Links<'_>>,
    ) -> Result<Option<(EntryKind, GitOid, u64)>, Error> {
        let mut found = (EntryKind::Directory, self.pin().tree, 0);
        let mut folder = TreePath::ROOT;
        for name in path.names() {
            if found.0 != EntryKind::Directory {
                return Ok(None);
            }
            let listing = self.listing_for(&folder, found.1, links)?;
            let Some(entry) = listing.find(&name) else {
                return Ok(None);
            };
            found = (entry.kind, entry.oid, entry.size);
            let Ok(below) = folder.join(&name) else {
                return Ok(None);
            };
            folder = below;
        }
        Ok(Some(found))
    }

    /// A directory's listing, fetched if need be; blocks.
    ///
    /// # Errors
    ///
    /// As [`Lower::fetch`]; [`Error::Corrupt`] when it is gone again each time that it has come.
    pub fn listing_at(&self, path: &TreePath, oid: GitOid) -> Result<Arc<Listing>, Error> {
        for _ in 0..LOOKS_MAX {
            if let Some(listing) = self.listing(oid)? {
                return Ok(listing);
            }
            let path = path.clone();
            self.fetch(&Want::Listing { path, oid })?;
        }
        Err(Error::Corrupt { oid })
    }

    fn fetch_files(
        &self,
        batch: &Batch,
        progress: &Progress,
        links: Option<&Links<'_>>,
    ) -> Result<(), Error> {
        if !self.store().has_room(ROOM_BYTES_MIN + batch.bytes) {
            return Err(Error::Store(std::io::ErrorKind::StorageFull.into()));
        }
        let is_small = |(_, _, size): &&Located| *size <= OBJECT_BYTES_MAX;
        let small: Vec<Located> = batch.files.iter().filter(is_small).cloned().collect();
        if small.len() > 1 {
            let mut failed = None;
            let mut take = |oid: GitOid, bytes: &[u8]| {
                let kept = self.batches().keep(oid, bytes);
                let pinned = kept.and_then(|()| self.is_kept(oid, bytes.len() as u64, links));
                failed = pinned.err();
                failed.is_none() && !progress.has_stopped()
            };
            self.source().objects(&self.pin(), &small, &mut take)?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        for file in &batch.files {
            if progress.has_stopped() {
                return Ok(());
            }
            self.fetch_file(file, links)?;
            progress.is_here(file.2);
        }
        Ok(())
    }

    fn fetch_file(
        &self,
        (path, oid, size): &Located,
        links: Option<&Links<'_>>,
    ) -> Result<(), Error> {
        if self.is_kept(*oid, *size, links)? {
            return Ok(());
        }
        if links.is_none() {
            return self.fetch_alone(path, *oid, *size, Kept::WithinLimits);
        }
        for _ in 0..LOOKS_MAX {
            self.fetch_alone(path, *oid, *size, Kept::Always)?;
            if self.is_kept(*oid, *size, links)? {
                return Ok(());
            }
        }
        // It is in memory alone.
        Err(Error::Store(std::io::ErrorKind::StorageFull.into()))
    }
}
