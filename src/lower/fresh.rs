//! Objects that were fetched last: held open, and so in their places, until whoever waits for them has
//! opened them, however full the store is.

use std::collections::VecDeque;
use std::fs::File;

/// How many: more than there are readers that wait at a time.
const OBJECTS_MAX: usize = 64;
/// The part of a store's limit that they may take, but for the newest, which may be larger.
const PART_OF_LIMIT: u64 = 32;

#[derive(Debug)]
pub(super) struct Fresh {
    objects: VecDeque<(File, u64)>,
    bytes: u64,
    bytes_max: u64,
}

impl Fresh {
    /// For a store of that limit. Without one nothing is evicted, so nothing needs to be held.
    pub(super) fn new(disk_bytes_max: u64) -> Fresh {
        Fresh {
            objects: VecDeque::new(),
            bytes: 0,
            bytes_max: disk_bytes_max / PART_OF_LIMIT,
        }
    }

    /// Holds an object, which is open with a shared lock; the oldest go for it.
    pub(super) fn insert(&mut self, object: File, bytes: u64) {
        self.bytes += bytes;
        self.objects.push_back((object, bytes));
        while self.objects.len() > OBJECTS_MAX
            || (self.bytes > self.bytes_max && self.objects.len() > 1)
        {
            let oldest = self.objects.pop_front();
            self.bytes -= oldest.map_or(0, |(_, bytes)| bytes);
        }
    }
}
