//! The tree that is exported: the pinned commit's, opened only where edits need it.
//!
//! A directory that no edit touches stays one identifier, however large; so the cost of an export
//! is that of the edits.

use std::collections::BTreeMap;

use super::base::Base;
use super::error::Error;
use super::object::{Bytes, blob_oid, oid_of};
use crate::lower::{EntryKind, Listing, ListingEntry};
use crate::tree::{Content, Edit, GitOid, Name, TreePath};

/// What has a name in the exported tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Directory(Directory),
}

/// A file, a symbolic link or a submodule.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) kind: EntryKind,
    pub(super) oid: GitOid,
    pub(super) bytes: Bytes,
}

/// A directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// The tree that it began as, and where the pinned commit has that.
    pub(super) origin: Option<(GitOid, TreePath)>,
    /// What it has now; `None` when it is what it was.
    entries: Option<BTreeMap<Name, Node>>,
    /// Whether the listing gives back the tree that it lists.
    pub(super) is_proven: bool,
}

impl Directory {
    /// A directory that is a tree of the pinned commit.
    pub(super) fn of(oid: GitOid, from: TreePath) -> Directory {
        Directory {
            origin: Some((oid, from)),
            entries: None,
            is_proven: false,
        }
    }

    fn empty() -> Directory {
        Directory {
            origin: None,
            entries: Some(BTreeMap::new()),
            is_proven: true,
        }
    }

    /// The tree that it still is.
    pub(super) fn untouched(&self) -> Option<GitOid> {
        match (&self.origin, &self.entries) {
            (Some((oid, _)), None) => Some(*oid),
            _ => None,
        }
    }

    /// The entries, if they were ever looked at.
    pub(super) fn opened(&self) -> impl Iterator<Item = (&Name, &Node)> {
        self.entries.iter().flatten()
    }

    /// The entries.
    pub(super) fn open(&mut self, base: Base<'_>) -> Result<&mut BTreeMap<Name, Node>, Error> {
        if self.entries.is_none()
            && let Some((oid, from)) = &self.origin
        {
            let listing = base.listing(from, *oid)?;
            self.is_proven = oid_of("tree", &listing.git_tree()) == *oid;
            self.entries = Some(nodes(&listing, from)?);
        }
        Ok(self.entries.get_or_insert_default())
    }

    /// The directory at a path, in place of whatever else is on the way there.
    fn make(&mut self, path: &TreePath, base: Base<'_>) -> Result<&mut Directory, Error> {
        let mut directory = self;
        for name in path.names() {
            let node = directory
                .open(base)?
                .entry(name)
                .or_insert_with(|| Node::Directory(Directory::empty()));
            if matches!(node, Node::Leaf(_)) {
                *node = Node::Directory(Directory::empty());
            }
            match node {
                Node::Directory(below) => directory = below,
                Node::Leaf(_) => return Err(Error::Torn),
            }
        }
        Ok(directory)
    }

    fn remove(&mut self, path: &TreePath, base: Base<'_>) -> Result<(), Error> {
        let Some((parent, last)) = path.split_last() else {
            *self = Directory::empty();
            return Ok(());
        };
        let mut directory = self;
        for name in parent.names() {
            match directory.open(base)?.get_mut(&name) {
                Some(Node::Directory(below)) => directory = below,
                Some(Node::Leaf(_)) | None => return Ok(()),
            }
        }
        directory.open(base)?.remove(&last);
        Ok(())
    }

    fn put(&mut self, path: &TreePath, node: Node, base: Base<'_>) -> Result<(), Error> {
        match path.split_last() {
            Some((parent, name)) => {
                self.make(&parent, base)?.open(base)?.insert(name, node);
            }
            None => {
                if let Node::Directory(root) = node {
                    *self = root;
                }
            }
        }
        Ok(())
    }
}

fn nodes(listing: &Listing, from: &TreePath) -> Result<BTreeMap<Name, Node>, Error> {
    listing
        .entries()
        .iter()
        .map(|entry| Ok((entry.name.clone(), node(entry, from.join(&entry.name)?))))
        .collect()
}

fn node(entry: &ListingEntry, from: TreePath) -> Node {
    let (kind, oid, size) = (entry.kind, entry.oid, entry.size);
    match kind {
        EntryKind::Directory => Node::Directory(Directory::of(oid, from)),
        kind => Node::Leaf(Leaf {
            kind,
            oid,
            bytes: Bytes::Lower { size, from },
        }),
    }
}

/// The tree that the edits make of the pinned commit's. Reads every body once, for its identifier.
pub(super) fn build(edits: &[Edit], base: Base<'_>) -> Result<Directory, Error> {
    let mut root = Directory::of(base.0.pin().tree, TreePath::ROOT);
    for edit in edits {
        match edit {
            Edit::Remove { path } => root.remove(path, base)?,
            Edit::File {
                path,
                content,
                executable,
            } => {
                let kind = match executable {
                    true => EntryKind::Executable,
                    false => EntryKind::File,
                };
                let (oid, bytes) = identify(content)?;
                root.put(path, Node::Leaf(Leaf { kind, oid, bytes }), base)?;
            }
            Edit::Symlink { path, target } => {
                let leaf = Leaf {
                    kind: EntryKind::Symlink,
                    oid: oid_of("blob", target),
                    bytes: Bytes::Here(target.clone()),
                };
                root.put(path, Node::Leaf(leaf), base)?;
            }
            Edit::Directory { path } => {
                root.make(path, base)?;
            }
            Edit::Graft { path, tree, from } => {
                let grafted = Directory::of(*tree, from.clone());
                root.put(path, Node::Directory(grafted), base)?;
            }
        }
    }
    Ok(root)
}

fn identify(content: &Content) -> Result<(GitOid, Bytes), Error> {
    Ok(match content {
        Content::Lower { oid, size, from } => {
            let (size, from) = (*size, from.clone());
            (*oid, Bytes::Lower { size, from })
        }
        Content::Empty => (oid_of("blob", b""), Bytes::Here(Vec::new())),
        Content::Body(body) => {
            let file = body.open().map_err(Error::Body)?;
            let oid = blob_oid(file, body.size()).map_err(Error::Body)?;
            (oid.ok_or(Error::Torn)?, Bytes::Body(body.clone()))
        }
    })
}
