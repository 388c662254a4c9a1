//! A disk in memory that loses power, fails and fills up, all of it by number and seed.
//!
//! Every operation has a number, from 1. [`SimDisk::inject`] makes an operation fail. Whatever has
//! an effect is remembered, so that [`SimDisk::moments`] can show the disk as a crash at any moment
//! would have left it: one run of a program gives every crash point of it.
//!
//! ```
//! use std::sync::Arc;
//! use journal::{Journal, Options, Record, Sequence, disk::sim::SimDisk};
//!
//! let disk = SimDisk::new(1);
//! let journal = Journal::open_on(Arc::new(disk.clone()), Options::default())?.journal;
//! let sequence = journal.append(&Record::InodesTaken { next: 2 })?;
//! journal.sync(sequence)?;
//! let acknowledged = disk.operations();
//! drop(journal);
//! for moment in disk.moments().filter(|moment| moment.operations() >= acknowledged) {
//!     let disk = moment.after_power_cut(7);
//!     let recovered = Journal::open_on(Arc::new(disk), Options::default())?;
//!     assert_eq!(recovered.journal.head(), sequence);
//! }
//! # Ok::<(), journal::Error>(())
//! ```
//!
//! What is simulated is what `FORMAT.md` takes a disk to do, at its worst: see
//! [`Moment::after_power_cut`] and [`FaultKind`].

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::DiskFile;

mod media;
mod moment;
mod operations;
mod random;

use media::{Effect, FileId, Media};
pub use moment::{Moment, Moments};
use operations::SimFile;
use random::Random;

/// What an operation that is made to fail says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// `EIO`. A write may have been done in part. A sync drops what it did not write: the bytes can
    /// still be read, but no later sync writes them, and a power cut takes them.
    Broken,
    /// `ENOSPC`. A write may have been done in part.
    Full,
}

/// Which operations fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultSpan {
    /// The one of that number.
    Once,
    /// That and all later ones.
    Forever,
}

#[derive(Clone, Copy)]
struct Fault {
    at: u64,
    kind: FaultKind,
    span: FaultSpan,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    path: PathBuf,
    machine: Arc<Mutex<Machine>>,
}

struct Machine {
    /// What the disk held when it was made.
    origin: Media,
    media: Media,
    /// All effects, each with the number of its operation.
    effects: Vec<(u64, Effect)>,
    operations: u64,
    fault: Option<Fault>,
    halted: bool,
    space: Option<u64>,
    spoiled: Vec<(FileId, Range<u64>)>,
    random: Random,
}

impl SimDisk {
    /// An empty disk. The seed decides what a failing write or sync has done nevertheless, and what
    /// [`crate::Disk::random`] gives.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with(Media::default(), seed)
    }

    fn with(media: Media, seed: u64) -> SimDisk {
        SimDisk {
            path: PathBuf::from("/simulated"),
            machine: Arc::new(Mutex::new(Machine {
                origin: media.clone(),
                media,
                effects: Vec::new(),
                operations: 0,
                fault: None,
                halted: false,
                space: None,
                spoiled: Vec::new(),
                random: Random(seed),
            })),
        }
    }

    /// How many operations there were, reading ones and failed ones included.
    pub fn operations(&self) -> u64 {
        self.machine.lock().operations
    }

    /// Makes operation number `at` fail, and maybe those after it; the only fault from now on.
    pub fn inject(&self, at: u64, kind: FaultKind, span: FaultSpan) {
        self.machine.lock().fault = Some(Fault { at, kind, span });
    }

    /// Makes operations succeed again.
    pub fn mend(&self) {
        self.machine.lock().fault = None;
    }

    /// While `act` runs, every operation fails without effect: what a program does when it has in
    /// truth been killed.
    pub fn halted<T>(&self, act: impl FnOnce() -> T) -> T {
        self.machine.lock().halted = true;
        let result = act();
        self.machine.lock().halted = false;
        result
    }

    /// Bounds the bytes of all files together; `None` for no bound. A write that would exceed it
    /// writes what fits and says `ENOSPC`.
    pub fn limit(&self, bytes: Option<u64>) {
        self.machine.lock().space = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.machine.lock().media.used()
    }

    /// The names of all files; one in a folder with the folder's name and a slash before it.
    pub fn files(&self) -> Vec<String> {
        self.machine.lock().media.names()
    }

    /// What can be read in a file.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let machine = self.machine.lock();
        let file = machine.media.find(name)?;
        Some(machine.media.content(file).to_vec())
    }

    /// Puts bytes into a file, durably and without an operation: what bad sectors do, or people.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut machine = self.machine.lock();
        machine.apply(Effect::Put {
            name: name.to_owned(),
            bytes: bytes.into(),
        });
    }

    /// Makes a part of a file unreadable: `EIO`, until the file is replaced. A kill or a power cut
    /// does not pass it on.
    pub fn spoil(&self, name: &str, bytes: Range<u64>) {
        let mut machine = self.machine.lock();
        if let Some(file) = machine.media.find(name) {
            machine.spoiled.push((file, bytes));
        }
    }

    /// The disk as it stands, for a second program after the death of the first.
    pub fn after_kill(&self) -> SimDisk {
        self.moment().after_kill()
    }

    /// The disk as a power cut now would leave it; see [`Moment::after_power_cut`].
    pub fn after_power_cut(&self, seed: u64) -> SimDisk {
        self.moment().after_power_cut(seed)
    }

    fn moment(&self) -> Moment {
        let machine = self.machine.lock();
        Moment::new(machine.operations, machine.media.clone())
    }

    /// Every state that the disk has been in: the first one, and the one after each effect.
    pub fn moments(&self) -> Moments {
        let machine = self.machine.lock();
        Moments::new(machine.origin.clone(), machine.effects.clone())
    }

    fn apply<T>(
        &self,
        act: impl FnOnce(&mut Machine) -> io::Result<T>,
        failed: impl FnOnce(&mut Machine),
    ) -> io::Result<T> {
        let mut machine = self.machine.lock();
        if machine.halted {
            return Err(FaultKind::Broken.error());
        }
        machine.operations += 1;
        let number = machine.operations;
        let hit = machine.fault.filter(|fault| match fault.span {
            FaultSpan::Once => number == fault.at,
            FaultSpan::Forever => number >= fault.at,
        });
        match hit {
            None => act(&mut machine),
            Some(fault) => {
                failed(&mut machine);
                Err(fault.kind.error())
            }
        }
    }

    fn file(&self, id: FileId) -> Arc<dyn DiskFile> {
        Arc::new(SimFile::new(self.clone(), id))
    }
}

impl FaultKind {
    fn error(self) -> io::Error {
        // The numbers are the same on every Linux.
        io::Error::from_raw_os_error(match self {
            FaultKind::Broken => 5,
            FaultKind::Full => 28,
        })
    }
}

impl Machine {
    fn apply(&mut self, effect: Effect) {
        self.media.apply(&effect);
        self.effects.push((self.operations, effect));
    }

    fn find(&self, name: &str) -> io::Result<FileId> {
        let found = self.media.find(name);
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, file: FileId, bytes: &[u8], offset: u64) {
        if !bytes.is_empty() {
            self.apply(Effect::Write {
                file,
                offset,
                bytes: bytes.into(),
            });
        }
    }

    fn write_in_part(&mut self, file: FileId, bytes: &[u8], offset: u64) {
        // Sometimes all of them: an error that says nothing.
        let length = self.random.below(bytes.len() as u64 * 5 / 4 + 1);
        let length = usize::try_from(length).unwrap_or(0);
        self.write(file, bytes.get(..length).unwrap_or(bytes), offset);
    }
}
