//! Putting a fresh journal in the place of a damaged one, without deleting a byte of the latter.
//!
//! The new snapshot is first published under a name of its own, `damaged-<n>.rebuild`. From then on
//! the new journal is the journal: whatever interrupts the rest, the next open does it.
//!
//! ```text
//!   old files          damaged-1.rebuild       damaged-1.rebuild     <through>.snapshot
//!                      old files               damaged-1/            <through+1>.log
//!                                                old files           damaged-1/
//!      |  rebuild: publish   |    finish: set aside   |   finish: name    |
//!      '--------------------'------------------------'-------------------'
//! ```

use std::path::Path as FilePath;
use std::sync::Arc;

use crate::disk::{Disk, FolderDisk};
use crate::error::Error;
use crate::failpoint;
use crate::folder::{Folder, read};
use crate::journal::write_snapshot;
use crate::log::publish_segment;
use crate::record::{Record, Sequence};
use crate::recovery::{Files, scan_snapshot};
use crate::scan::Source;
use crate::segment::{FileKind, FileName, HEADER_BYTES, Header, RebuildName};

/// Puts a fresh journal in the place of the one in `folder`, whatever state that is in. It begins
/// with `records` as its snapshot, and the next record that is appended to it is `through + 1`.
///
/// All files of the old journal, sound ones too, are moved to a new folder `damaged-<n>` in it, and
/// none is deleted. A crash at any moment leaves the old journal or the new one: opening, or this
/// function, goes on with a rebuild that was interrupted after it had written the records.
///
/// # Errors
///
/// [`Error::Locked`]; [`Error::Unrepresentable`]; or a failed call. The old journal is as it was, or
/// the new one is in its place, or opening will put it there.
pub fn rebuild(
    folder: &FilePath,
    through: Sequence,
    records: &mut dyn Iterator<Item = Record>,
) -> Result<(), Error> {
    rebuild_on(Arc::new(FolderDisk::existing(folder)?), through, records)
}

/// As [`rebuild()`], on any disk.
///
/// # Errors
///
/// As [`rebuild()`], but for [`Error::Locked`].
pub fn rebuild_on(
    disk: Arc<dyn Disk>,
    through: Sequence,
    records: &mut dyn Iterator<Item = Record>,
) -> Result<(), Error> {
    let folder = Folder::new(disk);
    match finish(&folder) {
        Ok(()) => {}
        // One that is damaged itself is set aside like the rest.
        Err(Error::Damaged { .. } | Error::UnknownVersion { .. } | Error::Malformed { .. }) => {
            give_up(&folder)?;
        }
        Err(error) => return Err(error),
    }
    let number = folder.list()?.set_aside + 1;
    let random = folder.disk().random();
    let epoch = random.map_err(Error::io(folder.disk().path()))?;
    folder.publish(
        &RebuildName(number).to_string(),
        |file, path| write_snapshot(file, path, FileName::snapshot(through), epoch, records),
        || Ok(()),
    )?;
    failpoint::REBUILD_PUBLISHED.reach();
    finish(&folder)
}

/// Goes on with a rebuild that was interrupted, if one was.
///
/// # Errors
///
/// [`Error::Damaged`] and its like if what it wrote is not sound any more, with nothing changed.
pub(crate) fn finish(folder: &Folder) -> Result<(), Error> {
    let listing = folder.list()?;
    let Some(rebuild) = listing.rebuilds.first().copied() else {
        return Ok(());
    };
    let source = source(folder, rebuild)?;
    let scan = scan_snapshot(&source)?;
    // Its own name must be durable before any other changes.
    folder.sync()?;
    let log = FileName::log(source.name.sequence.next());
    let mut published = false;
    for name in listing.published {
        // An earlier attempt may have come as far as the new log.
        if name == log && is_of(folder, name, scan.header.epoch)? {
            published = true;
        } else {
            set_aside(folder, &name.to_string(), rebuild)?;
        }
    }
    folder.sync()?;
    failpoint::REBUILD_SET_ASIDE.reach();
    if !published {
        publish_segment(folder, scan.header.epoch, log, HEADER_BYTES as u64, || {
            Ok(())
        })?;
    }
    let path = source.path;
    let named = folder
        .disk()
        .rename(&rebuild.to_string(), &source.name.to_string());
    named.map_err(Error::io(path))?;
    folder.sync()?;
    failpoint::REBUILD_NAMED.reach();
    Ok(())
}

/// What a rebuild wrote, under the name that it is to have.
pub(crate) fn source(folder: &Folder, rebuild: RebuildName) -> Result<Source, Error> {
    let file = rebuild.to_string();
    let path = folder.disk().path().join(&file);
    let bytes = folder.disk().open(&file).and_then(|file| read(&*file));
    let bytes = bytes.map_err(Error::io(&path))?;
    let name = Header::snapshot_name(&bytes);
    Ok(Source { path, name, bytes })
}

fn give_up(folder: &Folder) -> Result<(), Error> {
    for rebuild in folder.list()?.rebuilds {
        set_aside(folder, &rebuild.to_string(), rebuild)?;
    }
    folder.sync()
}

fn set_aside(folder: &Folder, file: &str, rebuild: RebuildName) -> Result<(), Error> {
    let moved = folder.disk().set_aside(file, &rebuild.folder());
    moved.map_err(Error::io(folder.disk().path().join(file)))
}

fn is_of(folder: &Folder, name: FileName, epoch: [u8; 16]) -> Result<bool, Error> {
    let source = folder.read(name)?;
    let header = Header::decode(name, &source.bytes);
    Ok(name.kind == FileKind::Log && header.is_ok_and(|header| header.epoch == epoch))
}
