//! Link counts of directories.

use super::error::Error;
use super::inodes::kind_of_entry;
use super::state::{Seen, State};
use crate::lower::{ListingEntry, Lower};
use crate::tree::{GitOid, Ino, Kind};

/// What a directory shows whose directories are not counted, as on btrfs: programs that would save
/// themselves a look at each entry know that they cannot.
const LINKS_NOT_COUNTED: u32 = 1;
/// What a directory without any in it shows.
const LINKS_OF_A_DIRECTORY: u32 = 2;

impl State {
    /// Links of a directory that has a name: that one, its own `.`, and the `..` of each directory in
    /// it; or 1, "not counted", as long as nobody has listed what shows through.
    pub(super) fn directory_links(&mut self, ino: Ino, lower: &Lower) -> Result<u32, Error> {
        let tally = self.upper.tally(ino);
        let seen = match self.lower_directory(ino)? {
            None => Some(0),
            Some((_, tree)) => self.seen_directories(ino, tree, tally.covering, lower),
        };
        Ok(seen.map_or(LINKS_NOT_COUNTED, |seen| {
            LINKS_OF_A_DIRECTORY + tally.directories + seen
        }))
    }

    /// How many directories of a lower one are seen. What was counted is remembered while the node is
    /// live, so that what the kernel was told stays so when the listing leaves the memory.
    fn seen_directories(
        &mut self,
        ino: Ino,
        tree: GitOid,
        covering: u32,
        lower: &Lower,
    ) -> Option<u32> {
        let known = self
            .live
            .get(&ino)
            .and_then(|live| live.held.as_ref()?.seen);
        if let Some(seen) = known
            && (seen.tree, seen.covering) == (tree, covering)
        {
            return Some(seen.directories);
        }
        let listing = lower.listing_in_memory(tree)?;
        let is_seen = |entry: &&ListingEntry| {
            kind_of_entry(entry.kind) == Kind::Directory
                && (covering == 0 || self.upper.entry(ino, &entry.name).is_none())
        };
        let directories = listing.entries().iter().filter(is_seen).count() as u32;
        if let Some(live) = self.live.get_mut(&ino) {
            live.holding().seen = Some(Seen {
                tree,
                covering,
                directories,
            });
        }
        Some(directories)
    }
}
