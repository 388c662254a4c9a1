//! What is known of foreign edits, and how much of it is looked at.

use super::super::diff::{LEAVES_MAX, LISTINGS_MAX};
use super::*;

fn found(text: &str) -> Foreign {
    let spot = |content: u8| Spot {
        kind: EntryKind::File,
        oid: GitOid([content; 20]),
        size: 1,
    };
    let leaves = files(text).into_iter();
    Foreign::Leaves(
        leaves
            .map(|(path, it)| (path_of(&path), Some(spot(it))))
            .collect(),
    )
}

#[test]
fn what_is_foreign_is_joined_forgotten_and_found() {
    let mut foreign = found("a=1 d/x=1");
    foreign.join(found("a=2 d/e/y=2 dd=2"));
    assert_eq!(foreign, found("a=2 d/x=1 d/e/y=2 dd=2"));
    let at = |path| foreign.is_at(&path_of(path));
    assert!(at("a") && at("d") && at("d/e") && at("d/e/y"));
    assert!(!at("b") && !at("d/y") && !at("a/b"));
    foreign.forget(&path_of("d"));
    assert_eq!(foreign, found("a=2 dd=2"));
    assert!(!foreign.is_empty());
    foreign.forget(&path_of("a"));
    foreign.forget(&path_of("dd"));
    assert!(foreign.is_empty() && foreign == Foreign::default());
    for (mut one, other) in [
        (found("a=1"), Foreign::TooMuch),
        (Foreign::TooMuch, found("a=1")),
    ] {
        one.join(other);
        one.forget(&path_of("a"));
        assert_eq!(one, Foreign::TooMuch);
        assert!(one.is_at(&path_of("b")) && !one.is_empty());
    }
}

#[test]
fn a_change_of_very_many_directories_is_too_much() {
    let many = |count: usize| {
        (0..count)
            .map(|it| (format!("d{it}/f"), 1))
            .collect::<Files>()
    };
    let listed = |count| foreign(&Files::new(), &many(count));
    let (told_apart, listings) = listed(50);
    // The root on both sides, and what is new.
    assert_eq!((listings, told_apart.is_empty()), (52, false));
    // As many lists of one directory after another, without that many directories.
    let mut listings = 0;
    let mut deeper = |_, _: &TreePath, _| {
        listings += 1;
        let [high, low] = (listings as u16).to_be_bytes();
        let entry = |name: u8| ListingEntry {
            name: Name::try_from(format!("d{name}").as_str()).unwrap(),
            kind: EntryKind::Directory,
            size: 0,
            oid: GitOid([[high; 10], [low; 10]].concat().try_into().unwrap()),
        };
        Ok::<_, Infallible>((0..4).map(entry).collect())
    };
    let Ok(endless) = diff(GitOid([1; 20]), GitOid([2; 20]), &mut deeper);
    assert_eq!(endless, Foreign::TooMuch);
    assert_eq!(listings, LISTINGS_MAX);
}

#[test]
fn a_change_of_very_many_files_is_too_much_once_there_is_more_to_look_at() {
    let walked = |count: usize, below: bool| {
        let entry = |name: String, kind, content| ListingEntry {
            name: Name::try_from(name.as_str()).unwrap(),
            kind,
            size: 0,
            oid: GitOid([content; 20]),
        };
        let mut list = |side, path: &TreePath, _| {
            let directory = || entry("d".into(), EntryKind::Directory, 9);
            let made = |number| entry(format!("f{number}"), EntryKind::File, 1);
            Ok::<_, Infallible>(match (side, path.is_root()) {
                (Side::Base, _) => Vec::new(),
                (Side::Theirs, true) => {
                    let below = below.then(directory);
                    (0..count).map(made).chain(below).collect()
                }
                (Side::Theirs, false) => vec![made(0)],
            })
        };
        let Ok(walked) = diff(GitOid([1; 20]), GitOid([2; 20]), &mut list);
        match walked {
            Foreign::Leaves(leaves) => Some(leaves.len()),
            Foreign::TooMuch => None,
        }
    };
    assert_eq!(walked(LEAVES_MAX, true), Some(LEAVES_MAX + 1));
    assert_eq!(walked(LEAVES_MAX + 1, true), None);
    assert_eq!(walked(LEAVES_MAX + 2, true), None);
    // They are here already: to forget them saves nothing.
    assert_eq!(walked(LEAVES_MAX + 2, false), Some(LEAVES_MAX + 2));
}

#[test]
fn an_empty_directory_of_theirs_is_in_nobodys_way() {
    let spot = Spot {
        kind: EntryKind::Directory,
        oid: GitOid::EMPTY_TREE,
        size: 0,
    };
    let theirs = Foreign::Leaves(BTreeMap::from([(path_of("n"), Some(spot))]));
    let found = |ours: &[Edit]| {
        let Ok(found) = contradictions(&wanted(ours, Extensions::ALL), &theirs, &mut hash);
        found.iter().map(TreePath::to_string).collect::<Vec<_>>()
    };
    let made = Edit::Directory { path: path_of("n") };
    for ours in [put("n/x", 1), remove("n"), made] {
        assert!(found(std::slice::from_ref(&ours)).is_empty(), "{ours:?}");
    }
    assert_eq!(
        found(&[put("n", 1)]),
        ["n"],
        "but a file cannot be there too"
    );
}

#[test]
fn a_directory_that_is_gone_is_told_by_its_files() {
    let (told, _) = foreign(&files("d/x=1 d/e/y=1 z=1"), &files("z=1"));
    let gone = ["d/x", "d/e/y"].map(|path| (path_of(path), None));
    assert_eq!(told, Foreign::Leaves(BTreeMap::from(gone)));
}
