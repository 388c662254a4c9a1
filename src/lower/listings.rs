//! Listings in the store: each once on disk, for every snapshot that has the tree, and some in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::disk::{discard, mark_used, open_regular, read_index};
use super::incoming::Incoming;
use super::store::Store;
use super::{Domain, Error, Listing, codec};
use crate::tree::{ContentHash, GitOid};

impl Store {
    /// The listing, if it is in memory.
    pub(super) fn listing_in_memory(&self, domain: Domain, oid: GitOid) -> Option<Arc<Listing>> {
        self.listings.lock().find(&(domain, oid))
    }

    /// The listing, from memory or disk.
    pub(super) fn listing(
        &self,
        domain: Domain,
        oid: GitOid,
    ) -> Result<Option<Arc<Listing>>, Error> {
        if let Some(listing) = self.listing_in_memory(domain, oid) {
            return Ok(Some(listing));
        }
        let index = self.listing_place(domain, oid);
        let Some(content) = read_index(&index) else {
            return Ok(None);
        };
        let place = self.object_place(content);
        let Some((file, length)) = open_regular(&place).map_err(Error::Store)? else {
            discard(&index);
            return Ok(None);
        };
        let Some(listing) = read_listing(&file, length, content) else {
            tracing::warn!(%oid, length, "a cached listing is damaged or of another version");
            self.lose(&place);
            discard(&index);
            return Ok(None);
        };
        mark_used(&file);
        Ok(Some(self.remember(domain, oid, listing)))
    }

    fn remember(&self, domain: Domain, oid: GitOid, listing: Listing) -> Arc<Listing> {
        let listing = Arc::new(listing);
        let weight = listing.entries().len() + 1;
        let key = (domain, oid);
        self.listings.lock().insert(key, listing.clone(), weight);
        listing
    }

    /// Keeps a listing in memory and on disk. A disk that does not take it costs a fetch later.
    pub(super) fn keep_listing(&self, domain: Domain, oid: GitOid, listing: Listing) {
        let listing = self.remember(domain, oid, listing);
        if let Err(error) = self.write_listing(domain, oid, &listing) {
            tracing::warn!(%oid, %error, "a listing is kept in memory only");
        }
    }

    /// Keeps a listing on disk; one that is too large for that stays in memory.
    pub(super) fn write_listing(
        &self,
        domain: Domain,
        oid: GitOid,
        listing: &Listing,
    ) -> io::Result<()> {
        let Some(bytes) = codec::encode(listing) else {
            return Ok(());
        };
        let progress = AtomicU64::new(0);
        let mut incoming = Incoming::create(self.temporary.path(), bytes.len() as u64, &progress)?;
        incoming.write_all(&bytes)?;
        let content = incoming.arrived().content;
        let taken = self.publish(&mut incoming, content, &self.listing_place(domain, oid))?;
        self.published(&incoming, taken);
        Ok(())
    }
}

fn read_listing(file: &File, length: u64, content: ContentHash) -> Option<Listing> {
    if length > codec::ENCODED_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
    file.take(length).read_to_end(&mut bytes).ok()?;
    if *blake3::hash(&bytes).as_bytes() == content.0 {
        codec::decode(&bytes)
    } else {
        None
    }
}
