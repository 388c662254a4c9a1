//! Reading directories: a merge of two sorted lists, resumed by cookie.
//!
//! Both layers keep a directory in the order of [`Name::cookie`], so any position is found by a
//! search, nothing needs to be remembered between calls, and what is added or removed meanwhile
//! moves nothing else.

use std::sync::Arc;

use super::error::Error;
use super::inodes::kind_of_entry;
use super::open::Overlay;
use super::state::State;
use super::types::Visit;
use crate::lower::{Listing, ListingEntry};
use crate::tree::{Attributes, Ino, Kind, Name};

/// Cookies of `.` and `..`; names have larger ones.
const COOKIE_SELF: u64 = 1;
const COOKIE_PARENT: u64 = 2;
/// Entries gathered under one lock: about as many as fit the 32 KiB that the kernel asks for with
/// attributes (152 bytes and a name each), so little is gathered in vain.
const BATCH_ENTRIES: usize = 192;

/// Is shown one entry of a directory: cookie, inode, kind and name.
pub type Visitor<'a> = dyn FnMut(u64, Ino, Kind, &[u8]) -> Visit + 'a;

/// One entry of a merged directory.
#[derive(Clone)]
enum Item {
    Upper { ino: Ino, kind: Kind, name: Name },
    Lower { entry: ListingEntry, ino: Ino },
}

impl Item {
    fn name(&self) -> &Name {
        match self {
            Item::Upper { name, .. } => name,
            Item::Lower { entry, .. } => &entry.name,
        }
    }

    fn ino(&self) -> Ino {
        match self {
            Item::Upper { ino, .. } | Item::Lower { ino, .. } => *ino,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Item::Upper { kind, .. } => *kind,
            Item::Lower { entry, .. } => kind_of_entry(entry.kind),
        }
    }
}

impl Overlay {
    /// Visits the entries of a directory whose cookie is above `after` (0 for the start), `.` and
    /// `..` among them, in a stable order. The visitor gets cookie, inode, kind and name.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`], [`Error::Missing`].
    pub fn read_directory(
        &self,
        ino: Ino,
        after: u64,
        visit: &mut Visitor<'_>,
    ) -> Result<(), Error> {
        let listing = self.listing(ino)?;
        for (cookie, ino, name) in self.dots(ino, after)? {
            if visit(cookie, ino, Kind::Directory, name) == Visit::Full {
                return Ok(());
            }
        }
        let mut position = after.max(COOKIE_PARENT);
        loop {
            let items = self.state.lock().items(ino, position, listing.as_ref())?;
            let Some((last, _)) = items.last() else {
                return Ok(());
            };
            position = *last;
            for (cookie, item) in &items {
                let name = item.name().as_bytes();
                if visit(*cookie, item.ino(), item.kind(), name) == Visit::Full {
                    return Ok(());
                }
            }
        }
    }

    /// The same with attributes. Each entry taken, other than `.` and `..`, gets a lookup
    /// reference.
    ///
    /// # Errors
    ///
    /// As [`Overlay::read_directory`].
    pub fn read_directory_plus(
        &self,
        ino: Ino,
        after: u64,
        visit: &mut dyn FnMut(u64, &Attributes, &[u8]) -> Visit,
    ) -> Result<(), Error> {
        let listing = self.listing(ino)?;
        for (cookie, dot, name) in self.dots(ino, after)? {
            // The kernel makes no dentry of the two, so any directory's attributes will do.
            let attributes = Attributes {
                ino: dot,
                ..self.attributes(ino)?
            };
            if visit(cookie, &attributes, name) == Visit::Full {
                return Ok(());
            }
        }
        let mut position = after.max(COOKIE_PARENT);
        loop {
            let items = self.state.lock().items(ino, position, listing.as_ref())?;
            let Some((last, _)) = items.last() else {
                return Ok(());
            };
            position = *last;
            for (cookie, item) in &items {
                // What vanished since it was gathered is passed over.
                let Ok(attributes) = self.refer(ino, item) else {
                    continue;
                };
                if visit(*cookie, &attributes, item.name().as_bytes()) == Visit::Full {
                    self.forget(attributes.ino, 1);
                    return Ok(());
                }
            }
        }
    }

    /// Keeps those nodes to which one lookup reference was given and no other: whoever is about to get it is the
    /// first to hear of them.
    pub fn retain_new<T>(&self, nodes: &mut Vec<(T, Ino)>) {
        let state = self.state.lock();
        nodes.retain(|(_, ino)| state.live.get(ino).is_some_and(|live| live.lookups == 1));
    }

    /// Adds a lookup reference to an entry and says what it shows.
    fn refer(&self, directory: Ino, item: &Item) -> Result<Attributes, Error> {
        let mut state = self.state.lock();
        let ino = match item {
            Item::Upper { ino, .. } => *ino,
            Item::Lower { entry, .. } => match state.upper.entry(directory, &entry.name) {
                None => state.intern(directory, entry)?,
                Some(adopted) => adopted.node.ok_or(Error::NotFound)?,
            },
        };
        let shown = state.show(ino, &self.lower)?;
        state.add_lookup(ino);
        drop(state);
        self.complete(shown).inspect_err(|_| self.forget(ino, 1))
    }

    fn dots(
        &self,
        ino: Ino,
        after: u64,
    ) -> Result<impl Iterator<Item = (u64, Ino, &'static [u8])>, Error> {
        let parent = self.state.lock().parent(ino)?;
        let dots = [
            (COOKIE_SELF, ino, &b"."[..]),
            (COOKIE_PARENT, parent, &b".."[..]),
        ];
        Ok(dots.into_iter().filter(move |(cookie, ..)| *cookie > after))
    }
}

impl State {
    /// The directory that a directory is in; the root, and one that was removed, is in itself.
    fn parent(&self, ino: Ino) -> Result<Ino, Error> {
        use super::inodes::Known;
        Ok(match self.known(ino)? {
            Known::Upper(node) => node.names.first().map_or(ino, |(parent, _)| *parent),
            Known::Lower(node) => node.parent,
        })
    }

    /// Up to [`BATCH_ENTRIES`] merged entries after a cookie.
    fn items(
        &self,
        directory: Ino,
        after: u64,
        listing: Option<&Arc<Listing>>,
    ) -> Result<Vec<(u64, Item)>, Error> {
        // A directory that was removed meanwhile shows nothing.
        let listing = listing.filter(|_| !self.is_removed(directory));
        let mut upper = self.upper.entries_after(directory, after).peekable();
        let mut lower = listing
            .map(|listing| listing.after(after))
            .unwrap_or_default()
            .iter()
            .map(|entry| (entry.name.cookie(), entry))
            .peekable();
        let mut items = Vec::new();
        while items.len() < BATCH_ENTRIES {
            let take_upper = match (upper.peek(), lower.peek()) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((cookie, name, _)), Some((other, entry))) => {
                    (*cookie, *name) <= (*other, &entry.name)
                }
            };
            if take_upper {
                let Some((cookie, name, entry)) = upper.next() else {
                    break;
                };
                // An entry hides the lower one of the same name.
                lower.next_if(|(_, hidden)| hidden.name == *name);
                if let Some(ino) = entry.node {
                    let (kind, name) = (self.kind(ino)?, name.clone());
                    items.push((cookie, Item::Upper { ino, kind, name }));
                }
            } else if let Some((cookie, entry)) = lower.next() {
                let path = self.lower_child_path(directory, &entry.name)?;
                let ino = self.lower_ino(&path);
                let entry = entry.clone();
                items.push((cookie, Item::Lower { entry, ino }));
            }
        }
        Ok(items)
    }
}
