//! Objects that the disk had no room for, or that are too large for the store's limit: kept open without a
//! name, a few at a time, so that this costs fetching again and not an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::tree::GitOid;

/// Bytes of one object that may be in memory: any source file. A larger one fails with the disk's own
/// error when the disk is full.
pub(super) const UNKEPT_BYTES_MAX: u64 = 64 << 20;

/// Whether an error says that a disk is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The latest such objects, oldest first.
#[derive(Debug)]
pub(super) struct Unkept {
    objects: VecDeque<(GitOid, File, u64)>,
    bytes: u64,
    bytes_max: u64,
}

impl Unkept {
    /// Holds so many bytes, and the newest object whatever its size.
    pub(super) fn new(bytes_max: u64) -> Unkept {
        Unkept {
            objects: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes an object. Older ones go for it; whoever has one open keeps it.
    pub(super) fn insert(&mut self, oid: GitOid, file: File, length: u64) {
        self.bytes += length;
        self.objects.push_back((oid, file, length));
        while self.bytes > self.bytes_max && self.objects.len() > 1 {
            let oldest = self.objects.pop_front();
            self.bytes -= oldest.map_or(0, |(_, _, length)| length);
        }
    }

    /// The object, opened anew at its start.
    pub(super) fn find(&self, oid: GitOid) -> Option<File> {
        let mut newest_first = self.objects.iter().rev();
        let (_, file, _) = newest_first.find(|(held, ..)| *held == oid)?;
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let mut unkept = Unkept::new(100);
        for number in 0..4 {
            let file = tempfile::tempfile().unwrap();
            unkept.insert(GitOid([number; 20]), file, 50);
        }
        let held = (0..4).filter(|number| unkept.find(GitOid([*number; 20])).is_some());
        assert_eq!(held.collect::<Vec<_>>(), [2, 3]);
        assert_eq!(unkept.bytes, 100);
        let large = GitOid([9; 20]);
        unkept.insert(large, tempfile::tempfile().unwrap(), 1_000);
        assert!(unkept.find(large).is_some());
        assert_eq!(unkept.objects.len(), 1);
    }
}
