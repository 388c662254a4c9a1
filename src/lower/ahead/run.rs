//! A run of files that are read one after the other, and the window of what was asked for because of it.

use std::collections::HashMap;
use std::time::Instant;

use super::End;
use crate::lower::amount::Amount;
use crate::tree::{GitOid, TreePath};

/// A run that goes on.
pub(super) struct Run {
    pub(super) window: Amount,
    /// Came, and was not opened yet: bytes, and the how manieth that was.
    pub(super) unused: HashMap<GitOid, (u64, u64)>,
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
    /// Whether half a window may be asked for, by the number of objects alone.
    pub(super) fn has_room_for_objects(&self, coming: usize) -> bool {
        let taken = (coming + self.unused.len()) as u64;
        taken + self.window.times(1, 2).objects <= self.window.objects
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
