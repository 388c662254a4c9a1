//! `.mesa/` in the root of a mount: what a program can find out about the mount by reading a file.
//!
//! ```text
//! lookup, getattr --> rendered if the last time was a second ago --> size, mtime
//! open            --> rendered now --> a snapshot of its own, until release
//! read            --> of that snapshot, past the page cache (FOPEN_DIRECT_IO)
//! ```
//!
//! A reader sees one moment, whole, however long it takes to read. Only `errors.ndjson` grows under
//! whoever has read it to its end, so that `tail -f` shows what comes. The size is what was rendered
//! last, for programs that look at it (`wc`, `tail`, those that map a file); reads go by the snapshot.
//!
//! Rendering takes locks and looks at local files, so it is done by the workers that may wait for the
//! disk; it never waits for the network, which what it tells may be about.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, OpenFlags, ReplyAttr, ReplyData,
    ReplyEntry, ReplyLseek, ReplyOpen,
};
use parking_lot::Mutex;

use super::adapter::{Adapter, Refuse};
use super::attributes::TTL_VIRTUAL;
use super::inode::{self, NodeId};
use crate::overlay::Sought;
use crate::tree::Ino;

/// The directory. No organization is called so: their names have no dot.
pub(super) const FOLDER: &[u8] = b".mesa";
/// Snapshots that are kept at the same time: some MiB each at worst.
const OPEN_MAX: usize = 64;
/// Bytes of a growing snapshot that are kept: its reader has had what was before.
const SNAPSHOT_BYTES_MAX: usize = 4 << 20;
/// How old a size may be.
const FRESH: Duration = Duration::from_secs(1);

/// One of the files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Report {
    /// What each of the others is.
    Readme,
    /// What `mesa status --json` prints.
    Status,
    /// What the remote does not have, a line for each path.
    Journal,
    /// What went wrong lately, a line each.
    Errors,
}

impl Report {
    /// Every report, in the order of the listing.
    pub const ALL: [Report; 4] = [
        Report::Readme,
        Report::Status,
        Report::Journal,
        Report::Errors,
    ];

    /// The file's name.
    pub fn name(self) -> &'static str {
        match self {
            Report::Readme => "README",
            Report::Status => "status.json",
            Report::Journal => "journal.ndjson",
            Report::Errors => "errors.ndjson",
        }
    }

    /// The report of a name.
    pub(super) fn named(name: &[u8]) -> Option<Report> {
        let mut all = Report::ALL.into_iter();
        all.find(|report| report.name().as_bytes() == name)
    }

    /// The inode number below the virtual root.
    pub(super) fn ino(self) -> Ino {
        inode::of_words(&[FOLDER, self.name().as_bytes()])
    }
}

/// A report at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rendered {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How far a report that grows has come: what [`Reports::more`] goes on from.
    pub position: u64,
}

/// What renders the reports. Called from many threads; may wait for the disk, and for nothing else.
pub trait Reports: Send + Sync + 'static {
    /// A report as it is now.
    fn render(&self, report: Report) -> Rendered;

    /// What a report that grows got after a position; nothing of one that does not. At most a short
    /// lock.
    fn more(&self, report: Report, position: u64) -> Rendered;
}

/// What was last rendered of one report.
#[derive(Clone, Copy)]
struct Latest {
    at: Instant,
    size: u64,
    hash: blake3::Hash,
    changed: SystemTime,
}

/// An open report.
struct Snapshot {
    report: Report,
    rendered: Rendered,
    /// Bytes before those that are kept.
    gone: usize,
}

/// The reports of one mount.
pub(super) struct ReportDesk {
    source: Arc<dyn Reports>,
    latest: Mutex<HashMap<Report, Latest>>,
    open: Mutex<HashMap<u64, Snapshot>>,
    next: AtomicU64,
}

impl ReportDesk {
    pub(super) fn new(source: Arc<dyn Reports>) -> ReportDesk {
        ReportDesk {
            source,
            latest: Mutex::default(),
            open: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// Size and time of a report as it was last rendered.
    pub(super) fn last_known(&self, report: Report) -> (u64, SystemTime) {
        let latest = self.latest.lock();
        let latest = latest.get(&report);
        latest.map_or((0, SystemTime::now()), |latest| {
            (latest.size, latest.changed)
        })
    }

    /// Renders a report.
    fn render(&self, report: Report) -> Rendered {
        let rendered = self.source.render(report);
        let hash = blake3::hash(&rendered.bytes);
        let mut all = self.latest.lock();
        let before = all.get(&report).filter(|before| before.hash == hash);
        let latest = Latest {
            at: Instant::now(),
            size: rendered.bytes.len() as u64,
            hash,
            changed: before.map_or_else(SystemTime::now, |before| before.changed),
        };
        all.insert(report, latest);
        rendered
    }

    /// Renders a report unless that was done a moment ago.
    fn refresh(&self, report: Report) {
        let latest = self.latest.lock().get(&report).copied();
        if latest.is_none_or(|latest| latest.at.elapsed() >= FRESH) {
            self.render(report);
        }
    }

    /// Opens a report; ENFILE when too many are.
    fn open(&self, report: Report) -> Result<u64, Errno> {
        let rendered = self.render(report);
        let mut open = self.open.lock();
        if open.len() >= OPEN_MAX {
            return Err(Errno::ENFILE);
        }
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        let snapshot = Snapshot {
            report,
            rendered,
            gone: 0,
        };
        open.insert(handle, snapshot);
        Ok(handle)
    }

    /// Bytes of an open report; none at its end.
    fn read(&self, handle: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let mut open = self.open.lock();
        let snapshot = open.get_mut(&handle).ok_or(Errno::EBADF)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset >= snapshot.gone + snapshot.rendered.bytes.len() {
            snapshot.grow(self.source.as_ref());
        }
        let begin = offset.checked_sub(snapshot.gone);
        let rest = begin.and_then(|begin| snapshot.rendered.bytes.get(begin..));
        let rest = rest.unwrap_or_default();
        Ok(rest.get(..size).unwrap_or(rest).to_vec())
    }

    /// Forgets an open report.
    pub(super) fn release(&self, handle: u64) {
        self.open.lock().remove(&handle);
    }
}

impl Snapshot {
    fn grow(&mut self, source: &dyn Reports) {
        let more = source.more(self.report, self.rendered.position);
        self.rendered.position = more.position;
        let bytes = &mut self.rendered.bytes;
        bytes.extend_from_slice(&more.bytes);
        let over = bytes.len().saturating_sub(SNAPSHOT_BYTES_MAX);
        if over > 0 {
            // All that was there has been read: its end was.
            let read = bytes.len() - more.bytes.len();
            bytes.drain(..read);
            self.gone += read;
        }
    }
}

impl Adapter {
    /// Replies with the entry of a report.
    pub(super) fn lookup_report(&self, report: Report, reply: ReplyEntry) {
        let root = self.root.clone();
        self.sync(move || {
            root.reports.refresh(report);
            if let Some((attr, reply)) = reply.given(root.attributes(NodeId::Virtual(report.ino())))
            {
                reply.entry_with_ttls(&TTL_VIRTUAL, &Duration::ZERO, &attr, Generation(0));
            }
        });
    }

    /// Replies with the attributes of a report.
    pub(super) fn getattr_report(&self, report: Report, reply: ReplyAttr) {
        let root = self.root.clone();
        self.sync(move || {
            root.reports.refresh(report);
            if let Some((attr, reply)) = reply.given(root.attributes(NodeId::Virtual(report.ino())))
            {
                reply.attr(&Duration::ZERO, &attr);
            }
        });
    }

    /// Opens a report, for reading alone.
    pub(super) fn open_report(&self, report: Report, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & (libc::O_ACCMODE | libc::O_TRUNC) != libc::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        let root = self.root.clone();
        self.sync(move || {
            if let Some((handle, reply)) = reply.given(root.reports.open(report)) {
                reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
            }
        });
    }

    /// Reads an open report.
    pub(super) fn read_report(&self, handle: FileHandle, offset: u64, size: u32, reply: ReplyData) {
        let bytes = self.root.reports.read(handle.0, offset, size as usize);
        if let Some((bytes, reply)) = reply.given(bytes) {
            reply.data(&bytes);
        }
    }

    /// Looks for data or a hole in an open report, which is data as far as it goes.
    pub(super) fn seek_report(
        &self,
        handle: FileHandle,
        offset: u64,
        sought: Sought,
        reply: ReplyLseek,
    ) {
        let rest = self.root.reports.read(handle.0, offset, usize::MAX);
        let found = rest.and_then(|rest| match (rest.len() as u64, sought) {
            (0, _) => Err(Errno::ENXIO),
            (_, Sought::Data) => Ok(offset),
            (length, Sought::Hole) => Ok(offset + length),
        });
        if let Some((found, reply)) = reply.given(found) {
            reply.offset(found.cast_signed());
        }
    }

    /// The report that a node is, if it is one.
    pub(super) fn report(&self, node: INodeNo) -> Option<Report> {
        match NodeId::of_kernel(node) {
            Some(NodeId::Virtual(ino)) => {
                Report::ALL.into_iter().find(|report| report.ino() == ino)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
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

        fn more(&self, report: Report, position: u64) -> Rendered {
            match report {
                Report::Errors => self.letters(position),
                _ => Rendered {
                    bytes: Vec::new(),
                    position,
                },
            }
        }
    }

    #[test]
    fn a_snapshot_stays_and_only_errors_grow_at_their_end() {
        let letters = Arc::new(Letters(AtomicU64::new(3)));
        let desk = ReportDesk::new(letters.clone());
        let status = desk.open(Report::Status).unwrap();
        let errors = desk.open(Report::Errors).unwrap();
        assert_eq!(desk.last_known(Report::Status).0, 3);
        letters.0.store(5, Ordering::SeqCst);
        assert_eq!(desk.read(status, 0, 100).unwrap(), b"abc");
        assert_eq!(desk.read(status, 3, 100).unwrap(), b"");
        assert_eq!(desk.read(errors, 1, 100).unwrap(), b"bc");
        assert_eq!(desk.read(errors, 3, 1).unwrap(), b"d");
        assert_eq!(desk.read(errors, 4, 100).unwrap(), b"e");
        assert_eq!(desk.read(errors, 5, 100).unwrap(), b"");
        desk.release(status);
        assert_eq!(desk.read(status, 0, 1), Err(Errno::EBADF));
    }

    #[test]
    fn open_reports_and_what_a_growing_one_keeps_are_bounded() {
        let letters = Arc::new(Letters(AtomicU64::new(1)));
        let desk = ReportDesk::new(letters.clone());
        let first = desk.open(Report::Errors).unwrap();
        for _ in 1..OPEN_MAX {
            desk.open(Report::Status).unwrap();
        }
        assert_eq!(desk.open(Report::Status), Err(Errno::ENFILE));
        let mut offset = 0;
        for _ in 0..8 {
            let end = letters.0.fetch_add(1 << 20, Ordering::SeqCst) + (1 << 20);
            while offset < end {
                let bytes = desk.read(first, offset, 1 << 20).unwrap();
                assert!(!bytes.is_empty());
                assert_eq!(bytes[0], b'a' + (offset % 26) as u8);
                offset += bytes.len() as u64;
            }
            let kept = desk.open.lock()[&first].rendered.bytes.len();
            assert!(kept <= SNAPSHOT_BYTES_MAX, "{kept}");
        }
    }
}
