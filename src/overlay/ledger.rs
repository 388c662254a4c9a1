//! Which bodies have bytes that a power cut would take, and how often each was written to.
//!
//! The ledger is the journal's [`Barrier`]: before the journal is synced, every body with unsynced
//! bytes is, so that no record is durable whose body is not. Syncs exclude each other, so that a
//! caller who finds nothing to do knows that whoever took it has finished. A failed sync is final:
//! the kernel may have dropped the pages and will not report it twice.
//!
//! Bodies of removed files are deleted here too, but only once their removal is durable: after a
//! power cut that takes the removal back, the file must still have its bytes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use journal::{Barrier, Sequence};
use parking_lot::Mutex;

use crate::failpoints;
use crate::tree::Ino;
use crate::upper::Bodies;

/// Keeps the books of one repository's bodies.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) bodies: Bodies,
    unsynced: Mutex<HashSet<Ino>>,
    generations: Mutex<HashMap<Ino, u64>>,
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
            generations: Mutex::default(),
            graves: Mutex::default(),
            syncing: Mutex::default(),
            failure: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Notes that bytes are about to change. Called with the gate shared, before the change.
    pub(super) fn note_write(&self, ino: Ino) {
        *self.generations.lock().entry(ino).or_default() += 1;
        self.unsynced.lock().insert(ino);
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
        self.unsynced.lock().extend(inodes);
    }

    /// A number that changes with every write.
    pub(super) fn generation(&self, ino: Ino) -> u64 {
        self.generations.lock().get(&ino).copied().unwrap_or(0)
    }

    /// Whether any body has bytes that a power cut would take.
    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.lock().is_empty()
    }

    /// Makes all bodies survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _one_at_a_time = self.syncing.lock();
        self.check()?;
        let inodes: Vec<Ino> = std::mem::take(&mut *self.unsynced.lock())
            .into_iter()
            .collect();
        self.bodies.sync(&inodes).or_else(|error| {
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
        }
    }
}

impl Barrier for Ledger {
    fn before_sync(&self, _through: Sequence) -> io::Result<()> {
        self.sync()
    }
}
