//! Files of another journal, or of another history of it: found, never believed, never salvaged.
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

use journal::disk::sim::SimDisk;
use journal::{Damage, Error, Finding, Problem, Record, Sequence, Verdict, salvage_on, verify_on};
use simulation::{flat, open};
use support::{sized, write};

/// A journal of so many records, with a snapshot through the second; the last ones are in a segment
/// of their own.
fn journal(seed: u64, count: u64) -> (SimDisk, Vec<Record>) {
    let disk = SimDisk::new(seed);
    let journal = open(&disk).unwrap().journal;
    let records: Vec<Record> = (1..=count)
        .map(|number| sized(seed * 1000 + number, 900))
        .collect();
    for record in &records {
        let sequence = journal.append(record).unwrap();
        journal.sync(sequence).unwrap();
        if sequence.0 == 2 {
            journal
                .compact(sequence, &mut records[..2].iter().cloned())
                .unwrap();
        }
    }
    drop(journal);
    (disk, records)
}

#[test]
fn a_segment_of_another_journal_is_neither_believed_nor_salvaged() {
    let (disk, records) = journal(1, 9);
    let (other, _) = journal(2, 40);
    let name = other
        .files()
        .into_iter()
        .rfind(|name| name.ends_with(".log"))
        .unwrap();
    disk.put(&name, other.bytes(&name).unwrap());
    let report = verify_on(Arc::new(disk.clone())).unwrap();
    let foreign = report
        .findings
        .iter()
        .find(|it| it.problem == Damage::Foreign.into());
    assert_eq!(foreign.unwrap().verdict, Verdict::Refused, "{report:?}");
    let salvaged = salvage_on(Arc::new(disk.clone())).unwrap();
    assert_eq!(salvaged.head, Sequence(9));
    assert!(salvaged.is_complete(), "{:?}", salvaged.lost);
    let found: Vec<Record> = salvaged
        .records
        .into_iter()
        .map(|(_, record)| record)
        .collect();
    assert_eq!(found, records);
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
}

#[test]
fn segments_of_two_histories_of_one_journal_are_refused() {
    let (disk, _) = journal(1, 4);
    let copy = disk.after_kill();
    let segment = "0000000000000003.log";
    open(&disk).unwrap().journal.append(&write(5)).unwrap();
    // Here the fifth record, being large, begins another segment.
    open(&copy)
        .unwrap()
        .journal
        .append(&sized(5, 3000))
        .unwrap();
    assert!(copy.files().contains(&"0000000000000005.log".to_owned()));
    assert!(open(&copy).is_ok());
    copy.put(segment, disk.bytes(segment).unwrap());
    let error = open(&copy).err().unwrap();
    assert!(
        matches!(&error, Error::Damaged { path, damage: Damage::Record, .. } if path.ends_with(segment)),
        "{error}"
    );
    let report = verify_on(Arc::new(copy.clone())).unwrap();
    let [finding] = report.findings.as_slice() else {
        panic!("{:?}", report.findings);
    };
    assert!(finding.path.ends_with(segment), "{finding:?}");
    assert_eq!(finding.problem, Damage::Record.into());
    assert_eq!(finding.verdict, Verdict::Refused);
}

#[test]
fn a_snapshot_of_another_journal_is_never_preferred() {
    let (disk, records) = journal(1, 9);
    let (other, _) = journal(2, 9);
    let snapshot = "0000000000000002.snapshot";
    let foreign = other.bytes(snapshot).unwrap();
    disk.put(snapshot, foreign);
    let salvaged = salvage_on(Arc::new(disk.clone())).unwrap();
    let found: Vec<Record> = salvaged.records.iter().map(|(_, it)| it.clone()).collect();
    assert_eq!(found, records[2..]);
    let lost: Vec<Sequence> = salvaged.lost.iter().map(|gap| gap.last).collect();
    assert_eq!(
        (salvaged.snapshot, lost),
        (Sequence::ZERO, vec![Sequence(2)])
    );
}

#[test]
fn an_older_snapshot_goes_and_a_newer_damaged_one_stays() {
    let (disk, records) = journal(1, 9);
    let older = disk.bytes("0000000000000002.snapshot").unwrap();
    let journal = open(&disk).unwrap().journal;
    journal.sync(Sequence(9)).unwrap();
    journal
        .compact(Sequence(9), &mut records.iter().cloned())
        .unwrap();
    journal.append(&write(10)).unwrap();
    drop(journal);
    // As if its deletion had not survived a power cut.
    disk.put("0000000000000002.snapshot", older);
    disk.put("0000000000000010.snapshot", vec![1; 100]);
    let report = verify_on(Arc::new(disk.clone())).unwrap();
    let replaced = |it: &&Finding| it.problem == Problem::Replaced;
    let replaced: Vec<_> = report.findings.iter().filter(replaced).collect();
    let [finding] = replaced.as_slice() else {
        panic!("{replaced:?}");
    };
    assert!(finding.path.ends_with("0000000000000002.snapshot"));
    assert!(report.refusal.is_none(), "{report:?}");
    let recovered = open(&disk).unwrap();
    assert_eq!(flat(&recovered), [records, vec![write(10)]].concat());
    let files = disk.files();
    assert!(
        !files.contains(&"0000000000000002.snapshot".to_owned()),
        "{files:?}"
    );
    assert!(
        files.contains(&"0000000000000010.snapshot".to_owned()),
        "{files:?}"
    );
}
