//! Damage to the local state: found, named, and repaired with everything that is sound.

use std::fs;
use std::path::{Path, PathBuf};

use super::remote::sample;
use super::support::{Fixture, OWNER, options};
use crate::overlay::{Error, Scope, repair, verify};
use crate::tree::Permissions;

fn repository(fixture: &Fixture) -> PathBuf {
    fixture.folder().join("repo")
}

pub(super) fn log_of(fixture: &Fixture) -> PathBuf {
    let files = fs::read_dir(repository(fixture).join("journal")).unwrap();
    let logs = files.map(|file| file.unwrap().path());
    let mut logs: Vec<PathBuf> = logs
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    logs.pop().unwrap()
}

pub(super) fn make(fixture: &Fixture, path: &str, text: &[u8]) {
    let (parent, name) = fixture.place(path).unwrap();
    let permissions = Permissions::of_mode(0o644);
    let file = crate::overlay::NewNode::File;
    fixture
        .call(|overlay| overlay.make(parent, &name, file.clone(), permissions, OWNER))
        .unwrap();
    fixture.write(path, 0, text).unwrap();
}

/// Flips a bit of the record that has this text.
pub(super) fn damage(log: &Path, text: &[u8]) {
    let mut bytes = fs::read(log).unwrap();
    let at = bytes
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    bytes[at] ^= 1;
    fs::write(log, bytes).unwrap();
}

#[test]
fn what_is_sound_is_left_alone() {
    let mut fixture = Fixture::new(&sample());
    make(&fixture, "new", b"new");
    fixture.write("a/one", 0, b"x").unwrap();
    assert!(fixture.overlay().verify().unwrap().is_sound());
    fixture.close();
    let before = fs::read(log_of(&fixture)).unwrap();
    let found = verify(&repository(&fixture)).unwrap();
    assert!(found.is_sound() && found.stray_bodies == 0, "{found:?}");
    assert!(repair(&options(fixture.folder())).unwrap().is_none());
    assert_eq!(fs::read(log_of(&fixture)).unwrap(), before);
}

#[test]
fn damage_in_the_middle_costs_what_it_hit_and_nothing_else() {
    let mut fixture = Fixture::new(&sample());
    make(&fixture, "first", b"first");
    make(&fixture, "victim", b"victim");
    make(&fixture, "last", b"last");
    fixture.write("a/one", 0, b"x").unwrap();
    let last = fixture.find("last").unwrap();
    fixture.overlay().sync(last).unwrap();
    // A record that knows the others to be durable: so what follows is damage and no torn tail.
    make(&fixture, "later", b"later");
    fixture.close();
    damage(&log_of(&fixture), b"victim");

    let found = verify(&repository(&fixture)).unwrap();
    assert!(!found.is_sound());
    assert!(found.journal.refusal.is_some());
    let opened = crate::overlay::Local::open(&options(fixture.folder()));
    assert!(matches!(
        opened.err(),
        Some(Error::Journal(journal::Error::Damaged { .. }))
    ));

    let repaired = repair(&options(fixture.folder())).unwrap().unwrap();
    assert_eq!(repaired.lost.len(), 1, "{repaired:?}");
    assert_eq!(repaired.stray_bodies, 1);
    assert!(verify(&repository(&fixture)).unwrap().is_sound());
    fixture.reopen();
    for (path, text) in [
        ("first", &b"first"[..]),
        ("last", b"last"),
        ("later", b"later"),
    ] {
        assert_eq!(fixture.read(path).unwrap(), text, "{path}");
    }
    assert_eq!(fixture.read("a/one").unwrap(), b"xne");
    assert!(matches!(fixture.find("victim"), Err(Error::NotFound)));
    let stray = fs::read_dir(repository(&fixture).join("stray-bodies")).unwrap();
    let stray: Vec<_> = stray
        .map(|body| fs::read(body.unwrap().path()).unwrap())
        .collect();
    assert_eq!(stray, [b"victim"], "the bytes are set aside, not deleted");
    // What the remote has is not known any more, so everything is to be sent, to a new change.
    let capture = fixture
        .call(|overlay| overlay.capture(Scope::Pending))
        .unwrap()
        .unwrap();
    let paths: Vec<_> = capture
        .edits
        .iter()
        .map(|edit| edit.path().to_string())
        .collect();
    assert_eq!(paths, ["a/one", "first", "last", "later"]);
    assert!(fixture.overlay().remote().change.is_none());
}

#[test]
fn a_body_that_is_gone_is_named_and_shows_what_is_below() {
    let mut fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"x").unwrap();
    make(&fixture, "new", b"new");
    let bodies = [fixture.find("a/one").unwrap(), fixture.find("new").unwrap()];
    fixture.close();
    for ino in bodies {
        fs::remove_file(fixture.body(ino)).unwrap();
    }
    let mut lost: Vec<_> = verify(&repository(&fixture)).unwrap().lost_bodies;
    lost.sort();
    assert_eq!(
        lost.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a/one", "new"]
    );
    repair(&options(fixture.folder())).unwrap().unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("a/one").unwrap(), b"one");
    assert!(matches!(fixture.find("new"), Err(Error::NotFound)));
}
