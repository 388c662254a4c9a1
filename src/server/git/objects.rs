//! Reading objects by their id, without a path: trees with the sizes of what is in them, and which
//! objects one commit has.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use gix::objs::Find as _;
use parking_lot::Mutex;

use super::error::{Doing, Error};
use super::tree::{Kind, SizeCache, size};
use super::{Repository, ours, theirs};
use crate::tree::GitOid;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Child {
    pub(in crate::server) name: Vec<u8>,
    pub(in crate::server) kind: Kind,
    pub(in crate::server) oid: GitOid,
    /// Bytes of a file or link, 0 for the rest.
    pub(in crate::server) size: u64,
}

/// Reads blobs, one after the other by one handle.
pub(in crate::server) struct Blobs<'a> {
    repo: gix::Repository,
    sizes: &'a SizeCache,
    buffer: Vec<u8>,
}

/// What an id means to whoever wants blobs up to a size.
#[derive(Debug)]
pub(in crate::server) enum Found<'a> {
    Blob(&'a [u8]),
    /// One that is larger, by its size.
    Larger(u64),
    /// Nothing, or no blob.
    Nothing,
}

impl Blobs<'_> {
    /// A blob of at most so many bytes.
    pub(in crate::server) fn find(
        &mut self,
        oid: GitOid,
        bytes_max: u64,
    ) -> Result<Found<'_>, Error> {
        let size = match self.sizes.find(oid) {
            // Known of some repository; that it is in this one, reading it shows.
            Some(size) if size <= bytes_max => size,
            _ => match blob_size(&self.repo, oid, self.sizes)? {
                Some(size) => size,
                None => return Ok(Found::Nothing),
            },
        };
        if size > bytes_max {
            return Ok(Found::Larger(size));
        }
        let found = self.repo.objects.try_find(&theirs(oid), &mut self.buffer);
        Ok(match found.doing("reading a blob")? {
            Some(data) if data.kind == gix::objs::Kind::Blob => Found::Blob(data.data),
            _ => Found::Nothing,
        })
    }
}

fn blob_size(repo: &gix::Repository, oid: GitOid, sizes: &SizeCache) -> Result<Option<u64>, Error> {
    if let Some(size) = sizes.find(oid)
        && repo.objects.exists_without_refresh(&theirs(oid))
    {
        return Ok(Some(size));
    }
    let header = repo
        .try_find_header(theirs(oid))
        .doing("reading a blob's header")?;
    Ok(header
        .filter(|header| header.kind() == gix::objs::Kind::Blob)
        .map(|header| header.size())
        .inspect(|size| sizes.keep(oid, *size)))
}

/// Objects of the commits that were asked about last; a set for 100,000 files takes about 4 MB.
#[derive(Debug, Default)]
pub(super) struct Reaches(Mutex<VecDeque<(GitOid, Reach)>>);

/// The trees and blobs of one commit.
type Reach = Arc<HashSet<GitOid>>;

const REACHES_MAX: usize = 4;

impl Repository {
    /// The bytes that a blob has, if the repository has the blob.
    pub(in crate::server) fn blob_size(
        &self,
        oid: GitOid,
        sizes: &SizeCache,
    ) -> Result<Option<u64>, Error> {
        blob_size(&self.plain(), oid, sizes)
    }

    /// Begins to read blobs; for one step of an answer, and not while a client is waited for.
    pub(in crate::server) fn blobs<'a>(&self, sizes: &'a SizeCache) -> Blobs<'a> {
        Blobs {
            repo: self.plain(),
            sizes,
            buffer: Vec::new(),
        }
    }

    /// What is in a tree, in Git's order, if the repository has the tree.
    pub(in crate::server) fn children(
        &self,
        tree: GitOid,
        sizes: &SizeCache,
    ) -> Result<Option<Vec<Child>>, Error> {
        let repo = self.local();
        let header = repo
            .try_find_header(theirs(tree))
            .doing("reading a tree's header")?;
        if header.map(|header| header.kind()) != Some(gix::objs::Kind::Tree) {
            return Ok(None);
        }
        let entries = super::tree::entries(&repo, &theirs(tree))?;
        let children = entries.into_iter().map(|entry| {
            let (kind, oid) = (Kind::of(entry.mode), ours(&entry.oid));
            Ok(Child {
                name: entry.filename.into(),
                kind,
                oid,
                size: size(&repo, kind, oid, sizes)?,
            })
        });
        children.collect::<Result<_, _>>().map(Some)
    }

    /// The trees and blobs that a commit has, if a bookmark or change leads to the commit.
    pub(in crate::server) fn reach(&self, commit: GitOid) -> Result<Option<Reach>, Error> {
        if !self.is_reachable(commit)? {
            return Ok(None);
        }
        let mut kept = self.reaches.0.lock();
        if let Some(at) = kept.iter().position(|(of, _)| *of == commit)
            && let Some(found) = kept.remove(at)
        {
            kept.push_front(found.clone());
            return Ok(Some(found.1));
        }
        drop(kept);
        let reach = Arc::new(self.walk_tree(commit)?);
        let mut kept = self.reaches.0.lock();
        kept.push_front((commit, reach.clone()));
        kept.truncate(REACHES_MAX);
        Ok(Some(reach))
    }

    fn walk_tree(&self, commit: GitOid) -> Result<HashSet<GitOid>, Error> {
        let repo = self.local();
        let root = super::changes::tree_of(&repo, commit)?;
        let mut found = HashSet::from([root]);
        let mut pending = vec![root];
        while let Some(tree) = pending.pop() {
            let tree = repo.find_tree(theirs(tree)).doing("reading a tree")?;
            for entry in tree.iter() {
                let entry = entry.doing("reading a tree")?;
                let oid = ours(entry.oid());
                match Kind::of(entry.mode()) {
                    Kind::Submodule => {}
                    Kind::Directory if found.insert(oid) => pending.push(oid),
                    _ => {
                        found.insert(oid);
                    }
                }
            }
        }
        Ok(found)
    }
}
