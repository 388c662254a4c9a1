//! Attributes, but for the links of directories, and extended attributes.

use std::fs::{File, FileTimes, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use journal::Record;

use super::error::Error;
use super::inodes::{Known, kind_of_entry};
use super::open::{Overlay, now};
use super::state::State;
use super::types::{AttributeChange, Space, XattrMode};
use crate::lower::{EntryKind, Lower};
use crate::tree::{Attributes, Ino, Kind, Permissions, Timestamp};
use crate::upper::{journal_path, journal_time, set_attributes};

/// Every directory shows this; its real size is nobody's business and changes with the layer.
const DIRECTORY_BYTES: u64 = 4096;
/// Longest extended attribute name, as the kernel has it (XATTR_NAME_MAX).
const XATTR_NAME_BYTES_MAX: usize = 255;
/// Largest extended attribute value, as the kernel has it (XATTR_SIZE_MAX).
const XATTR_VALUE_BYTES_MAX: usize = 65_536;

/// Attributes, and the body whose size and times replace theirs.
pub(super) struct Shown {
    attributes: Attributes,
    body: Option<Option<Arc<File>>>,
}

impl State {
    /// What a node shows.
    pub(super) fn show(&mut self, ino: Ino, lower: &Lower) -> Result<Shown, Error> {
        let mut shown = self.show_but_links(ino)?;
        let attributes = &mut shown.attributes;
        if attributes.kind == Kind::Directory && attributes.links > 0 {
            attributes.links = self.directory_links(ino, lower)?;
        }
        Ok(shown)
    }

    /// What a node shows, but for a directory's links, which say no more than whether it has a name.
    pub(super) fn show_but_links(&self, ino: Ino) -> Result<Shown, Error> {
        let live = self.live.get(&ino);
        match self.known(ino)? {
            Known::Upper(node) => {
                let size = match node.kind {
                    Kind::Directory => DIRECTORY_BYTES,
                    Kind::Symlink if node.origin.is_none() => node.target.len() as u64,
                    _ => node.origin.as_ref().map_or(0, |origin| origin.size),
                };
                let links = match node.kind {
                    Kind::Directory => u32::from(ino == Ino::ROOT || !node.names.is_empty()),
                    _ => node.names.len() as u32,
                };
                Ok(Shown {
                    attributes: Attributes {
                        ino,
                        kind: node.kind,
                        permissions: node.permissions,
                        links,
                        uid: node.uid,
                        gid: node.gid,
                        rdev: node.rdev,
                        size,
                        blocks: size.div_ceil(512),
                        atime: node.atime,
                        mtime: node.mtime,
                        ctime: node.ctime,
                    },
                    body: node.body.then(|| live.and_then(|live| live.body.clone())),
                })
            }
            Known::Lower(node) => Ok(Shown {
                attributes: Attributes {
                    links: u32::from(!node.removed),
                    ..self.show_entry(ino, node.kind, node.size)
                },
                body: None,
            }),
        }
    }

    /// What an entry of a lower directory shows.
    pub(super) fn show_entry(&self, ino: Ino, kind: EntryKind, size: u64) -> Attributes {
        let size = match kind {
            EntryKind::Directory | EntryKind::Submodule => DIRECTORY_BYTES,
            EntryKind::File | EntryKind::Executable | EntryKind::Symlink => size,
        };
        Attributes {
            ino,
            kind: kind_of_entry(kind),
            permissions: permissions_of_entry(kind),
            links: 1,
            uid: self.owner.uid,
            gid: self.owner.gid,
            rdev: 0,
            size,
            blocks: size.div_ceil(512),
            atime: self.lower_time,
            mtime: self.lower_time,
            ctime: self.lower_time,
        }
    }
}

pub(super) fn permissions_of_entry(kind: EntryKind) -> Permissions {
    match kind {
        EntryKind::File => Permissions::FILE,
        EntryKind::Executable => Permissions::EXECUTABLE,
        EntryKind::Symlink => Permissions::SYMLINK,
        EntryKind::Directory | EntryKind::Submodule => Permissions::DIRECTORY,
    }
}

impl Overlay {
    /// The attributes of a node.
    ///
    /// # Errors
    ///
    /// An unknown inode, an unreadable body.
    pub fn attributes(&self, ino: Ino) -> Result<Attributes, Error> {
        let shown = self.state.lock().show(ino, &self.lower)?;
        self.complete(shown)
    }

    /// Asks the body file for what it knows better. Called without the state lock.
    pub(super) fn complete(&self, shown: Shown) -> Result<Attributes, Error> {
        let mut attributes = shown.attributes;
        let metadata: Metadata = match shown.body {
            None => return Ok(attributes),
            Some(Some(file)) => file.metadata().map_err(Error::Body)?,
            Some(None) => {
                std::fs::metadata(self.ledger.bodies.path(attributes.ino)).map_err(Error::Body)?
            }
        };
        let time = |seconds, nanoseconds: i64| Timestamp {
            seconds,
            nanoseconds: nanoseconds.unsigned_abs() as u32,
        };
        attributes.size = metadata.size();
        attributes.blocks = metadata.blocks();
        attributes.mtime = time(metadata.mtime(), metadata.mtime_nsec());
        attributes.ctime = attributes
            .ctime
            .max(time(metadata.ctime(), metadata.ctime_nsec()));
        Ok(attributes)
    }

    /// Sets attributes; a size truncates or extends. Changing the owner of a file takes its
    /// set-user-id and set-group-id bits, as every Linux file system does.
    ///
    /// # Errors
    ///
    /// Missing content (when a lower file is cut to a part of it), a full disk, an unfit kind.
    pub fn set_attributes(&self, ino: Ino, change: &AttributeChange) -> Result<Attributes, Error> {
        if let Some(size) = change.size {
            self.truncate(ino, size)?;
        }
        let mut state = self.state.lock();
        let kind = state.kind(ino)?;
        let mut permissions = change.permissions;
        if (change.uid.is_some() || change.gid.is_some()) && kind == Kind::File {
            let current = match permissions {
                Some(permissions) => permissions,
                None => state.show_but_links(ino)?.attributes.permissions,
            };
            if without_privileges(current) != current {
                permissions = Some(without_privileges(current));
            }
        }
        let only_size = AttributeChange {
            size: change.size,
            ..AttributeChange::default()
        };
        if *change != only_size {
            let record = journal::AttributeChange {
                permissions: permissions.map(Permissions::bits),
                uid: change.uid,
                gid: change.gid,
                atime: change.atime.map(journal_time),
                mtime: change.mtime.map(journal_time),
                ctime: Some(journal_time(now())),
            };
            self.commit_attributes(&mut state, ino, &record)?;
        }
        let shown = state.show(ino, &self.lower)?;
        drop(state);
        self.complete(shown)
    }

    /// Takes set-user-id, and set-group-id if the group may execute, as a write by a stranger does.
    ///
    /// # Errors
    ///
    /// As [`Overlay::set_attributes`].
    pub fn clear_privileges(&self, ino: Ino) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.kind(ino)? != Kind::File {
            return Ok(());
        }
        let current = state.show_but_links(ino)?.attributes.permissions;
        let cleared = without_privileges(current);
        if cleared == current {
            return Ok(());
        }
        let record = journal::AttributeChange {
            permissions: Some(cleared.bits()),
            ctime: Some(journal_time(now())),
            ..journal::AttributeChange::default()
        };
        self.commit_attributes(&mut state, ino, &record)
    }

    fn commit_attributes(
        &self,
        state: &mut parking_lot::MutexGuard<'_, State>,
        ino: Ino,
        change: &journal::AttributeChange,
    ) -> Result<(), Error> {
        self.adopt(state, ino)?;
        let body = state.upper.node(ino).is_some_and(|node| node.body);
        if let (true, Some(mtime)) = (body, change.mtime) {
            let time = Timestamp {
                seconds: mtime.seconds,
                nanoseconds: mtime.nanoseconds,
            };
            let times = FileTimes::new().set_modified(time.into());
            let set = self.ledger.bodies.set_times(ino, times);
            set.map_err(Error::Body)?;
        }
        if let Some(node) = state.upper.nameless_mut(ino) {
            set_attributes(node, change);
            return Ok(());
        }
        // Each name of the file is a path of the remote tree that has these permissions.
        let paths = state.paths(ino)?;
        let count = if change.permissions.is_some() {
            paths.len()
        } else {
            1
        };
        for path in paths.iter().take(count) {
            let record = Record::SetAttributes {
                path: journal_path(path),
                inode: ino.0,
                change: change.clone(),
            };
            self.commit(state, &record)?;
        }
        Ok(())
    }

    /// Space of the disk that local edits go to.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn space(&self) -> Result<Space, Error> {
        let folder = self.ledger.bodies.folder();
        let space = nix::sys::statvfs::statvfs(folder)
            .map_err(|error| Error::Body(std::io::Error::from(error)))?;
        Ok(Space {
            block_bytes: space.fragment_size() as u32,
            blocks: space.blocks(),
            blocks_free: space.blocks_free(),
            blocks_available: space.blocks_available(),
            files: space.files(),
            files_free: space.files_free(),
        })
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttribute`].
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Error> {
        match self.state.lock().known(ino)? {
            Known::Upper(node) => node.xattrs.get(name).cloned().ok_or(Error::NoAttribute),
            Known::Lower(_) => Err(Error::NoAttribute),
        }
    }

    /// The names of a node's extended attributes.
    ///
    /// # Errors
    ///
    /// An unknown inode.
    pub fn xattr_names(&self, ino: Ino) -> Result<Vec<Vec<u8>>, Error> {
        Ok(match self.state.lock().known(ino)? {
            Known::Upper(node) => node.xattrs.keys().cloned().collect(),
            Known::Lower(_) => Vec::new(),
        })
    }

    /// Sets an extended attribute. It stays local: no Git tree could hold it.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NoAttribute`] by mode; [`Error::ValueTooLarge`].
    pub fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<(), Error> {
        if name.len() > XATTR_NAME_BYTES_MAX || value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(Error::ValueTooLarge);
        }
        let mut state = self.state.lock();
        let there = match state.known(ino)? {
            Known::Upper(node) => node.xattrs.contains_key(name),
            Known::Lower(_) => false,
        };
        match mode {
            XattrMode::Create if there => return Err(Error::Exists),
            XattrMode::Replace if !there => return Err(Error::NoAttribute),
            XattrMode::Any | XattrMode::Create | XattrMode::Replace => {}
        }
        self.adopt(&mut state, ino)?;
        if let Some(node) = state.upper.nameless_mut(ino) {
            node.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        let record = Record::SetXattr {
            path: journal_path(&state.path(ino)?),
            name: name.to_vec(),
            value: value.to_vec(),
        };
        self.commit(&mut state, &record)?;
        Ok(())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttribute`].
    pub fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<(), Error> {
        let mut state = self.state.lock();
        match state.known(ino)? {
            Known::Upper(node) if node.xattrs.contains_key(name) => {}
            Known::Upper(_) | Known::Lower(_) => return Err(Error::NoAttribute),
        }
        if let Some(node) = state.upper.nameless_mut(ino) {
            node.xattrs.remove(name);
            return Ok(());
        }
        let record = Record::RemoveXattr {
            path: journal_path(&state.path(ino)?),
            name: name.to_vec(),
        };
        self.commit(&mut state, &record)?;
        Ok(())
    }
}

fn without_privileges(permissions: Permissions) -> Permissions {
    let bits = u32::from(permissions.bits());
    let group_executable = bits & 0o010 != 0;
    let cleared = if group_executable {
        bits & !0o6000
    } else {
        bits & !0o4000
    };
    Permissions::of_mode(cleared)
}
