//! The snapshots of reports that the kernel holds: one for each node, from its lookup to its forget.
//!
//! A node has no links, so that the kernel forgets it as soon as nobody has it open: one that could be
//! found again under its name would be kept for as long as there is memory. Its number is never used
//! again, so what the kernel caches by it is never another's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::Errno;
use parking_lot::Mutex;

use super::reports::{Rendered, Report, Reports};
use crate::tree::Ino;

/// Snapshots that are kept at the same time: some MiB each at worst.
const SNAPSHOTS_MAX: usize = 64;
/// Bytes of a growing snapshot that are kept. The kernel reads ahead 1 MiB at most, and asks again for
/// what its reader has not had when the file grows.
const SNAPSHOT_BYTES_MAX: usize = 4 << 20;

/// What was last rendered of one report.
#[derive(Clone, Copy)]
struct Latest {
    hash: blake3::Hash,
    changed: SystemTime,
    ino: Ino,
}

/// A report at one moment.
struct Snapshot {
    report: Report,
    rendered: Rendered,
    /// Bytes before those that are kept.
    gone: usize,
    /// How far it was read.
    read: usize,
    changed: SystemTime,
    /// References of the kernel.
    lookups: u64,
}

/// The reports of one mount.
pub(super) struct ReportDesk {
    source: Arc<dyn Reports>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    latest: HashMap<Report, Latest>,
    snapshots: HashMap<Ino, Snapshot>,
    numbers: u64,
}

impl ReportDesk {
    pub(super) fn new(source: Arc<dyn Reports>) -> ReportDesk {
        ReportDesk {
            source,
            kept: Mutex::default(),
        }
    }

    /// Renders a report into a snapshot, to which the kernel then has one reference more; ENFILE when too
    /// many are kept. One that does not grow and tells the same as the last time is that of the last time.
    pub(super) fn take(&self, report: Report) -> Result<Ino, Errno> {
        let rendered = self.source.render(report);
        let hash = blake3::hash(&rendered.bytes);
        let mut kept = self.kept.lock();
        let same = kept.latest.get(&report).copied();
        let same = same.filter(|same| same.hash == hash);
        if let Some(same) = same.filter(|_| !report.grows())
            && let Some(snapshot) = kept.snapshots.get_mut(&same.ino)
        {
            snapshot.lookups += 1;
            return Ok(same.ino);
        }
        if kept.snapshots.len() >= SNAPSHOTS_MAX {
            return Err(Errno::ENFILE);
        }
        kept.numbers += 1;
        // 1 is the root. The names of organizations are hashed into 48 bits, and never come down here.
        let ino = Ino(1 + kept.numbers);
        let changed = same.map_or_else(SystemTime::now, |same| same.changed);
        let latest = Latest { hash, changed, ino };
        kept.latest.insert(report, latest);
        let snapshot = Snapshot {
            report,
            rendered,
            gone: 0,
            read: 0,
            changed,
            lookups: 1,
        };
        kept.snapshots.insert(ino, snapshot);
        Ok(ino)
    }

    /// Takes back references of the kernel's.
    pub(super) fn forget(&self, ino: Ino, lookups: u64) {
        let mut kept = self.kept.lock();
        if let Some(snapshot) = kept.snapshots.get_mut(&ino) {
            snapshot.lookups = snapshot.lookups.saturating_sub(lookups);
            if snapshot.lookups == 0 {
                kept.snapshots.remove(&ino);
            }
        }
    }

    /// The report that a node is of.
    pub(super) fn report(&self, ino: Ino) -> Option<Report> {
        let kept = self.kept.lock();
        kept.snapshots.get(&ino).map(|snapshot| snapshot.report)
    }

    /// Size and time of a snapshot.
    pub(super) fn shown(&self, ino: Ino) -> Option<(u64, SystemTime)> {
        let kept = self.kept.lock();
        let snapshot = kept.snapshots.get(&ino)?;
        Some((snapshot.end() as u64, snapshot.changed))
    }

    /// The size of a snapshot.
    pub(super) fn size(&self, ino: Ino) -> Result<u64, Errno> {
        self.shown(ino).map(|(size, _)| size).ok_or(Errno::ESTALE)
    }

    /// Adds what came to a snapshot that grows, if it was read to its end.
    pub(super) fn grow(&self, ino: Ino) {
        let mut kept = self.kept.lock();
        if let Some(snapshot) = kept.snapshots.get_mut(&ino)
            && snapshot.report.grows()
            && snapshot.read >= snapshot.end()
        {
            snapshot.grow(self.source.as_ref());
        }
    }

    /// Bytes of a snapshot; none at its end.
    pub(super) fn read(&self, ino: Ino, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let mut kept = self.kept.lock();
        let snapshot = kept.snapshots.get_mut(&ino).ok_or(Errno::ESTALE)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        // What is gone was read; a hole in the middle would be believed.
        let begin = offset.checked_sub(snapshot.gone).ok_or(Errno::ESTALE)?;
        let rest = snapshot.rendered.bytes.get(begin..).unwrap_or_default();
        let bytes = rest.get(..size).unwrap_or(rest).to_vec();
        let read = offset.saturating_add(bytes.len()).min(snapshot.end());
        snapshot.read = snapshot.read.max(read);
        Ok(bytes)
    }
}

impl Snapshot {
    fn end(&self) -> usize {
        self.gone + self.rendered.bytes.len()
    }

    fn grow(&mut self, source: &dyn Reports) {
        let more = source.more(self.report, self.rendered.position);
        self.rendered.position = more.position;
        if more.bytes.is_empty() {
            return;
        }
        let bytes = &mut self.rendered.bytes;
        // All that was there has been read: its end was.
        let over = bytes.len().saturating_sub(SNAPSHOT_BYTES_MAX);
        bytes.drain(..over);
        self.gone += over;
        bytes.extend_from_slice(&more.bytes);
        self.changed = SystemTime::now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Reports of one letter per position.
    struct Letters(AtomicU64);

    impl Letters {
        fn letters(&self, after: u64) -> Rendered {
            let position = self.0.load(Ordering::SeqCst);
            Rendered {
                bytes: (after..position).map(|at| b'a' + (at % 26) as u8).collect(),
                position,
            }
        }
    }

    impl Reports for Letters {
        fn render(&self, _: Report) -> Rendered {
            self.letters(0)
        }

        fn more(&self, _: Report, position: u64) -> Rendered {
            self.letters(position)
        }
    }

    fn desk(letters: u64) -> (Arc<Letters>, ReportDesk) {
        let letters = Arc::new(Letters(AtomicU64::new(letters)));
        (letters.clone(), ReportDesk::new(letters))
    }

    #[test]
    fn a_snapshot_stays_and_only_errors_grow_once_their_end_was_read() {
        let (letters, desk) = desk(3);
        let status = desk.take(Report::Status).unwrap();
        let errors = desk.take(Report::Errors).unwrap();
        letters.0.store(5, Ordering::SeqCst);
        desk.grow(status);
        desk.grow(errors);
        assert_eq!(desk.read(status, 0, 100).unwrap(), b"abc");
        assert_eq!(desk.read(errors, 0, 100).unwrap(), b"abc");
        desk.grow(status);
        desk.grow(errors);
        assert_eq!(
            (desk.size(status).unwrap(), desk.size(errors).unwrap()),
            (3, 5)
        );
        assert_eq!(desk.read(status, 3, 100).unwrap(), b"");
        assert_eq!(desk.read(errors, 1, 3).unwrap(), b"bcd");
        assert_eq!(desk.read(errors, 4, 100).unwrap(), b"e");
        assert_eq!(desk.read(errors, 5, 100).unwrap(), b"");
        desk.forget(status, 1);
        assert_eq!(desk.read(status, 0, 1), Err(Errno::ESTALE));
    }

    #[test]
    fn what_tells_the_same_is_one_node_and_what_changed_is_another() {
        let (letters, desk) = desk(1);
        let first = desk.take(Report::Status).unwrap();
        assert_eq!(desk.take(Report::Status).unwrap(), first);
        letters.0.store(2, Ordering::SeqCst);
        let second = desk.take(Report::Status).unwrap();
        assert_ne!(second, first);
        desk.forget(first, 1);
        assert_eq!(desk.read(first, 0, 9).unwrap(), b"a");
        desk.forget(first, 1);
        assert_eq!(desk.report(first), None);
        desk.forget(second, 1);
        let before = desk.kept.lock().latest[&Report::Status].changed;
        let third = desk.take(Report::Status).unwrap();
        assert_ne!(third, second, "numbers are used once");
        assert_eq!(desk.shown(third), Some((2, before)), "it is not newer");
    }

    #[test]
    fn snapshots_and_what_a_growing_one_keeps_are_bounded() {
        let (letters, desk) = desk(1);
        let first = desk.take(Report::Errors).unwrap();
        for _ in 1..SNAPSHOTS_MAX {
            desk.take(Report::Errors).unwrap();
        }
        assert_eq!(desk.take(Report::Errors), Err(Errno::ENFILE));
        let mut offset = 0;
        for _ in 0..8 {
            let end = letters.0.load(Ordering::SeqCst);
            while offset < end {
                let bytes = desk.read(first, offset, 1 << 20).unwrap();
                assert_eq!(bytes[0], b'a' + (offset % 26) as u8);
                offset += bytes.len() as u64;
            }
            letters.0.fetch_add(1 << 20, Ordering::SeqCst);
            desk.grow(first);
            assert_eq!(desk.size(first).unwrap(), end + (1 << 20));
            let kept = desk.kept.lock().snapshots[&first].rendered.bytes.len();
            assert!(kept <= SNAPSHOT_BYTES_MAX + (1 << 20), "{kept}");
            // The kernel asks again for the page of the old end.
            assert!(
                !desk
                    .read(first, (end - 1) & !4095, 4096)
                    .unwrap()
                    .is_empty()
            );
        }
        assert_eq!(desk.read(first, 0, 1), Err(Errno::ESTALE));
    }
}
