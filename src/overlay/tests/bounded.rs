//! What a long life leaves behind is bounded: the journal by the size of the tree, not by how often
//! it was changed; and the next opening by what is new, not by what was pushed.

use std::time::Instant;

use super::remote::sample;
use super::support::{Fixture, OWNER};
use crate::overlay::{NewNode, Overlay, Rename, Scope};
use crate::tree::{GitOid, Ino, Name, Permissions};

/// Files that are made, written, renamed and removed, again and again.
const FILES: u64 = 100;
/// How many operations lie between two looks of upkeep: some seconds' worth.
const UPKEEP_EVERY: u64 = 20_000;
/// What the journal may grow to: twice what is appended until upkeep looks, since fewer records are
/// not worth compacting, filled ahead, and the snapshot of a small tree.
const JOURNAL_BYTES_MAX: u64 = 12 << 20;
/// What an opening may read: the same, in records.
const RECORDS_MAX: usize = 2 * UPKEEP_EVERY as usize;

fn bytes_below(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

fn name(text: String) -> Name {
    Name::try_from(text.as_str()).unwrap()
}

/// One file's life, of five operations.
fn live(overlay: &Overlay, number: u64) {
    let permissions = Permissions::of_mode(0o644);
    let (made, moved) = (
        name(format!("file-{}", number % FILES)),
        name(format!("moved-{}", number % FILES)),
    );
    let ino = overlay
        .create(Ino::ROOT, &made, permissions, OWNER)
        .unwrap()
        .ino;
    overlay.write(ino, 0, &number.to_le_bytes()).unwrap();
    overlay.release(ino);
    overlay
        .rename(Ino::ROOT, &made, Ino::ROOT, &moved, Rename::Replace)
        .unwrap();
    overlay.forget(ino, 1);
    // A few stay, so that there is a tree.
    if !number.is_multiple_of(10) {
        overlay.remove_file(Ino::ROOT, &moved).unwrap();
    }
}

/// Changes a small tree so often, with upkeep; nothing is pushed meanwhile.
fn change(fixture: &mut Fixture, operations: u64) -> u64 {
    let (mut done, mut largest, mut number) = (0, 0, 0);
    while done < operations {
        let until = done + UPKEEP_EVERY;
        while done < until {
            live(fixture.overlay(), number);
            (done, number) = (done + 4, number + 1);
        }
        let overlay = fixture.overlay();
        overlay.sync_all().unwrap();
        largest = largest.max(bytes_below(&fixture.folder().join("repo/journal")));
        overlay.compact_if_large().unwrap();
    }
    largest
}

/// A million operations, unless the machine is said to have no time for them.
fn operations() -> u64 {
    std::env::var("MESA_BOUNDED_OPERATIONS").map_or(1_000_000, |text| text.parse().unwrap())
}

fn stays_bounded(fixture: &mut Fixture, operations: u64) {
    fixture.names("").unwrap();
    let start = Instant::now();
    let largest = change(fixture, operations);
    assert!(largest < JOURNAL_BYTES_MAX, "{largest} bytes of journal");
    let effects = fixture.overlay().pending_effects().len() as u64;
    assert!(effects <= 2 * FILES, "{effects} effects");
    let took = start.elapsed();
    let state = fixture.everything();
    fixture.overlay().close().unwrap();
    fixture.reopen();
    assert_eq!(fixture.everything(), state);
    let opening = fixture.overlay().opening();
    assert_eq!(opening.replayed, 0);
    assert!(opening.records < RECORDS_MAX, "{opening:?}");
    println!(
        "{operations} operations in {took:?}: at most {largest} bytes of journal, {effects} effects \
         to push, {} records read by the next opening",
        opening.records
    );
}

#[test]
fn a_million_operations_offline_leave_a_bounded_journal() {
    stays_bounded(&mut Fixture::in_memory(&sample()), operations());
}

#[test]
fn neither_does_a_push_that_is_never_settled_unbound_it() {
    let mut fixture = Fixture::in_memory(&sample());
    fixture.names("").unwrap();
    live(fixture.overlay(), 0);
    let captured = fixture.overlay().capture(Scope::Pending).unwrap().unwrap();
    let overlay = fixture.overlay();
    overlay
        .record_push_intended(captured.through, [3; 16])
        .unwrap();
    drop(captured);
    stays_bounded(&mut fixture, operations() / 5);
    let intended = fixture.overlay().remote().intended;
    assert!(intended.is_some(), "it is still to be settled");
}

#[test]
fn an_opening_does_not_read_what_was_pushed() {
    const PUSHED: usize = 50_000;
    const PENDING: usize = 20;
    let mut fixture = Fixture::in_memory(&sample());
    fixture.names("").unwrap();
    let overlay = fixture.overlay();
    let permissions = Permissions::of_mode(0o644);
    let folder = overlay
        .make(
            Ino::ROOT,
            &name("folder".into()),
            NewNode::Directory,
            permissions,
            OWNER,
        )
        .unwrap();
    let times = |count: usize| {
        for number in 0..count {
            let change = crate::overlay::AttributeChange {
                permissions: Some(Permissions::of_mode(
                    0o644 | u32::from(number.is_multiple_of(2)) << 6,
                )),
                ..Default::default()
            };
            overlay.set_attributes(folder.ino, &change).unwrap();
        }
    };
    times(PUSHED);
    let captured = overlay.capture(Scope::Pending).unwrap().unwrap();
    overlay
        .record_pushed(captured.through, GitOid([2; 20]))
        .unwrap();
    times(PENDING);
    overlay.checkpoint().unwrap();
    assert!(overlay.compact_if_large().unwrap(), "most of it was pushed");
    // Killed: nothing is brought to rest.
    let state = fixture.everything();
    fixture.reopen();
    assert_eq!(fixture.everything(), state);
    let opening = fixture.overlay().opening();
    assert!(opening.records < 200, "{opening:?}");
    assert!(fixture.overlay().has_pending());
    // Compacting again would be for nothing.
    assert!(!fixture.overlay().compact_if_large().unwrap());
}

#[test]
fn a_daemon_that_only_ever_dies_does_not_start_slower_each_time() {
    const LIVES: u64 = 12;
    const FILES_A_LIFE: u64 = 1_000;
    let mut fixture = Fixture::in_memory(&sample());
    fixture.names("").unwrap();
    let (mut most, mut number) = (0, 0);
    for _ in 0..LIVES {
        let until = number + FILES_A_LIFE;
        while number < until {
            live(fixture.overlay(), number);
            number += 1;
        }
        // Killed before upkeep ever looked.
        let state = fixture.everything();
        fixture.reopen();
        assert_eq!(fixture.everything(), state);
        let opening = fixture.overlay().opening();
        most = most.max(opening.records).max(opening.replayed);
    }
    let appended = fixture.overlay().position().head.0;
    assert!(appended > 40_000, "{appended} records are too few to tell");
    assert!(
        most < 30_000,
        "an opening read {most} of {appended} records"
    );
}
