//! Attributes; `links.rs` has those of directories that take counting.

use std::fs::{File, FileTimes, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use journal::Record;

use super::content::Bytes;
use super::error::Error;
use super::inodes::{Known, kind_of_entry};
use super::open::{Overlay, now};
use super::state::{Purpose, State};
use super::types::{AttributeChange, Space};
use crate::lower::{EntryKind, Lower};
use crate::tree::{Attributes, Ino, Kind, Permissions, Timestamp};
use crate::upper::{journal_path, journal_time, set_attributes};

/// Every directory shows this; its real size is nobody's business and changes with the layer.
const DIRECTORY_BYTES: u64 = 4096;
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
                        volatile: self.standing.contains_key(&ino),
                    },
                    body: node
                        .body
                        .then(|| live.and_then(|live| live.held.as_ref()?.body.clone())),
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
            volatile: false,
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

    /// Sets attributes; a size truncates or extends. Changing the owner takes the
    /// set-user-id and set-group-id bits of all but directories, as every Linux file system does.
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
        if (change.uid.is_some() || change.gid.is_some()) && kind != Kind::Directory {
            let current = match permissions {
                Some(permissions) => permissions,
                None => state.show_but_links(ino)?.attributes.permissions,
            };
            let cleared = without_privileges(current, Keeps::GroupWithoutExecute);
            if cleared != current {
                permissions = Some(cleared);
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
            if kind == Kind::File && (change.uid.is_some() || change.gid.is_some()) {
                self.drop_capability(&mut state, ino, Purpose::Change)?;
            }
        }
        let shown = state.show(ino, &self.lower)?;
        drop(state);
        self.complete(shown)
    }

    /// Takes set-user-id, and set-group-id if the group may execute, as a write by a stranger does. Of
    /// a caller whose group is not the file's, set-group-id is taken in any case; `None` stands for one
    /// who may keep it.
    ///
    /// # Errors
    ///
    /// As [`Overlay::set_attributes`].
    pub fn clear_privileges(&self, ino: Ino, group: Option<u32>) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.kind(ino)? == Kind::Directory {
            return Ok(());
        }
        let shown = state.show_but_links(ino)?.attributes;
        let current = shown.permissions;
        let keeps = match group {
            Some(group) if group != shown.gid => Keeps::Nothing,
            Some(_) | None => Keeps::GroupWithoutExecute,
        };
        let cleared = without_privileges(current, keeps);
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
        state: &mut super::locks::MutexGuard<'_, State>,
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
            if let Bytes::Body(body) = self.bytes(state, ino)? {
                body.set_times(times).map_err(Error::Body)?;
            }
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
}

/// What a change leaves of a file's privileges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// Set-group-id where the group may not execute, so that it is none.
    GroupWithoutExecute,
    /// Neither.
    Nothing,
}

fn without_privileges(permissions: Permissions, keeps: Keeps) -> Permissions {
    let bits = u32::from(permissions.bits());
    let is_none = bits & 0o010 == 0 && keeps == Keeps::GroupWithoutExecute;
    let taken = if is_none { 0o4000 } else { 0o6000 };
    Permissions::of_mode(bits & !taken)
}
