//! Renames. A directory of the lower layer keeps what shows through it, so moving one costs one
//! record and no fetch, whatever is in it.

use journal::{Record, RenameMode};

use super::error::Error;
use super::inodes::{Found, kind_of_entry};
use super::locks::MutexGuard;
use super::open::{Overlay, now};
use super::state::State;
use super::types::Rename;
use crate::lower::Listing;
use crate::tree::{Ino, Kind, Name, PATH_BYTES_MAX, TreePath};
use crate::upper::{journal_path, journal_time, node_kind};

/// What stands at one end of a rename.
#[derive(Clone, Copy)]
struct End {
    /// Its kind.
    kind: Kind,
    /// Its inode, unless it is a lower node that nobody has asked for yet.
    ino: Option<Ino>,
}

impl Overlay {
    /// Renames. Two names of one file are left as they are, as POSIX says.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::NotEmpty`], [`Error::IsDirectory`],
    /// [`Error::NotDirectory`], [`Error::Loop`], [`Error::TooLong`], [`Error::Missing`].
    pub fn rename(
        &self,
        parent: Ino,
        name: &Name,
        new_parent: Ino,
        new_name: &Name,
        mode: Rename,
    ) -> Result<(), Error> {
        self.check_edits()?;
        let from_listing = self.listing_for(parent, name)?;
        let to_listing = self.listing_for(new_parent, new_name)?;
        // What is replaced must be empty; of what only moves, nobody asks.
        let beneath = match mode {
            Rename::Replace => self.listing_beneath(new_parent, new_name, to_listing.as_deref())?,
            Rename::NoReplace | Rename::Exchange => None,
        };
        let mut state = self.state.lock();
        let source = end(&state, parent, name, from_listing.as_deref())?.ok_or(Error::NotFound)?;
        let target = end(&state, new_parent, new_name, to_listing.as_deref())?;
        if state.kind(new_parent)? != Kind::Directory || state.is_removed(new_parent) {
            return Err(Error::NotFound);
        }
        let same = target.is_some_and(|target| target.ino.is_some() && target.ino == source.ino);
        if same && mode != Rename::NoReplace || (parent, name) == (new_parent, new_name) {
            return Ok(());
        }
        let empty = target.is_none_or(|target| state.is_empty(target.ino, beneath.as_deref()));
        check(mode, source, target, empty)?;
        let from = state.path(parent)?.join(name)?;
        let to = state.path(new_parent)?.join(new_name)?;
        let swallows = source.kind == Kind::Directory && to.starts_with(&from);
        let swallowed = mode == Rename::Exchange
            && target.is_some_and(|target| target.kind == Kind::Directory)
            && from.starts_with(&to);
        if swallows || swallowed {
            return Err(Error::Loop);
        }
        state.check_reach(source, &from, &to)?;
        if let (Rename::Exchange, Some(target)) = (mode, target) {
            state.check_reach(target, &to, &from)?;
        }
        self.adopt(&mut state, new_parent)?;
        let moved = self.adopt_child(&mut state, parent, name, from_listing.as_deref())?;
        let mode = match (mode, target) {
            (Rename::Exchange, Some(target)) => {
                self.adopt_child(&mut state, new_parent, new_name, to_listing.as_deref())?;
                RenameMode::Exchange {
                    other: node_kind(target.kind),
                }
            }
            (_, target) => RenameMode::Replace {
                replaced: target.map(|target| node_kind(target.kind)),
            },
        };
        let replaced_lower = match (mode, target) {
            (RenameMode::Replace { .. }, Some(End { ino: None, .. })) => {
                Some(state.lower_child_path(new_parent, new_name)?)
            }
            _ => None,
        };
        let record = Record::Rename {
            from: journal_path(&from),
            to: journal_path(&to),
            kind: node_kind(source.kind),
            mode,
            time: journal_time(now()),
        };
        self.commit(&mut state, &record)?;
        if let Some(path) = replaced_lower {
            state.mark_removed(&path);
        }
        self.reap(&mut state, moved);
        if let Some(ino) = target.and_then(|target| target.ino) {
            self.reap(&mut state, ino);
        }
        Ok(())
    }

    /// Adopts what stands at a name, known or not, and says which inode it is.
    fn adopt_child(
        &self,
        state: &mut MutexGuard<'_, State>,
        parent: Ino,
        name: &Name,
        listing: Option<&Listing>,
    ) -> Result<Ino, Error> {
        match state.find(parent, name, listing) {
            Found::Upper(ino) => Ok(ino),
            Found::Lower(entry) => {
                let ino = state.intern(parent, entry)?;
                self.adopt(state, ino)?;
                Ok(ino)
            }
            Found::Nothing => Err(Error::NotFound),
        }
    }
}

impl State {
    /// Checks that everything below a directory can still be named when it has moved: no record could
    /// tell of what cannot, and no snapshot keep it. Only what is in the upper layer matters.
    fn check_reach(&self, moved: End, from: &TreePath, to: &TreePath) -> Result<(), Error> {
        let (before, after) = (from.as_bytes().len(), to.as_bytes().len());
        match moved.ino {
            Some(ino)
                if moved.kind == Kind::Directory
                    && after > before
                    && after + self.upper.reach(ino) > PATH_BYTES_MAX =>
            {
                Err(Error::TooLong)
            }
            _ => Ok(()),
        }
    }
}

fn end(
    state: &State,
    parent: Ino,
    name: &Name,
    listing: Option<&Listing>,
) -> Result<Option<End>, Error> {
    Ok(match state.find(parent, name, listing) {
        Found::Upper(ino) => Some(End {
            kind: state.kind(ino)?,
            ino: Some(ino),
        }),
        Found::Lower(entry) => Some(End {
            kind: kind_of_entry(entry.kind),
            ino: None,
        }),
        Found::Nothing => None,
    })
}

fn check(mode: Rename, source: End, target: Option<End>, empty: bool) -> Result<(), Error> {
    let Some(target) = target else {
        return match mode {
            Rename::Exchange => Err(Error::NotFound),
            Rename::Replace | Rename::NoReplace => Ok(()),
        };
    };
    let source_is_directory = source.kind == Kind::Directory;
    let target_is_directory = target.kind == Kind::Directory;
    match mode {
        Rename::NoReplace => Err(Error::Exists),
        Rename::Exchange => Ok(()),
        Rename::Replace if source_is_directory && !target_is_directory => Err(Error::NotDirectory),
        Rename::Replace if !source_is_directory && target_is_directory => Err(Error::IsDirectory),
        Rename::Replace if target_is_directory && !empty => Err(Error::NotEmpty),
        Rename::Replace => Ok(()),
    }
}
