//! Listings ahead of the first look: whoever has mounted a repository and opened one file is about to open
//! another elsewhere, and would wait for each directory on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::EntryKind;
use super::batches::{Batches, start};
use super::sweep::End;
use crate::tree::{GitOid, TreePath};

/// How many bytes may tell of them: some 10,000 entries, and a third of it compressed.
const BYTES_MAX: u64 = 1 << 20;
/// Where so many entries are here already, the answer would tell of little else.
const ENTRIES_HERE_MAX: usize = 5_000;
/// How long whoever looks first goes first: his own requests need the same processors.
const AFTER_YOU: Duration = Duration::from_millis(10);

impl Batches {
    /// Asks for the listings from the root down as far as one answer takes them, with nobody waiting for
    /// it; not where all of them came with the snapshot. What a failure leaves out comes to whoever looks.
    pub(super) fn list_ahead(batches: &Arc<Batches>) {
        if !batches.sweeps.begin_ahead(Instant::now()) {
            return;
        }
        let teller = batches.clone();
        let begun = start("mesa-tree", move || {
            thread::sleep(AFTER_YOU);
            if teller.lacks_listings() {
                teller.list_from_root();
            }
            teller.sweeps.ended(End::Part);
        });
        if begun.is_none() {
            batches.sweeps.ended(End::Part);
        }
    }

    fn list_from_root(&self) {
        let _pass = self.store.gate.enter();
        let root = (&TreePath::ROOT, self.pin.tree);
        if let Err(error) = self.tell(root, Some(BYTES_MAX), || self.sweeps.arrived()) {
            tracing::debug!(%error, "the listings ahead ended early");
        }
    }

    /// Whether there are directories whose listings are not here, below a few that are.
    fn lacks_listings(&self) -> bool {
        let mut entries_left = ENTRIES_HERE_MAX;
        let mut trees = VecDeque::from([self.pin.tree]);
        while let Some(tree) = trees.pop_front() {
            if tree == GitOid::EMPTY_TREE {
                continue;
            }
            let Some(listing) = self.listing(tree) else {
                return true;
            };
            let Some(left) = entries_left.checked_sub(listing.entries().len()) else {
                return false;
            };
            entries_left = left;
            let folders = listing.entries().iter();
            let folders = folders.filter(|entry| entry.kind == EntryKind::Directory);
            trees.extend(folders.map(|entry| entry.oid));
        }
        false
    }
}
