//! `.mesa/` in the root of a mount: what a program can find out about the mount by reading a file.
//!
//! ```text
//! lookup  --> rendered now --> a node of its own, with a snapshot (`snapshots`), until forget
//! getattr --> size and time of that snapshot; one that grows has grown, if its end was read
//! read    --> of that snapshot
//! ```
//!
//! No name is valid for any time, so each use of a path is a lookup: a reader sees one moment, whole,
//! however long it takes to read, and the size that it is told is that moment's, for programs that look
//! at it (`wc`, `tail`, those that map a file). Only `errors.ndjson` grows under whoever has read it to
//! its end, so that `tail -f` shows what comes. None of it needs an open that we are told of, since the
//! kernel need not tell us of any (`content`).
//!
//! Rendering takes locks and looks at local files, so it is done by the workers that may wait for the
//! disk; it never waits for the network, which what it tells may be about.

use std::time::Duration;

use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenFlags};

use super::adapter::{Adapter, Refuse};
use super::attributes::TTL;
use super::inode::{self, NodeId};
use super::reply::{ReplyAttr, ReplyData, ReplyEntry, ReplyLseek, ReplyOpen};
use crate::overlay::Sought;
use crate::tree::Ino;

/// The directory. No organization is called so: their names have no dot.
pub(super) const FOLDER: &[u8] = b".mesa";

/// One that is always the same, below the mount point.
pub(super) const PATH_OF_ANY: &str = ".mesa/README";

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

    /// Whether more comes to its end while somebody reads it.
    pub(super) fn grows(self) -> bool {
        self == Report::Errors
    }

    /// How long what the kernel knows of one of its nodes is true.
    fn valid(self) -> Duration {
        match self.grows() {
            true => Duration::ZERO,
            false => TTL,
        }
    }

    /// The report of a name.
    pub(super) fn named(name: &[u8]) -> Option<Report> {
        let mut all = Report::ALL.into_iter();
        all.find(|report| report.name().as_bytes() == name)
    }

    /// The number that a listing shows. A lookup gives another.
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

impl Adapter {
    /// Replies with a new entry of a report: what it tells now.
    pub(super) fn lookup_report(&self, report: Report, reply: ReplyEntry) {
        let root = self.root.clone();
        self.sync(move || {
            let Some((ino, reply)) = reply.given(root.reports.take(report)) else {
                return;
            };
            if let Some((attr, reply)) = reply.given(root.attributes(NodeId::Virtual(ino))) {
                reply.entry(&report.valid(), &Duration::ZERO, &attr);
            }
        });
    }

    /// Replies with the attributes of a report's snapshot.
    pub(super) fn getattr_report(&self, report: Report, ino: Ino, reply: ReplyAttr) {
        self.root.reports.grow(ino);
        if let Some((attr, reply)) = reply.given(self.root.attributes(NodeId::Virtual(ino))) {
            reply.attr(&report.valid(), &attr);
        }
    }

    /// Opens a report, for reading alone.
    pub(super) fn open_report(&self, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & (libc::O_ACCMODE | libc::O_TRUNC) != libc::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE, None);
    }

    /// Reads a report's snapshot.
    pub(super) fn read_report(&self, ino: Ino, offset: u64, size: u32, reply: ReplyData) {
        let bytes = self.root.reports.read(ino, offset, size as usize);
        if let Some((bytes, reply)) = reply.given(bytes) {
            reply.data(bytes);
        }
    }

    /// Looks for data or a hole in a report's snapshot, which is data as far as it goes.
    pub(super) fn seek_report(&self, ino: Ino, offset: u64, sought: Sought, reply: ReplyLseek) {
        let size = self.root.reports.size(ino);
        let found = size.and_then(|size| match (offset < size, sought) {
            (false, _) => Err(Errno::ENXIO),
            (true, Sought::Data) => Ok(offset),
            (true, Sought::Hole) => Ok(size),
        });
        if let Some((found, reply)) = reply.given(found) {
            reply.offset(found.cast_signed());
        }
    }

    /// The report that a node is a snapshot of, if it is one.
    pub(super) fn report(&self, node: INodeNo) -> Option<(Report, Ino)> {
        match NodeId::of_kernel(node) {
            Some(NodeId::Virtual(ino)) => Some((self.root.reports.report(ino)?, ino)),
            _ => None,
        }
    }
}
