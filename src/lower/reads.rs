//! What readers have read of a snapshot, so that a later mount can have it here before they ask.
//!
//! A path is noted at its first read, in memory: that is all that a reader waits for. What we fetch by
//! ourselves is not read by anybody, and is not noted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::tree::TreePath;

/// Paths that are noted of a snapshot, the first ones: more than an agent reads in a day, and some
/// hundred bytes each.
pub const READS_MAX: usize = 10_000;

/// The paths that were read of a snapshot, once somebody wants to know.
#[derive(Default)]
pub struct Reads {
    is_wanted: AtomicBool,
    /// Each with the how manieth it was.
    noted: Mutex<HashMap<TreePath, usize>>,
}

impl Reads {
    /// Notes what is read from now on.
    pub fn begin(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Notes that a reader got bytes of a file or link. Brief: it is called for every read.
    pub fn note(&self, path: &TreePath) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let mut noted = self.noted.lock();
        let number = noted.len();
        if number < READS_MAX && !noted.contains_key(path) {
            noted.insert(path.clone(), number);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.noted.lock().len()
    }

    /// All of them, in the order in which they were first read.
    pub fn paths(&self) -> Vec<TreePath> {
        let mut noted: Vec<(TreePath, usize)> = {
            let noted = self.noted.lock();
            let numbered = noted.iter().map(|(path, number)| (path.clone(), *number));
            numbered.collect()
        };
        noted.sort_unstable_by_key(|(_, number)| *number);
        noted.into_iter().map(|(path, _)| path).collect()
    }

    /// Forgets what was noted so far.
    pub fn forget(&self) {
        self.noted.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: usize) -> TreePath {
        TreePath::try_from(number.to_string().as_str()).unwrap()
    }

    #[test]
    fn the_first_reads_are_noted_in_their_order_once_they_are_wanted() {
        let reads = Reads::default();
        reads.note(&path(7));
        assert_eq!(reads.count(), 0);
        reads.begin();
        for number in [3, 1, 3, 2, 1] {
            reads.note(&path(number));
        }
        assert_eq!(reads.paths(), [3, 1, 2].map(path));
        for number in 0..READS_MAX + 5 {
            reads.note(&path(number));
        }
        assert_eq!(reads.count(), READS_MAX);
        reads.forget();
        reads.note(&path(9));
        assert_eq!(reads.paths(), [path(9)]);
    }
}
