//! Death without warning, and a disk without room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path as FilePath;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::{Error, NodeKind, Path, Record, Sequence, Time};
use support::{large, numbered, open, quiet, small_segments, write};

const FOLDER: &str = "JOURNAL_TEST_FOLDER";

/// A child has copies of all locks of this process between its fork and its exec, so a journal
/// that another test reopens just then would seem to be open elsewhere.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that dies with the test, however that ends.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Appends for ever and says so after each; compacts now and then.
fn append_for_ever(folder: &FilePath) -> ! {
    let journal = open(folder, small_segments()).journal;
    let mut output = std::io::stdout();
    loop {
        let number = journal.head().0 + 1;
        let record = if number.is_multiple_of(5) {
            large(number)
        } else {
            write(number)
        };
        let sequence = journal.append(&record).unwrap();
        writeln!(output, "\nacknowledged {sequence}").unwrap();
        output.flush().unwrap();
        if number.is_multiple_of(97) {
            journal.sync(sequence).unwrap();
            let records = &mut std::iter::once(Record::InodesTaken { next: sequence.0 });
            journal.compact(sequence, records).unwrap();
        }
    }
}

#[test]
fn killing_the_process_loses_nothing_acknowledged() {
    let _alone = alone();
    // The victim is this very test in another process.
    if let Some(folder) = std::env::var_os(FOLDER) {
        append_for_ever(FilePath::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..12 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "killing_the_process_loses_nothing_acknowledged",
                "--exact",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut victim = Victim(child);
        let mut lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
        // Kills come at odd moments: so many lines, of which a part is still in the pipe.
        let wanted = 20 + round * 31;
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = number.parse().unwrap();
                seen += 1;
                if seen == wanted {
                    victim.0.kill().unwrap();
                }
            }
        }
        assert!(seen >= wanted, "the child died by itself");
        drop(victim);
        let recovered = open(folder.path(), small_segments());
        let head = recovered.journal.head().0;
        assert!(
            head >= acknowledged,
            "{acknowledged} was acknowledged, {head} came back"
        );
        check_child_records(&recovered.records, head);
    }
    assert!(acknowledged > 12 * 20);
}

fn check_child_records(records: &[(Sequence, Record)], head: u64) {
    let mut expected = 1;
    for (sequence, record) in records {
        if let Record::InodesTaken { next } = record {
            assert_eq!((sequence.0, expected), (*next, 1), "a snapshot comes first");
            expected = next + 1;
            continue;
        }
        assert_eq!(sequence.0, expected);
        let number = sequence.0;
        assert_eq!(
            *record,
            if number.is_multiple_of(5) {
                large(number)
            } else {
                write(number)
            }
        );
        expected += 1;
    }
    assert_eq!(expected, head + 1);
}

/// A file system of a few megabytes, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(folder));
        }
        println!("skipped: mounting a tmpfs needs root");
        None
    }

    fn path(&self) -> &FilePath {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn remove(number: usize) -> Record {
    let path = Path(format!("some/directory/of/usual/depth/file{number}").into_bytes());
    Record::Remove {
        path,
        kind: NodeKind::File,
        time: Time::default(),
    }
}

#[test]
fn a_full_disk_takes_removals_and_then_everything_again() {
    let _alone = alone();
    let Some(disk) = SmallDisk::mount(4) else {
        return;
    };
    let folder = disk.path().join("journal");
    let ballast = disk.path().join("ballast");
    let journal = open(&folder, quiet()).journal;
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let mut expected = Vec::new();
    loop {
        let record = large(expected.len() as u64);
        match journal.append(&record) {
            Ok(_) => expected.push(record),
            Err(Error::NoSpace { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!expected.is_empty());
    assert_eq!(journal.head().0, expected.len() as u64);
    for number in 0..1500 {
        journal.append(&remove(number)).unwrap();
        expected.push(remove(number));
    }
    assert!(
        matches!(journal.append(&large(1)), Err(Error::NoSpace { .. })),
        "still"
    );
    // One that takes room by itself, as part of an operation that gives more back.
    let sequence = journal.append_freeing(&write(1)).unwrap();
    expected.push(write(1));
    assert_eq!(sequence.0, expected.len() as u64);
    journal.sync(journal.head()).unwrap();
    let records = &mut (0..100).map(large);
    assert!(matches!(
        journal.compact(journal.head(), records),
        Err(Error::NoSpace { .. })
    ));
    fs::remove_file(&ballast).unwrap();
    journal.append(&large(7)).unwrap();
    expected.push(large(7));
    drop(journal);
    assert_eq!(open(&folder, quiet()).records, numbered(&expected, 1));
}

#[test]
fn a_full_disk_between_two_segments_is_no_different() {
    let _alone = alone();
    let Some(disk) = SmallDisk::mount(4) else {
        return;
    };
    let folder = disk.path().join("journal");
    let ballast = disk.path().join("ballast");
    let journal = open(&folder, small_segments()).journal;
    fs::write(&ballast, vec![1; (2 << 20) + (1 << 19)]).unwrap();
    let mut expected = Vec::new();
    while journal.append(&large(1)).is_ok() {
        expected.push(large(1));
    }
    for number in 0..1500 {
        journal.append(&remove(number)).unwrap();
        expected.push(remove(number));
    }
    fs::remove_file(&ballast).unwrap();
    journal.append(&large(2)).unwrap();
    expected.push(large(2));
    drop(journal);
    assert_eq!(
        open(&folder, small_segments()).records,
        numbered(&expected, 1)
    );
    let names = support::files(&folder, ".log");
    assert!(
        names.len() > 1 && support::files(&folder, ".temp").is_empty(),
        "{names:?}"
    );
}
