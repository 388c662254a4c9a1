//! Reading trees: one path, or a listing with the sizes of files.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::error::{Doing, Error};
use super::{LISTING_ENTRIES_MAX, Repository, ours, theirs};
use crate::tree::{GitOid, TreePath};

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Kind {
    Plain,
    Executable,
    Symlink,
    Directory,
    Submodule,
}

impl Kind {
    pub(super) fn of(mode: gix::objs::tree::EntryMode) -> Kind {
        use gix::objs::tree::EntryKind;
        match mode.kind() {
            EntryKind::Tree => Kind::Directory,
            EntryKind::Blob => Kind::Plain,
            EntryKind::BlobExecutable => Kind::Executable,
            EntryKind::Link => Kind::Symlink,
            EntryKind::Commit => Kind::Submodule,
        }
    }
}

/// Something at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Entry {
    /// From the repository's root; not always UTF-8, and in old trees not always a valid path.
    pub(in crate::server) path: Vec<u8>,
    pub(in crate::server) kind: Kind,
    pub(in crate::server) oid: GitOid,
    /// Bytes of a file or link, 0 for the rest.
    pub(in crate::server) size: u64,
}

/// Sizes of blobs, kept because finding one means reading a pack's delta headers or a loose
/// file. A size is a fact of the oid, so one cache serves all repositories and is never stale.
#[derive(Debug, Default)]
pub(in crate::server) struct SizeCache(Mutex<HashMap<GitOid, u64>>);

/// About 12 MiB; a repository with more files pays again for some of them.
const SIZES_MAX: usize = 1 << 18;

impl SizeCache {
    pub(super) fn find(&self, oid: GitOid) -> Option<u64> {
        self.0.lock().get(&oid).copied()
    }

    pub(super) fn keep(&self, oid: GitOid, size: u64) {
        let mut sizes = self.0.lock();
        if sizes.len() >= SIZES_MAX {
            sizes.clear();
        }
        sizes.insert(oid, size);
    }
}

/// The entries of one tree, owned.
pub(super) fn entries(
    repo: &gix::Repository,
    oid: &gix::ObjectId,
) -> Result<Vec<gix::objs::tree::Entry>, Error> {
    let tree = repo.find_tree(*oid).doing("reading a tree")?;
    tree.iter()
        .map(|entry| entry.map(|entry| entry.inner.into()))
        .collect::<Result<_, _>>()
        .doing("reading a tree")
}

impl Repository {
    /// What is at `path` below the tree `root`; sizes are known for files.
    pub(in crate::server) fn entry(
        &self,
        root: GitOid,
        path: &TreePath,
        sizes: &SizeCache,
    ) -> Result<Entry, Error> {
        let repo = self.local();
        let mut found = (Kind::Directory, root);
        for name in path.names() {
            if found.0 != Kind::Directory {
                return Err(Error::UnknownPath);
            }
            let tree = repo.find_tree(theirs(found.1)).doing("reading a tree")?;
            let mut next = None;
            for entry in tree.iter() {
                let entry = entry.doing("reading a tree")?;
                if entry.filename() == name.as_bytes() {
                    next = Some((Kind::of(entry.mode()), ours(entry.oid())));
                    break;
                }
            }
            found = next.ok_or(Error::UnknownPath)?;
        }
        let (kind, oid) = found;
        let size = size(&repo, kind, oid, sizes)?;
        Ok(Entry {
            path: path.as_bytes().to_vec(),
            kind,
            oid,
            size,
        })
    }

    /// Everything below the directory `top`, down to `depth`, parents before children.
    pub(in crate::server) fn list(
        &self,
        top: &Entry,
        depth: usize,
        sizes: &SizeCache,
    ) -> Result<Vec<Entry>, Error> {
        let repo = self.local();
        let mut listed = Vec::new();
        let mut folders = VecDeque::from([(top.path.clone(), top.oid, depth)]);
        while let Some((folder, oid, depth)) = folders.pop_front() {
            if depth == 0 {
                continue;
            }
            let tree = repo.find_tree(theirs(oid)).doing("reading a tree")?;
            for entry in tree.iter() {
                let entry = entry.doing("reading a tree")?;
                let mut path = folder.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.filename());
                let (kind, oid) = (Kind::of(entry.mode()), ours(entry.oid()));
                if kind == Kind::Directory {
                    folders.push_back((path.clone(), oid, depth - 1));
                }
                if listed.len() >= LISTING_ENTRIES_MAX {
                    return Err(Error::ListingTooLong);
                }
                let size = size(&repo, kind, oid, sizes)?;
                listed.push(Entry {
                    path,
                    kind,
                    oid,
                    size,
                });
            }
        }
        Ok(listed)
    }

    /// How many entries a directory has.
    pub(in crate::server) fn child_count(&self, tree: GitOid) -> Result<u64, Error> {
        let repo = self.local();
        Ok(entries(&repo, &theirs(tree))?.len() as u64)
    }

    /// The bytes of a blob.
    pub(in crate::server) fn blob(&self, oid: GitOid) -> Result<Vec<u8>, Error> {
        let repo = self.plain();
        let blob = repo.find_blob(theirs(oid)).doing("reading a blob")?;
        Ok(blob.detach().data)
    }
}

/// The bytes of a file or link, 0 for the rest.
pub(super) fn size(
    repo: &gix::Repository,
    kind: Kind,
    oid: GitOid,
    sizes: &SizeCache,
) -> Result<u64, Error> {
    if matches!(kind, Kind::Directory | Kind::Submodule) {
        return Ok(0);
    }
    if let Some(size) = sizes.find(oid) {
        return Ok(size);
    }
    let size = repo
        .find_header(theirs(oid))
        .doing("reading a blob's header")?
        .size();
    sizes.keep(oid, size);
    Ok(size)
}
