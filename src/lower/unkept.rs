//! Objects that the disk had no room for: kept open without a name, a few at a time, so that a full
//! disk costs fetching again and not an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::tree::GitOid;

/// Bytes that are held, all in all and of one object: most source files by the hundred, or one large
/// one, within the daemon's memory. A larger object fails with the disk's own error.
pub(super) const UNKEPT_BYTES_MAX: u64 = 64 << 20;

/// Whether an error says that a disk is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The latest such objects, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    objects: VecDeque<(GitOid, File, u64)>,
    bytes: u64,
}

impl Unkept {
    /// Takes an object. Older ones go for it; whoever has one open keeps it.
    pub(super) fn insert(&mut self, oid: GitOid, file: File, length: u64) {
        self.bytes += length;
        self.objects.push_back((oid, file, length));
        while self.bytes > UNKEPT_BYTES_MAX {
            let Some((_, _, length)) = self.objects.pop_front() else {
                return;
            };
            self.bytes -= length;
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
        let mut unkept = Unkept::default();
        for number in 0..4 {
            let file = tempfile::tempfile().unwrap();
            unkept.insert(GitOid([number; 20]), file, UNKEPT_BYTES_MAX / 2);
        }
        let held = (0..4).filter(|number| unkept.find(GitOid([*number; 20])).is_some());
        assert_eq!(held.collect::<Vec<_>>(), [2, 3]);
        assert_eq!(unkept.bytes, UNKEPT_BYTES_MAX);
    }
}
