//! What is said of a certain damage, what is saved from it, and a rebuild that takes an old name.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod simulation;
mod support;

use std::sync::Arc;

use journal::disk::Disk;
use journal::disk::sim::SimDisk;
use journal::{
    Damage, Error, Finding, Gap, Path, Problem, Record, Report, Salvaged, Sequence, Verdict,
    rebuild_on, salvage_on, verify_on,
};
use simulation::{flat, open};
use support::sized;

const HEADER_BYTES: usize = 64;

fn report(disk: &SimDisk) -> Report {
    verify_on(Arc::new(disk.clone())).unwrap()
}

fn salvaged(disk: &SimDisk) -> Salvaged {
    salvage_on(Arc::new(disk.clone())).unwrap()
}

/// A journal of these records, all synced, with a snapshot through the first if that is wanted.
fn journal(records: &[Record], snapshot: Option<&Record>) -> SimDisk {
    let disk = SimDisk::new(1);
    let journal = open(&disk).unwrap().journal;
    for record in records {
        let sequence = journal.append(record).unwrap();
        journal.sync(sequence).unwrap();
        if let (1, Some(snapshot)) = (sequence.0, snapshot) {
            let snapshot = &mut std::iter::once(snapshot.clone());
            journal.compact(sequence, snapshot).unwrap();
        }
    }
    drop(journal);
    disk
}

fn flip(disk: &SimDisk, name: &str, at: usize) {
    let mut bytes = disk.bytes(name).unwrap();
    bytes[at] ^= 1;
    disk.put(name, bytes);
}

#[test]
fn sectors_that_cannot_be_read_are_one_finding_where_they_touch() {
    let disk = journal(&[sized(1, 20_000)], None);
    let name = disk.files().remove(0);
    disk.spoil(&name, 4096..8193);
    disk.spoil(&name, 16_384..16_385);
    let report = report(&disk);
    let unreadable: Vec<(u64, &Problem)> = report
        .findings
        .iter()
        .filter(|it| matches!(it.problem, Problem::Unreadable { .. }))
        .map(|it| (it.offset, &it.problem))
        .collect();
    let (two, one) = (
        &Problem::Unreadable { bytes: 8192 },
        &Problem::Unreadable { bytes: 4096 },
    );
    assert_eq!(unreadable, [(4096, two), (16_384, one)]);
}

#[test]
fn a_finding_names_its_file_and_place() {
    let disk = journal(&[sized(1, 900), sized(2, 900)], None);
    let name = disk.files().remove(0);
    flip(&disk, &name, HEADER_BYTES + 100);
    let report = report(&disk);
    let finding = report.findings.first().unwrap();
    assert_eq!(finding.problem, Damage::Record.into());
    let text = format!("/simulated/{name}, offset 64: {}", finding.problem);
    assert_eq!(finding.to_string(), text);
}

#[test]
fn what_is_lost_of_the_snapshot_or_of_the_log_is_lost() {
    let records: Vec<Record> = (1..=3).map(|number| sized(number, 900)).collect();
    let intact = journal(&records, Some(&records[0]));
    let whole = salvaged(&intact);
    assert!(whole.is_complete() && whole.epoch.is_some());
    assert_eq!(whole.epoch, report(&intact).epoch);
    let only = |number| Gap {
        first: Sequence(number),
        last: Sequence(number),
    };
    for name in intact.files() {
        let disk = intact.after_kill();
        flip(&disk, &name, HEADER_BYTES + 100);
        let salvaged = salvaged(&disk);
        assert!(!salvaged.is_complete(), "{name}");
        // The snapshot stands for the first record; without it, that one is lost from the log.
        let lost = [&*salvaged.lost, &salvaged.lost_of_snapshot].concat();
        let report = report(&disk);
        let named = |it: &Finding| it.path.ends_with(&name) && it.verdict == Verdict::Refused;
        assert!(report.findings.iter().any(named), "{name}: {report:?}");
        let expected = if name.ends_with(".log") { 2 } else { 1 };
        assert_eq!(lost, [only(expected)], "{name}");
    }
}

/// A mount's user can store any bytes as an attribute's value: those of a record, too.
#[test]
fn a_record_in_the_value_of_a_damaged_one_is_none() {
    let first = sized(1, 100);
    let frame = {
        let disk = journal(std::slice::from_ref(&first), None);
        let bytes = disk.bytes(&disk.files().remove(0)).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes[HEADER_BYTES..end.next_multiple_of(8)].to_vec()
    };
    // At every offset there is, so that one is where a frame may be.
    let value = (0..8).flat_map(|offset| [frame.as_slice(), &vec![1; offset]].concat());
    let outer = Record::SetXattr {
        path: Path(b"file".to_vec()),
        name: b"user.bytes".to_vec(),
        value: value.collect(),
    };
    let disk = journal(&[first.clone(), outer, sized(3, 10)], None);
    let name = disk.files().remove(0);
    let bytes = disk.bytes(&name).unwrap();
    let copies = bytes.windows(frame.len()).enumerate();
    let aligned = copies.filter(|(at, bytes)| at % 8 == 0 && *bytes == frame);
    assert!(aligned.count() > 1, "the record, and what looks like it");
    flip(&disk, &name, HEADER_BYTES + frame.len());
    let salvaged = salvaged(&disk);
    assert_eq!(
        salvaged.records,
        [(Sequence(1), first), (Sequence(3), sized(3, 10))]
    );
    let report = report(&disk);
    assert_eq!(report.files[0].records, 2);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
}

#[test]
fn a_crash_in_a_rebuild_whose_log_takes_an_old_name_does_not_stop_it() {
    let records: Vec<Record> = (1..=3).map(|number| sized(number, 900)).collect();
    let disk = journal(&records, None);
    let journal = open(&disk).unwrap().journal;
    journal.sync(Sequence(3)).unwrap();
    let snapshot = &mut records.iter().cloned();
    journal.compact(Sequence(3), snapshot).unwrap();
    drop(journal);
    let log = "0000000000000004.log".to_owned();
    assert!(disk.files().contains(&log), "the old one's, and empty");
    let begun = disk.operations();
    let again = |disk: &SimDisk| {
        let records = &mut records.iter().cloned();
        rebuild_on(Arc::new(disk.clone()), Sequence(3), records)
    };
    again(&disk).unwrap();
    let mut crashes = 0;
    for moment in disk.moments().filter(|it| it.operations() > begun) {
        for crashed in [moment.after_kill(), moment.after_power_cut(1)] {
            let opened: Result<_, Error> = open(&crashed);
            assert_eq!(flat(&opened.unwrap()), records, "{}", moment.operations());
            again(&crashed).unwrap();
            assert_eq!(flat(&open(&crashed).unwrap()), records);
            crashes += 1;
        }
    }
    assert!(crashes > 20, "{crashes}");
}

/// Three records in one segment that takes no more, and a fourth in the next.
fn two_segments() -> (SimDisk, String, usize) {
    let records = [1, 2, 3].map(|number| sized(number, 100));
    let frame = {
        let disk = journal(&records[..1], None);
        let bytes = disk.bytes(&disk.files().remove(0)).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        end.next_multiple_of(8) - HEADER_BYTES
    };
    let disk = journal(&[&records[..], &[sized(4, 10_000)]].concat(), None);
    let files = disk.files();
    assert_eq!(files, ["0000000000000001.log", "0000000000000004.log"]);
    (disk, files[0].clone(), frame)
}

#[test]
fn bytes_put_in_and_a_record_taken_out_between_sound_ones_are_named_by_their_place() {
    let (disk, name, frame) = two_segments();
    let intact = disk.bytes(&name).unwrap();
    let second = HEADER_BYTES + frame;
    let (begin, rest) = intact.split_at(second);
    for bytes in [
        [begin, &[0; 8], rest].concat(),
        [begin, &rest[frame..]].concat(),
    ] {
        disk.put(&name, bytes);
        let report = report(&disk);
        let [finding] = report.findings.as_slice() else {
            panic!("{:?}", report.findings);
        };
        assert_eq!(finding.offset, second as u64);
        assert_eq!(finding.problem, Damage::Record.into());
        assert_eq!(finding.verdict, Verdict::Refused);
        assert!(open(&disk.after_kill()).is_err());
    }
}

#[test]
fn a_log_that_ends_before_the_snapshot_does_is_short() {
    let records: Vec<Record> = (1..=3).map(|number| sized(number, 100)).collect();
    let two = journal(&records[..2], None);
    let disk = journal(&records, None);
    let opened = open(&disk).unwrap().journal;
    opened.sync(Sequence(3)).unwrap();
    let snapshot = &mut records.iter().cloned();
    opened.compact(Sequence(3), snapshot).unwrap();
    drop(opened);
    disk.remove("0000000000000004.log").unwrap();
    let name = two.files().remove(0);
    disk.put(&name, two.bytes(&name).unwrap());
    let report = report(&disk);
    let [finding] = report.findings.as_slice() else {
        panic!("{:?}", report.findings);
    };
    assert!(finding.path.ends_with(&name), "{finding:?}");
    let expected = Sequence(3);
    assert_eq!(finding.problem, Damage::Short { expected }.into());
    assert_eq!(finding.verdict, Verdict::Refused);
}

#[test]
fn a_log_that_is_missing_is_missing_from_where_the_snapshot_ends() {
    let records = [1, 2].map(|number| sized(number, 900));
    let missing = |disk: &SimDisk| {
        let report = report(disk);
        let [finding] = report.findings.as_slice() else {
            panic!("{:?}", report.findings);
        };
        assert_eq!(finding.verdict, Verdict::Refused);
        assert!(open(&disk.after_kill()).is_err());
        finding.problem.clone()
    };
    let disk = journal(&records, Some(&records[0]));
    for name in disk.files().iter().filter(|name| name.ends_with(".log")) {
        disk.remove(name).unwrap();
    }
    assert_eq!(missing(&disk), Problem::Missing(Sequence(2)));
    let (disk, first, _) = two_segments();
    disk.remove(&first).unwrap();
    assert_eq!(missing(&disk), Problem::Missing(Sequence(1)));
    // Nothing but a snapshot that nobody can read.
    let snapshot = "0000000000000002.snapshot";
    let disk = SimDisk::new(1);
    disk.put(snapshot, vec![1; 100]);
    let found = report(&disk).findings;
    let named = |it: &Finding| it.problem == Problem::Missing(Sequence(1));
    assert!(found.iter().any(named), "{found:?}");
}
