//! A run of files that are read one after the other, and the window of what was asked for because of it.

use std::time::Instant;

use super::End;
use super::weighed::Weighed;
use crate::lower::amount::Amount;
use crate::tree::TreePath;

/// A run that goes on.
pub(super) struct Run {
    pub(super) window: Amount,
    /// Came, and was not opened yet: the how manieth that was.
    pub(super) unused: Weighed<u64>,
    /// Opened since the window grew.
    pub(super) opened: Amount,
    pub(super) opened_in_all: u64,
    pub(super) came_in_all: u64,
    /// Where a file was missed.
    pub(super) missed: Option<TreePath>,
    pub(super) strays: u32,
    /// There are no more files to ask for, but beside what will be missed.
    pub(super) is_exhausted: bool,
    pub(super) active: Instant,
    pub(super) end: End,
}

impl Run {
    /// Whether half a window may be asked for, beside what is coming.
    pub(super) fn has_room(&self, coming: Amount) -> bool {
        let (half, unused) = (self.window.times(1, 2), self.unused.amount());
        coming.objects + unused.objects + half.objects <= self.window.objects
            && coming.bytes + unused.bytes + half.bytes <= self.window.bytes
    }

    /// Somebody opened what came, or came for it himself.
    pub(super) fn was_opened(&mut self, size: u64) {
        self.opened.objects += 1;
        self.opened.bytes += size;
        self.opened_in_all += 1;
        self.strays = 0;
        self.active = Instant::now();
    }
}
