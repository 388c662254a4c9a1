//! What is fetched many at once: the threads behind [`Sweeps`] and [`Ahead`].

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::ahead::{self, Ahead, Next};
use super::amount::Amount;
use super::expected::Expected;
use super::fetch::Counts;
use super::sweep::{self, Sweeps};
use super::walk::{Step, Walk};
use super::{
    EntryKind, Error, Listing, ListingEntry, Located, Pin, Prefetch, Source, SourceError, Store,
    Taker,
};
use crate::tree::{GitOid, TreePath};

/// What is left free on the disk of the store: as much as a mount and its journals want to begin with,
/// and again.
pub(super) const ROOM_BYTES_MIN: u64 = 64 << 20;

/// How many bytes tell of the listings that come along with one that is wanted: with some tenths of
/// them, compressed, they fit into the ten segments with which a connection begins (RFC 6928).
pub const ALONG_BYTES_MAX: u64 = 32 << 10;

/// Everything that such a thread needs of one snapshot.
pub(super) struct Batches {
    pub(super) store: Arc<Store>,
    source: Arc<dyn Source>,
    pub(super) pin: Pin,
    counts: Arc<Counts>,
    pub(super) sweeps: Sweeps,
    pub(super) ahead: Ahead,
    pub(super) expected: Expected,
    pub(super) prefetch: Prefetch,
}

/// What is asked for at once, in the order in which it should come.
pub(super) struct Batch {
    most: Amount,
    wanted: Vec<Located>,
    known: HashSet<GitOid>,
    bytes: u64,
}

impl Batch {
    pub(super) fn new(most: Amount) -> Batch {
        Batch {
            most,
            wanted: Vec::new(),
            known: HashSet::new(),
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, file: Located) {
        if self.known.insert(file.1) {
            self.bytes += file.2;
            self.wanted.push(file);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.wanted.len() as u64 >= self.most.objects || self.bytes >= self.most.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub(super) fn amount(&self) -> Amount {
        Amount::new(self.wanted.len() as u64, self.bytes)
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = (GitOid, u64)> {
        self.wanted.iter().map(|(_, oid, size)| (*oid, *size))
    }

    pub(super) fn oids(&self) -> impl Iterator<Item = GitOid> {
        self.wanted.iter().map(|(_, oid, _)| *oid)
    }
}

/// Keeps what comes ahead of its readers, and lets them have what only waits for its turn.
struct Keeper<'a>(&'a Batches);

impl Taker for Keeper<'_> {
    fn wants(&mut self, oid: GitOid) -> bool {
        self.0.ahead.begins(oid)
    }

    fn take(&mut self, oid: GitOid, bytes: &[u8]) -> bool {
        match self.0.keep(oid, bytes) {
            Ok(()) => self.0.ahead.arrived(oid),
            Err(error) => {
                tracing::debug!(%oid, %error, "reading ahead ended");
                false
            }
        }
    }
}

impl Batches {
    pub(super) fn new(
        store: &Arc<Store>,
        source: &Arc<dyn Source>,
        pin: Pin,
        counts: &Arc<Counts>,
    ) -> Batches {
        let prefetch = store.prefetch.unwrap_or_default();
        let batches = Batches {
            store: store.clone(),
            source: source.clone(),
            pin,
            counts: counts.clone(),
            sweeps: Sweeps::default(),
            ahead: Ahead::new(Amount::new(prefetch.objects_max, prefetch.bytes_max)),
            expected: Expected::default(),
            prefetch,
        };
        if store.prefetch.is_none() {
            batches.close();
        } else if store.listing_in_memory(source.domain(), pin.tree).is_some() {
            // It came along with the snapshot, for somebody who is about to look.
            batches.sweeps.note(&TreePath::ROOT, Instant::now());
        }
        batches
    }

    /// Ends what runs, at the next thing that arrives.
    pub(super) fn close(&self) {
        self.sweeps.close();
        self.ahead.close();
    }

    /// Notes that a listing had to be fetched by itself, and begins a sweep if that is a walk.
    pub(super) fn listing_was_fetched(batches: &Arc<Batches>, path: &TreePath) {
        if !batches.prefetch.reaches(path.names().count() + 1) {
            return;
        }
        let Some(top) = batches.sweeps.note(path, Instant::now()) else {
            return;
        };
        let begun = batches.tree_at(&top).and_then(|tree| {
            let batches = batches.clone();
            start("mesa-sweep", move || {
                let end = batches.sweep(&top, tree);
                batches.sweeps.ended(end);
            })
        });
        if begun.is_none() {
            batches.sweeps.ended(sweep::End::Failed);
        }
    }

    /// Notes that an object was fetched by itself, and begins to read ahead if that is a run.
    pub(super) fn object_was_fetched(batches: &Arc<Batches>, path: &TreePath) {
        // Whoever lists a directory asks where its links lead, and reads none of its files.
        if batches.kind_at(path) == Some(EntryKind::Symlink) {
            return;
        }
        batches.learn_manner();
        if !batches.ahead.note(path, Instant::now()) {
            return;
        }
        let runner = batches.clone();
        if start("mesa-ahead", move || Batches::read_ahead(&runner)).is_none() {
            let failed = (ahead::End::Failed, Duration::ZERO);
            batches.ahead.landed(iter::empty(), failed);
            batches.ahead.next();
        }
    }

    pub(super) fn listing(&self, tree: GitOid) -> Option<Arc<Listing>> {
        self.store.listing(self.source.domain(), tree).ok()?
    }

    /// The tree of a directory whose listings are all here.
    fn tree_at(&self, path: &TreePath) -> Option<GitOid> {
        let mut tree = self.pin.tree;
        for name in path.names() {
            tree = self.listing(tree)?.find(&name)?.oid;
        }
        Some(tree)
    }

    /// What is at a path whose listings are all here.
    fn kind_at(&self, path: &TreePath) -> Option<EntryKind> {
        let (folder, name) = path.split_last()?;
        let tree = self.tree_at(&folder)?;
        Some(self.listing(tree)?.find(&name)?.kind)
    }

    /// Fetches the listings below a tree, and keeps those that are not here.
    fn sweep(&self, top: &TreePath, tree: GitOid) -> sweep::End {
        let _pass = self.store.gate.enter();
        match self.tell((top, tree), None, || self.sweeps.arrived()) {
            Ok(true) => sweep::End::Done,
            Ok(false) => sweep::End::Unknown,
            Err(error) => {
                tracing::debug!(%tree, %error, "a sweep ended early");
                sweep::End::Failed
            }
        }
    }

    /// Fetches a listing that somebody waits for, with those below it that fit into what comes in one
    /// round trip: whoever goes down a path asks once. Says whether the source can.
    pub(super) fn listing_and_below(&self, path: &TreePath, tree: GitOid) -> Result<bool, Error> {
        if self.sweeps.is_closed() {
            return Ok(false);
        }
        Ok(self.tell((path, tree), Some(ALONG_BYTES_MAX), || true)?)
    }

    /// Keeps the listings from a tree down as the source tells them, for as long as `goes_on`.
    pub(super) fn tell(
        &self,
        (top, tree): (&TreePath, GitOid),
        bytes_max: Option<u64>,
        mut goes_on: impl FnMut() -> bool + Send,
    ) -> Result<bool, SourceError> {
        // Of trees above the limit, how deep they are.
        let mut depths = HashMap::from([(tree, top.names().count())]);
        let domain = self.source.domain();
        let mut entries_left = sweep::SWEEP_ENTRIES_MAX;
        let mut take = |oid: GitOid, entries: Vec<ListingEntry>| {
            let Some(left) = entries_left.checked_sub(entries.len()) else {
                return false;
            };
            entries_left = left;
            if let Some(depth) = depths.remove(&oid)
                && self.prefetch.depth_max.is_some()
                && self.prefetch.reaches(depth + 1)
            {
                let folders = entries
                    .iter()
                    .filter(|entry| entry.kind == EntryKind::Directory);
                depths.extend(folders.map(|entry| (entry.oid, depth + 1)));
            } else if self.prefetch.depth_max.is_some() {
                return goes_on();
            }
            if self.store.listing_in_memory(domain, oid).is_none()
                && let Ok(listing) = Listing::new(entries)
            {
                self.counts.note_listing(&listing, oid);
                self.store.keep_listing(domain, oid, listing);
            }
            goes_on()
        };
        self.source
            .listings_below(&self.pin, (top, tree), bytes_max, &mut take)
    }

    /// Asks for what comes next, for as long as it is used.
    fn read_ahead(batches: &Arc<Batches>) {
        let mut walk = Walk::default();
        let press = || batches.ahead.press(batches.is_pressed());
        press();
        while let Next::Ask(amount, missed) = batches.ahead.next() {
            press();
            if let Some(missed) = missed {
                walk = walk.moved(&missed, (batches.pin.tree, |tree| batches.listing(tree)));
            }
            let mut batch = Batch::new(amount);
            batches.fill(&mut batch, &mut walk);
            batches.announce(&batch);
            if batch.is_empty() {
                continue;
            }
            let batch = Arc::new(batch);
            let (fetcher, fetched) = (batches.clone(), batch.clone());
            let begun = start("mesa-batch", move || {
                let begun = Instant::now();
                let end = fetcher.fetch_batch(&fetched);
                fetcher.ahead.landed(fetched.oids(), (end, begun.elapsed()));
            });
            if begun.is_none() {
                let failed = (ahead::End::Failed, Duration::ZERO);
                batches.ahead.landed(batch.oids(), failed);
            }
        }
    }

    /// Adds the next files of a walk that are not here.
    fn fill(&self, batch: &mut Batch, walk: &mut Walk) {
        while !batch.is_full() {
            let step = walk.step(|folder, tree| match self.listing(tree) {
                _ if !self.prefetch.reaches(folder.names().count()) => None,
                None if batch.wanted.is_empty() => self.listing_ahead(folder, tree),
                found => found,
            });
            match step {
                Step::File(file) => self.add_missing(batch, file),
                // What is known is asked for first.
                Step::Unlisted if !batch.wanted.is_empty() => return,
                Step::Unlisted => walk.pass(),
                Step::Over => return,
            }
        }
    }

    /// Says that a batch is about to be asked for; with nothing in it, that there is no more.
    pub(super) fn announce(&self, batch: &Batch) {
        self.learn_manner();
        self.ahead.asked(batch.wanted());
    }

    fn learn_manner(&self) {
        if self.source.asks_one_by_one() {
            self.ahead.ask_one_by_one();
        }
    }

    /// Adds a file that may be fetched ahead, unless it is here or on its way.
    pub(super) fn add_missing(&self, batch: &mut Batch, file: Located) {
        let (_, oid, size) = file;
        let is_small = (1..=ahead::OBJECT_BYTES_MAX).contains(&size);
        if is_small && !self.store.has_blob(oid) && !self.ahead.is_coming(oid) {
            batch.add(file);
        }
    }

    /// A listing that nobody has asked for yet, with some of those below it; with all of them, and those
    /// beside it, if this goes on.
    pub(super) fn listing_ahead(&self, folder: &TreePath, tree: GitOid) -> Option<Arc<Listing>> {
        let domain = self.source.domain();
        let is_here = || self.store.listing_in_memory(domain, tree).is_some();
        self.sweeps.wait(folder, is_here);
        if is_here() {
            return self.listing(tree);
        }
        match self.sweeps.note(folder, Instant::now()) {
            Some(top) => {
                let begun = self.tree_at(&top).map(|tree| self.sweep(&top, tree));
                self.sweeps.ended(begun.unwrap_or(sweep::End::Failed));
            }
            None => {
                if let Err(error) = self.listing_and_below(folder, tree) {
                    tracing::debug!(%tree, %error, "a listing ahead did not come");
                }
            }
        }
        self.listing(tree)
    }

    /// Keeps an object that came in a batch, if it is what it should be; else whoever wants it will see
    /// what is wrong with it.
    pub(super) fn keep(&self, oid: GitOid, bytes: &[u8]) -> Result<(), Error> {
        let size = bytes.len() as u64;
        let progress = AtomicU64::new(0);
        let mut file = self.store.incoming(size, &progress)?;
        file.write_all(bytes).map_err(Error::Store)?;
        match self.store.publish_blob(file, oid, size)? {
            true => self.counts.note_object(size),
            false => self.counts.note_damaged(),
        }
        Ok(())
    }

    /// Whether the store is so full that little is to be fetched ahead.
    pub(super) fn is_pressed(&self) -> bool {
        self.store.pressure() > self.prefetch.pressure_max
    }

    pub(super) fn fetch_batch(&self, batch: &Batch) -> ahead::End {
        if !self.store.has_room(ROOM_BYTES_MIN + batch.bytes) {
            return ahead::End::Full;
        }
        let _pass = self.store.gate.enter();
        let mut keeper = Keeper(self);
        match self.source.objects(&self.pin, &batch.wanted, &mut keeper) {
            Ok(true) => ahead::End::Over,
            Ok(false) => ahead::End::Unknown,
            Err(error) => {
                tracing::debug!(%error, "reading ahead ended early");
                ahead::End::Failed
            }
        }
    }
}

/// Begins a thread of its own, if there can be one.
pub(super) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Option<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).ok().map(drop)
}
