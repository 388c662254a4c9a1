//! Compaction: the new records stand for the old ones, at every moment of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use journal::{Damage, Error, Journal, Record, Sequence};
use support::{files, fill, large, numbered, open, quiet, small_segments, write};

fn snapshot() -> Vec<Record> {
    vec![Record::InodesTaken { next: 77 }, large(1), write(2)]
}

fn compact(journal: &Journal, through: Sequence) -> Result<(), Error> {
    journal.sync(journal.head())?;
    journal.compact(through, &mut snapshot().into_iter())
}

fn with_snapshot(through: u64, log: &[Record]) -> Vec<(Sequence, Record)> {
    let records = snapshot()
        .into_iter()
        .map(|record| (Sequence(through), record));
    records.chain(numbered(log, through + 1)).collect()
}

fn large_ones(from: u64, to: u64) -> Vec<Record> {
    (from..=to).map(large).collect()
}

fn copy(from: &FilePath) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in files(from, "") {
        fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    to
}

#[test]
fn the_snapshot_stands_for_everything_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), small_segments(), &large_ones(1, 20));
    let journal = open(folder.path(), small_segments()).journal;
    let before = journal.sizes().total();
    assert_eq!(journal.snapshot(), Sequence::ZERO);
    compact(&journal, Sequence(20)).unwrap();
    assert_eq!(journal.snapshot(), Sequence(20));
    assert!(journal.sizes().total() < before);
    assert_eq!(
        files(folder.path(), ".log").len(),
        1,
        "an empty segment to go on in"
    );
    assert_eq!(journal.head(), Sequence(20));
    assert_eq!(journal.append(&write(21)).unwrap(), Sequence(21));
    drop(journal);
    let recovered = open(folder.path(), small_segments());
    assert_eq!(recovered.records, with_snapshot(20, &[write(21)]));
    assert_eq!(recovered.journal.head(), Sequence(21));
}

#[test]
fn numbers_go_on_after_a_snapshot_with_nothing_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), quiet(), &[write(1), write(2)]);
    compact(&open(folder.path(), quiet()).journal, Sequence(2)).unwrap();
    let recovered = open(folder.path(), quiet());
    assert_eq!(recovered.records, with_snapshot(2, &[]));
    assert_eq!(recovered.journal.head(), Sequence(2));
    assert_eq!(recovered.journal.append(&write(3)).unwrap(), Sequence(3));
}

#[test]
fn records_after_it_stay_even_in_a_segment_that_begins_before_it() {
    for through in 1..=20 {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), small_segments(), &large_ones(1, 20));
        let journal = open(folder.path(), small_segments()).journal;
        compact(&journal, Sequence(through)).unwrap();
        drop(journal);
        let recovered = open(folder.path(), small_segments());
        assert_eq!(
            recovered.records,
            with_snapshot(through, &large_ones(through + 1, 20))
        );
    }
}

#[test]
fn compacting_again_and_again_keeps_the_journal_small() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), small_segments()).journal;
    for round in 1..=10_u64 {
        for inode in 1..=12 {
            journal.append(&large(inode)).unwrap();
        }
        compact(&journal, Sequence(round * 12 - 3)).unwrap();
        let names = files(folder.path(), "");
        assert!(names.len() <= 5, "{names:?}");
        let bytes: u64 = names
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert_eq!(bytes, journal.sizes().total());
    }
}

#[test]
fn a_crash_at_any_step_leaves_the_old_records_or_the_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), small_segments(), &large_ones(1, 20));
    let before = copy(folder.path());
    let journal = open(folder.path(), small_segments()).journal;
    compact(&journal, Sequence(18)).unwrap();
    drop(journal);
    let expected = with_snapshot(18, &large_ones(19, 20));
    let old = files(before.path(), ".log");
    // Deletions may reach the disk in any order, or none at all: bit n says that file n is back.
    for back in 0..1_u32 << old.len() {
        let crashed = copy(folder.path());
        for (number, file) in old.iter().enumerate() {
            let to = crashed.path().join(file.file_name().unwrap());
            if back & 1 << number != 0 && !to.exists() {
                fs::copy(file, to).unwrap();
            }
        }
        assert_eq!(
            open(crashed.path(), small_segments()).records,
            expected,
            "{back:b}"
        );
        assert_eq!(
            open(crashed.path(), small_segments()).records,
            expected,
            "{back:b} again"
        );
    }
    // The snapshot has its name, and the open segment has not been closed yet.
    let crashed = copy(before.path());
    let published = files(folder.path(), ".snapshot").remove(0);
    fs::copy(
        &published,
        crashed.path().join(published.file_name().unwrap()),
    )
    .unwrap();
    assert_eq!(open(crashed.path(), small_segments()).records, expected);
    // The snapshot has no name yet.
    let crashed = copy(before.path());
    fs::write(
        crashed.path().join("0000000000000012.snapshot.temp"),
        b"half",
    )
    .unwrap();
    assert_eq!(
        open(crashed.path(), small_segments()).records,
        numbered(&large_ones(1, 20), 1)
    );
    assert!(files(crashed.path(), ".temp").is_empty());
}

#[test]
fn a_damaged_snapshot_is_an_error_unless_the_records_it_stood_for_are_there() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), small_segments(), &large_ones(1, 20));
    let before = copy(folder.path());
    compact(&open(folder.path(), small_segments()).journal, Sequence(20)).unwrap();
    let path = files(folder.path(), ".snapshot").remove(0);
    let intact = fs::read(&path).unwrap();
    let mut flipped = intact.clone();
    flipped[1000] ^= 1;
    let mut shorter = intact.clone();
    shorter.truncate(intact.len() - 64); // without its last record
    for damaged in [&flipped, &shorter] {
        fs::write(&path, damaged).unwrap();
        let error = Journal::open(folder.path(), small_segments())
            .err()
            .unwrap();
        match error {
            Error::Damaged {
                path: named,
                damage: Damage::Record | Damage::Short { .. },
                ..
            } => {
                assert_eq!(named, path);
            }
            error => panic!("{error}"),
        }
        let with_log = copy(before.path());
        fs::write(with_log.path().join(path.file_name().unwrap()), damaged).unwrap();
        assert_eq!(
            open(with_log.path(), small_segments()).records,
            numbered(&large_ones(1, 20), 1)
        );
    }
}

/// A folder without the last record, the snapshot that stands for it, and that one's place.
fn without_the_last(older: Option<Sequence>) -> (tempfile::TempDir, Vec<u8>, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), quiet()).journal;
    journal.append(&write(1)).unwrap();
    if let Some(older) = older {
        compact(&journal, older).unwrap();
    }
    journal.append(&write(2)).unwrap();
    let short = copy(folder.path());
    journal.append(&write(3)).unwrap();
    compact(&journal, Sequence(3)).unwrap();
    let name = "0000000000000003.snapshot";
    let bytes = fs::read(folder.path().join(name)).unwrap();
    let place = short.path().join(name);
    (short, bytes, place)
}

#[test]
fn a_log_that_ends_before_its_snapshot_is_an_error_whether_that_is_sound_or_not() {
    for older in [None, Some(Sequence(1))] {
        let (short, mut bytes, place) = without_the_last(older);
        let refused = || Journal::open(short.path(), quiet()).err();
        fs::write(&place, &bytes).unwrap();
        let error = refused().expect("the third record was durable, and the log has lost it");
        let expected = Sequence(3);
        assert!(
            matches!(error, Error::Damaged { damage: Damage::Short { expected: it }, .. } if it == expected),
            "{error}"
        );
        bytes[100] ^= 1;
        fs::write(&place, &bytes).unwrap();
        let error = refused().expect("nobody has the third record");
        assert!(
            matches!(&error, Error::Damaged { path, .. } if *path == place),
            "{error}"
        );
    }
}

#[test]
fn a_snapshot_without_a_log_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), quiet(), &[write(1), write(2)]);
    compact(&open(folder.path(), quiet()).journal, Sequence(2)).unwrap();
    for log in files(folder.path(), ".log") {
        fs::remove_file(log).unwrap();
    }
    let error = Journal::open(folder.path(), quiet()).err().unwrap();
    assert!(
        matches!(error, Error::MissingSegment { first, .. } if first == Sequence(3)),
        "{error}"
    );
}

#[test]
fn what_is_not_durable_or_goes_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), quiet()).journal;
    for inode in 1..=4 {
        journal.append(&write(inode)).unwrap();
    }
    let refused = journal.compact(Sequence(1), &mut std::iter::empty());
    assert!(matches!(
        refused,
        Err(Error::NotSynced {
            synced: Sequence(0),
            ..
        })
    ));
    compact(&journal, Sequence(3)).unwrap();
    assert!(matches!(
        compact(&journal, Sequence(2)),
        Err(Error::Compacted { .. })
    ));
    compact(&journal, Sequence(3)).unwrap();
    drop(journal);
    assert_eq!(
        open(folder.path(), quiet()).records,
        with_snapshot(3, &[write(4)])
    );
}

#[test]
fn a_record_that_cannot_be_written_leaves_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), quiet()).journal;
    let sequence = journal.append(&write(1)).unwrap();
    journal.sync(sequence).unwrap();
    let path = journal::Path(vec![b'a'; 70_000]);
    let mut records = [
        write(1),
        Record::Write {
            path,
            inode: 1,
            time: journal::Time::default(),
        },
    ]
    .into_iter();
    assert!(matches!(
        journal.compact(sequence, &mut records),
        Err(Error::Unrepresentable(_))
    ));
    journal.append(&write(2)).unwrap();
    drop(journal);
    assert_eq!(files(folder.path(), "").len(), 1);
    assert_eq!(
        open(folder.path(), quiet()).records,
        numbered(&[write(1), write(2)], 1)
    );
}

#[test]
fn appending_goes_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), small_segments()).journal;
    let stop = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let mut last = Sequence::ZERO;
            while !stop.load(Ordering::SeqCst) {
                last = journal.append(&large(last.0 + 1)).unwrap();
            }
            last
        });
        for _ in 0..10 {
            let through = journal.head();
            journal.sync(through).unwrap();
            let records = &mut std::iter::once(Record::InodesTaken { next: through.0 });
            journal.compact(through, records).unwrap();
        }
        stop.store(true, Ordering::SeqCst);
        appender.join().unwrap()
    });
    drop(journal);
    let records = open(folder.path(), small_segments()).records;
    let Record::InodesTaken { next } = records[0].1 else {
        panic!("no snapshot")
    };
    assert_eq!(
        records[1..],
        numbered(&large_ones(next + 1, last.0), next + 1)
    );
}

#[test]
fn the_largest_file_name_is_no_surprise() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), quiet(), &[write(1)]);
    let odd: PathBuf = folder.path().join("ffffffffffffffff.snapshot");
    fs::write(&odd, b"").unwrap();
    assert_eq!(
        open(folder.path(), quiet()).records,
        numbered(&[write(1)], 1)
    );
    let odd = folder.path().join("ffffffffffffffff.log");
    fs::write(&odd, b"").unwrap();
    assert!(Journal::open(folder.path(), quiet()).is_err());
}
