//! A count of what a store has: bytes on disk by when they were last used.
//!
//! The time of an object is when it was fetched or last used, to some seconds ([`super::store`] sets it).
//! Memory is bounded, however many objects there are: times are put together more coarsely when there
//! are many different ones.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::partials;

/// Different times that are told apart: some MiB.
const AGES_MAX: usize = 65_536;
/// What `st_blocks` counts.
const BLOCK_BYTES: u64 = 512;

/// Bytes by time, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// How many bits of a second are not told apart.
    shift: u32,
    bytes: BTreeMap<i64, u64>,
}

impl Ages {
    fn add(&mut self, seconds: i64, bytes: u64) {
        *self.bytes.entry(seconds >> self.shift).or_default() += bytes;
        if self.bytes.len() > AGES_MAX {
            self.shift += 1;
            let finer = std::mem::take(&mut self.bytes);
            for (key, bytes) in finer {
                *self.bytes.entry(key >> 1).or_default() += bytes;
            }
        }
    }

    /// How to take away that many bytes, the oldest first.
    pub(super) fn oldest(&self, bytes: u64) -> Cutoff {
        let mut left = bytes;
        for (key, held) in &self.bytes {
            if left <= *held {
                return Cutoff {
                    shift: self.shift,
                    key: *key,
                    bytes: left,
                };
            }
            left -= held;
        }
        Cutoff {
            shift: self.shift,
            key: i64::MAX,
            bytes: 0,
        }
    }
}

/// What is old enough to go: everything before a time, and so many bytes of that time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cutoff {
    shift: u32,
    key: i64,
    bytes: u64,
}

impl Cutoff {
    /// Whether an object goes.
    pub(super) fn takes(&self, found: &Metadata) -> bool {
        let key = found.mtime() >> self.shift;
        key < self.key || (key == self.key && self.bytes > 0)
    }

    /// Counts an object that went.
    pub(super) fn took(&mut self, found: &Metadata) {
        if found.mtime() >> self.shift == self.key {
            self.bytes = self.bytes.saturating_sub(on_disk(found));
        }
    }
}

/// What a store has on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Bytes, with the directories, and what is here of objects that are not whole.
    pub bytes: u64,
    /// Objects: contents of files, and listings.
    pub objects: u64,
    /// Of these, those that are pinned.
    pub pinned_objects: u64,
    /// Their bytes.
    pub pinned_bytes: u64,
    /// When the object that was not used for longest was used, in seconds since 1970.
    pub oldest: Option<i64>,
}

/// Counts the store in `folder`, which others may use meanwhile; one that is not there is empty.
///
/// # Errors
///
/// A folder that cannot be read.
pub fn held(folder: &Path) -> io::Result<Held> {
    Ok(count(folder)?.held)
}

/// A count, and what of it may go when.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) held: Held,
    /// Of what is not pinned.
    pub(super) ages: Ages,
}

/// Bytes that a file takes on its disk.
pub(super) fn on_disk(found: &Metadata) -> u64 {
    found.blocks() * BLOCK_BYTES
}

/// Whether an object has a second name, which pins it.
pub(super) fn is_pinned(found: &Metadata) -> bool {
    found.nlink() > 1
}

/// Counts the store in `folder`; others may use it meanwhile.
///
/// # Errors
///
/// A folder that cannot be read.
pub(super) fn count(folder: &Path) -> io::Result<Census> {
    let Census { mut held, mut ages } = Census::default();
    for kind in ["objects", "index", "listings", "pins"] {
        held.bytes += folders(&folder.join(kind))?;
    }
    held.bytes += partials::files(folder)?
        .iter()
        .map(|(_, found)| on_disk(found))
        .sum::<u64>();
    for_each_object(folder, |_, found| {
        let bytes = on_disk(found);
        held.bytes += bytes;
        held.objects += 1;
        if is_pinned(found) {
            held.pinned_objects += 1;
            held.pinned_bytes += bytes;
        } else {
            ages.add(found.mtime(), bytes);
        }
        let oldest = held.oldest.unwrap_or(i64::MAX).min(found.mtime());
        held.oldest = Some(oldest);
    })?;
    Ok(Census { held, ages })
}

/// Shows every object of the store, in no order. What vanishes meanwhile is left out.
///
/// # Errors
///
/// A folder that cannot be read.
pub(super) fn for_each_object(
    folder: &Path,
    mut visit: impl FnMut(&DirEntry, &Metadata),
) -> io::Result<()> {
    for_each(&folder.join("objects"), &mut |shelf| {
        for_each(&shelf.path(), &mut |object| {
            match object.metadata() {
                Ok(found) if found.is_file() => visit(object, &found),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            Ok(())
        })
    })
}

/// Shows every entry of a folder; none of one that is not there, or is no folder.
pub(super) fn for_each(
    folder: &Path,
    visit: &mut dyn FnMut(&DirEntry) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        entries => entries?,
    };
    for entry in entries {
        visit(&entry?)?;
    }
    Ok(())
}

/// Bytes of a folder and of those in it, without what is in those that is no folder.
fn folders(folder: &Path) -> io::Result<u64> {
    let mut bytes = match fs::symlink_metadata(folder) {
        Ok(found) => on_disk(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    // Names of two digits hold what is counted by itself; anything longer is a folder of such.
    for_each(folder, &mut |entry| {
        if entry.file_type()?.is_dir() {
            bytes += match entry.file_name().len() {
                0..=2 => on_disk(&entry.metadata()?),
                _ => folders(&entry.path())?,
            };
        }
        Ok(())
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bytes_go_first_however_many_times_there_are() {
        let mut ages = Ages::default();
        for second in 0..10 {
            ages.add(second, 100);
        }
        let cutoff = ages.oldest(250);
        assert_eq!((cutoff.key, cutoff.bytes), (2, 50));
        assert_eq!(ages.oldest(5_000).key, i64::MAX);
        let mut many = Ages::default();
        let count = i64::try_from(AGES_MAX).unwrap() * 3;
        for second in 0..count {
            many.add(second, 1);
        }
        assert!(many.bytes.len() <= AGES_MAX);
        let cutoff = many.oldest(1_000);
        assert!(cutoff.key << cutoff.shift <= 1_000, "{cutoff:?}");
        assert_eq!(
            many.bytes.values().sum::<u64>(),
            u64::try_from(count).unwrap()
        );
    }
}
