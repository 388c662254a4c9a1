//! Folders of objects that are known to be there, so that not each object asks for its own.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::disk::{BLOCK_BYTES, make_folder};

/// Folders that are remembered: those of objects, of the index and of the listings of some servers.
const SHELVES_MAX: usize = 4_096;

/// Folders that were there when they were last looked at. Somebody may have cleared the store since: whoever
/// finds one gone makes it himself.
#[derive(Debug, Default)]
pub(super) struct Shelves(Mutex<HashSet<PathBuf>>);

impl Shelves {
    /// Makes the folder of a place; gives the bytes that this takes on disk.
    pub(super) fn make(&self, place: &Path) -> io::Result<u64> {
        let Some(folder) = place.parent() else {
            return Ok(0);
        };
        if self.0.lock().contains(folder) {
            return Ok(0);
        }
        let is_there = folder.exists();
        if !is_there {
            make_folder(folder)?;
        }
        let mut known = self.0.lock();
        if known.len() >= SHELVES_MAX {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(if is_there { 0 } else { BLOCK_BYTES })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_made_and_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let shelves = Shelves::default();
        let place = folder.path().join("objects/ab/cd");
        assert_eq!(shelves.make(&place).unwrap(), BLOCK_BYTES);
        assert_eq!(shelves.make(&place).unwrap(), 0);
        assert_eq!(Shelves::default().make(&place).unwrap(), 0);
        fs::write(place, "an object").unwrap();
    }
}
