//! Names: finding, making, linking and removing what stands at them.

use journal::{Node as JournalNode, Origin as JournalOrigin, Record};

use super::attributes::permissions_of_entry;
use super::error::Error;
use super::inodes::{Found, Known, kind_of_entry};
use super::locks::MutexGuard;
use super::open::{Overlay, now};
use super::state::{LowerNode, Purpose, State};
use super::types::{NewNode, Owner};
use crate::lower::Listing;
use crate::tree::{Attributes, Ino, Kind, Name, Permissions, TreePath};
use crate::upper::{Node, Origin, journal_path, journal_time, node_kind};

/// Names that one file can have: ext4's limit, which tests of other file systems expect about.
const LINKS_MAX: usize = 65_000;
/// Longest target of a symbolic link (PATH_MAX less the NUL).
const TARGET_BYTES_MAX: usize = 4095;

impl Overlay {
    /// Finds a child, and adds one lookup reference to it; so do all calls that make one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::Missing`].
    pub fn lookup(&self, parent: Ino, name: &Name) -> Result<Attributes, Error> {
        let listing = self.listing_for(parent, name)?;
        let mut state = self.state.lock();
        let ino = match state.find(parent, name, listing.as_deref()) {
            Found::Upper(ino) => ino,
            Found::Lower(entry) => state.intern(parent, entry)?,
            Found::Nothing => return Err(Error::NotFound),
        };
        state.add_lookup(ino);
        let shown = state.show(ino, &self.lower)?;
        drop(state);
        self.complete(shown).inspect_err(|_| self.forget(ino, 1))
    }

    /// Takes lookup references back.
    pub fn forget(&self, ino: Ino, lookups: u64) {
        let mut state = self.state.lock();
        if let Some(live) = state.live.get_mut(&ino) {
            live.lookups = live.lookups.saturating_sub(lookups);
        }
        self.reap(&mut state, ino);
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for anything else, [`Error::Missing`].
    pub fn read_link(&self, ino: Ino) -> Result<Vec<u8>, Error> {
        let want = {
            let state = self.state.lock();
            if state.kind(ino)? != Kind::Symlink {
                return Err(Error::Invalid);
            }
            match (state.lower_object(ino)?, state.known(ino)?) {
                (Some(want), _) => want,
                (None, Known::Upper(node)) => return Ok(node.target.clone()),
                (None, Known::Lower(_)) => return Err(Error::Stale),
            }
        };
        self.read_bytes(&want, TARGET_BYTES_MAX)
    }

    /// Makes a regular file and opens it.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::Missing`], a full disk.
    pub fn create(
        &self,
        parent: Ino,
        name: &Name,
        permissions: Permissions,
        owner: Owner,
    ) -> Result<Attributes, Error> {
        let attributes = self.make(parent, name, NewNode::File, permissions, owner)?;
        let mut state = self.state.lock();
        state.live.entry(attributes.ino).or_default().opens += 1;
        Ok(attributes)
    }

    /// Makes anything. A directory with set-group-id hands its group down.
    ///
    /// # Errors
    ///
    /// As [`Overlay::create`].
    pub fn make(
        &self,
        parent: Ino,
        name: &Name,
        node: NewNode,
        permissions: Permissions,
        owner: Owner,
    ) -> Result<Attributes, Error> {
        let (kind, target, rdev) = match node {
            NewNode::File => (Kind::File, Vec::new(), 0),
            NewNode::Directory => (Kind::Directory, Vec::new(), 0),
            NewNode::Symlink { target } => (Kind::Symlink, target, 0),
            NewNode::Fifo => (Kind::Fifo, Vec::new(), 0),
            NewNode::Socket => (Kind::Socket, Vec::new(), 0),
            NewNode::CharDevice { rdev } => (Kind::CharDevice, Vec::new(), rdev),
            NewNode::BlockDevice { rdev } => (Kind::BlockDevice, Vec::new(), rdev),
        };
        if target.len() > TARGET_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let listing = self.listing_for(parent, name)?;
        let mut state = self.state.lock();
        let path = self.vacant(&mut state, parent, name, listing.as_deref())?;
        let directory = state.upper.node(parent).ok_or(Error::Stale)?;
        let inherits = u32::from(directory.permissions.bits()) & 0o2000 != 0;
        let mut bits = u32::from(permissions.bits());
        if inherits && kind == Kind::Directory {
            bits |= 0o2000;
        }
        let time = journal_time(now());
        let ino = state.upper.next_ino();
        let made = JournalNode {
            kind: node_kind(kind),
            permissions: Permissions::of_mode(bits).bits(),
            uid: owner.uid,
            gid: if inherits { directory.gid } else { owner.gid },
            rdev,
            target,
            atime: time,
            mtime: time,
            ctime: time,
        };
        let record = Record::Create {
            path: journal_path(&path),
            inode: ino.0,
            node: made,
        };
        self.commit(&mut state, &record)?;
        state.add_lookup(ino);
        let shown = state.show(ino, &self.lower)?;
        drop(state);
        self.complete(shown)
    }

    /// Gives a file that is not a directory another name.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::TooManyLinks`], [`Error::Missing`], a full disk.
    pub fn link(&self, ino: Ino, parent: Ino, name: &Name) -> Result<Attributes, Error> {
        let listing = self.listing_for(parent, name)?;
        let mut state = self.state.lock();
        if state.kind(ino)? == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        if state.is_removed(ino) {
            return Err(Error::NotFound);
        }
        let to = self.vacant(&mut state, parent, name, listing.as_deref())?;
        self.adopt(&mut state, ino)?;
        let node = state.upper.node(ino).ok_or(Error::Stale)?;
        if node.names.len() >= LINKS_MAX {
            return Err(Error::TooManyLinks);
        }
        let record = Record::Link {
            from: journal_path(&state.path(ino)?),
            to: journal_path(&to),
            inode: ino.0,
            time: journal_time(now()),
        };
        self.commit(&mut state, &record)?;
        state.add_lookup(ino);
        let shown = state.show(ino, &self.lower)?;
        drop(state);
        self.complete(shown)
    }

    /// Removes a name of anything but a directory. Whoever has the file open keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::IsDirectory`], [`Error::Missing`], a full disk.
    pub fn remove_file(&self, parent: Ino, name: &Name) -> Result<(), Error> {
        let listing = self.listing_for(parent, name)?;
        let mut state = self.state.lock();
        let (kind, gone) = match state.find(parent, name, listing.as_deref()) {
            Found::Upper(ino) => (state.kind(ino)?, Some(ino)),
            Found::Lower(entry) => (kind_of_entry(entry.kind), None),
            Found::Nothing => return Err(Error::NotFound),
        };
        if kind == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        self.remove(&mut state, parent, name, kind, gone)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::NotEmpty`], [`Error::Missing`].
    pub fn remove_directory(&self, parent: Ino, name: &Name) -> Result<(), Error> {
        self.check_edits()?;
        let listing = self.listing_for(parent, name)?;
        let beneath = self.listing_beneath(parent, name, listing.as_deref())?;
        let mut state = self.state.lock();
        let gone = match state.find(parent, name, listing.as_deref()) {
            Found::Upper(ino) => Some(ino),
            Found::Lower(entry) if kind_of_entry(entry.kind) == Kind::Directory => None,
            Found::Lower(_) => return Err(Error::NotDirectory),
            Found::Nothing => return Err(Error::NotFound),
        };
        if let Some(ino) = gone
            && state.kind(ino)? != Kind::Directory
        {
            return Err(Error::NotDirectory);
        }
        if !state.is_empty(gone, beneath.as_deref()) {
            return Err(Error::NotEmpty);
        }
        self.remove(&mut state, parent, name, Kind::Directory, gone)
    }

    fn remove(
        &self,
        state: &mut MutexGuard<'_, State>,
        parent: Ino,
        name: &Name,
        kind: Kind,
        gone: Option<Ino>,
    ) -> Result<(), Error> {
        self.adopt_for(state, parent, Purpose::Freeing)?;
        let lower = match gone {
            Some(_) => None,
            None => Some(state.lower_child_path(parent, name)?),
        };
        let record = Record::Remove {
            path: journal_path(&state.path(parent)?.join(name)?),
            kind: node_kind(kind),
            time: journal_time(now()),
        };
        self.commit_for(state, &record, Purpose::Freeing)?;
        if let Some(path) = lower {
            state.mark_removed(&path);
        }
        if let Some(ino) = gone {
            self.reap(state, ino);
        }
        Ok(())
    }

    /// The lower listing of the directory that stands at a name, for asking whether it is empty.
    pub(super) fn listing_beneath(
        &self,
        parent: Ino,
        name: &Name,
        listing: Option<&Listing>,
    ) -> Result<Option<std::sync::Arc<Listing>>, Error> {
        let beneath = {
            let state = self.state.lock();
            match state.find(parent, name, listing) {
                Found::Upper(ino) if state.kind(ino)? == Kind::Directory => {
                    state.lower_directory(ino)?
                }
                Found::Lower(entry) if entry.kind == crate::lower::EntryKind::Directory => {
                    Some((state.lower_child_path(parent, name)?, entry.oid))
                }
                Found::Upper(_) | Found::Lower(_) | Found::Nothing => None,
            }
        };
        match beneath {
            Some((path, oid)) => self.listing_of(&path, oid).map(Some),
            None => Ok(None),
        }
    }

    /// Checks that nothing stands at a name of a directory that exists, adopts the directory, and
    /// says what path the name will have.
    fn vacant(
        &self,
        state: &mut MutexGuard<'_, State>,
        parent: Ino,
        name: &Name,
        listing: Option<&Listing>,
    ) -> Result<TreePath, Error> {
        if state.kind(parent)? != Kind::Directory {
            return Err(Error::NotDirectory);
        }
        if state.is_removed(parent) {
            return Err(Error::NotFound);
        }
        if !matches!(state.find(parent, name, listing), Found::Nothing) {
            return Err(Error::Exists);
        }
        let path = state.path(parent)?.join(name)?;
        self.adopt(state, parent)?;
        Ok(path)
    }

    /// Gives a lower node, and its ancestors, a node in the upper layer with the same number. One
    /// that was removed while open gets one without a name, which no record tells of.
    pub(super) fn adopt_for(
        &self,
        state: &mut MutexGuard<'_, State>,
        ino: Ino,
        purpose: Purpose,
    ) -> Result<(), Error> {
        // From the outermost ancestor that is still the lower layer's alone.
        let mut chain = Vec::new();
        let mut current = ino;
        while let Known::Lower(node) = state.known(current)? {
            chain.push(current);
            if node.removed {
                break;
            }
            current = node.parent;
        }
        for ino in chain.into_iter().rev() {
            let Known::Lower(lower) = state.known(ino)? else {
                continue;
            };
            let lower = lower.clone();
            if lower.removed {
                let node = nameless(state, &lower);
                state.upper.insert_nameless(ino, node);
            } else {
                let record = adoption(state, ino, &lower)?;
                self.commit_for(state, &record, purpose)?;
            }
            state.detach_lower(ino);
        }
        Ok(())
    }
}

impl State {
    /// Whether a directory has no visible entry, given what the lower layer shows through.
    pub(super) fn is_empty(&self, directory: Option<Ino>, beneath: Option<&Listing>) -> bool {
        let hidden = |name: &Name| {
            directory.is_some_and(|directory| self.upper.entry(directory, name).is_some())
        };
        let upper_is_empty = directory.is_none_or(|directory| {
            self.upper
                .entries_after(directory, 0)
                .all(|(_, _, entry)| entry.node.is_none())
        });
        upper_is_empty
            && beneath
                .is_none_or(|listing| listing.entries().iter().all(|entry| hidden(&entry.name)))
    }
}

fn adoption(state: &State, ino: Ino, lower: &LowerNode) -> Result<Record, Error> {
    let time = journal_time(state.lower_time);
    Ok(Record::Adopt {
        path: journal_path(&state.path(ino)?),
        inode: ino.0,
        node: JournalNode {
            kind: node_kind(kind_of_entry(lower.kind)),
            permissions: permissions_of_entry(lower.kind).bits(),
            uid: state.owner.uid,
            gid: state.owner.gid,
            rdev: 0,
            target: Vec::new(),
            atime: time,
            mtime: time,
            ctime: time,
        },
        origin: JournalOrigin {
            path: journal_path(&lower.path),
            oid: lower.oid.0,
            size: lower.size,
        },
    })
}

fn nameless(state: &State, lower: &LowerNode) -> Node {
    Node {
        kind: kind_of_entry(lower.kind),
        permissions: permissions_of_entry(lower.kind),
        uid: state.owner.uid,
        gid: state.owner.gid,
        rdev: 0,
        target: Vec::new(),
        atime: state.lower_time,
        mtime: state.lower_time,
        ctime: state.lower_time,
        origin: Some(Origin {
            path: lower.path.clone(),
            oid: lower.oid,
            size: lower.size,
        }),
        body: false,
        xattrs: std::collections::BTreeMap::new(),
        names: Vec::new(),
    }
}
