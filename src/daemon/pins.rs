//! The paths of a repository that are pinned, as they outlive the daemon.
//!
//! `<data>/repos/<org>/<repo>/pins.json` is replaced in one step. It also has the name under which the
//! store knows the pins of this repository: the store is shared, so nothing else may have the same.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folders::publish;
use crate::lower::Holder;
use crate::tree::TreePath;

const FILE: &str = "pins.json";
/// Paths of one repository: each costs some system calls now and then.
const PATHS_MAX: usize = 1_024;

/// What is pinned in a repository.
#[derive(Debug)]
pub(super) struct Pins {
    path: PathBuf,
    stored: Stored,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    holder: String,
    paths: BTreeSet<String>,
}

impl Pins {
    /// Reads what is pinned in the repository whose local state is in `folder`.
    ///
    /// # Errors
    ///
    /// The list is there and cannot be read, or is damaged: what it had pinned stays pinned.
    pub(super) fn read(folder: &Path) -> io::Result<Pins> {
        let path = folder.join(FILE);
        let stored = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored {
                holder: uuid::Uuid::new_v4().simple().to_string(),
                paths: BTreeSet::new(),
            },
            Err(error) => return Err(error),
        };
        Ok(Pins { path, stored })
    }

    /// Where the list is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As the store knows it.
    pub(super) fn holder(&self) -> Holder {
        Holder::of(&self.stored.holder)
    }

    /// What is pinned; the empty path stands for everything.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.stored.paths.iter().map(String::as_str)
    }

    /// The same, as the store wants them.
    pub(super) fn tree_paths(&self) -> Vec<TreePath> {
        let parsed = self.paths().map(TreePath::try_from);
        parsed.filter_map(Result::ok).collect()
    }

    /// Whether that very path is pinned.
    pub(super) fn has(&self, path: &str) -> bool {
        self.stored.paths.contains(path)
    }

    /// Pins a path, durably.
    ///
    /// # Errors
    ///
    /// There are too many; what the disk says. Nothing has changed then.
    pub(super) fn add(&mut self, path: &str) -> io::Result<()> {
        if self.has(path) {
            return Ok(());
        }
        if self.stored.paths.len() >= PATHS_MAX {
            return Err(io::Error::other(
                "1,024 paths of it are pinned, which is as many as there may be: pin a directory \
                 above them, or everything",
            ));
        }
        self.change(|paths| paths.insert(path.to_owned()))
    }

    /// Pins a path no longer, durably.
    ///
    /// # Errors
    ///
    /// What the disk says. Nothing has changed then.
    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        self.change(|paths| paths.remove(path))
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeSet<String>) -> bool) -> io::Result<()> {
        let mut stored = self.stored.clone();
        if change(&mut stored.paths) {
            publish(&self.path, &serde_json::to_vec(&stored)?)?;
            self.stored = stored;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_is_read_again_under_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut pins = Pins::read(folder.path()).unwrap();
        for path in ["src", "a/b", "", "src"] {
            pins.add(path).unwrap();
        }
        pins.remove("a/b").unwrap();
        pins.remove("no/such").unwrap();
        let again = Pins::read(folder.path()).unwrap();
        assert_eq!(again.paths().collect::<Vec<_>>(), ["", "src"]);
        assert_eq!(again.holder(), pins.holder());
        assert!(again.has("src") && !again.has("a/b"));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Pins::read(other.path()).unwrap().holder(), pins.holder());
    }

    #[test]
    fn a_damaged_list_is_no_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{\"holder\":").unwrap();
        assert!(Pins::read(folder.path()).is_err());
    }

    #[test]
    fn there_are_only_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut pins = Pins::read(folder.path()).unwrap();
        pins.stored.paths = (0..PATHS_MAX).map(|number| number.to_string()).collect();
        assert!(pins.add("one more").is_err() && !pins.has("one more"));
        pins.add("0").unwrap();
        pins.remove("0").unwrap();
        pins.add("one more").unwrap();
    }
}
