//! The entries of a plan: what stands where, and moving it.
//!
//! They are one flat map by today's path, in which what is below a path is one range; so nothing
//! recurses, however deep a tree is.

use std::ops::Bound;

use super::facts::{Fact, Shape};
use super::{Entry, Plan};
use crate::record::Path;

/// A node on its way to another path: its entry, and those below it by the rest of their paths.
pub(super) struct Moved {
    entry: Entry,
    below: Vec<(Vec<u8>, Entry)>,
}

impl Plan {
    /// What shows at `path` if it has no entry of its own: something of the base, or nothing.
    pub(super) fn implied(&self, path: &Path) -> Option<Path> {
        let mut ancestor = path.0.as_slice();
        while !ancestor.is_empty() {
            let end = ancestor.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            ancestor = ancestor.get(..end).unwrap_or_default();
            let Some(entry) = self.entries.get(&Path(ancestor.to_vec())) else {
                continue;
            };
            let base = match entry {
                Entry::Base(base) => base,
                Entry::Put { below, .. } => below.as_ref()?,
                Entry::Absent => return None,
            };
            let rest = path.0.get(end..).unwrap_or_default();
            return Some(join(base, rest));
        }
        Some(path.clone())
    }

    pub(super) fn standing(&self, path: &Path) -> Entry {
        match self.entries.get(path) {
            Some(entry) => entry.clone(),
            None => self.implied(path).map_or(Entry::Absent, Entry::Base),
        }
    }

    /// Remembers what a record told of the base by what it told of `path`.
    pub(super) fn facts_at(&mut self, path: &Path, fact: Fact) {
        match (self.standing(path), fact) {
            (Entry::Base(base), _) => self.facts.learn(base, fact),
            // Changing permissions leaves a node what it was.
            (
                Entry::Put {
                    below: Some(base), ..
                },
                Fact::Is(_),
            ) => self.facts.learn(base, fact),
            _ => {}
        }
    }

    /// Another node stands at `path`: nothing of the old one is left, nor of what was below it.
    pub(super) fn replace(&mut self, path: &Path, entry: Entry) {
        self.take_below(path);
        self.set(path, entry);
    }

    /// Sets the entry of `path`, or drops it if it says what would show there anyway.
    pub(super) fn set(&mut self, path: &Path, entry: Entry) {
        let implied = self.implied(path);
        let idle = match (&entry, &implied) {
            (Entry::Base(base), Some(implied)) => base == implied,
            (Entry::Absent, Some(implied)) => self.facts.is_absent(implied),
            (Entry::Absent, None) => true,
            (Entry::Base(_), None) | (Entry::Put { .. }, _) => false,
        };
        if idle {
            self.entries.remove(path);
            // Where nothing differs, the next record tells again; so a million temporary files
            // leave no trace.
            if let Some(implied) = implied {
                self.facts.forget(&implied);
            }
        } else {
            self.entries.insert(path.clone(), entry);
        }
    }

    pub(super) fn take(&mut self, path: &Path, shape: Shape) -> Moved {
        let entry = match self.standing(path) {
            Entry::Put { inode, below, .. } => Entry::Put {
                inode,
                shape: Some(shape),
                below: below.filter(|_| shape == Shape::Directory),
            },
            entry => entry,
        };
        let below = self.take_below(path);
        self.entries.remove(path);
        Moved { entry, below }
    }

    pub(super) fn place(&mut self, path: &Path, moved: Moved) {
        self.replace(path, moved.entry);
        for (rest, entry) in moved.below {
            self.entries.insert(join(path, &rest), entry);
        }
    }

    /// Removes all entries below `path`, and returns them by the rest of their paths.
    fn take_below(&mut self, path: &Path) -> Vec<(Vec<u8>, Entry)> {
        let (from, to) = below(path);
        let paths: Vec<Path> = self
            .entries
            .range((from, to))
            .map(|(path, _)| path.clone())
            .collect();
        let prefix = path.0.len();
        let take = |path: Path| {
            let entry = self.entries.remove(&path)?;
            Some((path.0.get(prefix..)?.to_vec(), entry))
        };
        paths.into_iter().filter_map(take).collect()
    }
}

/// The range of the paths below `path`: those that begin with it and a slash.
fn below(path: &Path) -> (Bound<Path>, Bound<Path>) {
    if path.0.is_empty() {
        return (Bound::Excluded(path.clone()), Bound::Unbounded);
    }
    let with = |byte: u8| Path([path.0.as_slice(), &[byte]].concat());
    (Bound::Excluded(with(b'/')), Bound::Excluded(with(b'/' + 1)))
}

/// Whether `path` is `ancestor` or below it.
pub(super) fn contains(ancestor: &Path, path: &Path) -> bool {
    ancestor.0.is_empty()
        || path
            .0
            .strip_prefix(ancestor.0.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// `path` and a rest that may or may not begin with a slash.
fn join(path: &Path, rest: &[u8]) -> Path {
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    if path.0.is_empty() || rest.is_empty() {
        return Path([path.0.as_slice(), rest].concat());
    }
    Path([path.0.as_slice(), b"/", rest].concat())
}
