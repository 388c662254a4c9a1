//! The segment that is appended to, and how it becomes the next one.
//!
//! Records go into space that was filled with zeroes before: overwriting it leaves the file's
//! metadata alone, which makes a sync ten times cheaper than growing would, and a full disk is met
//! while growing, before any record is half written. The last part of that space is a reserve, for
//! records that let space be freed.
//!
//! Invariants: behind `end` there are zeroes up to `allocated`, but for `[end, soiled)`, where a
//! write failed half-way and which is zeroed, durably, before anything else is written; every segment
//! before this one is durable in full.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::error::Error;
use crate::failpoint;
use crate::folder::{Folder, PublishError, write_zeroes};
use crate::frame::Seal;
use crate::record::{Record, Sequence};
use crate::recovery::{Closed, Open};
use crate::segment::{FileKind, FileName, HEADER_BYTES, Header};

mod room;

use room::frees_space;
pub(crate) use room::{Reserve, Shape};

pub(crate) struct Log {
    folder: Arc<Folder>,
    epoch: [u8; 16],
    seal: Seal,
    shape: Shape,
    file: Arc<dyn DiskFile>,
    name: FileName,
    head: Sequence,
    end: u64,
    allocated: u64,
    soiled: u64,
    /// What opening found, until it has been written and synced once more.
    unsettled: Option<Open>,
    closed: Vec<Closed>,
    /// The frame being written; kept for its capacity.
    buffer: Vec<u8>,
}

impl Log {
    /// Goes on in a recovered segment.
    pub(crate) fn resume(
        folder: Arc<Folder>,
        epoch: [u8; 16],
        open: Open,
        head: Sequence,
        closed: Vec<Closed>,
        shape: Shape,
    ) -> Result<Log, Error> {
        let file = folder.open_file(open.name)?;
        let path = folder.path_of(open.name);
        let allocated = file.size().map_err(Error::io(path))?;
        Ok(Log {
            folder,
            epoch,
            seal: Seal::new(epoch, FileKind::Log),
            shape,
            file,
            name: open.name,
            head,
            end: open.end,
            allocated: allocated.max(open.end),
            soiled: 0,
            unsettled: Some(open),
            closed,
            buffer: Vec::new(),
        })
    }

    /// Creates the first segment of a new journal.
    pub(crate) fn create_first(
        folder: &Folder,
        epoch: [u8; 16],
        shape: Shape,
    ) -> Result<Open, Error> {
        let name = FileName::log(Sequence(1));
        publish_segment(folder, epoch, name, shape.growth, || Ok(()))?;
        Ok(Open {
            name,
            end: HEADER_BYTES as u64,
            doubt: HEADER_BYTES as u64,
        })
    }

    pub(crate) fn head(&self) -> Sequence {
        self.head
    }

    /// The last record, and the file whose sync makes everything after `synced` up to it durable.
    pub(crate) fn position(
        &mut self,
        synced: Sequence,
    ) -> Result<(Sequence, Arc<dyn DiskFile>), Error> {
        if self.head > synced {
            self.settle()?;
        }
        Ok((self.head, Arc::clone(&self.file)))
    }

    /// Makes durable what opening found and is not known to be so: the records and the zeroes behind
    /// them, which are written once more.
    ///
    /// A process that was killed may have seen a sync fail. Then the page cache shows bytes that the
    /// disk does not have, and no sync would ever write them; these are ones that this one writes. Not
    /// while opening: that must be possible on a disk without room.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(open) = self.unsettled else {
            return Ok(());
        };
        let written = write_again(&*self.file, open, self.allocated);
        written.map_err(Error::io(self.folder.path_of(self.name)))?;
        self.sync()?;
        self.unsettled = None;
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        let synced = self.file.sync_data();
        synced.map_err(|error| Error::SyncFailed(Arc::new(error)))
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        closed + self.allocated
    }

    /// Appends a record. On error nothing has been appended.
    pub(crate) fn append(&mut self, record: &Record, durable: Sequence) -> Result<Sequence, Error> {
        self.append_from(record, durable, frees_space(record))
    }

    /// The same, and the reserve may be used whatever the record is if it is `Usable`.
    pub(crate) fn append_from(
        &mut self,
        record: &Record,
        durable: Sequence,
        reserve: Reserve,
    ) -> Result<Sequence, Error> {
        let sequence = self.head.next();
        let mut frame = std::mem::take(&mut self.buffer);
        frame.clear();
        let appended = self
            .seal
            .write(&mut frame, sequence, durable, record)
            .map_err(Error::from)
            .and_then(|()| self.write(&frame, reserve));
        self.buffer = frame;
        appended?;
        self.head = sequence;
        Ok(sequence)
    }

    fn write(&mut self, frame: &[u8], reserve: Reserve) -> Result<(), Error> {
        let frame_bytes = frame.len() as u64;
        self.clean()?;
        self.make_room(frame_bytes, reserve)?;
        failpoint::APPEND_BEGUN.reach();
        if let Err(error) = self.file.write_all_at(frame, self.end) {
            self.soiled = self.end + frame_bytes;
            // For whoever reads the file without another append; the next one makes sure of it.
            let _ = write_zeroes(&*self.file, self.end, self.soiled);
            return Err(Error::io(self.folder.path_of(self.name))(error));
        }
        failpoint::APPEND_WRITTEN.reach();
        self.end += frame_bytes;
        Ok(())
    }

    /// Zeroes what a failed write left, and makes that durable: if a power cut took the zeroes and
    /// the next record, what was left could be a whole record, which its appender was told is none.
    fn clean(&mut self) -> Result<(), Error> {
        self.settle()?;
        if self.soiled <= self.end {
            return Ok(());
        }
        write_zeroes(&*self.file, self.end, self.soiled)
            .map_err(Error::io(self.folder.path_of(self.name)))?;
        self.sync()?;
        self.soiled = 0;
        Ok(())
    }

    /// Sees to it that `bytes` more fit into zeroed space, in this segment or the next.
    fn make_room(&mut self, bytes: u64, reserve: Reserve) -> Result<(), Error> {
        if self.end + bytes > self.shape.bytes_max {
            match self.rotate() {
                // A segment may exceed its size by its reserve when there is no room for another.
                Err(Error::NoSpace { .. }) if reserve == Reserve::Usable => {}
                other => other?,
            }
        }
        let needed = self.end + bytes;
        if needed + self.shape.reserve <= self.allocated {
            return Ok(());
        }
        let target = (needed + self.shape.reserve).next_multiple_of(self.shape.growth);
        let Err(error) = write_zeroes(&*self.file, self.allocated, target) else {
            self.allocated = target;
            return Ok(());
        };
        // What was had of it is worth more to others; zeroes that stay do no harm.
        let _ = self.file.set_len(self.allocated);
        if reserve == Reserve::Usable && needed <= self.allocated {
            return Ok(());
        }
        Err(Error::io(self.folder.path_of(self.name))(error))
    }

    /// Closes the segment and goes on in a new one; does nothing if this one is empty.
    pub(crate) fn rotate(&mut self) -> Result<(), Error> {
        if self.end <= HEADER_BYTES as u64 {
            return Ok(());
        }
        let name = FileName::log(self.head.next());
        let old_path = self.folder.path_of(self.name);
        self.settle()?;
        let growth = self.shape.growth;
        let published = publish_segment(&self.folder, self.epoch, name, growth, || {
            failpoint::SEGMENT_SYNCED.reach();
            // A closed segment has nothing but zeroes behind its end, and is durable in full before
            // another has a name: so damage in it is never mistaken for a torn tail.
            write_zeroes(&*self.file, self.end, self.soiled).map_err(Error::io(&old_path))?;
            self.sync()?;
            failpoint::SEGMENT_OLD_SYNCED.reach();
            Ok(())
        });
        let (file, allocated) = match published {
            Ok(published) => published,
            Err(PublishError::Unpublished(error)) => return Err(error),
            Err(PublishError::Unsynced(_, error)) => {
                return Err(Error::SyncFailed(Arc::new(error)));
            }
        };
        failpoint::SEGMENT_PUBLISHED.reach();
        self.closed.push(Closed {
            name: self.name,
            last: self.head,
            bytes: self.allocated,
        });
        self.file = file;
        self.name = name;
        self.end = HEADER_BYTES as u64;
        self.allocated = allocated;
        self.soiled = 0;
        Ok(())
    }

    /// Takes the closed segments that have nothing after `through`, for the caller to delete.
    pub(crate) fn take_closed(&mut self, through: Sequence) -> Vec<FileName> {
        let (taken, kept) = self
            .closed
            .drain(..)
            .partition::<Vec<_>, _>(|closed| closed.last <= through);
        self.closed = kept;
        taken.into_iter().map(|closed| closed.name).collect()
    }
}

fn write_again(file: &dyn DiskFile, open: Open, allocated: u64) -> io::Result<()> {
    let length = usize::try_from(open.end - open.doubt).unwrap_or(0);
    let mut doubtful = vec![0; length];
    file.read_exact_at(&mut doubtful, open.doubt)?;
    file.write_all_at(&doubtful, open.doubt)?;
    write_zeroes(file, open.end, allocated)
}

/// Publishes an empty segment with its first step of zeroes; returns it and its size.
pub(crate) fn publish_segment(
    folder: &Folder,
    epoch: [u8; 16],
    name: FileName,
    growth: u64,
    before_rename: impl FnOnce() -> Result<(), Error>,
) -> Result<(Arc<dyn DiskFile>, u64), PublishError> {
    let header = Header {
        name,
        epoch,
        count: 0,
    };
    folder.publish(
        &name.to_string(),
        |file, path| {
            let written = file
                .write_all_at(&header.encode(), 0)
                .and_then(|()| write_zeroes(file, HEADER_BYTES as u64, growth));
            written.map_err(Error::io(path))?;
            failpoint::SEGMENT_WRITTEN.reach();
            Ok(growth)
        },
        before_rename,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::disk::FolderDisk;
    use crate::recovery::{Recovery, recover};
    use crate::{Path, Sequence, Time};

    fn record(path: &[u8]) -> Record {
        let path = Path(path.to_vec());
        Record::Write {
            path,
            inode: 1,
            time: Time::default(),
        }
    }

    fn log(folder: &std::path::Path) -> Log {
        let disk = FolderDisk::open(folder).unwrap();
        let folder = Arc::new(Folder::new(Arc::new(disk)));
        let epoch = [7; 16];
        let shape = Shape::new(1 << 20);
        let open = Log::create_first(&folder, epoch, shape).unwrap();
        Log::resume(folder, epoch, open, Sequence::ZERO, Vec::new(), shape).unwrap()
    }

    fn read(log: &Log) -> Recovery {
        let names = log.folder.list().unwrap().published;
        recover(&*log.folder, &names).unwrap()
    }

    /// As after a write that failed half-way and could not be undone.
    fn soil(log: &mut Log, bytes: usize) {
        log.file.write_all_at(&vec![0xa5; bytes], log.end).unwrap();
        log.soiled = log.end + bytes as u64;
    }

    #[test]
    fn what_a_failed_write_left_is_overwritten_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path());
        log.append(&record(b"a"), Sequence::ZERO).unwrap();
        for bytes in [1, 20, 200, 5000] {
            soil(&mut log, bytes);
            log.append(&record(b"b"), Sequence::ZERO).unwrap();
            let recovery = read(&log);
            assert_eq!(recovery.head, log.head());
            assert!(
                recovery.repairs.is_empty(),
                "nothing is left of {bytes} bytes"
            );
        }
    }

    #[test]
    fn what_a_failed_write_left_does_not_stay_in_a_closed_segment() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path());
        log.append(&record(b"a"), Sequence::ZERO).unwrap();
        soil(&mut log, 500);
        log.rotate().unwrap();
        log.append(&record(b"b"), Sequence::ZERO).unwrap();
        assert_eq!(read(&log).records.len(), 2);
    }

    #[test]
    fn a_failed_append_does_not_use_up_a_sequence() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path());
        let too_long = record(&[b'a'; 70_000]);
        assert!(matches!(
            log.append(&too_long, Sequence::ZERO),
            Err(Error::Unrepresentable(_))
        ));
        assert_eq!(
            log.append(&record(b"a"), Sequence::ZERO).unwrap(),
            Sequence(1)
        );
        assert_eq!(read(&log).head, Sequence(1));
    }
}
