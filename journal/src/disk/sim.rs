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
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

mod media;
mod random;

use media::{Effect, FileId, Media};
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
    /// [`Disk::random`] gives.
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
        Moment {
            operations: machine.operations,
            media: machine.media.clone(),
        }
    }

    /// Every state that the disk has been in: the first one, and the one after each effect.
    pub fn moments(&self) -> Moments {
        let machine = self.machine.lock();
        Moments {
            next: Some(Moment {
                operations: 0,
                media: machine.origin.clone(),
            }),
            effects: machine.effects.clone().into_iter(),
        }
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
        Arc::new(SimFile {
            disk: self.clone(),
            id,
        })
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

impl Disk for SimDisk {
    fn path(&self) -> &FilePath {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.apply(|machine| Ok(machine.media.entries()), |_| {})
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.apply(|machine| machine.find(name), |_| {})?;
        Ok(self.file(id))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let create = |machine: &mut Machine| {
            let name = name.to_owned();
            machine.apply(Effect::Create { name });
            Ok(())
        };
        self.apply(create, |_| {})?;
        let id = self.machine.lock().find(name)?;
        Ok(self.file(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let rename = |machine: &mut Machine| {
            let file = machine.find(from)?;
            let (from, to) = (from.to_owned(), to.to_owned());
            machine.apply(Effect::Rename { file, from, to });
            Ok(())
        };
        self.apply(rename, |_| {})
    }

    fn set_aside(&self, name: &str, folder: &str) -> io::Result<()> {
        let to = format!("{folder}/{name}");
        if self.machine.lock().media.find(&to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(name, &to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let remove = |machine: &mut Machine| {
            machine.find(name)?;
            let name = name.to_owned();
            machine.apply(Effect::Remove { name });
            Ok(())
        };
        self.apply(remove, |_| {})
    }

    fn sync(&self) -> io::Result<()> {
        let sync = |machine: &mut Machine| {
            machine.apply(Effect::SyncNames);
            Ok(())
        };
        self.apply(sync, |_| {})
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let random = |machine: &mut Machine| {
            let words = [machine.random.next(), machine.random.next()];
            Ok(u128::from(words[0]) << 64 | u128::from(words[1]))
        };
        self.apply(random, |_| {}).map(u128::to_le_bytes)
    }
}

struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let size = |machine: &mut Machine| Ok(machine.media.content(self.id).len() as u64);
        self.disk.apply(size, |_| {})
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = |machine: &mut Machine| {
            let content = machine.media.content(self.id);
            let end = offset.saturating_add(buffer.len() as u64);
            let spoiled = machine.spoiled.iter();
            if spoiled
                .filter(|(file, _)| *file == self.id)
                .any(|(_, bytes)| bytes.start < end && offset < bytes.end)
            {
                return Err(FaultKind::Broken.error());
            }
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let bytes = content
                .get(from..)
                .and_then(|rest| rest.get(..buffer.len()))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        };
        self.disk.apply(read, |_| {})
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let write = |machine: &mut Machine| {
            let size = machine.media.content(self.id).len() as u64;
            let growth = (offset + bytes.len() as u64).saturating_sub(size);
            let room = machine
                .space
                .map_or(u64::MAX, |space| space.saturating_sub(machine.media.used()));
            if growth > room {
                let fits = bytes.len() as u64 - growth.min(bytes.len() as u64) + room;
                let fits = usize::try_from(fits).unwrap_or(0);
                machine.write(self.id, bytes.get(..fits).unwrap_or_default(), offset);
                return Err(FaultKind::Full.error());
            }
            machine.write(self.id, bytes, offset);
            Ok(())
        };
        self.disk.apply(write, |machine| {
            machine.write_in_part(self.id, bytes, offset);
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let resize = |machine: &mut Machine| {
            let file = self.id;
            machine.apply(Effect::Resize { file, bytes });
            Ok(())
        };
        self.disk.apply(resize, |_| {})
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = |machine: &mut Machine| {
            machine.apply(Effect::Sync { file: self.id });
            Ok(())
        };
        self.disk.apply(sync, |machine| {
            let seed = machine.random.next();
            machine.apply(Effect::SyncLost {
                file: self.id,
                seed,
            });
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The disk at one moment.
#[derive(Clone)]
pub struct Moment {
    operations: u64,
    media: Media,
}

impl Moment {
    /// How many operations there had been: compare with [`SimDisk::operations`] at the time.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// What another program finds after the first one's death: everything, but what was not synced
    /// still is not.
    pub fn after_kill(&self) -> SimDisk {
        SimDisk::with(self.media.clone(), self.operations)
    }

    /// What is found after a power cut: what was synced; of what was not, any part that the seed
    /// picks. Writes survive whole, torn at any byte, or not at all, and where they overlap in any
    /// order; names that were made, moved or removed since the folder's last sync are so or are not,
    /// each for itself.
    pub fn after_power_cut(&self, seed: u64) -> SimDisk {
        let mut random = Random(seed ^ self.operations.rotate_left(32));
        SimDisk::with(self.media.after_power_cut(&mut random), seed)
    }
}

/// Goes through [`SimDisk::moments`].
pub struct Moments {
    next: Option<Moment>,
    effects: std::vec::IntoIter<(u64, Effect)>,
}

impl Iterator for Moments {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        let current = self.next.take()?;
        if let Some((operations, effect)) = self.effects.next() {
            let mut media = current.media.clone();
            media.apply(&effect);
            self.next = Some(Moment { operations, media });
        }
        Some(current)
    }
}
