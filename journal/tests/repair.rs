//! A damaged journal: what is said of it, what is saved of it, and what takes its place.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod simulation;
mod support;

use std::fs;
use std::sync::Arc;

use journal::disk::sim::{FaultKind, FaultSpan, SimDisk};
use journal::{
    Error, Gap, Problem, Record, Report, Salvaged, Sequence, Verdict, rebuild, rebuild_on, salvage,
    salvage_on, verify, verify_on,
};
use simulation::{Dice, Run, flat, open, seeds, steps};
use support::{files, fill, large, quiet, sized, small_segments, write};

fn report(disk: &SimDisk) -> Report {
    verify_on(Arc::new(disk.clone())).unwrap()
}

fn salvaged(disk: &SimDisk) -> Salvaged {
    salvage_on(Arc::new(disk.clone())).unwrap()
}

/// Verifying says what opening does, salvaging gives nothing that was not appended and names what is
/// missing, and neither changes anything.
fn look_at(disk: &SimDisk, all: &[Record], context: &str) -> Report {
    let moments = disk.moments().count();
    let report = report(disk);
    let salvaged = salvaged(disk);
    assert_eq!(disk.moments().count(), moments, "{context}: only looked at");
    let refused = report.findings.iter();
    let refused = refused.filter(|finding| finding.verdict == Verdict::Refused);
    let opened = open(disk);
    let findings = &report.findings;
    assert_eq!(
        (report.refusal.is_some(), refused.count() > 0),
        (opened.is_err(), opened.is_err()),
        "{context}: {findings:#?}"
    );
    check_salvaged(&salvaged, all, context);
    if let (Ok(opened), true) = (&opened, salvaged.epoch.is_some()) {
        let torn = findings
            .iter()
            .any(|finding| finding.problem == Problem::Torn);
        let found = &salvaged.records;
        assert!(
            found == &opened.records || (torn && found.starts_with(&opened.records)),
            "{context}: {} of {}",
            found.len(),
            opened.records.len()
        );
    }
    if let Err(opened) = opened {
        let said = report.refusal.as_ref().unwrap();
        assert_eq!(said.to_string(), opened.to_string(), "{context}");
    }
    report
}

/// The snapshots of these tests have the very records that they replace.
fn check_salvaged(salvaged: &Salvaged, all: &[Record], context: &str) {
    let through = salvaged.snapshot.0;
    let missing = salvaged.lost_of_snapshot.iter().chain(&salvaged.lost);
    let mut missing = missing.peekable();
    let mut skip = |next: &mut u64| {
        while let Some(gap) = missing.next_if(|gap| gap.first.0 == *next) {
            *next = gap.last.0.saturating_add(1);
        }
        missing.peek().copied().copied()
    };
    let mut next = 1;
    for (sequence, record) in &salvaged.records {
        skip(&mut next);
        assert_eq!(sequence.0, next.max(through), "{context}");
        assert_eq!(*record, all[next as usize - 1], "{context}: record {next}");
        next += 1;
    }
    assert_eq!(skip(&mut next), None, "{context}: {next}, {salvaged:?}");
    assert!(salvaged.head.0 <= all.len() as u64, "{context}");
}

#[test]
fn after_a_crash_nothing_is_refused_and_nothing_is_lost() {
    let mut looked = 0;
    for seed in seeds(4) {
        let run = Run::all(SimDisk::new(seed), &steps(seed + 700, 60));
        for moment in run.disk.moments() {
            let context = format!("seed {seed}, {}", moment.operations());
            let disk = moment.after_power_cut(seed);
            let report = look_at(&disk, &run.records, &context);
            assert!(report.refusal.is_none(), "{context}");
            looked += 1;
        }
    }
    assert!(looked > 500, "{looked}");
}

/// Does something bad to one of the files.
fn damage(disk: &SimDisk, dice: &mut Dice) -> String {
    let names = disk.files();
    let name = names[dice.below(names.len() as u64) as usize].clone();
    let mut bytes = disk.bytes(&name).unwrap();
    let from = dice.below(bytes.len() as u64) as usize;
    let magnitude = dice.below(13);
    let length = dice.below(1 << magnitude) as usize;
    let to = bytes.len().min(from + length);
    let kind = dice.below(6);
    match kind {
        0 => bytes[from] ^= 1 << dice.below(8),
        1 => bytes[from..to].fill(0),
        2 => bytes[from..to].fill(0xa5),
        3 => bytes.truncate(from),
        4 => bytes[dice.below(64) as usize] ^= 1 << dice.below(8),
        _ => {
            disk.spoil(&name, from as u64..to as u64 + 1);
            return format!("{name} cannot be read at {from}");
        }
    }
    disk.put(&name, bytes);
    format!("{name}: {kind} at {from}, {length}")
}

#[test]
fn whatever_is_damaged_is_reported_and_the_rest_is_saved() {
    let (mut refused, mut saved, mut unknown) = (0, 0, 0);
    for seed in seeds(12) {
        let run = Run::all(SimDisk::new(seed), &steps(seed + 800, 50));
        for round in 0..40 {
            let mut dice = Dice::new(seed * 1000 + round);
            let disk = run.disk.after_power_cut(1);
            let mut context = format!("seed {seed}");
            for _ in 0..=dice.below(3) {
                context = format!("{context}; {}", damage(&disk, &mut dice));
            }
            match salvage_on(Arc::new(disk.clone())) {
                Ok(salvaged) => saved += salvaged.records.len(),
                // Damage to the version and to something else in the same header.
                Err(Error::UnknownVersion { .. }) => {
                    unknown += 1;
                    continue;
                }
                Err(error) => panic!("{context}: {error}"),
            }
            let report = look_at(&disk, &run.records, &context);
            refused += u32::from(report.refusal.is_some());
            for finding in &report.findings {
                assert_ne!(finding.problem, Problem::Refused, "{context}: by what?");
            }
        }
    }
    println!("{refused} refused, {saved} records saved");
    assert!(refused > 100 && saved > 2000 && unknown < 20);
}

/// A journal that opening refuses, and what is left of it.
fn broken(seed: u64) -> (SimDisk, Salvaged) {
    let disk = SimDisk::new(seed);
    let journal = open(&disk).unwrap().journal;
    for number in 1..=12 {
        let sequence = journal.append(&sized(number, 900)).unwrap();
        journal.sync(sequence).unwrap();
    }
    drop(journal);
    let disk = disk.after_kill();
    let name = disk.files().into_iter().nth(1).unwrap();
    let mut bytes = disk.bytes(&name).unwrap();
    bytes[100] ^= 1;
    disk.put(&name, bytes);
    assert!(open(&disk.after_kill()).is_err());
    let disk = disk.after_kill();
    let salvaged = salvaged(&disk);
    assert_eq!(salvaged.lost.len(), 1);
    (disk, salvaged)
}

fn rebuild_from(disk: &SimDisk, salvaged: &Salvaged) -> Result<(), Error> {
    let mut records = salvaged.records.iter().map(|(_, record)| record.clone());
    rebuild_on(Arc::new(disk.clone()), salvaged.head, &mut records)
}

/// Everything of `old` is somewhere on `disk`.
fn holds_all_of(disk: &SimDisk, old: &SimDisk) -> bool {
    let files = disk.files();
    old.files().iter().all(|name| {
        let bytes = old.bytes(name);
        files
            .iter()
            .any(|file| file.ends_with(name) && disk.bytes(file) == bytes)
    })
}

#[test]
fn a_rebuilt_journal_holds_what_it_was_given_and_goes_on() {
    let (disk, salvaged) = broken(1);
    let old = disk.after_kill();
    rebuild_from(&disk, &salvaged).unwrap();
    assert!(holds_all_of(&disk, &old));
    let report = report(&disk);
    assert!(
        report.findings.is_empty() && report.refusal.is_none(),
        "{report:?}"
    );
    let recovered = open(&disk).unwrap();
    let records: Vec<Record> = salvaged.records.into_iter().map(|(_, it)| it).collect();
    assert_eq!(flat(&recovered), records);
    assert_eq!(
        (recovered.snapshot, recovered.journal.head()),
        (Sequence(12), Sequence(12))
    );
    assert_eq!(recovered.journal.append(&write(1)).unwrap(), Sequence(13));
}

#[test]
fn a_crash_in_a_rebuild_leaves_the_old_journal_or_the_new_one() {
    let (mut old_ones, mut new_ones) = (0, 0);
    for seed in seeds(8) {
        let (disk, salvaged) = broken(seed);
        let old = disk.after_kill();
        rebuild_from(&disk, &salvaged).unwrap();
        let records: Vec<Record> = salvaged.records.iter().map(|(_, it)| it.clone()).collect();
        for moment in disk.moments() {
            for cut in 0..6 {
                let context = format!("seed {seed}, {}, {cut}", moment.operations());
                let crashed = match cut {
                    0 => moment.after_kill(),
                    _ => moment.after_power_cut(cut),
                };
                assert!(holds_all_of(&crashed, &old), "{context}");
                assert_eq!(
                    self::salvaged(&crashed).records.len(),
                    records.len(),
                    "{context}"
                );
                match open(&crashed) {
                    Err(Error::Damaged { .. }) => old_ones += 1,
                    Err(error) => panic!("{context}: {error}"),
                    Ok(recovered) => {
                        assert_eq!(flat(&recovered), records, "{context}");
                        new_ones += 1;
                    }
                }
                rebuild_from(&crashed, &salvaged).unwrap();
                let crashed = crashed.after_power_cut(cut);
                assert_eq!(flat(&open(&crashed).unwrap()), records, "{context}, again");
                assert!(holds_all_of(&crashed, &old), "{context}, again");
            }
        }
    }
    println!("{old_ones} old, {new_ones} new");
    assert!(old_ones > 50 && new_ones > 100);
}

#[test]
fn a_rebuild_on_a_disk_that_fails_leaves_the_old_journal_or_the_new_one() {
    let mut failures = 0;
    for span in [FaultSpan::Once, FaultSpan::Forever] {
        for at in 1.. {
            let (disk, salvaged) = broken(3);
            let old = disk.after_kill();
            let at = disk.operations() + at;
            disk.inject(at, FaultKind::Broken, span);
            let failed = rebuild_from(&disk, &salvaged).is_err();
            if disk.operations() < at {
                assert!(!failed);
                break;
            }
            disk.mend();
            let disk = disk.after_power_cut(at);
            assert!(holds_all_of(&disk, &old), "{span:?} at {at}");
            if let Ok(recovered) = open(&disk) {
                assert_eq!(recovered.records.len(), salvaged.records.len());
            } else {
                assert!(failed, "{span:?} at {at}");
            }
            rebuild_from(&disk, &salvaged).unwrap();
            assert_eq!(open(&disk).unwrap().records.len(), salvaged.records.len());
            failures += 1;
        }
    }
    assert!(failures > 30, "{failures}");
}

#[test]
fn a_rebuild_that_was_damaged_itself_is_set_aside() {
    let (disk, salvaged) = broken(1);
    let unfinished = |moment: &journal::disk::sim::Moment| {
        let files = moment.after_kill().files();
        files.iter().any(|name| name.ends_with(".rebuild"))
    };
    rebuild_from(&disk, &salvaged).unwrap();
    let disk = disk.moments().find(unfinished).unwrap().after_kill();
    let mut bytes = disk.bytes("damaged-1.rebuild").unwrap();
    bytes[200] ^= 1;
    disk.put("damaged-1.rebuild", bytes);
    let report = report(&disk);
    assert!(
        matches!(report.refusal, Some(Error::Damaged { .. })),
        "{report:?}"
    );
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
    rebuild_from(&disk, &salvaged).unwrap();
    assert!(
        disk.files()
            .contains(&"damaged-1/damaged-1.rebuild".to_owned())
    );
    assert_eq!(open(&disk).unwrap().records.len(), salvaged.records.len());
}

#[test]
fn a_real_journal_is_verified_salvaged_and_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Record> = (1..=20).map(large).collect();
    fill(folder.path(), small_segments(), &records);
    let segments = files(folder.path(), ".log");
    let mut bytes = fs::read(&segments[1]).unwrap();
    bytes[64 + 1000] ^= 4;
    fs::write(&segments[1], &bytes).unwrap();

    let report = verify(folder.path()).unwrap();
    assert_eq!(report.files.len(), segments.len());
    let [finding] = report.findings.as_slice() else {
        panic!("{:?}", report.findings);
    };
    assert_eq!((&finding.path, finding.offset), (&segments[1], 64));
    assert_eq!(finding.verdict, Verdict::Refused);
    let lost = report.files[0].last.next();
    let salvaged = salvage(folder.path()).unwrap();
    assert_eq!(
        salvaged.lost,
        [Gap {
            first: lost,
            last: lost
        }]
    );
    assert_eq!((salvaged.records.len(), salvaged.head), (19, Sequence(20)));

    let mut kept = salvaged.records.iter().map(|(_, record)| record.clone());
    rebuild(folder.path(), salvaged.head, &mut kept).unwrap();
    let aside = folder
        .path()
        .join("damaged-1")
        .join(segments[1].file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), bytes);
    let recovered = support::open(folder.path(), quiet());
    assert_eq!(
        (recovered.records.len(), recovered.journal.head()),
        (19, Sequence(20))
    );
    assert!(matches!(verify(folder.path()), Err(Error::Locked { .. })));
    drop(recovered);
    assert!(verify(folder.path()).unwrap().findings.is_empty());
}

#[test]
fn a_newer_version_is_neither_salvaged_nor_mistaken_for_a_flipped_bit() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), quiet(), &[write(1)]);
    let segment = files(folder.path(), ".log").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 2;
    fs::write(&segment, &bytes).unwrap();
    let salvaged = salvage(folder.path()).expect("only the version differs, so it is damage");
    assert_eq!(salvaged.epoch, None, "which no header tells");
    bytes[56] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let newer = salvage(folder.path());
    assert!(matches!(
        newer,
        Err(Error::UnknownVersion { version: 2, .. })
    ));
}

#[test]
fn there_is_nothing_to_verify_where_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    assert!(verify(&missing).is_err() && salvage(&missing).is_err());
    assert!(!missing.exists());
    let report = verify(folder.path()).unwrap();
    assert!(report.refusal.is_none() && report.findings.is_empty() && report.files.is_empty());
    assert!(salvage(folder.path()).unwrap().is_complete());
}
