//! One directory of the snapshot, in the order in which the kernel is shown it.

use super::Error;
use crate::tree::{GitOid, Name};

/// Most entries of one directory: 250,000, which cost some 25 MiB; a sixth of what the daemon may
/// use. Sources refuse larger ones.
pub const LISTING_ENTRIES_MAX: usize = 250_000;

/// What an entry of the snapshot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A regular file that its owner may execute.
    Executable,
    /// A symbolic link; its object holds the target.
    Symlink,
    /// A directory.
    Directory,
    /// A Git submodule: shown as an empty directory.
    Submodule,
}

/// One name of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListingEntry {
    /// The name.
    pub name: Name,
    /// What it stands for.
    pub kind: EntryKind,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// Blob, tree, or the submodule's commit.
    pub oid: GitOid,
}

/// One directory of the snapshot, in the order of [`Name::cookie`], then name.
///
/// Costs 56 bytes per entry and one allocation with the name; the cookies are kept beside the
/// entries so that a search compares words and hashes only the name that is sought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    cookies: Box<[u64]>,
    entries: Box<[ListingEntry]>,
}

impl Listing {
    /// Sorts the entries.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateName`] when two have the same name.
    pub fn new(entries: Vec<ListingEntry>) -> Result<Listing, Error> {
        let mut keyed: Vec<(u64, ListingEntry)> = entries
            .into_iter()
            .map(|entry| (entry.name.cookie(), entry))
            .collect();
        keyed.sort_unstable_by(|(a, left), (b, right)| {
            a.cmp(b).then_with(|| left.name.cmp(&right.name))
        });
        let twice = |pair: &[(u64, ListingEntry)]| match pair {
            [(_, left), (_, right)] => left.name == right.name,
            _ => false,
        };
        if keyed.windows(2).any(twice) {
            return Err(Error::DuplicateName);
        }
        let (cookies, entries): (Vec<u64>, Vec<ListingEntry>) = keyed.into_iter().unzip();
        Ok(Listing {
            cookies: cookies.into_boxed_slice(),
            entries: entries.into_boxed_slice(),
        })
    }

    /// The entry of that name.
    pub fn find(&self, name: &Name) -> Option<&ListingEntry> {
        let cookie = name.cookie();
        let first = self.cookies.partition_point(|other| *other < cookie);
        let candidates = self.cookies.iter().zip(&self.entries).skip(first);
        candidates
            .take_while(|(other, _)| **other == cookie)
            .map(|(_, entry)| entry)
            .find(|entry| entry.name == *name)
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[ListingEntry] {
        &self.entries
    }

    /// The entries from the first whose cookie is above `cookie`.
    pub fn after(&self, cookie: u64) -> &[ListingEntry] {
        let first = self.cookies.partition_point(|other| *other <= cookie);
        self.entries.get(first..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> ListingEntry {
        ListingEntry {
            name: Name::try_from(name).unwrap(),
            kind: EntryKind::File,
            size: 1,
            oid: GitOid([7; 20]),
        }
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let entries: Vec<_> = (0..5_000)
            .map(|number| entry(&format!("file-{number}")))
            .collect();
        let listing = Listing::new(entries.clone()).unwrap();
        for wanted in &entries {
            assert_eq!(listing.find(&wanted.name), Some(wanted));
        }
        assert_eq!(listing.find(&Name::try_from("file-5000").unwrap()), None);
    }

    #[test]
    fn reading_on_after_each_cookie_shows_everything_once() {
        let listing = Listing::new((0..100).map(|n| entry(&n.to_string())).collect()).unwrap();
        let (mut seen, mut cookie) = (0, 0);
        while let Some(next) = listing.after(cookie).first() {
            assert!(next.name.cookie() > cookie);
            cookie = next.name.cookie();
            seen += 1;
        }
        assert_eq!(seen, 100);
        assert_eq!(listing.entries().len(), 100);
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused() {
        let twice = vec![entry("a"), entry("b"), entry("a")];
        assert!(matches!(Listing::new(twice), Err(Error::DuplicateName)));
    }
}
