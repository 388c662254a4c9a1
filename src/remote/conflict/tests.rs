//! Decisions on small trees: by hand, and against a merge that knows everything.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::Extensions;
use super::diff::Side;
use super::*;
use crate::lower::ListingEntry;
use crate::tree::{Content, Edit};

mod bounds;
mod judge;

/// Files by path; the content is one byte, which is also its hash.
type Files = BTreeMap<String, u8>;

fn files(text: &str) -> Files {
    let pair = |pair: &str| {
        let (path, content) = pair.split_once('=').unwrap();
        (path.to_owned(), content.parse().unwrap())
    };
    text.split_whitespace().map(pair).collect()
}

fn path_of(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

fn tree_of(files: &Files, path: &str) -> GitOid {
    let prefix = match path {
        "" => String::new(),
        path => format!("{path}/"),
    };
    let below: Vec<_> = files
        .iter()
        .filter_map(|(path, content)| Some((path.strip_prefix(&prefix)?, content)))
        .collect();
    if below.is_empty() {
        return GitOid::EMPTY_TREE;
    }
    let hash = blake3::hash(format!("{below:?}").as_bytes());
    let mut oid = [0; 20];
    oid.copy_from_slice(&hash.as_bytes()[..20]);
    GitOid(oid)
}

fn list(files: &Files, directory: &TreePath) -> Vec<ListingEntry> {
    let mut entries: BTreeMap<Name, ListingEntry> = BTreeMap::new();
    for (path, content) in files {
        let path = path_of(path);
        if path == *directory || !path.starts_with(directory) {
            continue;
        }
        let depth = directory.names().count();
        let name = path.names().nth(depth).unwrap();
        let here = directory.join(&name).unwrap();
        let (kind, oid, size) = match here == path {
            true => (EntryKind::File, GitOid([*content; 20]), 1),
            false => (
                EntryKind::Directory,
                tree_of(files, here.as_str().unwrap()),
                0,
            ),
        };
        let entry = ListingEntry {
            name: name.clone(),
            kind,
            size,
            oid,
        };
        entries.insert(name, entry);
    }
    entries.into_values().collect()
}

fn foreign(base: &Files, theirs: &Files) -> (Foreign, usize) {
    let mut listings = 0;
    let mut look = |side, path: &TreePath, _tree| {
        listings += 1;
        Ok::<_, Infallible>(match side {
            Side::Base => list(base, path),
            Side::Theirs => list(theirs, path),
        })
    };
    let Ok(found) = diff(tree_of(base, ""), tree_of(theirs, ""), &mut look);
    (found, listings)
}

/// A file of one byte, named as a lower one so that its hash is known.
fn put(path: &str, content: u8) -> Edit {
    Edit::File {
        path: path_of(path),
        content: Content::Lower {
            oid: GitOid([content; 20]),
            size: 1,
            from: path_of(path),
        },
        executable: false,
    }
}

fn remove(path: &str) -> Edit {
    let path = path_of(path);
    Edit::Remove { path }
}

fn hash(edit: &Edit) -> Result<GitOid, Infallible> {
    match edit {
        Edit::File {
            content: Content::Lower { oid, .. },
            ..
        } => Ok(*oid),
        other => panic!("no file: {other:?}"),
    }
}

fn contradicting(base: &str, theirs: &str, ours: &[Edit]) -> Vec<String> {
    let (foreign, _) = foreign(&files(base), &files(theirs));
    let Ok(found) = contradictions(&wanted(ours, Extensions::ALL), &foreign, &mut hash);
    found.iter().map(TreePath::to_string).collect()
}

#[test]
fn only_different_words_about_one_path_contradict() {
    let base = "a=1 d/x=1 d/y=1";
    let none: [&str; 0] = [];
    // Another path; the same content; both removed it; both made it alike.
    assert_eq!(
        contradicting(base, "a=2 d/x=1 d/y=1", &[put("d/x", 2)]),
        none
    );
    assert_eq!(
        contradicting(base, "a=1 d/x=2 d/y=1", &[put("d/x", 2)]),
        none
    );
    assert_eq!(contradicting(base, "d/x=1 d/y=1", &[remove("a")]), none);
    assert_eq!(
        contradicting(base, "a=1 n=3 d/x=1 d/y=1", &[put("n", 3)]),
        none
    );
    // Other content; an edit of what is gone; a removal of what was edited; made otherwise.
    assert_eq!(
        contradicting(base, "a=3 d/x=1 d/y=1", &[put("a", 2)]),
        ["a"]
    );
    assert_eq!(contradicting(base, "d/x=1 d/y=1", &[put("a", 2)]), ["a"]);
    assert_eq!(
        contradicting(base, "a=3 d/x=1 d/y=1", &[remove("a")]),
        ["a"]
    );
    assert_eq!(
        contradicting(base, "a=1 n=3 d/x=1 d/y=1", &[put("n", 4)]),
        ["n"]
    );
}

#[test]
fn directories_that_went_came_or_changed_their_kind() {
    let base = "a=1 d/x=1 d/y=1";
    let none: [&str; 0] = [];
    // They removed the directory: a new file in it is fine, an edit of what they removed is not.
    assert_eq!(contradicting(base, "a=1", &[put("d/new", 2)]), none);
    assert_eq!(contradicting(base, "a=1", &[put("d/x", 2)]), ["d/x"]);
    assert_eq!(contradicting(base, "a=1", &[remove("d/x")]), none);
    // They put a file in its place.
    assert_eq!(contradicting(base, "a=1 d=7", &[put("d/new", 2)]), ["d"]);
    assert_eq!(contradicting(base, "a=1 d=7", &[remove("d/x")]), none);
    assert_eq!(contradicting(base, "a=1 d=7", &[remove("d")]), ["d"]);
    // They put a directory in place of a file, and the other way around with ours.
    assert_eq!(
        contradicting(base, "a/b=2 d/x=1 d/y=1", &[put("a", 2)]),
        ["a"]
    );
    let replaced = [remove("d"), put("d", 2)];
    assert_eq!(
        contradicting(base, "a=1 d/x=1 d/y=1 d/z=1", &replaced),
        ["d"]
    );
    assert_eq!(contradicting(base, "a=1 d=2", &replaced), none);
    // We remove a directory that they add to, or take away from.
    assert_eq!(
        contradicting(base, "a=1 d/x=1 d/y=1 d/z=1", &[remove("d")]),
        ["d/z"]
    );
    assert_eq!(contradicting(base, "a=1 d/x=1", &[remove("d")]), none);
    // An empty directory of ours stands where they have one with files.
    let empty = Edit::Directory { path: path_of("e") };
    assert_eq!(
        contradicting(base, "a=1 d/x=1 d/y=1 e/f=1", std::slice::from_ref(&empty)),
        none
    );
    assert_eq!(contradicting(base, "a=1 d/x=1 d/y=1 e=1", &[empty]), ["e"]);
    // One that takes the place of a full one leaves no room for what they add to that.
    let emptied = [remove("d"), Edit::Directory { path: path_of("d") }];
    assert_eq!(
        contradicting(base, "a=1 d/x=1 d/y=1 d/z=1", &emptied),
        ["d/z"]
    );
    assert_eq!(contradicting(base, "a=2 d/x=1", &emptied), none);
}

#[test]
fn a_moved_directory_contradicts_edits_within_it() {
    let base = "a=1 d/x=1";
    let none: [&str; 0] = [];
    let moved = [
        remove("d"),
        Edit::Graft {
            path: path_of("m"),
            tree: GitOid([9; 20]),
            from: path_of("d"),
        },
        put("m/x", 5),
    ];
    assert_eq!(contradicting(base, "a=2 d/x=1", &moved), none);
    assert_eq!(contradicting(base, "a=1 d/x=2", &moved), ["d/x"]);
    assert_eq!(contradicting(base, "a=1 d/x=1 m/z=1", &moved), ["m/z"]);
}

#[test]
fn a_walk_lists_only_what_differs() {
    let many: String = (0..50).map(|n| format!("same/{n}/f=1 ")).collect();
    let (base, theirs) = (format!("{many} d/e/x=1"), format!("{many} d/e/x=2"));
    let (found, listings) = foreign(&files(&base), &files(&theirs));
    assert_eq!(listings, 6, "root, d and d/e of both sides");
    let Foreign::Leaves(leaves) = found else {
        panic!("too much")
    };
    assert_eq!(leaves.len(), 1);
}

#[test]
fn what_is_not_sent_contradicts_nothing() {
    let link = Edit::Symlink {
        path: path_of("a"),
        target: b"t".to_vec(),
    };
    assert!(wanted(&[link], Extensions::default()).is_empty());
}

#[test]
fn too_many_paths_give_way_to_their_directories() {
    let paths = ["a", "d/x", "d/y", "e/f/g"].map(path_of).to_vec();
    let shown = |max| {
        let found = bounded(paths.clone(), max);
        found.iter().map(TreePath::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(4), ["a", "d/x", "d/y", "e/f/g"]);
    assert_eq!(shown(3), ["a", "d", "e"]);
    assert_eq!(shown(1), [""]);
}

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let names = ["a", "b", "c"];
    let deeper = |name: &&str| names.map(|below| format!("{name}/{below}")).to_vec();
    let two: Vec<String> = names.iter().flat_map(deeper).collect();
    names.map(str::to_owned).into_iter().chain(two).collect()
});

/// Puts a file where it says, in place of whatever is in its way.
fn apply_put(files: &mut Files, path: &str, content: u8) {
    apply_remove(files, path);
    files.retain(|other, _| !path.starts_with(&format!("{other}/")));
    files.insert(path.to_owned(), content);
}

fn apply_remove(files: &mut Files, path: &str) {
    files.retain(|other, _| other != path && !other.starts_with(&format!("{path}/")));
}

fn apply(files: &Files, ops: &[(usize, u8)]) -> Files {
    let mut files = files.clone();
    for (index, content) in ops {
        let path = &NAMES[index % NAMES.len()];
        match content {
            0 => apply_remove(&mut files, path),
            content => apply_put(&mut files, path, *content),
        }
    }
    files
}

/// Edits as a capture lists them: removals first, then what stands there.
fn edits_between(from: &Files, to: &Files) -> Vec<Edit> {
    let gone = from.keys().filter(|path| !to.contains_key(*path));
    let new = to
        .iter()
        .filter(|(path, content)| from.get(*path) != Some(content));
    gone.map(|path| remove(path))
        .chain(new.map(|(path, content)| put(path, *content)))
        .collect()
}

/// The merge of the two sides, file by file; `None` where they disagree.
fn merged(base: &Files, ours: &Files, theirs: &Files) -> Option<Files> {
    let mut result = Files::new();
    for path in NAMES.iter() {
        let (base, ours, theirs) = (base.get(path), ours.get(path), theirs.get(path));
        let content = if ours == theirs || theirs == base {
            ours
        } else if ours == base {
            theirs
        } else {
            return None;
        };
        result.extend(content.map(|content| (path.clone(), *content)));
    }
    let inside = |path: &String| {
        let parent = path.split_once('/').map(|(parent, _)| parent);
        parent.is_some_and(|parent| result.contains_key(parent))
    };
    (!result.keys().any(inside)).then_some(result)
}

fn ops() -> impl Strategy<Value = Vec<(usize, u8)>> {
    proptest::collection::vec((0..12_usize, 0..4_u8), 0..6)
}

proptest! {
    #[test]
    fn a_contradiction_is_found_exactly_where_a_merge_fails(
        first in ops(), ours in ops(), theirs in ops(),
    ) {
        let base = apply(&Files::new(), &first);
        let (ours, theirs) = (apply(&base, &ours), apply(&base, &theirs));
        let edits = edits_between(&base, &ours);
        let (foreign, _) = foreign(&base, &theirs);
        let Ok(found) = contradictions(&wanted(&edits, Extensions::ALL), &foreign, &mut hash);
        match merged(&base, &ours, &theirs) {
            // Ours on top of theirs is the merge.
            Some(merged) if found.is_empty() => {
                let mut pushed = theirs.clone();
                for path in base.keys().filter(|path| !ours.contains_key(*path)) {
                    apply_remove(&mut pushed, path);
                }
                for (path, content) in ours.iter().filter(|(path, content)| {
                    base.get(*path) != Some(content)
                }) {
                    let above = path.split_once('/').map(|(parent, _)| parent);
                    prop_assert!(above.is_none_or(|above| !pushed.contains_key(above)));
                    let below = format!("{path}/");
                    prop_assert!(!pushed.keys().any(|other| other.starts_with(&below)));
                    pushed.insert(path.clone(), *content);
                }
                prop_assert_eq!(pushed, merged);
            }
            // A file of ours in place of what they removed anyway, and the like: coarse, not wrong.
            Some(_) => prop_assert!(ours != base && theirs != base),
            None => prop_assert!(!found.is_empty(), "not found: {:?}", edits),
        }
        if ours == base || theirs == base {
            prop_assert!(found.is_empty());
        }
    }
}
