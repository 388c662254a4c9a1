//! What readers are expected to want, since they wanted it the last times: fetched in batches once
//! somebody looks into the snapshot.
//!
//! Looking begins it, not opening: whoever lists an organization opens each of its repositories. What the
//! listings that are here can tell comes first, without a request in between; for the rest listings come
//! like anybody's who walks. A path that the snapshot does not have costs nothing, and where all is here,
//! nothing is asked. It takes as much as may be fetched ahead, and no more; like all that is fetched
//! ahead, only what is small.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::ahead::{End, PAUSE};
use super::amount::Amount;
use super::batches::{Batch, Batches, start};
use super::order::{BATCH_BYTES, BATCH_FILES};
use super::{EntryKind, Listing};
use crate::tree::{GitOid, TreePath};

/// A batch, which is as long as a reader waits for what is on its way.
const BATCH: Amount = Amount::new(BATCH_FILES as u64, BATCH_BYTES);
/// Paths that are looked at, directories' entries among them: they may all be here already.
const LOOKS_MAX: usize = 100_000;

/// What is still to be fetched.
#[derive(Default)]
pub(super) struct Expected {
    /// Looked at by every look into a directory, so this is all that those pay.
    is_any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    paths: Vec<TreePath>,
    not_before: Option<Instant>,
}

impl Expected {
    fn set(&self, paths: Vec<TreePath>, not_before: Option<Instant>) {
        let mut state = self.state.lock();
        self.is_any.store(!paths.is_empty(), Ordering::Relaxed);
        *state = State { paths, not_before };
    }

    pub(super) fn take(&self, now: Instant) -> Option<Vec<TreePath>> {
        if !self.is_any.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state.lock();
        if state.paths.is_empty() || state.not_before.is_some_and(|then| now < then) {
            return None;
        }
        self.is_any.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut state.paths))
    }
}

/// What the snapshot has at a path.
enum Found {
    File(GitOid, u64),
    Folder(Arc<Listing>),
    /// A listing on the way there is missing.
    Unlisted,
    Nothing,
}

/// Whether a listing that is not here is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listings {
    Here,
    Fetched,
}

impl Batches {
    /// Sets what is fetched when somebody next looks into the snapshot, the likeliest first; nothing,
    /// where nothing may be fetched ahead.
    pub(super) fn expect(&self, paths: Vec<TreePath>) {
        if !self.sweeps.is_closed() {
            self.expected.set(paths, None);
        }
    }

    /// Begins to fetch what is expected, if there is something. Brief.
    pub(super) fn looked_into(batches: &Arc<Batches>) {
        let Some(paths) = batches.expected.take(Instant::now()) else {
            return;
        };
        let fetcher = batches.clone();
        // Without a thread, whoever reads fetches.
        start("mesa-expected", move || {
            let end = fetcher.fetch_expected(&paths);
            tracing::debug!(
                paths = paths.len(),
                ?end,
                "what was read last time was looked for"
            );
            if end == End::Failed {
                fetcher.expected.set(paths, Some(Instant::now() + PAUSE));
            }
        });
    }

    fn fetch_expected(&self, paths: &[TreePath]) -> End {
        let most = Amount::new(self.prefetch.objects_max, self.prefetch.bytes_max);
        let mut room = match self.is_pressed() {
            true => Amount::FIRST.at_most(most),
            false => most,
        };
        let mut looks = 0;
        let mut left: Vec<TreePath> = paths.iter().rev().cloned().collect();
        for listings in [Listings::Here, Listings::Fetched] {
            let mut unlisted = Vec::new();
            let mut batch = Batch::new(BATCH.at_most(room));
            let mut end = End::Over;
            while let Some(path) = left.pop()
                && looks < LOOKS_MAX
                && !self.sweeps.is_closed()
            {
                looks += 1;
                match self.find(&path, listings) {
                    Found::File(oid, size) => self.add_missing(&mut batch, (path, oid, size)),
                    Found::Folder(listing) => {
                        let entries = listing.entries().iter().rev();
                        left.extend(entries.filter_map(|entry| path.join(&entry.name).ok()));
                    }
                    Found::Unlisted if listings == Listings::Fetched => {
                        end = End::Failed;
                        break;
                    }
                    Found::Unlisted => unlisted.push(path),
                    Found::Nothing => {}
                }
                if batch.is_full() {
                    room = room.less(batch.amount());
                    match self.fetch_known(&batch) {
                        End::Over if !room.is_none() => {}
                        ended => return ended,
                    }
                    batch = Batch::new(BATCH.at_most(room));
                }
            }
            room = room.less(batch.amount());
            match self.fetch_known(&batch) {
                End::Over if end == End::Over && !room.is_none() => {}
                End::Over => return end,
                ended => return ended,
            }
            unlisted.reverse();
            left = unlisted;
        }
        End::Over
    }

    /// Fetches a batch, which whoever wants something of it waits for.
    fn fetch_known(&self, batch: &Batch) -> End {
        if batch.is_empty() {
            return End::Over;
        }
        let begun = Instant::now();
        self.announce(batch);
        let end = self.fetch_batch(batch);
        self.ahead.landed(batch.oids(), (end, begun.elapsed()));
        end
    }

    fn find(&self, path: &TreePath, listings: Listings) -> Found {
        let mut found = (EntryKind::Directory, self.pin.tree, 0);
        let mut folder = TreePath::ROOT;
        for name in path.names() {
            let (EntryKind::Directory, tree, _) = found else {
                return Found::Nothing;
            };
            let listing = match self.listing_within(&folder, tree, listings) {
                Ok(listing) => listing,
                Err(found) => return found,
            };
            let (Some(entry), Ok(below)) = (listing.find(&name), folder.join(&name)) else {
                return Found::Nothing;
            };
            found = (entry.kind, entry.oid, entry.size);
            folder = below;
        }
        match found {
            (EntryKind::Directory, tree, _) => self
                .listing_within(&folder, tree, listings)
                .map_or_else(|found| found, Found::Folder),
            (EntryKind::Submodule, ..) => Found::Nothing,
            (_, oid, size) => Found::File(oid, size),
        }
    }

    /// A listing, or what its lack means for whoever wants to know what is in it.
    fn listing_within(
        &self,
        folder: &TreePath,
        tree: GitOid,
        listings: Listings,
    ) -> Result<Arc<Listing>, Found> {
        let depth = folder.names().count();
        match (self.listing(tree), listings) {
            _ if !self.prefetch.reaches(depth) => Err(Found::Nothing),
            (Some(listing), _) => Ok(listing),
            (None, Listings::Here) => Err(Found::Unlisted),
            // None that is told ahead is that deep.
            (None, Listings::Fetched) if !self.prefetch.reaches(depth + 1) => Err(Found::Nothing),
            (None, Listings::Fetched) => {
                let listing = self.listing_ahead(folder, tree);
                listing.ok_or(Found::Unlisted)
            }
        }
    }
}
