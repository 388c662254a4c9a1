//! What each journal record does to the state: the only place where it changes.

use std::collections::BTreeMap;

use journal::{Record, RenameMode, Sequence, Time};

use super::Error;
use super::convert::{kind_of, timestamp, tree_path};
use super::state::{ADOPTED_BIT, Entry, Node, Origin, Upper};
use crate::tree::{GitOid, Ino, Kind, Name, Permissions, TreePath};

impl Upper {
    /// Applies one record.
    ///
    /// # Errors
    ///
    /// A record that does not fit the state; the state is then unchanged.
    pub fn apply(&mut self, sequence: Sequence, record: &Record) -> Result<(), Error> {
        Step {
            upper: self,
            sequence,
        }
        .apply(record)
    }
}

/// One record being applied: knows its sequence for the errors.
struct Step<'a> {
    upper: &'a mut Upper,
    sequence: Sequence,
}

impl Step<'_> {
    fn apply(&mut self, record: &Record) -> Result<(), Error> {
        self.count_again(record)?;
        match record {
            Record::Adopt {
                path,
                inode,
                node,
                origin,
            } => {
                let origin = Origin {
                    path: self.path(&origin.path)?,
                    oid: GitOid(origin.oid),
                    size: origin.size,
                };
                let place = self.place(path)?;
                let covers = self.upper.lower_path(&place).as_ref() == Some(&origin.path);
                self.insert(Ino(*inode), new_node(node, Some(origin)));
                self.point(place, Some(Ino(*inode)), covers);
            }
            Record::Create { path, inode, node } => {
                let place = self.place(path)?;
                self.insert(Ino(*inode), new_node(node, None));
                self.touch_directory(place.0, node.ctime);
                self.point(place, Some(Ino(*inode)), false);
            }
            Record::Link {
                from: _,
                to,
                inode,
                time,
            } => {
                let place = self.place(to)?;
                if !self.upper.nodes.contains_key(&Ino(*inode)) {
                    return Err(self.missing(to));
                }
                self.touch_directory(place.0, *time);
                self.changed(Ino(*inode), |node| node.ctime = timestamp(*time));
                self.point(place, Some(Ino(*inode)), false);
            }
            Record::Remove {
                path,
                kind: _,
                time,
            } => self.remove(path, *time)?,
            Record::Rename {
                from,
                to,
                kind: _,
                mode,
                time,
            } => self.rename(from, to, *mode, *time)?,
            Record::Write { path, inode, .. } => {
                if !self.upper.nodes.contains_key(&Ino(*inode)) {
                    return Err(self.missing(path));
                }
                self.changed(Ino(*inode), |node| node.body = true);
            }
            Record::SetAttributes {
                path,
                inode,
                change,
            } => {
                if !self.upper.nodes.contains_key(&Ino(*inode)) {
                    return Err(self.missing(path));
                }
                self.changed(Ino(*inode), |node| set_attributes(node, change));
            }
            Record::SetXattr { path, name, value } => {
                let ino = self.existing(path)?;
                self.changed(ino, |node| {
                    node.xattrs.insert(name.clone(), value.clone());
                });
            }
            Record::RemoveXattr { path, name } => {
                let ino = self.existing(path)?;
                self.changed(ino, |node| {
                    node.xattrs.remove(name);
                });
            }
            Record::InodesTaken { next } => self.upper.next = self.upper.next.max(*next),
            Record::Pin { tree, time, .. } => {
                self.pin_root(GitOid(*tree), *time);
                self.upper.remote.absorb(record);
            }
            Record::ForkIntended { .. }
            | Record::Forked { .. }
            | Record::PushIntended { .. }
            | Record::Pushed { .. }
            | Record::Held { .. }
            | Record::Released { .. }
            | Record::ConflictFound { .. }
            | Record::ConflictResolved { .. }
            | Record::PublishIntended { .. }
            | Record::Published { .. } => self.upper.remote.absorb(record),
            Record::ConflictPath { conflict, path } => {
                let path = self.path(path)?;
                self.upper.remote.absorb_path(conflict, path);
            }
            Record::Dropped { path, .. } => {
                let path = self.path(path)?;
                self.upper.given_up.insert(path);
            }
            Record::CopyUpUndone { inode } => self.changed(Ino(*inode), |node| {
                // Without anything beneath, the body is all there is.
                node.body &= node.origin.is_none();
            }),
            // What is to be pushed, and what of the bodies is durable, is the overlay's to know.
            Record::Pending { .. }
            | Record::PendingLater { .. }
            | Record::CopyUp { .. }
            | Record::BodiesDurable { .. }
            | Record::Bytes { .. } => {}
        }
        Ok(())
    }

    /// A path that changes is no longer given up; what a rename moves is told by its new place.
    fn count_again(&mut self, record: &Record) -> Result<(), Error> {
        if self.upper.given_up.is_empty() || !record.is_pending_work() {
            return Ok(());
        }
        for path in record.paths() {
            let path = self.path(path)?;
            self.upper.given_up.remove(&path);
            if matches!(record, Record::Rename { .. }) {
                self.upper
                    .given_up
                    .retain(|given_up| !given_up.starts_with(&path));
            }
        }
        Ok(())
    }

    /// The root shows the pinned tree, and its time.
    fn pin_root(&mut self, tree: GitOid, time: Time) {
        let origin = Origin {
            path: TreePath::ROOT,
            oid: tree,
            size: 0,
        };
        let time = timestamp(time);
        self.changed(Ino::ROOT, |root| {
            root.origin = Some(origin);
            (root.atime, root.mtime, root.ctime) = (time, time, time);
        });
    }

    fn remove(&mut self, path: &journal::Path, time: Time) -> Result<(), Error> {
        let place = self.place(path)?;
        // Without an entry, what was visible there was the lower layer's.
        let covers = self.entry(&place).is_none_or(|entry| entry.covers);
        let gone = self.entry(&place).and_then(|entry| entry.node);
        self.touch_directory(place.0, time);
        self.clear(place, covers);
        self.bury(gone, time);
        Ok(())
    }

    fn rename(
        &mut self,
        from: &journal::Path,
        to: &journal::Path,
        mode: RenameMode,
        time: Time,
    ) -> Result<(), Error> {
        let source = self.place(from)?;
        let target = self.place(to)?;
        let moved = self.existing(from)?;
        let covers_source = self.entry(&source).is_some_and(|entry| entry.covers);
        let replaced = self.entry(&target);
        match mode {
            RenameMode::Exchange { .. } => {
                let other = self.existing(to)?;
                let covers_target = replaced.is_some_and(|entry| entry.covers);
                self.clear(source.clone(), covers_source);
                self.clear(target.clone(), covers_target);
                self.changed(other, |node| node.ctime = timestamp(time));
                self.point(source.clone(), Some(other), covers_source);
                self.point(target.clone(), Some(moved), covers_target);
            }
            RenameMode::Replace { replaced: visible } => {
                let covers_target = match replaced {
                    Some(entry) => entry.covers,
                    None => visible.is_some(),
                };
                self.clear(source.clone(), covers_source);
                self.clear(target.clone(), covers_target);
                self.point(target.clone(), Some(moved), covers_target);
                self.bury(replaced.and_then(|entry| entry.node), time);
            }
        }
        self.changed(moved, |node| node.ctime = timestamp(time));
        self.touch_directory(source.0, time);
        self.touch_directory(target.0, time);
        Ok(())
    }

    fn path(&self, path: &journal::Path) -> Result<TreePath, Error> {
        tree_path(path).map_err(|source| Error::BadPath {
            sequence: self.sequence,
            source,
        })
    }

    fn missing(&self, path: &journal::Path) -> Error {
        Error::NoSuchPath {
            sequence: self.sequence,
            path: String::from_utf8_lossy(&path.0).into_owned(),
        }
    }

    /// The directory and the name that a path ends in.
    fn place(&self, path: &journal::Path) -> Result<(Ino, Name), Error> {
        let (parent, name) = self
            .path(path)?
            .split_last()
            .ok_or_else(|| self.missing(path))?;
        match self.upper.resolve(&parent) {
            Some(directory) => Ok((directory, name)),
            None => Err(self.missing(path)),
        }
    }

    fn existing(&self, path: &journal::Path) -> Result<Ino, Error> {
        self.upper
            .resolve(&self.path(path)?)
            .ok_or_else(|| self.missing(path))
    }

    fn entry(&self, (directory, name): &(Ino, Name)) -> Option<Entry> {
        self.upper.entry(*directory, name)
    }

    fn insert(&mut self, ino: Ino, node: Node) {
        // Numbers of adopted nodes come from a hash and have this bit; the counter stays below.
        if ino.0 < ADOPTED_BIT {
            self.upper.next = self.upper.next.max(ino.0 + 1);
        }
        self.upper.nodes.insert(ino, node);
        self.upper.changed_nodes.insert(ino);
    }

    fn changed(&mut self, ino: Ino, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.upper.nodes.get_mut(&ino) {
            change(node);
            self.upper.changed_nodes.insert(ino);
        }
    }

    fn touch_directory(&mut self, directory: Ino, time: Time) {
        self.changed(directory, |node| {
            node.mtime = timestamp(time);
            node.ctime = timestamp(time);
        });
    }

    /// Makes a place point to a node; an entry that is there keeps its `covers`.
    fn point(&mut self, place: (Ino, Name), node: Option<Ino>, covers: bool) {
        let covers = self.entry(&place).map_or(covers, |entry| entry.covers);
        self.put(&place, Some(Entry { node, covers }));
        if let Some(ino) = node {
            self.changed(ino, |node| node.names.push(place.clone()));
        }
        self.upper.changed_entries.insert(place);
    }

    /// Ends what lost a name: of a directory, which was empty, only whiteouts are left, and nothing
    /// of the lower layer may show through to those who still have it open.
    fn bury(&mut self, gone: Option<Ino>, time: Time) {
        let Some(ino) = gone else { return };
        self.changed(ino, |node| node.ctime = timestamp(time));
        let upper = &mut *self.upper;
        let Some(node) = upper.nodes.get_mut(&ino) else {
            return;
        };
        if node.kind == Kind::Directory && node.names.is_empty() {
            node.origin = None;
            let whiteouts = upper.children.remove(&ino).unwrap_or_default();
            upper.tallies.remove(&ino);
            let places = whiteouts.into_keys().map(|(_, name)| (ino, name));
            upper.changed_entries.extend(places);
        }
    }

    /// Takes the node away from a place; what the lower layer has there stays hidden.
    fn clear(&mut self, place: (Ino, Name), covers: bool) {
        if let Some(ino) = self.entry(&place).and_then(|entry| entry.node) {
            self.changed(ino, |node| node.names.retain(|name| *name != place));
        }
        let whiteout = Entry { node: None, covers };
        self.put(&place, Some(whiteout).filter(|whiteout| whiteout.covers));
        self.upper.changed_entries.insert(place);
    }

    /// Puts an entry at a place, or takes it away, and keeps count.
    fn put(&mut self, (directory, name): &(Ino, Name), entry: Option<Entry>) {
        let upper = &mut *self.upper;
        let children = upper.children.entry(*directory).or_default();
        let key = (name.cookie(), name.clone());
        let before = match entry {
            Some(entry) => children.insert(key, entry),
            None => children.remove(&key),
        };
        upper.recount(*directory, before, entry);
    }
}

fn new_node(node: &journal::Node, origin: Option<Origin>) -> Node {
    Node {
        kind: kind_of(node.kind),
        permissions: Permissions::of_mode(u32::from(node.permissions)),
        uid: node.uid,
        gid: node.gid,
        rdev: node.rdev,
        target: node.target.clone(),
        atime: timestamp(node.atime),
        mtime: timestamp(node.mtime),
        ctime: timestamp(node.ctime),
        origin,
        body: false,
        xattrs: BTreeMap::new(),
        names: Vec::new(),
    }
}

/// Sets what the change names. Shared with nodes that no record tells of.
pub(crate) fn set_attributes(node: &mut Node, change: &journal::AttributeChange) {
    if let Some(bits) = change.permissions {
        node.permissions = Permissions::of_mode(u32::from(bits));
    }
    node.uid = change.uid.unwrap_or(node.uid);
    node.gid = change.gid.unwrap_or(node.gid);
    node.atime = change.atime.map_or(node.atime, timestamp);
    node.mtime = change.mtime.map_or(node.mtime, timestamp);
    node.ctime = change.ctime.map_or(node.ctime, timestamp);
}
