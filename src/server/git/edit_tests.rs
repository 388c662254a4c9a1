//! Tests of tree editing over a database in memory.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::server::git::{DEPTH_MAX, HASH};

#[derive(Default)]
struct Memory(HashMap<gix::ObjectId, Vec<gix::objs::tree::Entry>>);

impl Objects for Memory {
    fn tree(&self, oid: &gix::ObjectId) -> Result<Vec<gix::objs::tree::Entry>, Error> {
        if oid.is_empty_tree() {
            return Ok(Vec::new());
        }
        Ok(self.0[oid].clone())
    }

    fn store_tree(&mut self, bytes: &[u8]) -> Result<gix::ObjectId, Error> {
        let oid = gix::objs::compute_hash(HASH, gix::objs::Kind::Tree, bytes).unwrap();
        let tree = gix::objs::TreeRef::from_bytes(bytes, HASH).unwrap();
        let entries = tree.entries.into_iter().map(Into::into).collect();
        self.0.insert(oid, entries);
        Ok(oid)
    }
}

impl Memory {
    /// Every path, a directory with a slash at its end, in order.
    fn paths(&self, root: gix::ObjectId) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![(String::new(), root)];
        while let Some((prefix, oid)) = folders.pop() {
            for entry in self.tree(&oid).unwrap() {
                let path = format!("{prefix}{}", entry.filename);
                if entry.mode.is_tree() {
                    folders.push((format!("{path}/"), entry.oid));
                    found.push(format!("{path}/"));
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

fn path(text: &str) -> FilePath {
    FilePath::check(text.as_bytes(), None).unwrap()
}

fn blob() -> gix::ObjectId {
    gix::ObjectId::empty_blob(HASH)
}

/// `+a/b` writes, `-a` deletes, `/a` makes a directory.
fn edit(memory: &mut Memory, root: gix::ObjectId, steps: &[&str]) -> Result<gix::ObjectId, Error> {
    let mut editor = Editor::new(memory, &root)?;
    for step in steps {
        let (verb, at) = step.split_at(1);
        match verb {
            "+" => editor.put(memory, path(at), EntryKind::Blob.into(), blob())?,
            "-" => editor.delete(memory, &path(at))?,
            _ => editor.make_directory(memory, path(at))?,
        }
    }
    editor.finish(memory)
}

fn empty() -> gix::ObjectId {
    gix::ObjectId::empty_tree(HASH)
}

#[test]
fn steps_apply_in_order() {
    let mut memory = Memory::default();
    let root = edit(&mut memory, empty(), &["+a/b/c", "+a/d", "/e", "+f"]).unwrap();
    assert_eq!(
        memory.paths(root),
        ["a/", "a/b/", "a/b/c", "a/d", "e/", "f"]
    );
    let next = edit(&mut memory, root, &["-f", "+f/g", "-a/b", "+a/b"]).unwrap();
    assert_eq!(memory.paths(next), ["a/", "a/b", "a/d", "e/", "f/", "f/g"]);
}

#[test]
fn directories_left_empty_vanish_unless_made_again() {
    let mut memory = Memory::default();
    let root = edit(&mut memory, empty(), &["+a/b/c", "/a/e", "+x/y/z"]).unwrap();
    let next = edit(&mut memory, root, &["-a/b/c", "-x/y/z", "/x"]).unwrap();
    assert_eq!(memory.paths(next), ["a/", "a/e/", "x/"]);
    let none = edit(&mut memory, next, &["-a/e", "-x"]).unwrap();
    assert_eq!(none, empty());
}

#[test]
fn deleting_what_is_not_there_changes_nothing() {
    let mut memory = Memory::default();
    let root = edit(&mut memory, empty(), &["+a", "/e"]).unwrap();
    let next = edit(&mut memory, root, &["-a/b", "-x", "-x/y/z", "-e/f"]).unwrap();
    assert_eq!(next, root);
}

#[test]
fn files_and_directories_do_not_replace_each_other_silently() {
    let mut memory = Memory::default();
    let root = edit(&mut memory, empty(), &["+a", "+d/f"]).unwrap();
    assert!(matches!(
        edit(&mut memory, root, &["+a/b"]),
        Err(Error::FileInTheWay)
    ));
    assert!(matches!(
        edit(&mut memory, root, &["/a/b"]),
        Err(Error::FileInTheWay)
    ));
    assert!(matches!(
        edit(&mut memory, root, &["+d"]),
        Err(Error::DirectoryInTheWay)
    ));
    let next = edit(&mut memory, root, &["/a", "/d"]).unwrap();
    assert_eq!(memory.paths(next), ["a/", "d/", "d/f"]);
}

#[test]
fn the_deepest_path_is_written_and_deleted() {
    let mut memory = Memory::default();
    let deep = vec!["d"; DEPTH_MAX].join("/");
    let root = edit(&mut memory, empty(), &[&format!("+{deep}")]).unwrap();
    assert_eq!(memory.paths(root).len(), DEPTH_MAX);
    assert_eq!(
        edit(&mut memory, root, &[&format!("-{deep}")]).unwrap(),
        empty()
    );
    let deeper = format!("{deep}/d");
    assert!(matches!(
        FilePath::check(deeper.as_bytes(), None),
        Err(Error::PathDepth)
    ));
}

#[test]
fn reserved_and_malformed_paths_are_refused() {
    for bad in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "a/../b",
        "a\0b",
        ".git",
        ".GIT/config",
        "a/.Git/b",
        "git~1",
        ".git /x",
        ".g\u{200c}it",
    ] {
        assert!(FilePath::check(bad.as_bytes(), None).is_err(), "{bad:?}");
    }
    assert!(FilePath::check(b".gitmodules", Some(FileMode::Symlink)).is_err());
    for good in [".gitignore", "a b/\u{fc}", "git", "a:b", "con", "x.git"] {
        assert!(FilePath::check(good.as_bytes(), None).is_ok(), "{good:?}");
    }
}

#[test]
fn entries_are_in_gits_order() {
    let mut memory = Memory::default();
    let root = edit(&mut memory, empty(), &["+a/x", "+a.b", "+a0", "+a-"]).unwrap();
    let names: Vec<_> = memory
        .tree(&root)
        .unwrap()
        .iter()
        .map(|entry| entry.filename.to_string())
        .collect();
    assert_eq!(names, ["a-", "a.b", "a", "a0"]);
}

proptest! {
    /// Editing in two calls is editing in one.
    #[test]
    fn edits_compose(steps in proptest::collection::vec(("[+/-]", "[ab](/[ab]){0,3}"), 0..24), at in 0_usize..24) {
        let steps: Vec<String> = steps.into_iter().map(|(verb, path)| verb + &path).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let mut memory = Memory::default();
        let once = edit(&mut memory, empty(), &steps);
        let (first, second) = steps.split_at(at.min(steps.len()));
        let twice = edit(&mut memory, empty(), first)
            .and_then(|root| edit(&mut memory, root, second));
        match (once, twice) {
            (Ok(once), Ok(twice)) => prop_assert_eq!(once, twice),
            (once, twice) => prop_assert_eq!(once.is_err(), twice.is_err()),
        }
    }
}
