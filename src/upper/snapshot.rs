//! The shortest list of records that rebuilds an upper layer: what compaction writes.
//!
//! Nodes come parents first. A whiteout is a `Remove`, and a made node over a covered name a
//! `Remove` and a `Create`, so that `covers` follows as it does at run time; directories get their
//! times last, because making children touches them.

use std::collections::HashSet;

use journal::{AttributeChange, Node as JournalNode, NodeKind, Origin as JournalOrigin, Record};

use super::convert::{journal_path, journal_time, node_kind};
use super::state::{Entry, Node, Upper};
use crate::tree::{Ino, Name, TreePath};

impl Upper {
    /// Every name of every node that has one, with the directory that it is in.
    pub fn names(&self) -> impl Iterator<Item = (Ino, &Name, &Node)> {
        self.nodes.values().flat_map(|node| {
            let names = node.names.iter();
            names.map(move |(directory, name)| (*directory, name, node))
        })
    }

    /// Records that rebuild this state from nothing; what is to be pushed, and a push that was
    /// announced, are not in it. Nodes without a name are left out: a crash ends them, and so does this.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut snapshot = Snapshot {
            upper: self,
            records: self.remote.records(),
            times: Vec::new(),
            seen: HashSet::new(),
        };
        snapshot.root();
        snapshot.directory(Ino::ROOT, &TreePath::ROOT);
        let mut records = snapshot.records;
        records.append(&mut snapshot.times);
        records.push(Record::InodesTaken { next: self.next });
        // Behind what makes the paths, which would make them count again.
        records.extend(self.given_up.iter().map(|path| Record::Dropped {
            path: journal_path(path),
            time: journal::Time::default(),
        }));
        records
    }
}

struct Snapshot<'a> {
    upper: &'a Upper,
    records: Vec<Record>,
    times: Vec<Record>,
    seen: HashSet<Ino>,
}

impl Snapshot<'_> {
    fn root(&mut self) {
        if let Some(root) = self.upper.node(Ino::ROOT) {
            self.xattrs(root, &TreePath::ROOT);
            self.attributes(Ino::ROOT, root, &TreePath::ROOT);
        }
    }

    /// Everything below one directory. Recursion is bounded by the depth of a path.
    fn directory(&mut self, directory: Ino, path: &TreePath) {
        let entries: Vec<(Name, Entry)> = self
            .upper
            .entries_after(directory, 0)
            .map(|(_, name, entry)| (name.clone(), entry))
            .collect();
        for (name, entry) in entries {
            // A path that grew past the limit by renames above it cannot be named; see `overlay`.
            let Ok(path) = path.join(&name) else { continue };
            match entry.node {
                Some(ino) => self.node(ino, &path, entry.covers),
                None => self.whiteout(&path),
            }
        }
    }

    fn whiteout(&mut self, path: &TreePath) {
        self.records.push(Record::Remove {
            path: journal_path(path),
            kind: NodeKind::File,
            time: journal::Time::default(),
        });
    }

    fn node(&mut self, ino: Ino, path: &TreePath, covers: bool) {
        let Some(node) = self.upper.node(ino) else {
            return;
        };
        let again = !self.seen.insert(ino);
        if covers && (again || !self.upper.is_in_place(ino, path)) {
            self.whiteout(path);
        }
        if again {
            if let Some(first) = self.upper.path_of(ino) {
                self.records.push(Record::Link {
                    from: journal_path(&first),
                    to: journal_path(path),
                    inode: ino.0,
                    time: journal_time(node.ctime),
                });
            }
            return;
        }
        self.made(ino, node, path);
        if node.body {
            self.records.push(Record::Write {
                path: journal_path(path),
                inode: ino.0,
                time: journal_time(node.ctime),
            });
        }
        self.xattrs(node, path);
        self.attributes(ino, node, path);
        if node.kind == crate::tree::Kind::Directory {
            self.directory(ino, path);
        }
    }

    fn made(&mut self, ino: Ino, node: &Node, path: &TreePath) {
        let origin = node.origin.as_ref().map(|origin| JournalOrigin {
            path: journal_path(&origin.path),
            oid: origin.oid.0,
            size: origin.size,
        });
        let made = JournalNode {
            kind: node_kind(node.kind),
            permissions: node.permissions.bits(),
            uid: node.uid,
            gid: node.gid,
            rdev: node.rdev,
            target: node.target.clone(),
            atime: journal_time(node.atime),
            mtime: journal_time(node.mtime),
            ctime: journal_time(node.ctime),
        };
        let (path, inode) = (journal_path(path), ino.0);
        self.records.push(match origin {
            Some(origin) => Record::Adopt {
                path,
                inode,
                node: made,
                origin,
            },
            None => Record::Create {
                path,
                inode,
                node: made,
            },
        });
    }

    fn xattrs(&mut self, node: &Node, path: &TreePath) {
        for (name, value) in &node.xattrs {
            self.records.push(Record::SetXattr {
                path: journal_path(path),
                name: name.clone(),
                value: value.clone(),
            });
        }
    }

    fn attributes(&mut self, ino: Ino, node: &Node, path: &TreePath) {
        self.times.push(Record::SetAttributes {
            path: journal_path(path),
            inode: ino.0,
            change: AttributeChange {
                permissions: Some(node.permissions.bits()),
                uid: Some(node.uid),
                gid: Some(node.gid),
                atime: Some(journal_time(node.atime)),
                mtime: Some(journal_time(node.mtime)),
                ctime: Some(journal_time(node.ctime)),
            },
        });
    }
}
