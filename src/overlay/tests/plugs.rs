//! What is left after a power cut, and on a full disk.

use super::remote::sample;
use super::support::{Fixture, OWNER};
use crate::overlay::{NewNode, Scope};
use crate::tree::{Content, Edit, TreePath};

/// Pushes what is pending, to a remote that takes everything.
pub(super) fn push(fixture: &Fixture) -> Vec<Edit> {
    let capture = fixture.call(|overlay| overlay.capture(Scope::Pending));
    let capture = capture.unwrap().expect("nothing to push");
    let commit = crate::tree::GitOid([2; 20]);
    let overlay = fixture.overlay();
    let through = capture.through;
    overlay.record_push_intended(through, [3; 16]).unwrap();
    overlay.record_pushed(through, commit).unwrap();
    capture.edits
}

#[test]
fn bytes_that_a_power_cut_left_without_a_record_are_pushed_again() {
    let mut fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"ONE").unwrap();
    push(&fixture);
    assert!(!fixture.overlay().has_pending());
    let ino = fixture.find("a/one").unwrap();
    let body = fixture.body(ino);
    let witness = fixture.folder().join("repo/witness");

    // Killed: the page cache has every record, so a body without one has not changed.
    fixture.reopen();
    assert!(!fixture.overlay().has_pending());

    // The plug was pulled: the body's last bytes were written back, their record was not.
    fixture.close();
    std::fs::write(&body, b"one, newer").unwrap();
    std::fs::write(&witness, "an earlier boot 1").unwrap();
    fixture.reopen();
    assert_eq!(fixture.overlay().pending().operations, 1);
    let edits = push(&fixture);
    assert_eq!(edits.len(), 1, "{edits:?}");
    fixture.reopen();
    assert!(!fixture.overlay().has_pending(), "once is enough");

    // Brought to rest, it does not matter what came between.
    fixture.overlay().close().unwrap();
    assert!(fixture.write("a/one", 0, b"late").is_err());
    fixture.reopen();
    assert!(!fixture.overlay().has_pending());
}

#[test]
fn what_was_given_up_before_a_power_cut_stays_given_up() {
    let mut fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"ONE").unwrap();
    fixture.write("a/two", 0, b"TWO").unwrap();
    let path = TreePath::try_from(&b"a/one"[..]).unwrap();
    assert_eq!(fixture.overlay().give_up(&path).unwrap(), 1);
    push(&fixture);
    fixture.close();
    std::fs::write(fixture.folder().join("repo/witness"), "an earlier boot 1").unwrap();
    fixture.reopen();
    let edits = push(&fixture);
    let paths: Vec<_> = edits.iter().map(|edit| edit.path().to_string()).collect();
    assert_eq!(paths, ["a/two"]);
}

#[test]
fn a_body_that_a_power_cut_took_is_an_empty_file() {
    let mut fixture = Fixture::new(&sample());
    let (parent, name) = fixture.place("new").unwrap();
    let permissions = crate::tree::Permissions::of_mode(0o644);
    fixture
        .call(|overlay| overlay.make(parent, &name, NewNode::File, permissions, OWNER))
        .unwrap();
    fixture.write("new", 0, b"bytes").unwrap();
    let ino = fixture.find("new").unwrap();
    let names = fixture.names("").unwrap();
    fixture.close();
    // The record was written back, the name of the body was not.
    std::fs::remove_file(fixture.body(ino)).unwrap();
    std::fs::write(fixture.folder().join("repo/witness"), "an earlier boot 1").unwrap();
    for _ in 0..2 {
        fixture.reopen();
        assert_eq!(fixture.names("").unwrap(), names);
        assert_eq!(fixture.read("new").unwrap(), b"");
        assert_eq!(fixture.attributes("new").unwrap().size, 0);
    }
    assert_eq!(push(&fixture).len(), 1);
}

/// A file system in memory; taken away when dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: &std::path::Path, bytes: u64) -> Option<Small> {
        let flags = nix::mount::MsFlags::empty();
        let size = format!("size={bytes}");
        let mounted = nix::mount::mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(&size[..]));
        if mounted.is_err() {
            println!("skipped: only root can mount a small disk");
        }
        mounted.ok().map(|()| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
        // The fixture, which went first, could not remove the folder with a mount in it.
        for folder in self.0.ancestors().take(2) {
            let _gone = std::fs::remove_dir(folder);
        }
    }
}

#[test]
fn removals_outlast_the_reserve_by_what_they_free() {
    const FILES: usize = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    std::fs::create_dir(&repo).unwrap();
    let Some(_disk) = Small::mount(&repo, 48 << 20) else {
        return;
    };
    let fixture = Fixture::at(folder, &sample());
    // Paths of 600 letters: the removals take more than twice the reserve.
    let mut parent = fixture.place("x").unwrap().0;
    let long = |number: usize| crate::tree::Name::try_from(format!("{number:0>200}").as_str());
    let permissions = crate::tree::Permissions::of_mode(0o755);
    for level in 0..2 {
        let name = long(level).unwrap();
        let made = fixture
            .call(|overlay| overlay.make(parent, &name, NewNode::Directory, permissions, OWNER));
        parent = made.unwrap().ino;
    }
    let overlay = fixture.overlay();
    for number in 0..FILES {
        let name = long(number).unwrap();
        let file = overlay.create(parent, &name, permissions, OWNER).unwrap();
        overlay.write(file.ino, 0, b"small").unwrap();
        overlay.release(file.ino);
        overlay.forget(file.ino, 1);
    }
    let mut ballast = std::fs::File::create(repo.join("ballast")).unwrap();
    let full = std::io::copy(&mut std::io::repeat(1), &mut ballast).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    for number in 0..FILES {
        overlay.remove_file(parent, &long(number).unwrap()).unwrap();
    }
    // What is new is refused only while there is no room for it.
    drop(ballast);
    std::fs::remove_file(repo.join("ballast")).unwrap();
    let name = long(FILES).unwrap();
    overlay.create(parent, &name, permissions, OWNER).unwrap();
    overlay.checkpoint().unwrap();
}

#[test]
fn a_checkpoint_that_does_not_fit_harms_nothing_and_is_made_later() {
    const FILES: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    std::fs::create_dir(&repo).unwrap();
    let Some(_disk) = Small::mount(&repo, 16 << 20) else {
        return;
    };
    let mut fixture = Fixture::at(folder, &sample());
    let parent = fixture.place("x").unwrap().0;
    fixture.names("").unwrap();
    let permissions = crate::tree::Permissions::of_mode(0o644);
    for number in 0..FILES {
        let name = crate::tree::Name::try_from(format!("file-{number:0>100}").as_str()).unwrap();
        let overlay = fixture.overlay();
        overlay
            .make(parent, &name, NewNode::File, permissions, OWNER)
            .unwrap();
    }
    let mut ballast = std::fs::File::create(repo.join("ballast")).unwrap();
    std::io::copy(&mut std::io::repeat(1), &mut ballast).unwrap_err();
    let state = fixture.everything();
    for _ in 0..3 {
        assert!(fixture.overlay().checkpoint().is_err());
    }
    assert_eq!(fixture.everything(), state);
    // Killed and opened again on the full disk.
    fixture.reopen();
    assert_eq!(fixture.everything(), state);
    assert!(fixture.overlay().checkpoint().is_err());
    drop(ballast);
    std::fs::remove_file(repo.join("ballast")).unwrap();
    fixture.overlay().checkpoint().unwrap();
    fixture.reopen();
    assert_eq!(fixture.everything(), state);
    assert_eq!(fixture.overlay().opening().replayed, 0);
}

#[test]
fn a_body_that_was_removed_since_its_capture_has_changed() {
    let mut fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"ONE").unwrap();
    // What an earlier process wrote has no generation in this one.
    fixture.reopen();
    let capture = fixture.call(|overlay| overlay.capture(Scope::Pending));
    let capture = capture.unwrap().unwrap();
    let Some(Edit::File {
        content: Content::Body(body),
        ..
    }) = capture.edits.first()
    else {
        panic!("{:?}", capture.edits);
    };
    assert!(body.is_unchanged());
    let (parent, name) = fixture.place("a/one").unwrap();
    fixture
        .call(|overlay| overlay.remove_file(parent, &name))
        .unwrap();
    assert!(!body.is_unchanged());
    fixture.overlay().sync_all().unwrap();
    assert!(body.open().is_err(), "the body is deleted");
    assert!(!body.is_unchanged());
}
