//! Which number each repository's inodes carry: given out once, and never to another repository,
//! since the kernel and programs remember inode numbers.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folders::publish;
use crate::fuse::Slot;

/// The slots of a data directory. The lock of the data directory makes us the only writer.
#[derive(Debug)]
pub(super) struct Slots {
    path: PathBuf,
    stored: Stored,
}

/// What the file holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// `org/repo` to number.
    slots: BTreeMap<String, u16>,
}

impl Slots {
    /// Reads what was given out so far.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read, or is damaged: guessing would reuse numbers.
    pub(super) fn open(data: &Path) -> io::Result<Slots> {
        let path = data.join("slots.json");
        let stored = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(error),
        };
        Ok(Slots { path, stored })
    }

    /// The slot of a repository, given out durably if it has none yet; `None` when all are gone.
    ///
    /// # Errors
    ///
    /// What the disk says; nothing was given out then.
    pub(super) fn of(&mut self, organization: &str, repository: &str) -> io::Result<Option<Slot>> {
        if let Some(number) = self.stored.slots.get(&key(organization, repository)) {
            let slot = Slot::try_from(*number);
            return slot.map(Some).map_err(io::Error::other);
        }
        self.renew(organization, repository)
    }

    /// Gives a repository a number that nothing had before, durably; `None` when all are gone.
    ///
    /// # Errors
    ///
    /// What the disk says; the repository keeps its number then.
    pub(super) fn renew(
        &mut self,
        organization: &str,
        repository: &str,
    ) -> io::Result<Option<Slot>> {
        let last = self.stored.slots.values().max().copied().unwrap_or(0);
        let Some(slot) = last
            .checked_add(1)
            .and_then(|next| Slot::try_from(next).ok())
        else {
            return Ok(None);
        };
        let mut next = self.stored.clone();
        // The largest stays in the file, so the one after it is new.
        next.slots
            .insert(key(organization, repository), slot.number());
        publish(&self.path, &serde_json::to_vec_pretty(&next)?)?;
        self.stored = next;
        Ok(Some(slot))
    }
}

fn key(organization: &str, repository: &str) -> String {
    format!("{organization}/{repository}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_number_is_nobodys_and_the_old_one_never_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut slots = Slots::open(folder.path()).unwrap();
        let mut seen = vec![slots.of("local", "app").unwrap().unwrap()];
        for repository in ["app", "web", "app", "web"] {
            let renewed = slots.renew("local", repository).unwrap().unwrap();
            assert!(!seen.contains(&renewed), "{renewed:?} was given before");
            seen.push(renewed);
            let mut again = Slots::open(folder.path()).unwrap();
            assert_eq!(again.of("local", repository).unwrap(), Some(renewed));
        }
    }

    #[test]
    fn numbers_are_kept_across_openings_and_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut slots = Slots::open(folder.path()).unwrap();
        let app = slots.of("local", "app").unwrap().unwrap();
        let web = slots.of("local", "web").unwrap().unwrap();
        assert_ne!(app, web);
        let mut slots = Slots::open(folder.path()).unwrap();
        assert_eq!(slots.of("local", "app").unwrap(), Some(app));
        assert_ne!(slots.of("other", "app").unwrap(), Some(web));
    }

    #[test]
    fn the_numbers_run_out_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{{\"slots\":{{\"a/b\":{}}}}}", Slot::MAX.number());
        std::fs::write(folder.path().join("slots.json"), text).unwrap();
        let mut slots = Slots::open(folder.path()).unwrap();
        assert_eq!(slots.of("a", "b").unwrap(), Some(Slot::MAX));
        assert_eq!(slots.of("a", "c").unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("slots.json"), "{}").unwrap();
        assert!(Slots::open(folder.path()).is_err());
    }
}
