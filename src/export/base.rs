//! The pinned commit, as far as an export needs it: from the local store, and else fetched, which
//! fails by name when there is no server.

use std::fs::File;
use std::sync::Arc;

use super::error::{Error, Needed};
use crate::lower::{EntryKind, Listing, ListingEntry, Lower, Want};
use crate::tree::{GitOid, TreePath};

/// The pinned commit.
#[derive(Clone, Copy)]
pub(super) struct Base<'a>(pub(super) &'a Lower);

impl Base<'_> {
    /// What a directory lists.
    pub(super) fn listing(&self, path: &TreePath, oid: GitOid) -> Result<Arc<Listing>, Error> {
        if let Some(listing) = self.0.listing(oid).map_err(Error::Store)? {
            return Ok(listing);
        }
        let path = path.clone();
        self.fetch(&Want::Listing { path, oid })?;
        let listing = self.0.listing(oid).map_err(Error::Store)?;
        // Evicted between the two calls: as good as a change of mind.
        listing.ok_or(Error::Torn)
    }

    /// A file's bytes, from the start.
    pub(super) fn open(&self, oid: GitOid, size: u64, from: &TreePath) -> Result<File, Error> {
        if let Some(file) = self.here(oid)? {
            return Ok(file);
        }
        let path = from.clone();
        self.fetch(&Want::Object { path, oid, size })?;
        self.here(oid)?.ok_or(Error::Torn)
    }

    /// A file's bytes, if they are in the local store.
    pub(super) fn here(&self, oid: GitOid) -> Result<Option<File>, Error> {
        self.0.object(oid).map_err(Error::Store)
    }

    /// What the commit has at a path.
    pub(super) fn entry(&self, path: &TreePath) -> Result<Option<ListingEntry>, Error> {
        let mut tree = self.0.pin().tree;
        let mut at = TreePath::ROOT;
        let mut found: Option<ListingEntry> = None;
        for name in path.names() {
            match &found {
                Some(entry) if entry.kind == EntryKind::Directory => tree = entry.oid,
                Some(_) => return Ok(None),
                None => {}
            }
            found = self.listing(&at, tree)?.find(&name).cloned();
            if found.is_none() {
                return Ok(None);
            }
            at = at.join(&name)?;
        }
        Ok(found)
    }

    fn fetch(&self, want: &Want) -> Result<(), Error> {
        self.0.fetch(want).map_err(|source| {
            let (needed, from) = match want {
                Want::Listing { path, .. } => (Needed::Listing, path),
                Want::Object { path, .. } | Want::Part { path, .. } => (Needed::Content, path),
            };
            let from = from.clone();
            Error::Missing {
                needed,
                from,
                source,
            }
        })
    }
}
