//! Random histories of a journal on a simulated disk, and what must hold after a crash of one.
#![allow(dead_code)] // each test file uses its own part

use std::sync::Arc;

use journal::disk::sim::{Moment, SimDisk};
use journal::{Error, Journal, Record, Recovered, Sequence, verify_on};

use crate::support::{sized, smallest_segments, write};

/// How many seeds to go through, instead of `default`, if `MESA_SIM_SEEDS` says so.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("MESA_SIM_SEEDS").ok();
    0..wanted.map_or(default, |text| text.parse().expect("a number of seeds"))
}

/// The simulation's own randomness: the same sequence for the same seed, for ever.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Small,
    Large,
    Sync,
    /// Through so many records before the last synced one.
    Compact(u64),
    /// The program dies and another one takes over.
    Kill,
    /// The program ends as it should and starts again.
    Reopen,
}

pub(crate) fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| match dice.below(100) {
            0..45 => Step::Small,
            45..66 => Step::Large,
            66..84 => Step::Sync,
            84..90 => Step::Compact(dice.below(4)),
            90..95 => Step::Kill,
            _ => Step::Reopen,
        })
        .collect()
}

/// What was known after so many operations of the disk.
struct Note {
    operations: u64,
    /// Records whose appending had begun, or had failed: a crash may show one of them, as the last.
    doubtful: Vec<Record>,
    /// Records that were acknowledged.
    appended: u64,
    /// Records that were acknowledged as durable.
    durable: u64,
}

/// A journal and what it should hold.
pub(crate) struct Run {
    pub(crate) disk: SimDisk,
    journal: Option<Journal>,
    pub(crate) records: Vec<Record>,
    /// Records whose appending failed, since one succeeded.
    doubtful: Vec<Record>,
    durable: u64,
    /// How often there was no room.
    pub(crate) refused: u64,
    notes: Vec<Note>,
}

impl Run {
    /// Does all steps on a disk, however it fails. Ends early if the journal cannot be opened twice.
    pub(crate) fn all(disk: SimDisk, steps: &[Step]) -> Run {
        let mut run = Run {
            disk,
            journal: None,
            records: Vec::new(),
            doubtful: Vec::new(),
            durable: 0,
            refused: 0,
            notes: Vec::new(),
        };
        run.note(None);
        for step in steps {
            if run.journal.is_none() && !run.open() && !run.open() {
                break;
            }
            run.step(*step);
            run.note(None);
        }
        run.journal = None;
        run.note(None);
        run
    }

    /// `pending` is being appended.
    fn note(&mut self, pending: Option<&Record>) {
        self.notes.push(Note {
            operations: self.disk.operations(),
            doubtful: self.doubtful.iter().chain(pending).cloned().collect(),
            appended: self.records.len() as u64,
            durable: self.durable,
        });
    }

    fn open(&mut self) -> bool {
        let Ok(recovered) = open(&self.disk) else {
            return false;
        };
        let found = flat(&recovered);
        if found != self.records {
            let last = found.last().cloned().unwrap();
            assert!(self.doubtful.contains(&last), "what a failed append left");
            self.records.push(last);
            self.doubtful.clear();
            assert_eq!(found, self.records);
        }
        self.journal = Some(recovered.journal);
        true
    }

    fn step(&mut self, step: Step) {
        let number = self.records.len() as u64 + 1;
        let outcome = match step {
            Step::Small => self.append(write(number)),
            // Four or so fill a segment; one in eight is larger than one.
            Step::Large => {
                let bytes = if number.is_multiple_of(8) { 9000 } else { 1000 };
                self.append(sized(number, bytes))
            }
            Step::Sync => self.sync(),
            Step::Compact(before) => self.compact(before),
            Step::Reopen => {
                self.journal = None;
                Ok(())
            }
            Step::Kill => {
                self.kill();
                Ok(())
            }
        };
        match outcome {
            Ok(()) | Err(Error::Io { .. }) => {}
            Err(Error::NoSpace { .. }) => self.refused += 1,
            // Nothing more can be done with this one.
            Err(Error::SyncFailed(_)) => self.kill(),
            Err(error) => panic!("{error}"),
        }
    }

    /// The journal's last words go nowhere.
    fn kill(&mut self) {
        if let Some(journal) = self.journal.take() {
            let disk = self.disk.clone();
            disk.halted(|| drop(journal));
        }
    }

    fn append(&mut self, record: Record) -> Result<(), Error> {
        self.note(Some(&record));
        let journal = self.journal.as_ref().unwrap();
        match journal.append(&record) {
            Ok(sequence) => {
                self.records.push(record);
                self.doubtful.clear();
                assert_eq!(sequence.0, self.records.len() as u64);
                Ok(())
            }
            Err(error) => {
                self.doubtful.push(record);
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        let journal = self.journal.as_ref().unwrap();
        journal.sync(journal.head())?;
        assert_eq!(journal.synced(), journal.head());
        self.durable = journal.head().0;
        Ok(())
    }

    /// The snapshot has the very records that it replaces: so what comes back is always a prefix.
    fn compact(&mut self, before: u64) -> Result<(), Error> {
        let journal = self.journal.as_ref().unwrap();
        let through = journal.synced().0.saturating_sub(before);
        let records = self.records[..through as usize].to_vec();
        match journal.compact(Sequence(through), &mut records.into_iter()) {
            Err(Error::Compacted { .. }) => Ok(()),
            other => other,
        }
    }

    fn note_at(&self, moment: &Moment) -> &Note {
        let known = |note: &&Note| note.operations <= moment.operations();
        self.notes.iter().rev().find(known).unwrap()
    }

    /// Kills and power cuts at every moment; returns how many.
    pub(crate) fn crash_everywhere(&self, cuts: u64) -> u64 {
        let mut crashes = 0;
        for moment in self.disk.moments() {
            let note = self.note_at(&moment);
            let context = format!("after {} operations", moment.operations());
            self.crash(
                note,
                |cut| match cut {
                    None => moment.after_kill(),
                    Some(seed) => moment.after_power_cut(seed),
                },
                cuts,
                &context,
            );
            crashes += 1 + cuts;
        }
        crashes
    }

    /// Kills and power cuts at the end.
    pub(crate) fn crash_at_the_end(&self, cuts: u64, context: &str) -> u64 {
        let note = self.notes.last().unwrap();
        self.crash(
            note,
            |cut| match cut {
                None => self.disk.after_kill(),
                Some(seed) => self.disk.after_power_cut(seed),
            },
            cuts,
            context,
        );
        1 + cuts
    }

    fn crash(&self, note: &Note, after: impl Fn(Option<u64>) -> SimDisk, cuts: u64, context: &str) {
        let known = Known {
            records: &self.records[..note.appended as usize],
            doubtful: &note.doubtful,
        };
        survive(&after(None), note.appended, known, context);
        for seed in 0..cuts {
            let context = format!("{context}, power cut {seed}");
            survive(&after(Some(seed)), note.durable, known, &context);
        }
    }
}

/// What a crash may show: any number of these, and after all of them one of those.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) records: &'a [Record],
    pub(crate) doubtful: &'a [Record],
}

impl Known<'_> {
    fn allows(self, found: &[Record]) -> bool {
        let more = found.strip_prefix(self.records);
        self.records.starts_with(found)
            || more.is_some_and(|more| more.len() == 1 && self.doubtful.contains(&more[0]))
    }
}

pub(crate) fn open(disk: &SimDisk) -> Result<Recovered, Error> {
    Journal::open_on(Arc::new(disk.clone()), smallest_segments())
}

pub(crate) fn flat(recovered: &Recovered) -> Vec<Record> {
    let records = recovered.records.iter();
    records.map(|(_, record)| record.clone()).collect()
}

/// The journal opens with at least `least` of what is known and nothing else; the same when it is opened
/// again; and it takes another record, which survives everything once it is synced.
pub(crate) fn survive(disk: &SimDisk, least: u64, known: Known<'_>, context: &str) {
    let recovered = match open(disk) {
        Ok(recovered) => recovered,
        Err(error) => panic!("{context}: {error}"),
    };
    let mut found = flat(&recovered);
    let count = found.len();
    assert!(
        known.allows(&found),
        "{context}: no prefix of what was appended"
    );
    assert!(
        count as u64 >= least,
        "{context}: {least} records are missing, {count} are left"
    );
    assert_eq!(recovered.journal.head().0, count as u64, "{context}");
    let report = verify_on(Arc::new(disk.clone())).unwrap();
    assert!(
        report.findings.is_empty(),
        "{context}: not mended: {:?}",
        report.findings
    );
    drop(recovered);

    let again = open(disk).unwrap_or_else(|error| panic!("{context}, again: {error}"));
    assert_eq!(flat(&again), found, "{context}: another time, another tale");
    let next = write(count as u64 + 1_000_000);
    let sequence = again.journal.append(&next).unwrap();
    assert_eq!(sequence.0, count as u64 + 1, "{context}");
    again.journal.sync(sequence).unwrap();
    found.push(next);
    let cut = disk.after_power_cut(count as u64);
    drop(again);
    let last = open(&cut).unwrap_or_else(|error| panic!("{context}, at last: {error}"));
    assert_eq!(flat(&last), found, "{context}: with another record");
}
