//! Listings as bytes: our own compact form for the store, and Git's tree object for verification.
//!
//! ```text
//! magic "mesals" | version u8 = 1 | count u32 | count x entry
//! entry: kind u8 | oid 20 bytes | size u64 | name length u8 | name        integers little endian
//! ```
//!
//! No checksum: the file's name is the blake3 hash of its bytes, and each load checks it. An unknown
//! version is not an error but a listing that has to be fetched: this is a cache.

use sha1::{Digest, Sha1};

use super::{EntryKind, LISTING_ENTRIES_MAX, Listing, ListingEntry};
use crate::tree::{GitOid, Name};

const MAGIC: &[u8; 6] = b"mesals";
const VERSION: u8 = 1;
const ENTRY_BYTES_MIN: usize = 1 + 20 + 8 + 1 + 1;

/// Largest encoding: the header, and every entry with a name of full length.
pub(super) const ENCODED_BYTES_MAX: u64 =
    11 + (LISTING_ENTRIES_MAX as u64) * (ENTRY_BYTES_MIN as u64 + 254);

fn kind_code(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => 0,
        EntryKind::Executable => 1,
        EntryKind::Symlink => 2,
        EntryKind::Directory => 3,
        EntryKind::Submodule => 4,
    }
}

fn kind_of_code(code: u8) -> Option<EntryKind> {
    Some(match code {
        0 => EntryKind::File,
        1 => EntryKind::Executable,
        2 => EntryKind::Symlink,
        3 => EntryKind::Directory,
        4 => EntryKind::Submodule,
        _ => return None,
    })
}

/// The bytes to store; `None` for a listing of more than [`LISTING_ENTRIES_MAX`] entries.
pub(super) fn encode(listing: &Listing) -> Option<Vec<u8>> {
    let entries = listing.entries();
    if entries.len() > LISTING_ENTRIES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(11 + entries.len() * (ENTRY_BYTES_MIN + 16));
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&u32::try_from(entries.len()).ok()?.to_le_bytes());
    for entry in entries {
        bytes.push(kind_code(entry.kind));
        bytes.extend_from_slice(&entry.oid.0);
        bytes.extend_from_slice(&entry.size.to_le_bytes());
        bytes.push(u8::try_from(entry.name.as_bytes().len()).ok()?);
        bytes.extend_from_slice(entry.name.as_bytes());
    }
    Some(bytes)
}

/// The listing that `bytes` encode; `None` for anything that [`encode`] does not write.
pub(super) fn decode(bytes: &[u8]) -> Option<Listing> {
    let bytes = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    if count > LISTING_ENTRIES_MAX || count > rest.len() / ENTRY_BYTES_MIN {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (entry, after) = decode_entry(rest)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() {
        Listing::new(entries).ok()
    } else {
        None
    }
}

fn decode_entry(bytes: &[u8]) -> Option<(ListingEntry, &[u8])> {
    let (kind, bytes) = bytes.split_first()?;
    let (oid, bytes) = bytes.split_first_chunk::<20>()?;
    let (size, bytes) = bytes.split_first_chunk::<8>()?;
    let (length, bytes) = bytes.split_first()?;
    let (name, rest) = bytes.split_at_checked(usize::from(*length))?;
    let entry = ListingEntry {
        name: Name::try_from(name).ok()?,
        kind: kind_of_code(*kind)?,
        size: u64::from_le_bytes(*size),
        oid: GitOid(*oid),
    };
    Some((entry, rest))
}

impl Listing {
    /// The id of the Git tree with these entries.
    ///
    /// It differs from the tree's true id when that has modes that the listing cannot tell (100664 of
    /// old Git versions, 040000 with a leading zero), or submodules that the server left out.
    pub fn tree_oid(&self) -> GitOid {
        let tree = self.git_tree();
        let mut hasher = Sha1::new();
        hasher.update(format!("tree {}\0", tree.len()));
        hasher.update(&tree);
        GitOid(hasher.finalize().into())
    }

    /// The bytes of the Git tree that has these entries: what [`super::EntryKind`] cannot tell, a
    /// true tree may have.
    pub fn git_tree(&self) -> Vec<u8> {
        let mut entries: Vec<&ListingEntry> = self.entries().iter().collect();
        // Git compares names as if those of directories ended in a slash.
        let key = |entry: &ListingEntry| {
            let slash = match entry.kind {
                EntryKind::Directory => &b"/"[..],
                _ => &b""[..],
            };
            [entry.name.as_bytes(), slash].concat()
        };
        entries.sort_by_cached_key(|entry| key(entry));
        let mut tree = Vec::new();
        for entry in entries {
            tree.extend_from_slice(match entry.kind {
                EntryKind::File => b"100644 ",
                EntryKind::Executable => b"100755 ",
                EntryKind::Symlink => b"120000 ",
                EntryKind::Directory => b"40000 ",
                EntryKind::Submodule => b"160000 ",
            });
            tree.extend_from_slice(entry.name.as_bytes());
            tree.push(0);
            tree.extend_from_slice(&entry.oid.0);
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<ListingEntry>> {
        let entry = ("[a-zA-Z.]{1,12}x", 0_u8..5, any::<u64>(), any::<[u8; 20]>());
        proptest::collection::vec(entry, 0..40).prop_map(|raw| {
            let mut entries: Vec<_> = raw
                .into_iter()
                .map(|(name, kind, size, oid)| ListingEntry {
                    name: Name::try_from(name.as_str()).unwrap(),
                    kind: kind_of_code(kind).unwrap(),
                    size,
                    oid: GitOid(oid),
                })
                .collect();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.dedup_by(|a, b| a.name == b.name);
            entries
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(entries in entries()) {
            let listing = Listing::new(entries).unwrap();
            prop_assert_eq!(decode(&encode(&listing).unwrap()), Some(listing));
        }

        #[test]
        fn a_prefix_of_a_listing_is_none(entries in entries(), cut in any::<proptest::sample::Index>()) {
            let bytes = encode(&Listing::new(entries).unwrap()).unwrap();
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), None);
        }

        #[test]
        fn any_bytes_decode_or_do_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = b"mesals\x01".to_vec();
            framed.extend_from_slice(&bytes);
            drop(decode(&framed));
        }
    }

    #[test]
    fn an_unknown_version_has_to_be_fetched() {
        assert_eq!(decode(b"mesals\x02\0\0\0\0"), None);
        assert!(decode(b"mesals\x01\0\0\0\0").is_some());
    }

    #[test]
    fn tree_ids_are_those_of_git() {
        // git mktree of: 100644 blob e69de29 "a-b", 040000 tree 4b825dc "a", 100755 blob "a.c"
        let entry = |name: &str, kind, oid: &str| ListingEntry {
            name: Name::try_from(name).unwrap(),
            kind,
            size: 0,
            oid: oid.parse().unwrap(),
        };
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let listing = Listing::new(vec![
            entry("a", EntryKind::Directory, &GitOid::EMPTY_TREE.to_string()),
            entry("a-b", EntryKind::File, empty),
            entry("a.c", EntryKind::Executable, empty),
            entry("link", EntryKind::Symlink, empty),
        ])
        .unwrap();
        assert_eq!(
            listing.tree_oid().to_string(),
            "61e1889112a461c309bf94f7a4fcad8d3011c727"
        );
        assert_eq!(Listing::new(vec![]).unwrap().tree_oid(), GitOid::EMPTY_TREE);
    }
}
