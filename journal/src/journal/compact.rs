//! Compaction: a snapshot takes the place of the segments before it.
//!
//! Order, so that a crash anywhere leaves the old records or the new ones: the snapshot is
//! published, durably; then what it replaces is deleted; then the open segment, if it has anything
//! at all, is closed, so that this or the next compaction can delete it.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use crate::disk::DiskFile;
use crate::error::Error;
use crate::failpoint;
use crate::folder::PublishError;
use crate::frame::{FRAME_BYTES_MAX, Seal};
use crate::record::{Record, Sequence};
use crate::segment::{FileKind, FileName, HEADER_BYTES, Header};

/// Frames are gathered to writes of this size.
const WRITE_BYTES: usize = 256 * 1024;

impl Shared {
    pub(super) fn compact(
        &self,
        through: Sequence,
        records: &mut dyn Iterator<Item = Record>,
    ) -> Result<(), Error> {
        let mut snapshot = self.compaction.lock();
        let synced = self.commit.check()?;
        if through > synced {
            return Err(Error::NotSynced { through, synced });
        }
        if through < *snapshot {
            return Err(Error::Compacted {
                through,
                snapshot: *snapshot,
            });
        }
        let bytes = self.publish_snapshot(through, records)?;
        failpoint::SNAPSHOT_PUBLISHED.reach();
        let old = std::mem::replace(&mut *snapshot, through);
        self.snapshot_bytes.store(bytes, Ordering::Relaxed);
        // A crash from here on leaves files that the next open deletes.
        if old < through {
            self.folder.delete(FileName::snapshot(old))?;
        }
        failpoint::COMPACT_OLD_DELETED.reach();
        self.delete_closed(through)?;
        failpoint::COMPACT_CLOSED_DELETED.reach();
        self.log.lock().rotate()?;
        failpoint::COMPACT_ROTATED.reach();
        self.delete_closed(through)?;
        failpoint::COMPACT_DONE.reach();
        Ok(())
    }

    fn delete_closed(&self, through: Sequence) -> Result<(), Error> {
        let needless = self.log.lock().take_closed(through);
        for name in needless {
            self.folder.delete(name)?;
        }
        Ok(())
    }

    /// Returns the snapshot's size.
    fn publish_snapshot(
        &self,
        through: Sequence,
        records: &mut dyn Iterator<Item = Record>,
    ) -> Result<u64, Error> {
        let name = FileName::snapshot(through);
        let published = self.folder.publish(
            &name.to_string(),
            |file, path| write_snapshot(file, path, name, self.epoch, records),
            || Ok(()),
        );
        match published {
            Ok((_, bytes)) => Ok(bytes),
            Err(PublishError::Unpublished(error)) => Err(error),
            Err(PublishError::Unsynced(_, error)) => Err(Error::SyncFailed(Arc::new(error))),
        }
    }
}

/// The header is written last, when the number of records is known.
pub(crate) fn write_snapshot(
    file: &dyn DiskFile,
    path: &FilePath,
    name: FileName,
    epoch: [u8; 16],
    records: &mut dyn Iterator<Item = Record>,
) -> Result<u64, Error> {
    let seal = Seal::new(epoch, FileKind::Snapshot);
    let mut frames = Vec::with_capacity(WRITE_BYTES + FRAME_BYTES_MAX);
    let mut count = Sequence::ZERO;
    let mut bytes = HEADER_BYTES as u64;
    for record in records {
        count = count.next();
        seal.write(&mut frames, count, Sequence::ZERO, &record)?;
        if frames.len() >= WRITE_BYTES {
            file.write_all_at(&frames, bytes).map_err(Error::io(path))?;
            bytes += frames.len() as u64;
            frames.clear();
        }
    }
    file.write_all_at(&frames, bytes).map_err(Error::io(path))?;
    bytes += frames.len() as u64;
    let header = Header {
        name,
        epoch,
        count: count.0,
    };
    file.write_all_at(&header.encode(), 0)
        .map_err(Error::io(path))?;
    failpoint::SNAPSHOT_WRITTEN.reach();
    Ok(bytes)
}
