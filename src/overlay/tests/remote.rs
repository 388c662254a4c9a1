//! Whole trees, and a remote that edits are applied to as a server does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::tree::{Content, Edit};

/// What stands at a path, as Git would store it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    File { bytes: Vec<u8>, executable: bool },
    Symlink(Vec<u8>),
    Directory,
}

/// A whole tree by path; every directory is listed.
pub(super) type Tree = BTreeMap<String, Item>;

pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}/{name}"),
    }
}

/// Names directly below a path.
pub(super) fn children(tree: &Tree, path: &str) -> BTreeSet<String> {
    tree.keys()
        .filter_map(|key| match path {
            "" => Some(&key[..]),
            _ => key.strip_prefix(path)?.strip_prefix('/'),
        })
        .map(|rest| rest.split('/').next().unwrap().to_owned())
        .collect()
}

/// Removes a path and everything below it.
pub(super) fn remove_below(tree: &mut Tree, path: &str) {
    let below = format!("{path}/");
    tree.retain(|key, _| key != path && !key.starts_with(&below));
}

/// Applies captured edits to a remote tree as a server does: removing the last child of a directory
/// removes the directory, and making a directory that is there changes nothing.
pub(super) fn apply(remote: &mut Tree, base: &Tree, edits: &[Edit]) {
    for edit in edits {
        let path = edit.path().as_str().unwrap().to_owned();
        let stays =
            matches!(edit, Edit::Directory { .. }) && remote.get(&path) == Some(&Item::Directory);
        if !stays {
            remove_below(remote, &path);
        }
        match edit {
            Edit::Remove { .. } => {
                prune(remote, &path);
                continue;
            }
            Edit::File {
                content,
                executable,
                ..
            } => {
                let bytes = bytes_of(content, base);
                let executable = *executable;
                remote.insert(path.clone(), Item::File { bytes, executable });
            }
            Edit::Symlink { target, .. } => {
                remote.insert(path.clone(), Item::Symlink(target.clone()));
            }
            Edit::Directory { .. } => {
                remote.insert(path.clone(), Item::Directory);
            }
            Edit::Graft { from, .. } => {
                let from = format!("{}/", from.as_str().unwrap());
                remote.insert(path.clone(), Item::Directory);
                for (key, item) in base {
                    if let Some(rest) = key.strip_prefix(&from) {
                        remote.insert(join(&path, rest), item.clone());
                    }
                }
            }
        }
        let mut parent = &path[..];
        while let Some((above, _)) = parent.rsplit_once('/') {
            let there = remote.insert(above.to_owned(), Item::Directory);
            assert!(
                matches!(there, None | Some(Item::Directory)),
                "{path} put below a non-directory"
            );
            parent = above;
        }
    }
}

fn prune(remote: &mut Tree, path: &str) {
    let mut parent = path;
    while let Some((above, _)) = parent.rsplit_once('/') {
        if !children(remote, above).is_empty() {
            break;
        }
        remote.remove(above);
        parent = above;
    }
}

fn bytes_of(content: &Content, base: &Tree) -> Vec<u8> {
    match content {
        Content::Empty => Vec::new(),
        Content::Lower { from, .. } => match &base[from.as_str().unwrap()] {
            Item::File { bytes, .. } => bytes.clone(),
            other => panic!("{from} is {other:?}"),
        },
        Content::Body(source) => {
            let mut bytes = Vec::new();
            source.open().unwrap().read_to_end(&mut bytes).unwrap();
            assert!(source.is_unchanged());
            assert_eq!(bytes.len() as u64, source.size());
            bytes
        }
    }
}

/// A small tree with one of everything.
pub(super) fn sample() -> Tree {
    let file = |bytes: &str| Item::File {
        bytes: bytes.as_bytes().to_vec(),
        executable: false,
    };
    let mut tree = Tree::new();
    for directory in ["a", "a/deep", "a/deep/er", "b", "b/only"] {
        tree.insert(directory.to_owned(), Item::Directory);
    }
    tree.insert("README".to_owned(), file("read me\n"));
    tree.insert("a/one".to_owned(), file("one"));
    tree.insert("a/two".to_owned(), file("two two"));
    tree.insert("a/deep/er/three".to_owned(), file("three three three"));
    tree.insert("b/only/child".to_owned(), file("alone"));
    tree.insert("b/empty".to_owned(), file(""));
    let bytes = b"#!/bin/sh\n".to_vec();
    let executable = true;
    tree.insert("b/run".to_owned(), Item::File { bytes, executable });
    tree.insert("link".to_owned(), Item::Symlink(b"a/one".to_vec()));
    tree
}
