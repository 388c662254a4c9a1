//! What a power cut takes of bodies: copies of lower files that nobody synced, and bytes that an fsync left
//! to the journal.

use journal::Record;

use super::plugs::push;
use super::remote::sample;
use super::repair::{damage, log_of, make};
use super::support::{Fixture, options};
use crate::overlay::{repair, verify};
use crate::tree::{Content, Edit};

/// What a power cut may leave of a copy that nobody synced.
const LEFT: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"\0\0\0"), Some(b"newer bytes")];

fn pull_the_plug(fixture: &mut Fixture) {
    fixture.close();
    std::fs::write(fixture.folder().join("repo/witness"), "an earlier boot 1").unwrap();
}

#[test]
fn a_copy_that_nobody_synced_is_undone_by_a_power_cut() {
    for left in LEFT {
        let mut fixture = Fixture::new(&sample());
        let before = fixture.read("a/one").unwrap();
        let attributes = fixture.attributes("a/one").unwrap();
        fixture.write("a/one", 0, b"ONE").unwrap();
        let ino = fixture.find("a/one").unwrap();
        let body = fixture.body(ino);
        assert!(!fixture.overlay().is_durable());

        // Killed: the page cache has everything.
        fixture.reopen();
        assert_eq!(&fixture.read("a/one").unwrap()[..3], b"ONE");
        assert!(!fixture.overlay().is_durable());

        pull_the_plug(&mut fixture);
        match left {
            None => std::fs::remove_file(&body).unwrap(),
            Some(bytes) => std::fs::write(&body, bytes).unwrap(),
        }
        assert!(verify(&fixture.folder().join("repo")).unwrap().is_sound());
        for _ in 0..2 {
            fixture.reopen();
            assert_eq!(fixture.read("a/one").unwrap(), before, "{left:?}");
            let after = fixture.attributes("a/one").unwrap();
            assert_eq!(
                (after.size, after.mtime),
                (attributes.size, attributes.mtime)
            );
            assert!(!body.exists());
        }
        // Its bytes are the snapshot's: whatever is pushed says so.
        if fixture.overlay().has_pending() {
            for edit in push(&fixture) {
                assert!(
                    matches!(
                        &edit,
                        Edit::File {
                            content: Content::Lower { .. },
                            ..
                        }
                    ),
                    "{edit:?}"
                );
            }
        }
        fixture.write("a/one", 0, b"again").unwrap();
        fixture.overlay().sync_all().unwrap();
        pull_the_plug(&mut fixture);
        fixture.reopen();
        assert_eq!(&fixture.read("a/one").unwrap()[..5], b"again");
    }
}

#[test]
fn a_copy_that_was_synced_stays_however_short_it_is_by_then() {
    let syncs: [fn(&Fixture); 3] = [
        |fixture| fixture.overlay().sync_all().unwrap(),
        |fixture| fixture.overlay().sync_in_background().unwrap(),
        |fixture| {
            let through = fixture.overlay().position().head;
            fixture
                .overlay()
                .record_push_intended(through, [7; 16])
                .unwrap();
        },
    ];
    for (index, sync) in syncs.iter().enumerate() {
        let mut fixture = Fixture::new(&sample());
        fixture.write("a/one", 0, b"ONE").unwrap();
        let ino = fixture.find("a/one").unwrap();
        fixture.call(|overlay| overlay.truncate(ino, 1)).unwrap();
        sync(&fixture);
        assert!(fixture.overlay().is_durable(), "{index}");
        pull_the_plug(&mut fixture);
        for _ in 0..2 {
            fixture.reopen();
            assert_eq!(fixture.read("a/one").unwrap(), b"O", "{index}");
        }
    }
}

#[test]
fn a_repair_undoes_such_a_copy_and_sets_its_body_aside() {
    let mut fixture = Fixture::new(&sample());
    let before = fixture.read("a/one").unwrap();
    make(&fixture, "victim", b"victim");
    fixture.write("a/two", 0, b"TWO").unwrap();
    let kept = fixture.read("a/two").unwrap();
    fixture.overlay().sync_all().unwrap();
    fixture.write("a/one", 0, b"ONE").unwrap();
    let ino = fixture.find("a/one").unwrap();
    pull_the_plug(&mut fixture);
    damage(&log_of(&fixture), b"victim");
    let body = fixture.body(ino);
    std::fs::write(&body, b"").unwrap();

    let repaired = repair(&options(fixture.folder())).unwrap().unwrap();
    assert_eq!(repaired.stray_bodies, 2, "{repaired:?}");
    assert!(!body.exists());
    fixture.reopen();
    assert_eq!(fixture.read("a/one").unwrap(), before);
    assert_eq!(fixture.read("a/two").unwrap(), kept);
}

/// The numbers of the files of which the journal has bytes.
fn told(fixture: &Fixture) -> Vec<u64> {
    let records = fixture.overlay().journal.read().unwrap().records;
    let told = records.into_iter().filter_map(|(_, record)| match record {
        Record::Bytes { inode, .. } => Some(inode),
        _ => None,
    });
    told.collect()
}

#[test]
fn what_was_synced_by_the_journal_is_written_to_the_body_again() {
    for left in LEFT {
        let mut fixture = Fixture::new(&sample());
        make(&fixture, "new", b"the first bytes");
        fixture.overlay().sync_all().unwrap();
        fixture.write("new", 4, b"FIRST").unwrap();
        let ino = fixture.find("new").unwrap();
        fixture.call(|overlay| overlay.truncate(ino, 11)).unwrap();
        fixture.write("new", 20, b"end").unwrap();
        fixture.overlay().sync_all().unwrap();
        assert_eq!(told(&fixture), [ino.0; 3], "two ranges the second time");
        assert!(fixture.overlay().is_durable());
        let promised = fixture.read("new").unwrap();
        assert_eq!(promised, b"the FIRST b\0\0\0\0\0\0\0\0\0end");
        let mtime = fixture.attributes("new").unwrap().mtime;

        let body = fixture.body(ino);
        pull_the_plug(&mut fixture);
        match left {
            None => std::fs::remove_file(&body).unwrap(),
            Some(bytes) => std::fs::write(&body, bytes).unwrap(),
        }
        assert!(verify(&fixture.folder().join("repo")).unwrap().is_sound());
        // The second time the plug is pulled before anybody has synced what the first opening wrote.
        for _ in 0..2 {
            fixture.reopen();
            assert_eq!(fixture.read("new").unwrap(), promised, "{left:?}");
            assert_eq!(fixture.attributes("new").unwrap().mtime, mtime);
            pull_the_plug(&mut fixture);
            std::fs::write(&body, b"").unwrap();
        }
    }
}

#[test]
fn what_the_body_has_itself_is_not_written_again() {
    let mut fixture = Fixture::new(&sample());
    make(&fixture, "new", b"first");
    fixture.overlay().sync_all().unwrap();
    let ino = fixture.find("new").unwrap();
    assert_eq!(told(&fixture), [ino.0]);
    fixture.overlay().sync_in_background().unwrap();
    fixture.write("new", 0, b"later").unwrap();
    let body = fixture.body(ino);
    std::fs::File::open(&body).unwrap().sync_all().unwrap();
    pull_the_plug(&mut fixture);
    fixture.reopen();
    assert_eq!(fixture.read("new").unwrap(), b"later");

    // Nor after a mere death, whatever the journal has.
    fixture.overlay().sync_in_background().unwrap();
    fixture.write("new", 0, b"third").unwrap();
    fixture.overlay().sync_all().unwrap();
    fixture.write("new", 0, b"fifth").unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("new").unwrap(), b"fifth");
}

#[test]
fn much_at_once_is_synced_where_it_is() {
    let fixture = Fixture::new(&sample());
    make(&fixture, "new", &vec![7; 200_000]);
    fixture.overlay().sync_all().unwrap();
    assert!(told(&fixture).is_empty());
    for number in 0..20 {
        make(&fixture, &format!("new-{number}"), b"x");
    }
    fixture.overlay().sync_all().unwrap();
    assert!(told(&fixture).is_empty());
    assert!(fixture.overlay().is_durable());
    fixture.write("new-1", 0, b"y").unwrap();
    fixture.overlay().sync_all().unwrap();
    assert_eq!(told(&fixture).len(), 1);
}

#[test]
fn a_repair_writes_promised_bytes_too() {
    let mut fixture = Fixture::new(&sample());
    make(&fixture, "victim", b"victim");
    make(&fixture, "new", b"promised");
    fixture.overlay().sync_in_background().unwrap();
    fixture.write("new", 0, b"PROMISED").unwrap();
    fixture.overlay().sync_all().unwrap();
    let ino = fixture.find("new").unwrap();
    pull_the_plug(&mut fixture);
    damage(&log_of(&fixture), b"victim");
    std::fs::write(fixture.body(ino), b"").unwrap();
    repair(&options(fixture.folder())).unwrap().unwrap();
    fixture.reopen();
    assert_eq!(fixture.read("new").unwrap(), b"PROMISED");
}
