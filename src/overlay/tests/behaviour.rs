//! What the overlay promises, one promise a test.

use super::remote::{Item, sample};
use super::support::{Fixture, OWNER};
use crate::overlay::{Error, NewNode, Rename, Scope};
use crate::tree::{Ino, Name, Permissions, TreePath};

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

#[test]
fn the_whole_tree_shows_through_and_inode_numbers_outlive_a_remount() {
    let mut fixture = Fixture::new(&sample());
    assert_eq!(fixture.tree(), sample());
    let before = fixture.attributes("a/deep/er/three").unwrap();
    fixture.reopen();
    assert_eq!(fixture.attributes("a/deep/er/three").unwrap(), before);
}

#[test]
fn a_write_keeps_the_inode_number_and_survives_without_a_clean_close() {
    let mut fixture = Fixture::new(&sample());
    let before = fixture.attributes("a/two").unwrap();
    fixture.write("a/two", 4, b"TWO and more").unwrap();
    let after = fixture.attributes("a/two").unwrap();
    assert_eq!(before.ino, after.ino);
    assert!(after.mtime > before.mtime);
    fixture.reopen();
    assert_eq!(fixture.read("a/two").unwrap(), b"two TWO and more");
    assert_eq!(fixture.attributes("a/two").unwrap().ino, before.ino);
}

#[test]
fn cutting_a_lower_file_to_nothing_fetches_nothing() {
    let fixture = Fixture::new(&sample());
    let ino = fixture.find("a/one").unwrap();
    let before = fixture
        .snapshot
        .requests
        .load(std::sync::atomic::Ordering::Relaxed);
    fixture.overlay().truncate(ino, 0).unwrap();
    fixture.overlay().open(ino).unwrap();
    fixture.overlay().write(ino, 0, b"new").unwrap();
    fixture.overlay().release(ino);
    let after = fixture
        .snapshot
        .requests
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(before, after);
    assert_eq!(fixture.read("a/one").unwrap(), b"new");
}

#[test]
fn a_removed_file_lives_until_its_last_close() {
    let fixture = Fixture::new(&sample());
    for path in ["a/two", "a/one"] {
        let ino = fixture.find(path).unwrap();
        fixture.overlay().open(ino).unwrap();
        let (parent, last) = fixture.place(path).unwrap();
        fixture.overlay().remove_file(parent, &last).unwrap();
        assert!(matches!(fixture.find(path), Err(Error::NotFound)));
        assert_eq!(fixture.overlay().attributes(ino).unwrap().links, 0);
        fixture.call(|overlay| overlay.write(ino, 1, b"!")).unwrap();
        let mut bytes = Vec::new();
        fixture.overlay().read(ino, 0, 2, &mut bytes).unwrap();
        assert_eq!(bytes[1], b'!');
        fixture.overlay().release(ino);
        fixture.overlay().forget(ino, u64::MAX);
        assert!(matches!(
            fixture.overlay().attributes(ino),
            Err(Error::Stale)
        ));
    }
    fixture.overlay().sync_all().unwrap();
    assert_eq!(fixture.bodies(), [].into());
}

#[test]
fn renaming_a_lower_directory_fetches_no_content_and_grafts_it() {
    let mut fixture = Fixture::new(&sample());
    let (root, a) = fixture.place("a").unwrap();
    fixture
        .call(|overlay| overlay.rename(root, &a, root, &name("z"), Rename::Replace))
        .unwrap();
    assert_eq!(
        fixture
            .snapshot
            .requests
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
    let capture = fixture
        .call(|overlay| overlay.capture(Scope::Pending))
        .unwrap()
        .unwrap();
    let edits = format!("{:?}", capture.edits);
    assert_eq!(capture.edits.len(), 2, "{edits}");
    assert!(
        edits.contains("Remove") && edits.contains("Graft"),
        "{edits}"
    );
    fixture.reopen();
    assert_eq!(
        fixture.read("z/deep/er/three").unwrap(),
        b"three three three"
    );
    assert!(matches!(fixture.find("a"), Err(Error::NotFound)));
}

#[test]
fn a_directory_made_anew_shows_nothing_of_the_old_one() {
    let mut fixture = Fixture::new(&sample());
    for path in ["b/only/child", "b/only"] {
        let (parent, last) = fixture.place(path).unwrap();
        if path == "b/only" {
            fixture
                .call(|overlay| overlay.remove_directory(parent, &last))
                .unwrap();
            let permissions = Permissions::DIRECTORY;
            fixture
                .call(|overlay| overlay.make(parent, &last, NewNode::Directory, permissions, OWNER))
                .unwrap();
        } else {
            fixture
                .call(|overlay| overlay.remove_file(parent, &last))
                .unwrap();
        }
    }
    fixture.reopen();
    assert!(fixture.names("b/only").unwrap().is_empty());
}

#[test]
fn a_body_written_to_after_its_capture_says_so() {
    let fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"x").unwrap();
    let capture = fixture.overlay().capture(Scope::Pending).unwrap().unwrap();
    let content = format!("{:?}", capture.edits);
    let crate::tree::Edit::File {
        content: crate::tree::Content::Body(body),
        ..
    } = &capture.edits[0]
    else {
        panic!("{content}");
    };
    assert!(body.is_unchanged());
    fixture.write("a/one", 0, b"y").unwrap();
    assert!(!body.is_unchanged());
    let copies = fixture
        .overlay()
        .capture_copies(Scope::Pending)
        .unwrap()
        .unwrap();
    fixture.write("a/one", 0, b"z").unwrap();
    let crate::tree::Edit::File {
        content: crate::tree::Content::Body(copy),
        ..
    } = &copies.edits[0]
    else {
        panic!("{copies:?}");
    };
    assert!(copy.is_unchanged());
    let bytes = std::io::read_to_string(copy.open().unwrap()).unwrap();
    assert_eq!(bytes, "yne");
}

#[test]
fn a_doubtful_index_costs_a_rebuild_and_nothing_else() {
    let mut fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"edited").unwrap();
    fixture.overlay().checkpoint().unwrap();
    let expected = fixture.tree();
    let aside = fixture.folder().join("repo/index.doubtful");
    fixture.reopen();
    assert_eq!(fixture.overlay().opening().replayed, 0);
    assert!(!aside.exists(), "a sound one is believed");
    fixture.close();
    // Junk in it may pass for an empty index; this may not.
    let db = fixture.folder().join("repo/index/db");
    std::fs::remove_file(&db).unwrap();
    std::fs::create_dir(&db).unwrap();
    fixture.reopen();
    assert!(aside.join("db").is_dir(), "it was believed");
    assert!(fixture.overlay().opening().replayed > 0);
    assert_eq!(fixture.tree(), expected);
    assert!(matches!(expected["a/one"], Item::File { .. }));
}

#[test]
fn what_follows_a_push_whose_answer_was_lost_is_pushed_by_itself() {
    let mut fixture = Fixture::new(&sample());
    let permissions = Permissions::FILE;
    let new = name("new");
    let make = |overlay: &crate::overlay::Overlay| {
        overlay.make(Ino::ROOT, &new, NewNode::File, permissions, OWNER)
    };
    fixture.call(make).unwrap();
    let capture = fixture.overlay().capture(Scope::Pending).unwrap().unwrap();
    let through = capture.through;
    let overlay = fixture.overlay();
    overlay.record_push_intended(through, [1; 16]).unwrap();
    // The process dies; the next one goes on before it knows that the remote has the file.
    fixture.reopen();
    fixture
        .call(|overlay| overlay.remove_file(Ino::ROOT, &new))
        .unwrap();
    let overlay = fixture.overlay();
    overlay
        .record_pushed(through, crate::tree::GitOid([3; 20]))
        .unwrap();
    let capture = overlay.capture(Scope::Pending).unwrap().unwrap();
    assert!(
        matches!(&capture.edits[..], [crate::tree::Edit::Remove { .. }]),
        "{:?}",
        capture.edits
    );
}

#[test]
fn what_an_earlier_process_wrote_is_synced_by_the_next() {
    let mut fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"x").unwrap();
    fixture.reopen();
    let overlay = fixture.overlay();
    assert!(overlay.ledger.has_unsynced(), "nobody knows that it was");
    overlay.sync_in_background().unwrap();
    assert!(!overlay.ledger.has_unsynced());
    assert_eq!(overlay.journal.synced(), overlay.journal.head());
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged() {
    let fixture = Fixture::new(&sample());
    fixture.write("a/one", 0, b"x").unwrap();
    let ino = fixture.find("a/one").unwrap();
    // The folder's disk is gone, as far as anybody can tell.
    let bodies = fixture.folder().join("repo/bodies");
    std::fs::rename(&bodies, fixture.folder().join("gone")).unwrap();
    assert!(matches!(fixture.overlay().sync(ino), Err(Error::Body(_))));
    std::fs::rename(fixture.folder().join("gone"), bodies).unwrap();
    assert!(
        fixture.overlay().sync(ino).is_err(),
        "a failed sync is final"
    );
    assert!(matches!(
        fixture.write("a/one", 0, b"y"),
        Err(Error::ReadOnly)
    ));
    let permissions = Permissions::of_mode(0o755);
    let made = fixture.call(|overlay| {
        overlay.make(
            Ino::ROOT,
            &name("new"),
            NewNode::Directory,
            permissions,
            OWNER,
        )
    });
    assert!(matches!(made, Err(Error::ReadOnly)));
    assert!(fixture.overlay().failure().is_some());
    assert_eq!(fixture.read("a/one").unwrap(), b"xne");
}

#[test]
fn what_was_given_up_goes_to_no_change_until_it_changes_again() {
    let mut fixture = Fixture::new(&sample());
    let path = |text: &str| TreePath::try_from(text.as_bytes()).unwrap();
    let paths = |fixture: &Fixture, scope| -> Vec<String> {
        let capture = fixture.call(|overlay| overlay.capture(scope)).unwrap();
        fixture.overlay().abandon_capture();
        let edits = capture.into_iter().flat_map(|capture| capture.edits);
        edits.map(|edit| edit.path().to_string()).collect()
    };
    fixture.write("a/one", 0, b"x").unwrap();
    fixture.write("a/two", 0, b"y").unwrap();
    let (from, from_name) = fixture.place("b").unwrap();
    let (to, to_name) = fixture.place("a/b").unwrap();
    fixture
        .call(|overlay| overlay.rename(from, &from_name, to, &to_name, Rename::Replace))
        .unwrap();
    assert_eq!(fixture.overlay().give_up(&path("a/one")).unwrap(), 1);
    assert_eq!(fixture.overlay().give_up(&path("a/one")).unwrap(), 0);
    // A move is given up whole: its source must not go without it.
    assert_eq!(fixture.overlay().give_up(&path("a/b")).unwrap(), 2);
    for round in 0..4 {
        for scope in [Scope::Pending, Scope::Everything] {
            assert_eq!(
                paths(&fixture, scope),
                ["a/two"],
                "round {round}, {scope:?}"
            );
        }
        match round {
            0 => fixture.reopen(),
            1 => fixture.overlay().compact().unwrap(),
            2 => {
                fixture.close();
                std::fs::remove_dir_all(fixture.folder().join("repo/index")).unwrap();
                fixture.reopen();
            }
            _ => fixture.write("a/one", 0, b"z").unwrap(),
        }
    }
    for scope in [Scope::Pending, Scope::Everything] {
        assert_eq!(paths(&fixture, scope), ["a/one", "a/two"], "{scope:?}");
    }
    assert_eq!(fixture.read("a/b/only/child").unwrap(), b"alone");
}

#[test]
fn a_survey_disturbs_neither_what_is_pending_nor_a_push_on_its_way() {
    let fixture = Fixture::new(&sample());
    let overlay = fixture.overlay();
    fixture.write("a/one", 0, b"first").unwrap();
    let capture = fixture
        .call(|overlay| overlay.capture(Scope::Pending))
        .unwrap()
        .unwrap();
    fixture.write("a/two", 0, b"second").unwrap();
    let before = overlay.pending();
    let survey = fixture.call(|overlay| overlay.survey()).unwrap();
    assert_eq!(survey.edits.len(), 2, "everything, pushed or not");
    assert_eq!(overlay.pending(), before);
    fixture.write("b/empty", 0, b"given up").unwrap();
    let given_up = crate::tree::TreePath::try_from("b/empty").unwrap();
    overlay.give_up(&given_up).unwrap();
    let survey = fixture.call(|overlay| overlay.survey()).unwrap();
    assert!(survey.edits.iter().any(|edit| *edit.path() == given_up));
    overlay
        .record_push_intended(capture.through, [1; 16])
        .unwrap();
    overlay
        .record_pushed(capture.through, crate::tree::GitOid([3; 20]))
        .unwrap();
    let rest = overlay.capture(Scope::Pending).unwrap().unwrap();
    let paths: Vec<_> = rest
        .edits
        .iter()
        .map(|edit| edit.path().to_string())
        .collect();
    assert_eq!(
        paths,
        ["a/two"],
        "what came after the push is still pending"
    );
}
