//! Link counts of directories: right where they are given at all, and right at once.

use super::remote::sample;
use super::support::{Fixture, OWNER};
use crate::overlay::{NewNode, Rename};
use crate::tree::{Name, Permissions};

/// Counts the directories in a directory by reading it.
fn counted(fixture: &Fixture, path: &str) -> u32 {
    let names = fixture.names(path).unwrap();
    let is_directory = |name: &String| {
        let path = super::remote::join(path, name);
        fixture.attributes(&path).unwrap().kind == crate::tree::Kind::Directory
    };
    2 + names.iter().filter(|name| is_directory(name)).count() as u32
}

fn links(fixture: &Fixture, path: &str) -> u32 {
    fixture.attributes(path).unwrap().links
}

fn make(fixture: &Fixture, path: &str) {
    let (parent, name) = fixture.place(path).unwrap();
    let permissions = Permissions::DIRECTORY;
    let made = |overlay: &crate::overlay::Overlay| {
        overlay.make(parent, &name, NewNode::Directory, permissions, OWNER)
    };
    fixture.call(made).unwrap();
}

fn rename(fixture: &Fixture, from: &str, to: &str, mode: Rename) {
    let (parent, name) = fixture.place(from).unwrap();
    let (new_parent, new_name) = fixture.place(to).unwrap();
    fixture
        .call(|overlay| overlay.rename(parent, &name, new_parent, &new_name, mode))
        .unwrap();
}

#[test]
fn a_directory_that_nobody_has_listed_is_not_counted() {
    let fixture = Fixture::new(&sample());
    assert_eq!(links(&fixture, "a"), 1);
    let there = counted(&fixture, "a");
    assert!(there > 2, "the sample has a directory in a");
    assert_eq!(links(&fixture, "a"), there);
}

#[test]
fn every_change_counts_at_once_and_after_a_remount() {
    let mut fixture = Fixture::new(&sample());
    let check = |fixture: &Fixture, directories: &[&str]| {
        for path in directories {
            let expected = counted(fixture, path);
            assert_eq!(links(fixture, path), expected, "{path:?}");
        }
    };
    make(&fixture, "new");
    make(&fixture, "new/in");
    make(&fixture, "a/in");
    check(&fixture, &["", "a", "new", "new/in"]);
    // Of the lower layer: moved away, moved back, replaced, exchanged with a file, removed.
    rename(&fixture, "a/deep", "new/deep", Rename::Replace);
    check(&fixture, &["", "a", "new"]);
    rename(&fixture, "new/deep", "a/deep", Rename::Replace);
    check(&fixture, &["a", "new"]);
    rename(&fixture, "a/deep", "new/in", Rename::Replace);
    check(&fixture, &["a", "new"]);
    rename(&fixture, "new/in", "a/two", Rename::Exchange);
    check(&fixture, &["a", "new", "a/two"]);
    let (parent, name) = fixture.place("a/in").unwrap();
    fixture
        .call(|overlay| overlay.remove_directory(parent, &name))
        .unwrap();
    check(&fixture, &["", "a", "new"]);
    fixture.overlay().checkpoint().unwrap();
    fixture.reopen();
    check(&fixture, &["", "a", "new", "a/two"]);
    fixture.overlay().compact().unwrap();
    fixture.reopen();
    check(&fixture, &["", "a", "new", "a/two"]);
}

#[test]
fn a_removed_directory_has_none() {
    let fixture = Fixture::new(&sample());
    make(&fixture, "new");
    let ino = fixture.find("new").unwrap();
    let (parent, name) = fixture.place("new").unwrap();
    let name: Name = name;
    fixture
        .call(|overlay| overlay.remove_directory(parent, &name))
        .unwrap();
    assert_eq!(fixture.overlay().attributes(ino).unwrap().links, 0);
}
