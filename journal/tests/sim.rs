//! The journal on a simulated disk: a crash after every operation, a failure of every operation, a
//! flip of every bit. `MESA_SIM_SEEDS` makes the runs longer.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod simulation;
mod support;

use std::cell::Cell;

use journal::disk::sim::{FaultKind, FaultSpan, SimDisk};
use journal::{Error, Journal, Record};
use simulation::{Known, Run, flat, open, seeds, steps, survive};
use support::sized;

#[test]
fn a_crash_after_any_operation_leaves_a_prefix_with_everything_synced() {
    let mut crashes = 0;
    for seed in seeds(6) {
        let run = Run::all(SimDisk::new(seed), &steps(seed, 60));
        crashes += run.crash_everywhere(3);
    }
    println!("{crashes} crashes");
    assert!(crashes >= 3000, "only {crashes} crashes");
}

#[test]
fn a_crash_in_the_midst_of_recovery_changes_nothing() {
    let mut crashes = 0;
    for seed in seeds(6) {
        let run = Run::all(SimDisk::new(seed), &steps(seed + 100, 40));
        for (index, moment) in run.disk.moments().enumerate() {
            if index % 5 != seed as usize % 5 {
                continue;
            }
            let disk = moment.after_power_cut(seed);
            let records = flat(&open(&disk).unwrap());
            for moment in disk.moments() {
                let context = format!("seed {seed}, {index}, {}", moment.operations());
                let least = records.len() as u64;
                let known = Known {
                    records: &records,
                    doubtful: &[],
                };
                survive(&moment.after_power_cut(seed), least, known, &context);
                survive(&moment.after_kill(), least, known, &context);
                crashes += 2;
            }
        }
    }
    println!("{crashes} crashes during recovery");
    assert!(crashes >= 1000, "only {crashes} crashes");
}

/// Runs the same steps again and again with a failure of each operation in turn.
fn fail_everywhere(kind: FaultKind, span: FaultSpan, salt: u64) {
    let mut failures = 0;
    for seed in seeds(4) {
        let steps = steps(seed + salt, 30);
        let operations = Run::all(SimDisk::new(seed), &steps).disk.operations();
        for at in 1..=operations {
            let disk = SimDisk::new(seed);
            disk.inject(at, kind, span);
            let run = Run::all(disk, &steps);
            run.disk.mend();
            let context = format!("seed {seed}, {kind:?} at {at} {span:?}");
            run.crash_at_the_end(3, &context);
            failures += 1;
        }
    }
    println!("{failures} failures");
    assert!(failures >= 300, "only {failures} failures");
}

#[test]
fn an_operation_that_fails_once_costs_nothing_acknowledged() {
    fail_everywhere(FaultKind::Broken, FaultSpan::Once, 200);
}

#[test]
fn a_disk_that_breaks_costs_nothing_acknowledged() {
    fail_everywhere(FaultKind::Broken, FaultSpan::Forever, 300);
}

#[test]
fn a_disk_without_room_costs_nothing_acknowledged() {
    fail_everywhere(FaultKind::Full, FaultSpan::Once, 400);
    fail_everywhere(FaultKind::Full, FaultSpan::Forever, 500);
}

/// A disk on which so many bytes have room, and then a few more, and then all.
#[test]
fn a_disk_that_fills_up_costs_nothing_acknowledged() {
    let mut crashes = 0;
    let mut full = 0;
    for seed in seeds(6) {
        let steps = steps(seed + 600, 40);
        for kibibytes in [5, 9, 14, 22, 35] {
            let disk = SimDisk::new(seed);
            disk.limit(Some(kibibytes << 10));
            let run = Run::all(disk, &steps);
            full += run.refused;
            run.disk.limit(None);
            crashes += run.crash_at_the_end(3, &format!("seed {seed}, {kibibytes} KiB"));
            crashes += run.crash_everywhere(1) / 2;
        }
    }
    println!("{crashes} crashes, {full} times there was no room");
    assert!(crashes >= 2000 && full >= 150, "{crashes}, {full}");
}

/// A record whose append failed may come back after a crash, but not in place of one that was
/// appended afterwards.
#[test]
fn a_record_that_failed_does_not_replace_the_next() {
    let mut both = (0, 0);
    for seed in seeds(40) {
        let disk = SimDisk::new(seed);
        let journal = open(&disk).unwrap().journal;
        let first = journal.append(&sized(1, 100)).unwrap();
        journal.sync(first).unwrap();
        disk.inject(disk.operations() + 1, FaultKind::Broken, FaultSpan::Once);
        assert!(journal.append(&sized(2, 100)).is_err());
        let shown = flat(&open(&disk.after_kill()).unwrap());
        assert_eq!(shown, [sized(1, 100)], "what failed is undone at once");
        assert_eq!(journal.append(&sized(3, 100)).unwrap().0, 2);
        for cut in 0..20 {
            match &flat(&open(&disk.after_power_cut(cut)).unwrap())[1..] {
                [] => both.0 += 1,
                [record] if *record == sized(3, 100) => both.1 += 1,
                other => panic!("seed {seed}, {cut}: {} records", other.len()),
            }
        }
        drop(journal);
    }
    assert!(both.0 > 100 && both.1 > 100, "{both:?}");
}

/// A journal with several closed segments and a snapshot, all of which the next compaction deletes.
fn about_to_be_compacted() -> (SimDisk, Journal) {
    let disk = SimDisk::new(1);
    let journal = open(&disk).unwrap().journal;
    for number in 1..=12 {
        let sequence = journal.append(&sized(number, 900)).unwrap();
        journal.sync(sequence).unwrap();
        if number == 2 {
            let snapshot = &mut (1..=2).map(|number| sized(number, 900));
            journal.compact(sequence, snapshot).unwrap();
        }
    }
    (disk, journal)
}

fn compact(journal: &Journal) -> Result<(), Error> {
    let snapshot = &mut (1..=12).map(|number| sized(number, 900));
    journal.compact(journal.head(), snapshot)
}

#[test]
fn no_failure_in_a_compaction_is_kept_silent() {
    for at in 1.. {
        let (disk, journal) = about_to_be_compacted();
        let at = disk.operations() + at;
        disk.inject(at, FaultKind::Broken, FaultSpan::Once);
        let compacted = compact(&journal);
        if disk.operations() < at {
            compacted.unwrap();
            assert!(disk.files().len() <= 2, "{:?}", disk.files());
            break;
        }
        assert!(compacted.is_err(), "operation {at} failed");
    }
}

#[test]
fn no_failure_in_opening_is_kept_silent() {
    let (disk, journal) = about_to_be_compacted();
    let begun = disk.operations();
    compact(&journal).unwrap();
    drop(journal);
    let mut failures = 0;
    for moment in disk.moments().filter(|it| it.operations() >= begun) {
        for at in 1.. {
            let disk = moment.after_kill();
            disk.inject(at, FaultKind::Broken, FaultSpan::Once);
            let opened = open(&disk);
            if disk.operations() < at {
                opened.unwrap();
                break;
            }
            assert!(opened.is_err(), "{}, {at}", moment.operations());
            failures += 1;
        }
    }
    assert!(failures > 100, "{failures}");
}

/// What a process that was killed had failed to sync is still read, and no sync would ever write it.
#[test]
fn what_a_dead_process_failed_to_sync_is_durable_once_the_next_one_has_synced() {
    for seed in seeds(20) {
        let disk = SimDisk::new(seed);
        let journal = open(&disk).unwrap().journal;
        let sequence = journal.append(&sized(1, 900)).unwrap();
        disk.inject(disk.operations() + 1, FaultKind::Broken, FaultSpan::Once);
        assert!(matches!(journal.sync(sequence), Err(Error::SyncFailed(_))));
        disk.halted(|| drop(journal));
        let disk = disk.after_kill();
        let journal = open(&disk).unwrap().journal;
        journal.sync(sequence).unwrap();
        for cut in 0..5 {
            let found = flat(&open(&disk.after_power_cut(cut)).unwrap());
            assert_eq!(found, [sized(1, 900)], "seed {seed}, {cut}");
        }
    }
}

#[test]
fn an_append_is_one_operation_and_opening_a_closed_journal_writes_nothing() {
    let disk = SimDisk::new(1);
    let journal = open(&disk).unwrap().journal;
    let mut counts = Vec::new();
    for number in 1..=20 {
        let before = disk.operations();
        journal.append(&sized(number, 100)).unwrap();
        counts.push(disk.operations() - before);
    }
    // The first one settles what opening found, another one lets the segment grow.
    assert!(
        counts.iter().filter(|count| **count == 1).count() >= 18,
        "{counts:?}"
    );
    journal.sync(journal.head()).unwrap();
    drop(journal);
    let effects = disk.moments().count();
    drop(open(&disk).unwrap());
    let moments: Vec<_> = disk.moments().skip(effects - 1).collect();
    let files = |at: usize| {
        let disk = moments[at].after_kill();
        disk.files()
            .into_iter()
            .map(|name| disk.bytes(&name))
            .collect::<Vec<_>>()
    };
    assert!((1..moments.len()).all(|at| files(at) == files(0)));
}

/// Opens the journal with every bit of one file flipped in turn.
fn flip_everywhere(disk: &SimDisk, file: &str, check: impl Fn(u64, Result<Vec<Record>, Error>)) {
    let intact = disk.bytes(file).unwrap();
    for bit in 0..intact.len() * 8 {
        let mut flipped = intact.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let other = disk.after_kill();
        other.put(file, flipped);
        check(bit as u64, open(&other).map(|recovered| flat(&recovered)));
    }
}

/// A journal with a snapshot, a closed segment and an open one, all of it synced.
fn settled() -> (SimDisk, Vec<Record>) {
    let disk = SimDisk::new(1);
    let journal = open(&disk).unwrap().journal;
    let records: Vec<Record> = (1..=12).map(|number| sized(number, 450)).collect();
    for (index, record) in records.iter().enumerate() {
        let sequence = journal.append(record).unwrap();
        journal.sync(sequence).unwrap();
        if index == 1 {
            let snapshot = &mut records[..2].iter().cloned();
            journal.compact(sequence, snapshot).unwrap();
        }
    }
    drop(journal);
    let files = disk.files();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        // Fewer zeroes to go through.
        let mut bytes = disk.bytes(&file).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes.truncate((used + 64).next_multiple_of(8));
        disk.put(&file, bytes);
    }
    (disk, records)
}

#[test]
fn a_flipped_bit_of_the_newest_segment_costs_its_last_record_at_most() {
    let (disk, records) = settled();
    let files = disk.files();
    let newest = files.iter().rfind(|name| name.ends_with(".log")).unwrap();
    let used = disk.bytes(newest).unwrap();
    let used = used.iter().rposition(|byte| *byte != 0).unwrap() as u64 * 8;
    let (refused, shorter) = (Cell::new(0_u32), Cell::new(0_u32));
    flip_everywhere(&disk, newest, |bit, opened| match opened {
        Ok(found) if found == records => assert!(bit > used, "bit {bit} was not missed"),
        Ok(found) => {
            assert_eq!(found, records[..records.len() - 1], "bit {bit}");
            shorter.set(shorter.get() + 1);
        }
        Err(Error::Damaged { .. } | Error::UnknownVersion { .. }) => refused.set(refused.get() + 1),
        Err(error) => panic!("bit {bit}: {error}"),
    });
    println!("{refused:?} refused, {shorter:?} shorter");
    assert!(refused.get() > 4000 && shorter.get() > 4000);
}

#[test]
fn a_flipped_bit_of_a_snapshot_or_a_closed_segment_is_an_error() {
    let (disk, records) = settled();
    let files = disk.files();
    let oldest = files.iter().find(|name| name.ends_with(".log")).unwrap();
    let snapshot = files.iter().find(|name| name.ends_with(".snapshot"));
    for file in [oldest, snapshot.unwrap()] {
        let refused = Cell::new(0);
        flip_everywhere(&disk, file, |bit, opened| match opened {
            Ok(found) => panic!("{file}, bit {bit}: opened with {}", found.len()),
            Err(Error::Damaged { .. } | Error::UnknownVersion { .. }) => {
                refused.set(refused.get() + 1);
            }
            Err(error) => panic!("{file}, bit {bit}: {error}"),
        });
        assert_eq!(refused.get(), disk.bytes(file).unwrap().len() * 8);
        assert!(refused.get() > 4000);
    }
    assert_eq!(flat(&open(&disk).unwrap()), records, "as it was");
}
