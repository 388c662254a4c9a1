//! The repositories of an organization as the server last listed them, kept for times without it.
//!
//! `<data>/repos/<org>/known.json` is a list of names; a repository that was opened has a directory
//! beside it, and counts as known whatever the list says.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::folders::publish;
use crate::tree::Name;

const FILE: &str = "known.json";

/// Reads what is known, from the list and from the directories of opened repositories.
///
/// # Errors
///
/// What the disk says; nothing there yet is an empty set.
pub(super) fn read(folder: &Path) -> io::Result<BTreeSet<Name>> {
    let mut names = listed(folder)?;
    names.extend(opened(folder)?);
    Ok(names)
}

/// The repositories that were opened: those that have local state.
///
/// # Errors
///
/// What the disk says.
pub(super) fn opened(folder: &Path) -> io::Result<BTreeSet<Name>> {
    let mut names = BTreeSet::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.path().join("journal").is_dir()
            && let Ok(name) = Name::try_from(entry.file_name().as_os_str())
        {
            names.insert(name);
        }
    }
    Ok(names)
}

fn listed(folder: &Path) -> io::Result<BTreeSet<Name>> {
    let text = match std::fs::read(folder.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        text => text?,
    };
    // A damaged list is as good as none: the server has it, too.
    let names: Vec<String> = serde_json::from_slice(&text).unwrap_or_default();
    Ok(names
        .iter()
        .filter_map(|name| Name::try_from(name.as_str()).ok())
        .collect())
}

/// Keeps the server's list, if it is another one than before.
///
/// # Errors
///
/// What the disk says.
pub(super) fn write(folder: &Path, names: &BTreeSet<Name>) -> io::Result<()> {
    if listed(folder)? == *names {
        return Ok(());
    }
    let text: Vec<String> = names.iter().map(Name::to_string).collect();
    publish(&folder.join(FILE), &serde_json::to_vec(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> BTreeSet<Name> {
        texts
            .iter()
            .map(|text| Name::try_from(*text).unwrap())
            .collect()
    }

    #[test]
    fn lists_and_opened_repositories_are_known() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join("none")).unwrap(), names(&[]));
        write(folder.path(), &names(&["app", "web"])).unwrap();
        std::fs::create_dir_all(folder.path().join("gone/journal")).unwrap();
        std::fs::create_dir_all(folder.path().join("stray")).unwrap();
        assert_eq!(read(folder.path()).unwrap(), names(&["app", "gone", "web"]));
        assert_eq!(opened(folder.path()).unwrap(), names(&["gone"]));
    }

    #[test]
    fn a_damaged_list_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "[\"a").unwrap();
        assert_eq!(read(folder.path()).unwrap(), names(&[]));
    }
}
