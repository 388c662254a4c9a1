//! What the entries of a directory add up to: links, which are known without walking them, and how far
//! down they go.

use super::state::{Entry, Upper};
use crate::tree::{Ino, Kind};

/// What the entries of one directory add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Entries that stand for a directory.
    pub directories: u32,
    /// Entries that cover something of the lower directory. They stay as long as the directory is one
    /// of the tree, so the same number means the same entries.
    pub covering: u32,
}

impl Tally {
    /// Counts an entry that comes.
    fn add(&mut self, entry: Entry, is_directory: bool) {
        self.directories += u32::from(is_directory);
        self.covering += u32::from(entry.covers);
    }

    /// Counts an entry that goes.
    fn take(&mut self, entry: Entry, is_directory: bool) {
        self.directories = self.directories.saturating_sub(u32::from(is_directory));
        self.covering = self.covering.saturating_sub(u32::from(entry.covers));
    }
}

impl Upper {
    /// What the entries of a directory add up to: known without walking them.
    pub fn tally(&self, directory: Ino) -> Tally {
        self.tallies.get(&directory).copied().unwrap_or_default()
    }

    /// Whether an entry stands for a directory.
    fn is_directory(&self, entry: Entry) -> bool {
        let node = entry.node.and_then(|ino| self.nodes.get(&ino));
        node.is_some_and(|node| node.kind == Kind::Directory)
    }

    /// Keeps count of an entry of a directory that came in place of another.
    pub(super) fn recount(&mut self, directory: Ino, before: Option<Entry>, after: Option<Entry>) {
        let mut tally = self.tally(directory);
        if let Some(before) = before {
            tally.take(before, self.is_directory(before));
        }
        if let Some(after) = after {
            tally.add(after, self.is_directory(after));
        }
        self.tallies.insert(directory, tally);
    }

    /// The bytes by which the longest path below a directory is longer than its own. Walks all of it.
    pub fn reach(&self, directory: Ino) -> usize {
        let mut longest = 0;
        let mut open = vec![(directory, 0)];
        while let Some((directory, reached)) = open.pop() {
            for (_, name, entry) in self.entries_after(directory, 0) {
                let reached = reached + 1 + name.as_bytes().len();
                longest = longest.max(reached);
                let below = entry.node.filter(|_| self.is_directory(entry));
                open.extend(below.map(|ino| (ino, reached)));
            }
        }
        longest
    }
}
