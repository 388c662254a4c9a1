//! Pipes, sockets and devices, which Git cannot hold.

use super::remote::sample;
use super::support::{Fixture, OWNER};
use crate::overlay::{AttributeChange, Error, KeptLocalReason, NewNode, Overlay, Rename, Scope};
use crate::tree::{Edit, Ino, Name, Permissions};

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

#[test]
fn special_files_stay_local_and_are_listed() {
    let fixture = Fixture::new(&sample());
    let permissions = Permissions::of_mode(0o600);
    fixture
        .call(|overlay| overlay.make(Ino::ROOT, &name("pipe"), NewNode::Fifo, permissions, OWNER))
        .unwrap();
    let capture = fixture.overlay().capture(Scope::Pending).unwrap().unwrap();
    assert!(capture.edits.is_empty());
    assert_eq!(capture.kept_local[0].path.to_string(), "pipe");
    // Pushed or not, and whoever asks.
    assert_eq!(fixture.overlay().kept_local(), capture.kept_local);
    let remove = |overlay: &Overlay| overlay.remove_file(Ino::ROOT, &name("pipe"));
    fixture.call(remove).unwrap();
    assert!(fixture.overlay().kept_local().is_empty());
}

#[test]
fn a_name_that_is_no_text_is_listed_for_as_long_as_it_is_there() {
    let mut fixture = Fixture::new(&sample());
    let permissions = Permissions::of_mode(0o755);
    let odd = Name::try_from(&b"caf\xe9"[..]).unwrap();
    let make =
        |overlay: &Overlay| overlay.make(Ino::ROOT, &odd, NewNode::Directory, permissions, OWNER);
    let directory = fixture.call(make).unwrap().ino;
    let pipe = |overlay: &Overlay| {
        overlay.make(directory, &name("pipe"), NewNode::Fifo, permissions, OWNER)
    };
    fixture.call(pipe).unwrap();
    let listed = |fixture: &Fixture| {
        let kept = fixture.overlay().kept_local().into_iter();
        kept.map(|kept| (kept.path.to_string(), kept.reason))
            .collect::<Vec<_>>()
    };
    let expected = [("caf\u{fffd}".to_owned(), KeptLocalReason::NotText)];
    assert_eq!(listed(&fixture), expected);
    fixture.reopen();
    assert_eq!(listed(&fixture), expected, "after a restart");
    let (parent, _) = fixture.place("a/one").unwrap();
    let rename =
        |overlay: &Overlay| overlay.rename(Ino::ROOT, &odd, parent, &name("text"), Rename::Replace);
    fixture.call(rename).unwrap();
    let expected = [("a/text/pipe".to_owned(), KeptLocalReason::SpecialFile)];
    assert_eq!(listed(&fixture), expected);
}

#[test]
fn a_new_owner_takes_the_privileges_of_a_pipe_as_well() {
    let fixture = Fixture::new(&sample());
    let make = |overlay: &Overlay| {
        let all = Permissions::of_mode(0o6755);
        overlay.make(Ino::ROOT, &name("pipe"), NewNode::Fifo, all, OWNER)
    };
    let ino = fixture.call(make).unwrap().ino;
    let change = AttributeChange {
        uid: Some(7),
        ..AttributeChange::default()
    };
    let overlay = fixture.overlay();
    let shown = overlay.set_attributes(ino, &change).unwrap();
    assert_eq!(shown.permissions.bits(), 0o755);
}

#[test]
fn a_directory_of_special_files_alone_is_told_of() {
    let fixture = Fixture::new(&sample());
    let mut parent = Ino::ROOT;
    for (made, node) in [
        ("new", NewNode::Directory),
        ("inner", NewNode::Directory),
        ("pipe", NewNode::Fifo),
    ] {
        let permissions = Permissions::of_mode(0o700);
        let make =
            |overlay: &Overlay| overlay.make(parent, &name(made), node.clone(), permissions, OWNER);
        parent = fixture.call(make).unwrap().ino;
    }
    for scope in [Scope::Pending, Scope::Everything] {
        let capture = fixture.overlay().capture(scope).unwrap().unwrap();
        fixture.overlay().abandon_capture();
        let told = |edit: &Edit| matches!(edit, Edit::Directory { path } if path.to_string() == "new/inner");
        assert!(capture.edits.iter().any(told), "{:?}", capture.edits);
        assert_eq!(capture.kept_local[0].path.to_string(), "new/inner/pipe");
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_takes_it_from_the_remote() {
    let fixture = Fixture::new(&sample());
    let permissions = Permissions::of_mode(0o600);
    let (parent, one) = fixture.place("a/one").unwrap();
    let call = |make: &dyn Fn(&Overlay) -> Result<(), Error>| fixture.call(make).unwrap();
    let pipe = |overlay: &Overlay, directory, name: &Name| {
        let made = overlay.make(directory, name, NewNode::Fifo, permissions, OWNER);
        made.map(|_| ())
    };
    call(&|overlay| overlay.remove_file(parent, &one));
    call(&|overlay| pipe(overlay, parent, &one));
    call(&|overlay| pipe(overlay, Ino::ROOT, &name("pipe")));
    call(&|overlay| {
        overlay.rename(
            Ino::ROOT,
            &name("pipe"),
            parent,
            &name("two"),
            Rename::Replace,
        )
    });
    for scope in [Scope::Pending, Scope::Everything] {
        let capture = fixture.call(|overlay| overlay.capture(scope));
        let edits = capture.unwrap().unwrap().edits;
        fixture.overlay().abandon_capture();
        for path in ["a/one", "a/two"] {
            let gone = |edit: &&Edit| matches!(edit, Edit::Remove { path: gone } if gone.to_string() == path);
            assert_eq!(edits.iter().filter(gone).count(), 1, "{path}: {edits:?}");
        }
    }
}
