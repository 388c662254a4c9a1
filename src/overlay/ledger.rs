//! Which bodies have bytes that a power cut would take, and how often each was written to.
//!
//! The ledger is the journal's [`Barrier`]: before the journal is synced, every body with unsynced
//! bytes is, so that no record is durable whose body is not. Syncs exclude each other, so that a
//! caller who finds nothing to do knows that whoever took it has finished. A failed sync is final:
//! the kernel may have dropped the pages and will not report it twice.
//!
//! What the kernel writes by itself passes nobody here, so a body with such a writer is looked at (see
//! `stamp.rs`) whenever it matters whether it has unsynced bytes.
//!
//! Bodies of removed files are deleted here too, but only once their removal is durable: after a
//! power cut that takes the removal back, the file must still have its bytes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use journal::{Barrier, Sequence};
use parking_lot::{Mutex, MutexGuard};

use super::dirty::{Dirty, Touch};
use super::stamp::Stamp;
use crate::failpoints;
use crate::tree::Ino;
use crate::upper::Bodies;

/// What the journal may have in place of a sync of the bodies: so few files, and so few bytes together,
/// which is some fifty pages of a database.
const TOLD_BODIES_MAX: usize = 8;
const TOLD_BYTES_MAX: u64 = 128 << 10;

/// Keeps the books of one repository's bodies.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) bodies: Bodies,
    unsynced: Mutex<HashMap<Ino, Dirty>>,
    /// Bodies whose unsynced bytes the journal has.
    told: Mutex<HashSet<Ino>>,
    /// Bodies that the kernel may write by itself, as they were when they were last synced.
    written_unseen: Mutex<HashMap<Ino, Option<Stamp>>>,
    generations: Mutex<HashMap<Ino, u64>>,
    changes: AtomicU64,
    graves: Mutex<Vec<(Sequence, Ino)>>,
    syncing: Mutex<()>,
    /// The first sync that failed.
    failure: OnceLock<Arc<io::Error>>,
    closed: AtomicBool,
}

impl Ledger {
    pub(super) fn new(bodies: Bodies) -> Ledger {
        Ledger {
            bodies,
            unsynced: Mutex::default(),
            told: Mutex::default(),
            written_unseen: Mutex::default(),
            generations: Mutex::default(),
            changes: AtomicU64::new(0),
            graves: Mutex::default(),
            syncing: Mutex::default(),
            failure: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Notes that bytes are about to change. Called with the gate shared, before the change.
    pub(super) fn note_change(&self, ino: Ino) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        *self.generations.lock().entry(ino).or_default() += 1;
    }

    /// Notes what has changed, after the change: a sync that comes between the two owes nobody anything.
    pub(super) fn note_dirty(&self, ino: Ino, touch: Touch) {
        self.unsynced.lock().entry(ino).or_default().add(touch);
    }

    /// Notes that the kernel may write a body by itself from now on.
    pub(super) fn note_writer(&self, ino: Ino) {
        self.written_unseen.lock().entry(ino).or_default();
    }

    /// Notes the end of that.
    pub(super) fn forget_writer(&self, ino: Ino) {
        let Some(synced) = self.written_unseen.lock().remove(&ino) else {
            return;
        };
        let is_synced = |synced: Stamp| {
            let metadata = self.bodies.metadata(ino);
            metadata.is_ok_and(|metadata| synced.still_holds(&metadata))
        };
        if !synced.is_some_and(is_synced) {
            self.note_dirty(ino, Touch::Anyhow);
        }
    }

    /// Bodies that the kernel has written by itself since they were synced, as they are now.
    fn changed_unseen(&self) -> Vec<(Ino, Stamp)> {
        let writers = self.written_unseen.lock();
        let changed = |(ino, synced): (&Ino, &Option<Stamp>)| {
            // One that is gone needs no sync.
            let metadata = self.bodies.metadata(*ino).ok()?;
            let holds = synced.is_some_and(|synced| synced.still_holds(&metadata));
            (!holds).then(|| (*ino, Stamp::of(&metadata)))
        };
        writers.iter().filter_map(changed).collect()
    }

    /// Opens a body so that every store through a map from now on shows in its stamp.
    pub(super) fn open_settled(&self, ino: Ino) -> io::Result<File> {
        let _one_at_a_time = self.syncing.lock();
        self.check()?;
        let body = self.bodies.file(ino)?;
        self.settled(body.sync_data())?;
        Ok(body)
    }

    /// The sync that failed, if one did: nothing more is acknowledged that could not be made durable.
    pub(super) fn failure(&self) -> Option<Arc<io::Error>> {
        self.failure.get().cloned()
    }

    /// Refuses to be told of further changes. Called with the gate, so that none is under way.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Succeeds until everything is brought to rest. Called with the gate shared.
    pub(super) fn check_open(&self) -> io::Result<()> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(io::Error::other("the repository was brought to rest")),
            false => Ok(()),
        }
    }

    fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            Some(first) => Err(io::Error::new(first.kind(), Arc::clone(first))),
            None => Ok(()),
        }
    }

    /// Notes bodies that an earlier process wrote: whether it synced them, nobody knows.
    pub(super) fn note_inherited(&self, inodes: impl Iterator<Item = Ino>) {
        let whole = inodes.map(|ino| (ino, Dirty::whole()));
        self.unsynced.lock().extend(whole);
    }

    /// How often bytes of any body were about to change.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// A number that changes with every write.
    pub(super) fn generation(&self, ino: Ino) -> u64 {
        self.generations.lock().get(&ino).copied().unwrap_or(0)
    }

    /// Whether any body has bytes that a power cut would take.
    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.lock().is_empty() || !self.changed_unseen().is_empty()
    }

    /// Keeps every other sync away for as long as the guard lives.
    pub(super) fn exclude_syncs(&self) -> io::Result<MutexGuard<'_, ()>> {
        let syncing = self.syncing.lock();
        self.check().map(|()| syncing)
    }

    /// Takes what is unsynced, if that is so little that the journal may have it. Syncs are excluded.
    pub(super) fn take_small(&self) -> Option<HashMap<Ino, Dirty>> {
        if !self.written_unseen.lock().is_empty() {
            return None;
        }
        let mut unsynced = self.unsynced.lock();
        if unsynced.len() > TOLD_BODIES_MAX {
            return None;
        }
        let bytes: Option<u64> = unsynced.values().map(Dirty::bytes).sum();
        (bytes? <= TOLD_BYTES_MAX).then(|| std::mem::take(&mut *unsynced))
    }

    /// Takes back what could not be told.
    pub(super) fn put_back(&self, taken: HashMap<Ino, Dirty>) {
        let mut unsynced = self.unsynced.lock();
        for (ino, mut dirty) in taken {
            if let Some(later) = unsynced.remove(&ino) {
                dirty.merge(later);
            }
            unsynced.insert(ino, dirty);
        }
    }

    /// Notes that the journal has what these bodies lacked.
    pub(super) fn note_told(&self, inodes: impl Iterator<Item = Ino>) {
        self.told.lock().extend(inodes);
    }

    /// Makes all bodies survive a power cut, each by itself or by what the journal has of it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.sync_with(HashSet::new)
    }

    /// Makes all bodies survive a power cut by themselves.
    pub(super) fn sync_settling(&self) -> io::Result<()> {
        self.sync_with(|| std::mem::take(&mut *self.told.lock()))
    }

    fn sync_with(&self, also: impl FnOnce() -> HashSet<Ino>) -> io::Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check()?;
        let mut inodes = also();
        inodes.extend(std::mem::take(&mut *self.unsynced.lock()).into_keys());
        let changed = self.changed_unseen();
        inodes.extend(changed.iter().map(|(ino, _)| *ino));
        let inodes: Vec<Ino> = inodes.into_iter().collect();
        self.settled(self.bodies.sync(&inodes))?;
        let mut writers = self.written_unseen.lock();
        for (ino, stamp) in changed {
            if let Some(synced) = writers.get_mut(&ino) {
                *synced = Some(stamp);
            }
        }
        Ok(())
    }

    /// What became of a sync: the first that fails is remembered.
    fn settled(&self, synced: io::Result<()>) -> io::Result<()> {
        synced.or_else(|error| {
            let _first_counts = self.failure.set(Arc::new(error));
            self.check()
        })
    }

    /// Buries the body of a removed file until the removal, at `sequence`, is durable. A reader who
    /// captured it will find it changed.
    pub(super) fn bury(&self, ino: Ino, sequence: Sequence) {
        *self.generations.lock().entry(ino).or_default() += 1;
        self.graves.lock().push((sequence, ino));
    }

    /// Whether removed files still hold space.
    pub(super) fn has_graves(&self) -> bool {
        !self.graves.lock().is_empty()
    }

    /// Deletes the bodies whose removal is durable.
    pub(super) fn sweep_graves(&self, synced: Sequence) {
        let ready: Vec<Ino> = {
            let mut graves = self.graves.lock();
            let (ready, waiting) = graves.drain(..).partition(|(at, _)| *at <= synced);
            *graves = waiting;
            let ready: Vec<(Sequence, Ino)> = ready;
            ready.into_iter().map(|(_, ino)| ino).collect()
        };
        for ino in ready {
            failpoints::GRAVE_DUE.reach();
            if let Err(error) = self.bodies.remove(ino) {
                tracing::warn!(ino = ino.0, %error, "a removed file's body could not be deleted");
            }
            failpoints::GRAVE_SWEPT.reach();
            self.generations.lock().remove(&ino);
            self.unsynced.lock().remove(&ino);
            self.told.lock().remove(&ino);
            self.written_unseen.lock().remove(&ino);
        }
    }
}

impl Barrier for Ledger {
    fn before_sync(&self, _through: Sequence) -> io::Result<()> {
        self.sync()
    }
}
