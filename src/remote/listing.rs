//! Directory answers into listings: entry by entry, so that a large directory is in memory once, and
//! checked before anything believes it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::Failure;
use super::api::{Entry, FileMode, SubmoduleEntry, TreeEntry, TreeListing, TreeMode};
use super::failure::Violation;
use crate::lower::{EntryKind, LISTING_ENTRIES_MAX, ListingEntry};
use crate::tree::{GitOid, Name, NameError, TreePath};

/// Largest answer: [`LISTING_ENTRIES_MAX`] entries at 250 bytes each.
pub(super) const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A directory as a server tells it.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) tree: GitOid,
    pub(super) entries: Vec<ListingEntry>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "type")]
    _kind: Kind,
    sha: String,
    #[serde(default)]
    entries: Entries,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "dir")]
    Directory,
}

/// A directory, and entries of it and those below it, each with the path that the server tells.
pub(super) struct Told {
    pub(super) tree: GitOid,
    pub(super) entries: Vec<(ListingEntry, String)>,
}

/// Reads an answer about a directory, however deep it was asked for.
pub(super) fn told(answer: &[u8]) -> Result<Told, Failure> {
    let answer: Answer = serde_json::from_slice(answer).map_err(Violation::Shape)?;
    let tree = answer
        .sha
        .parse()
        .map_err(|error| Violation::Shape(serde_json::Error::custom(error)))?;
    Ok(Told {
        tree,
        entries: answer.entries.0,
    })
}

/// Reads the answer about the directory `path`, asked for with its direct children.
pub(super) fn decode(path: &TreePath, answer: &[u8]) -> Result<Directory, Failure> {
    let answer = told(answer)?;
    let mut entries = Vec::with_capacity(answer.entries.len());
    for (entry, told) in answer.entries {
        // A path with replacement characters tells nothing; our own knows better.
        if let (Some(parent), Some(name)) = (path.as_str(), text_of(&entry.name)) {
            let direct = match told.strip_prefix(parent) {
                Some(rest) if parent.is_empty() => rest == name,
                Some(rest) => rest.strip_prefix('/') == Some(name),
                None => false,
            };
            if !direct {
                return Err(Violation::Elsewhere.into());
            }
        }
        entries.push(entry);
    }
    let mut names: Vec<&Name> = entries.iter().map(|entry| &entry.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Violation::Duplicate.into());
    }
    Ok(Directory {
        tree: answer.tree,
        entries,
    })
}

/// Reads one line of a sweep: a tree and its entries, if the server has that tree.
pub(super) fn decode_line(line: &[u8]) -> Result<Option<(GitOid, Vec<ListingEntry>)>, Failure> {
    checked(serde_json::from_slice(line).map_err(Violation::Shape)?)
}

/// A tree and its entries, if the server has that tree.
pub(super) fn checked(
    listing: TreeListing,
) -> Result<Option<(GitOid, Vec<ListingEntry>)>, Failure> {
    let Some(told) = listing.entries else {
        return Ok(None);
    };
    if told.len() > LISTING_ENTRIES_MAX {
        return Err(Violation::TooLarge.into());
    }
    let entries = told
        .into_iter()
        .map(tree_entry)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Violation::Shape(serde_json::Error::custom(error)))?;
    Ok(Some((listing.sha, entries)))
}

fn tree_entry(entry: TreeEntry) -> Result<ListingEntry, EntryError> {
    let kind = match entry.mode {
        TreeMode::Plain => EntryKind::File,
        TreeMode::Executable => EntryKind::Executable,
        TreeMode::Symlink => EntryKind::Symlink,
        TreeMode::Directory => EntryKind::Directory,
        TreeMode::Submodule => EntryKind::Submodule,
    };
    let size = entry.size.unwrap_or(0);
    if i64::try_from(size).is_err() {
        return Err(EntryError::Size);
    }
    Ok(ListingEntry {
        name: name_of(&entry.name, entry.name_base64)?,
        kind,
        size,
        oid: entry.sha,
    })
}

fn text_of(name: &Name) -> Option<&str> {
    std::str::from_utf8(name.as_bytes()).ok()
}

/// Entries with the paths that the server tells of them.
#[derive(Default)]
struct Entries(Vec<(ListingEntry, String)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element::<Entry>()? {
            if entries.len() == LISTING_ENTRIES_MAX {
                return Err(A::Error::custom("too many entries"));
            }
            match listing_entry(entry).map_err(A::Error::custom)? {
                Some(entry) => entries.push(entry),
                None => tracing::warn!("a listing has an entry of an unknown kind"),
            }
        }
        Ok(Entries(entries))
    }
}

#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("a name that is no base64")]
    Encoding,
    #[error("a size that no file has")]
    Size,
    #[error("a mode that the kind does not have")]
    Mode,
}

fn name_of(text: &str, encoded: Option<String>) -> Result<Name, EntryError> {
    match encoded {
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).map_err(|_| EntryError::Encoding)?;
            Ok(Name::try_from(&bytes[..])?)
        }
        None => Ok(Name::try_from(text)?),
    }
}

fn listing_entry(entry: Entry) -> Result<Option<(ListingEntry, String)>, EntryError> {
    let (name, path, oid, size, kind) = match entry {
        Entry::File {
            name,
            path,
            sha,
            size,
            mode,
            name_base64,
        } => {
            let kind = match mode {
                FileMode::Plain => EntryKind::File,
                FileMode::Executable => EntryKind::Executable,
                FileMode::Symlink => return Err(EntryError::Mode),
            };
            (name_of(&name, name_base64)?, path, sha, size, kind)
        }
        Entry::Symlink {
            name,
            path,
            sha,
            size,
            name_base64,
            ..
        } => {
            let name = name_of(&name, name_base64)?;
            (name, path, sha, size, EntryKind::Symlink)
        }
        Entry::Directory {
            name,
            path,
            sha,
            name_base64,
        } => {
            let name = name_of(&name, name_base64)?;
            (name, path, sha, 0, EntryKind::Directory)
        }
        Entry::Submodule(SubmoduleEntry {
            name,
            path,
            sha,
            name_base64,
        }) => {
            let name = name_of(&name, name_base64)?;
            (name, path, sha, 0, EntryKind::Submodule)
        }
        Entry::Unknown => return Ok(None),
    };
    if i64::try_from(size).is_err() {
        return Err(EntryError::Size);
    }
    let entry = ListingEntry {
        name,
        kind,
        size,
        oid,
    };
    Ok(Some((entry, path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    fn directory(path: &str, entries: &str) -> Result<Directory, Failure> {
        let answer = format!(
            r#"{{"type":"dir","name":"","path":"{path}","sha":"{SHA}","child_count":1,"entries":[{entries}]}}"#
        );
        decode(&TreePath::try_from(path).unwrap(), answer.as_bytes())
    }

    fn file(name: &str, path: &str) -> String {
        format!(
            r#"{{"type":"file","name":{name:?},"path":{path:?},"sha":"{SHA}","size":3,"mode":"100644"}}"#
        )
    }

    #[test]
    fn every_kind_becomes_an_entry_and_an_unknown_one_none() {
        let entries = format!(
            r#"{},{{"type":"dir","name":"d","path":"d","sha":"{SHA}"}},
            {{"type":"symlink","name":"l","path":"l","sha":"{SHA}","size":7,"mode":"120000"}},
            {{"type":"submodule","name":"s","path":"s","sha":"{SHA}"}},
            {{"type":"file","name":"x","path":"x","sha":"{SHA}","size":1,"mode":"100755","metadata":{{}}}},
            {{"type":"file","name":"\ufffd","path":"\ufffd","sha":"{SHA}","size":1,"mode":"100644","name_base64":"/w=="}},
            {{"type":"hologram","name":"h","path":"h"}}"#,
            file("a", "a")
        );
        let directory = directory("", &entries).unwrap();
        let kinds: Vec<_> = directory.entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(
            kinds,
            [
                EntryKind::File,
                EntryKind::Directory,
                EntryKind::Symlink,
                EntryKind::Submodule,
                EntryKind::Executable,
                EntryKind::File
            ]
        );
        assert_eq!(directory.entries[5].name.as_bytes(), b"\xff");
        assert_eq!(directory.tree, GitOid::EMPTY_TREE);
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in ["..", ".", "", "a/b", "/etc/passwd", "a\u{0}b"] {
            let entry = file(name, name).replace("\\0", "\\u0000");
            let result = directory("", &entry);
            assert!(
                matches!(result, Err(Failure::Protocol(Violation::Shape(_)))),
                "{name:?}"
            );
        }
        // "../x" in base64.
        let entry = file("x", "x").replace(r#""size""#, r#""name_base64":"Li4veA==","size""#);
        assert!(directory("", &entry).is_err());
    }

    #[test]
    fn entries_of_other_directories_and_doubles_are_refused() {
        assert!(directory("a/b", &file("c", "a/b/c")).is_ok());
        for path in ["c", "a/c", "a/b/c/c", "a/bc", "/a/b/c"] {
            let result = directory("a/b", &file("c", path));
            assert!(matches!(
                result,
                Err(Failure::Protocol(Violation::Elsewhere))
            ));
        }
        let double = format!("{},{}", file("c", "c"), file("c", "c"));
        let result = directory("", &double);
        assert!(matches!(
            result,
            Err(Failure::Protocol(Violation::Duplicate))
        ));
    }

    #[test]
    fn sizes_that_no_file_has_are_refused() {
        let entry = file("a", "a").replace(":3,", ":9223372036854775808,");
        assert!(directory("", &entry).is_err());
    }
}
