//! Paths that renames make longer.

use super::remote::sample;
use super::support::{Fixture, OWNER};
use crate::overlay::{Error, NewNode, Overlay, Rename, Scope};
use crate::tree::{Permissions, TreePath};

fn make(fixture: &Fixture, path: &str, node: &NewNode) {
    let (parent, name) = fixture.place(path).unwrap();
    let permissions = Permissions::DIRECTORY;
    let made = |overlay: &Overlay| overlay.make(parent, &name, node.clone(), permissions, OWNER);
    fixture.call(made).unwrap();
}

/// So many directories, one in the other, with long names.
fn deep(fixture: &Fixture, first: &str, levels: usize) -> String {
    let mut path = first.to_owned();
    make(fixture, &path, &NewNode::Directory);
    for _ in 0..levels {
        path = format!("{path}/{}", "d".repeat(200));
        make(fixture, &path, &NewNode::Directory);
    }
    path
}

#[test]
fn what_would_be_too_deep_to_be_named_stays_where_it_is() {
    let mut fixture = Fixture::new(&sample());
    let far = deep(&fixture, "far", 12);
    let tree = deep(&fixture, "tree", 10);
    let file = format!("{tree}/file");
    make(&fixture, &file, &NewNode::File);
    fixture.write(&file, 0, b"kept").unwrap();
    let rename = |fixture: &Fixture, from: &str, to: &str, mode| {
        let (parent, name) = fixture.place(from).unwrap();
        let (new_parent, new_name) = fixture.place(to).unwrap();
        fixture.call(|overlay| overlay.rename(parent, &name, new_parent, &new_name, mode))
    };
    let into = format!("{far}/in");
    let refused = rename(&fixture, "tree", &into, Rename::Replace);
    assert!(matches!(refused, Err(Error::TooLong)), "{refused:?}");
    make(&fixture, &into, &NewNode::Directory);
    for (from, to) in [("tree", &into[..]), (&into[..], "tree")] {
        let refused = rename(&fixture, from, to, Rename::Exchange);
        assert!(matches!(refused, Err(Error::TooLong)), "{refused:?}");
    }
    // Less deep by one level, it fits.
    let lower = tree.rsplit_once('/').unwrap().0.to_owned();
    rename(&fixture, &tree, "moved", Rename::Replace).unwrap();
    rename(&fixture, &lower, &into, Rename::Replace).unwrap();
    let capture = fixture.call(|overlay| overlay.capture(Scope::Pending));
    assert!(capture.unwrap().is_some());
    fixture.overlay().abandon_capture();
    fixture.overlay().compact().unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("moved/file").unwrap(), b"kept");
}

#[test]
fn what_is_shown_at_a_path_is_told_by_where_the_snapshot_has_it() {
    let fixture = Fixture::new(&sample());
    let rename = |from: &str, to: &str| {
        let (parent, name) = fixture.place(from).unwrap();
        let (new_parent, new_name) = fixture.place(to).unwrap();
        let renamed = |overlay: &Overlay| {
            overlay.rename(parent, &name, new_parent, &new_name, Rename::Replace)
        };
        fixture.call(renamed).unwrap();
    };
    rename("a", "moved");
    rename("b/run", "moved/deep/ran");
    make(&fixture, "moved/made", &NewNode::Directory);
    let path = |text: &str| TreePath::try_from(text).unwrap();
    for (shown, beneath) in [
        ("", Some("")),
        ("README", Some("README")),
        ("moved", Some("a")),
        ("moved/deep/er/three", Some("a/deep/er/three")),
        ("moved/deep/ran", Some("b/run")),
        ("moved/made", None),
        ("b/only", Some("b/only")),
    ] {
        let found = fixture.overlay().lower_path(&path(shown));
        assert_eq!(found, beneath.map(path), "{shown}");
    }
}
