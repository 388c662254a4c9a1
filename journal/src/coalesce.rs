//! Coalescing by final effect: many records to the few effects that the remote must see.
//!
//! The records are executed over a base tree (what the remote has) of which nothing is known but
//! what they themselves tell. A [`Plan`] keeps, by today's path, only what differs from the base:
//!
//! ```text
//! Base(path)   what stood at that path of the base, with everything below it that shows through
//! Put          a new or changed node; below it either nothing, or what stood below a base path
//! Absent       nothing, where the tree above it would show something
//! ```
//!
//! A path without an entry shows what its nearest ancestor with one lets through: below `Base(q)`,
//! the path's rest below `q`. So renaming a directory is one entry however much is below it, and
//! renaming it back is none. Effects are read off at the end, entry by entry.
//!
//! Nothing is coalesced across what somebody was promised. A flush or a publication returns once all
//! that came before it is accepted, and then the plan begins anew. An fsync promises the local disk
//! and not the remote, which shows a batch whole or not at all: so a save by write, fsync and rename
//! is one effect, and no state in between can be seen. Dependencies need no order of their own for
//! the same reason; effects come parents first. How old an entry may get before it is pushed is
//! [`crate::replay`]'s to say.
//!
//! Invariant: an entry differs from what would show without it; so no entries means no effects.

mod effects;
mod entries;
mod facts;

use std::collections::BTreeMap;

use crate::record::{Effect, Path, Record, RenameMode};
use entries::contains;
use facts::{Fact, Facts, Shape};

/// The net effect of the records pushed so far, over a tree that nothing is known of.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    entries: BTreeMap<Path, Entry>,
    facts: Facts,
}

/// What stands at a path instead of what would show there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Base(Path),
    Put {
        inode: u64,
        /// Not known of a node that only a pending effect or a change of permissions told of.
        shape: Option<Shape>,
        /// The base path whose children show below.
        below: Option<Path>,
    },
    Absent,
}

impl Plan {
    /// The plan of no records.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Adds the next record. Records that are not pending work have no effect, though they may
    /// tell something of the base that makes the effects fewer.
    ///
    /// [`Record::Pending`] records that compaction wrote come first, in the order of
    /// [`Plan::effects`]: they make this plan what that one was.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::Create { path, inode, node } => {
                self.facts_at(path, Fact::Absent);
                self.put_new(path, *inode, Some(Shape::of(node.kind)));
            }
            Record::Link { to, inode, .. } => {
                self.facts_at(to, Fact::Absent);
                self.put_new(to, *inode, Some(Shape::Leaf));
            }
            Record::Write { path, inode, .. } => {
                self.facts_at(path, Fact::Is(Shape::Leaf));
                self.put_new(path, *inode, Some(Shape::Leaf));
            }
            Record::Remove { path, kind, .. } => {
                self.facts_at(path, Fact::Is(Shape::of(*kind)));
                self.replace(path, Entry::Absent);
            }
            Record::Rename {
                from,
                to,
                kind,
                mode,
                ..
            } => {
                self.facts_at(from, Fact::Is(Shape::of(*kind)));
                self.rename(from, to, Shape::of(*kind), *mode);
            }
            Record::SetAttributes {
                path,
                inode,
                change,
            } if change.permissions.is_some() => {
                self.change(path, *inode);
            }
            Record::Pending { effect, .. } => self.seed(effect),
            // A lower node's kind is worth knowing: its removal needs no guess then.
            Record::Adopt { path, node, .. } => {
                self.facts_at(path, Fact::Is(Shape::of(node.kind)));
            }
            Record::SetAttributes { .. }
            | Record::SetXattr { .. }
            | Record::RemoveXattr { .. }
            | Record::InodesTaken { .. }
            | Record::Pin { .. }
            | Record::ForkIntended { .. }
            | Record::Forked { .. }
            | Record::PushIntended { .. }
            | Record::Pushed { .. }
            | Record::PendingLater { .. }
            | Record::Held { .. }
            | Record::Released { .. }
            | Record::Dropped { .. }
            | Record::ConflictFound { .. }
            | Record::ConflictPath { .. }
            | Record::ConflictResolved { .. }
            | Record::PublishIntended { .. }
            | Record::Published { .. }
            | Record::CopyUp { .. }
            | Record::BodiesDurable { .. }
            | Record::CopyUpUndone { .. }
            | Record::Bytes { .. } => {}
        }
    }

    /// Gives up what is to be done at this very path, and says whether there was anything.
    pub fn give_up(&mut self, path: &Path) -> bool {
        let Some(entry) = self.entries.remove(path) else {
            return false;
        };
        // What was told of the base may be of a tree that the remote will never have.
        if let Entry::Base(base)
        | Entry::Put {
            below: Some(base), ..
        } = &entry
        {
            self.facts.forget(base);
        }
        self.facts.forget(path);
        true
    }

    /// Whether something is to be done at this very path.
    pub fn touches(&self, path: &Path) -> bool {
        self.entries.contains_key(path)
    }

    /// Whether the records tell that the base has nothing at this path: it is new.
    pub fn is_new(&self, path: &Path) -> bool {
        let end = path.0.len();
        let slashes = path.0.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ends = slashes.map(|(slash, _)| slash).chain([end]);
        ends.any(|to| {
            let above = Path(path.0.iter().take(to).copied().collect());
            self.facts.is_absent(&above)
                || (to < end && self.facts.shape(&above) == Some(Shape::Leaf))
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn put_new(&mut self, path: &Path, inode: u64, shape: Option<Shape>) {
        let below = None;
        self.replace(
            path,
            Entry::Put {
                inode,
                shape,
                below,
            },
        );
    }

    /// The node stays what it is, but must be put.
    fn change(&mut self, path: &Path, inode: u64) {
        let entry = match self.standing(path) {
            Entry::Base(base) => self.changed(base, inode),
            Entry::Put { shape, below, .. } => Entry::Put {
                inode,
                shape,
                below,
            },
            Entry::Absent => Entry::Put {
                inode,
                shape: None,
                below: None,
            },
        };
        self.set(path, entry);
    }

    fn changed(&self, base: Path, inode: u64) -> Entry {
        let shape = self.facts.shape(&base);
        let below = (shape != Some(Shape::Leaf)).then_some(base);
        Entry::Put {
            inode,
            shape,
            below,
        }
    }

    fn rename(&mut self, from: &Path, to: &Path, shape: Shape, mode: RenameMode) {
        if contains(from, to) {
            return; // onto itself, which is nothing, or below itself, which cannot be
        }
        let (other, to_fact) = match mode {
            RenameMode::Replace { replaced: None } => (None, Fact::Absent),
            RenameMode::Replace {
                replaced: Some(kind),
            } => (None, Fact::Is(Shape::of(kind))),
            RenameMode::Exchange { other } => (Some(Shape::of(other)), Fact::Is(Shape::of(other))),
        };
        if other.is_some() && contains(to, from) {
            return; // a directory cannot change places with what is below it
        }
        self.facts_at(to, to_fact);
        let moved = self.take(from, shape);
        match other {
            None => {
                self.set(from, Entry::Absent);
                self.place(to, moved);
            }
            Some(other) => {
                let back = self.take(to, other);
                self.place(from, back);
                self.place(to, moved);
            }
        }
    }

    /// Makes the plan what the one was that gave this effect, one effect after the other.
    fn seed(&mut self, effect: &Effect) {
        match effect {
            Effect::Remove { path } => self.replace(path, Entry::Absent),
            Effect::Copy { from, to } => {
                let standing = self.standing(to);
                if standing != Entry::Base(from.clone()) {
                    self.facts.guess(&standing);
                    self.replace(to, Entry::Base(from.clone()));
                }
            }
            // A new node or a changed one? What stood there in the base, if anything did, would
            // have been removed had it been in the way; so letting it show is right for both.
            Effect::Put { path, inode } => self.change(path, *inode),
        }
    }
}
