//! The journal on disk: open, append, sync, compact.
//!
//! Lock order: `compaction`, then `log`, then the commit state. The log's lock is held over the
//! write of a record, since that write is what gives records their order, and it goes to the page
//! cache; and over the change to a new segment, once in a segment's worth of records. The commit
//! state's lock is never held over anything that blocks, and the barrier is called under no lock.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::commit::Commit;
use crate::disk::{Disk, FolderDisk};
use crate::error::Error;
use crate::failpoint;
use crate::folder::Folder;
use crate::inspect::{Report, verify_on};
use crate::log::{Log, Reserve, Shape};
use crate::record::{Record, Sequence};
use crate::{rebuild, recovery};

mod compact;

pub(crate) use compact::write_snapshot;

/// Makes everything that records name durable before the records themselves count as durable.
///
/// It is called from the committer's thread while others wait in [`Journal::sync`], and with a
/// commit interval of zero in [`Journal::append`]: it must not need a lock that a caller holds
/// there. It should hold what it needs of the journal's owner weakly, or neither is ever dropped.
pub trait Barrier: Send + Sync {
    /// Called by the committer before each sync of the journal: must make durable every body that
    /// a record up to `through` names.
    ///
    /// # Errors
    ///
    /// Any; the journal then counts the sync as failed, for good.
    fn before_sync(&self, through: Sequence) -> std::io::Result<()>;
}

/// How a journal works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long an acknowledged record may stay without being synced; zero syncs every append.
    pub commit_interval: Duration,
    /// A segment is closed once it has grown to this; at least a page.
    pub segment_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            commit_interval: Duration::from_secs(1),
            // Recovery reads whole segments, and a closed one is freed whole: 16 MiB is some
            // 100,000 records, a few milliseconds to read.
            segment_bytes_max: 16 << 20,
        }
    }
}

/// What opening found.
pub struct Recovered {
    /// The journal, ready for appending. Nothing in it counts as synced but the snapshot, until the
    /// first sync: what a killed process left in the page cache may not be on the disk.
    pub journal: Journal,
    /// The last record that the snapshot at the start of `records` replaces; 0 without a snapshot.
    pub snapshot: Sequence,
    /// The records, oldest first: those of the newest snapshot (all with the snapshot's sequence)
    /// and then those of the log.
    pub records: Vec<(Sequence, Record)>,
}

/// What [`Journal::read`] found; the fields are those of [`Recovered`].
pub struct Read {
    /// The last record that the snapshot at the start of `records` replaces; 0 without a snapshot.
    pub snapshot: Sequence,
    /// The records, oldest first.
    pub records: Vec<(Sequence, Record)>,
}

/// Bytes that a journal has on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Segments, with what is filled ahead of their end.
    pub log: u64,
    /// The snapshot that replaced older segments; 0 without one.
    pub snapshot: u64,
}

impl Sizes {
    /// Both together.
    pub fn total(self) -> u64 {
        self.log + self.snapshot
    }
}

/// An open, recovered journal; the only way to have one is to recover it.
pub struct Journal {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
}

struct Shared {
    folder: Arc<Folder>,
    epoch: [u8; 16],
    options: Options,
    /// Where the snapshot in force ends; locked for as long as a compaction takes.
    compaction: Mutex<Sequence>,
    snapshot_bytes: AtomicU64,
    log: Mutex<Log>,
    commit: Commit,
}

impl Journal {
    /// Creates the folder if need be, recovers, and opens for appending.
    ///
    /// A torn tail, leftovers of a crash and replaced files are repaired, durably. One process has
    /// a journal open at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], [`Error::Damaged`], [`Error::MissingSegment`], [`Error::UnknownVersion`]
    /// or [`Error::Malformed`], with nothing changed, and [`crate::verify()`] says more; or a failed
    /// call.
    pub fn open(folder: &FilePath, options: Options) -> Result<Recovered, Error> {
        Journal::open_on(Arc::new(FolderDisk::open(folder)?), options)
    }

    /// As [`Journal::open`], on any disk. The caller answers for it that nobody else has it open.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`], but for [`Error::Locked`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Recovered, Error> {
        let folder = Arc::new(Folder::new(disk));
        rebuild::finish(&folder)?;
        let listing = folder.list()?;
        let recovery = recovery::recover(&*folder, &listing.published)?;
        failpoint::OPEN_READ.reach();
        // What a killed process renamed may not be durable yet, and everything from here on, what is
        // deleted as well as what is acknowledged, rests on it.
        folder.sync()?;
        for file in &listing.temporary {
            folder.delete_file(file)?;
        }
        failpoint::OPEN_REPAIRED.reach();
        folder.repair(&recovery.repairs)?;
        let epoch = match recovery.epoch {
            Some(epoch) => epoch,
            None => {
                let random = folder.disk().random();
                random.map_err(Error::io(folder.disk().path()))?
            }
        };
        let shape = Shape::new(options.segment_bytes_max);
        let open = match recovery.open {
            Some(open) => open,
            None => Log::create_first(&folder, epoch, shape)?,
        };
        let log = Log::resume(
            Arc::clone(&folder),
            epoch,
            open,
            recovery.head,
            recovery.closed,
            shape,
        )?;
        let (snapshot, snapshot_bytes) = recovery.snapshot.unwrap_or_default();
        let shared = Arc::new(Shared {
            commit: Commit::new(snapshot),
            snapshot_bytes: AtomicU64::new(snapshot_bytes),
            compaction: Mutex::new(snapshot),
            log: Mutex::new(log),
            folder,
            epoch,
            options,
        });
        Ok(Recovered {
            journal: Journal::start(shared)?,
            snapshot,
            records: recovery.records,
        })
    }

    fn start(shared: Arc<Shared>) -> Result<Journal, Error> {
        let committer = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("journal-commit".to_owned())
                .spawn(move || {
                    let interval = shared.options.commit_interval;
                    let position = |synced| shared.log.lock().position(synced);
                    shared.commit.run(interval, position);
                })
        };
        let committer = committer.map_err(|source| Error::Io {
            path: "/proc/self/task".into(),
            source,
        })?;
        Ok(Journal {
            shared,
            committer: Some(committer),
        })
    }

    /// Sets what must be durable before the journal is; at most once, before the first append. A
    /// second one is ignored.
    pub fn set_barrier(&self, barrier: Arc<dyn Barrier>) {
        let _ = self.shared.commit.barrier.set(barrier);
    }

    /// Appends; on return the record survives the death of the process (not of the machine, unless
    /// the commit interval is zero).
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::Io`] and [`Error::Unrepresentable`] leave the journal as it was,
    /// and usable. [`Error::SyncFailed`] is final.
    pub fn append(&self, record: &Record) -> Result<Sequence, Error> {
        self.append_by(|log, durable| log.append(record, durable))
    }

    /// As [`Journal::append`], for a record that is part of an operation which lets space be freed:
    /// on a full disk it goes into the reserve, as a removal does by itself.
    ///
    /// # Errors
    ///
    /// As [`Journal::append`].
    pub fn append_freeing(&self, record: &Record) -> Result<Sequence, Error> {
        self.append_by(|log, durable| log.append_from(record, durable, Reserve::Usable))
    }

    fn append_by(
        &self,
        append: impl FnOnce(&mut Log, Sequence) -> Result<Sequence, Error>,
    ) -> Result<Sequence, Error> {
        let shared = &self.shared;
        let appended = {
            let mut log = shared.log.lock();
            let durable = shared.commit.check()?;
            append(&mut log, durable)
        };
        let sequence = shared.keep_failure(appended)?;
        if shared.options.commit_interval.is_zero() {
            shared.commit.wait(sequence)?;
        } else {
            shared.commit.appended();
        }
        Ok(sequence)
    }

    /// Blocks until everything up to `through` survives a power cut; concurrent calls share a sync.
    ///
    /// # Errors
    ///
    /// [`Error::SyncFailed`], final, if it may not survive one; [`Error::NotAppended`].
    pub fn sync(&self, through: Sequence) -> Result<(), Error> {
        if through <= self.shared.commit.check()? {
            return Ok(());
        }
        let head = self.head();
        if through > head {
            return Err(Error::NotAppended { through, head });
        }
        self.shared.commit.wait(through)
    }

    /// The last record that was appended; zero if none ever was.
    pub fn head(&self) -> Sequence {
        self.shared.log.lock().head()
    }

    /// The last record that survives a power cut.
    pub fn synced(&self) -> Sequence {
        self.shared.commit.synced()
    }

    /// Why records can no longer be made durable, if that is so: the sync that failed.
    pub fn failure(&self) -> Option<Arc<std::io::Error>> {
        self.shared.commit.failure()
    }

    /// Reads what is on disk.
    /// Appending may go on meanwhile; what is appended during the call may or may not be there.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`]; nothing is changed or repaired.
    pub fn read(&self) -> Result<Read, Error> {
        // No file may go away between its listing and its reading.
        let _no_compaction = self.shared.compaction.lock();
        let folder = &self.shared.folder;
        let published = folder.list()?.published;
        let recovery = recovery::recover(&**folder, &published)?;
        Ok(Read {
            snapshot: recovery.snapshot.unwrap_or_default().0,
            records: recovery.records,
        })
    }

    /// Looks at every byte on disk, and changes nothing. Appending may go on meanwhile, and what is
    /// appended during the call may look like a torn write.
    ///
    /// # Errors
    ///
    /// The folder cannot be read; whatever is wrong with the journal itself is in the report.
    pub fn verify(&self) -> Result<Report, Error> {
        let _no_compaction = self.shared.compaction.lock();
        verify_on(self.shared.folder.shared_disk())
    }

    /// The last record that the snapshot in force replaces; zero without one. Waits for a compaction
    /// that is under way.
    pub fn snapshot(&self) -> Sequence {
        *self.shared.compaction.lock()
    }

    /// How many syncs there have been since opening: what group commit saves.
    pub fn syncs(&self) -> u64 {
        self.shared.commit.syncs()
    }

    /// The journal's identity: random, made with it, never changed.
    pub fn epoch(&self) -> [u8; 16] {
        self.shared.epoch
    }

    /// Replaces everything up to `through` (which must be synced) by `records`, which rebuild the
    /// same state, and deletes the segments that this makes needless.
    ///
    /// Appending may go on meanwhile. At every moment of it, a crash leaves the old records or the
    /// new ones. Compactions take turns.
    ///
    /// # Errors
    ///
    /// [`Error::NotSynced`] or [`Error::Compacted`] for a wrong `through`; [`Error::NoSpace`],
    /// [`Error::Io`] or [`Error::Unrepresentable`] with nothing lost: the old records or the new
    /// ones are in force. [`Error::SyncFailed`] is final.
    pub fn compact(
        &self,
        through: Sequence,
        records: &mut dyn Iterator<Item = Record>,
    ) -> Result<(), Error> {
        let compacted = self.shared.compact(through, records);
        self.shared.keep_failure(compacted)
    }

    /// Bytes on disk: for deciding when to compact.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            log: self.shared.log.lock().bytes(),
            snapshot: self.shared.snapshot_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// A failed sync inside an operation stops the journal, whoever met it.
    fn keep_failure<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::SyncFailed(error)) = &result {
            self.commit.fail(Arc::clone(error));
        }
        result
    }
}

impl Drop for Journal {
    /// Syncs what is not yet synced and ends the committer.
    fn drop(&mut self) {
        self.shared.commit.stop();
        if let Some(committer) = self.committer.take() {
            // The committer itself may drop the last reference, through its barrier.
            if committer.thread().id() != std::thread::current().id() {
                let _ = committer.join();
            }
        }
    }
}
