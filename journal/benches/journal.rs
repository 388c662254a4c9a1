//! How fast the journal is, beside how fast the disk lets anybody be.
//!
//! A program and not a set of closures: what is compared takes turns, round after round, so that a
//! machine that slows down slows down both. It prints the median of the rounds, and where one thread
//! does all of it also what a processor does that has nothing else to do. The files go to the folder
//! that `MESA_BENCH_FOLDER` names, or beside the other build products.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use journal::{Journal, NodeKind, Options, Path, Plan, Record, RenameMode, Time};

const ROUNDS: usize = 5;
const APPENDS: u64 = 200_000;
const RECOVERED: u64 = 1_000_000;
const COALESCED: u64 = 100_000;
/// How long each group size is measured in each round.
const GROUP_TIME: Duration = Duration::from_millis(500);
const GROUPS: [u64; 3] = [1, 8, 64];
/// What a record of [`record`] is on disk.
const FRAME_BYTES: usize = 96;

fn options() -> Options {
    Options {
        commit_interval: Duration::from_secs(3600),
        ..Options::default()
    }
}

fn record(number: u64) -> Record {
    // As long as paths are in source trees.
    let path = format!("src/component/module{:05}/file.rs", number % 100_000);
    Record::Write {
        path: Path(path.into_bytes()),
        inode: number,
        time: Time {
            seconds: 1_700_000_000,
            nanoseconds: 5,
        },
    }
}

/// Records in a second of each round.
#[derive(Default)]
struct Rates {
    elapsed: Vec<f64>,
    processor: Vec<f64>,
}

/// How long something took, and how much of it this thread had a processor.
struct Took {
    elapsed: Duration,
    processor: Duration,
}

impl Rates {
    fn add(&mut self, count: u64, took: Took) {
        self.elapsed.push(count as f64 / took.elapsed.as_secs_f64());
        self.processor
            .push(count as f64 / took.processor.as_secs_f64());
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Took) {
    let (start, processor) = (Instant::now(), on_processor());
    let result = act();
    let took = Took {
        elapsed: start.elapsed(),
        processor: on_processor() - processor,
    };
    (result, took)
}

/// How long this thread has had a processor, as the kernel counts.
fn on_processor() -> Duration {
    let counts = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counts.split(' ').next().unwrap().parse().unwrap())
}

/// A folder of this round, gone at its end.
fn with_folder<T>(parent: &FilePath, act: impl FnOnce(&FilePath) -> T) -> T {
    let folder = tempfile::tempdir_in(parent).unwrap();
    act(folder.path())
}

fn append(parent: &FilePath, journal_rates: &mut Rates, raw: &mut Rates) {
    let records: Vec<Record> = (1..=APPENDS).map(record).collect();
    with_folder(parent, |folder| {
        let journal = Journal::open(folder, options()).unwrap().journal;
        let ((), time) = timed(|| {
            for record in &records {
                journal.append(record).unwrap();
            }
        });
        journal_rates.add(APPENDS, time);
    });
    with_folder(parent, |folder| {
        let file = zero_filled(folder, APPENDS * FRAME_BYTES as u64);
        let frame = [7; FRAME_BYTES];
        let ((), time) = timed(|| {
            for number in 0..APPENDS {
                file.write_all_at(&frame, number * FRAME_BYTES as u64)
                    .unwrap();
            }
        });
        raw.add(APPENDS, time);
    });
}

fn zero_filled(folder: &FilePath, bytes: u64) -> File {
    let file = File::create(folder.join("raw")).unwrap();
    let zeroes = vec![0; 1 << 20];
    for at in (0..bytes).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, at).unwrap();
    }
    file.sync_all().unwrap();
    file
}

/// So many threads, each of which appends a record and waits until it is durable.
fn group(parent: &FilePath, waiters: u64, rates: &mut Rates) {
    with_folder(parent, |folder| {
        let journal = Journal::open(folder, options()).unwrap().journal;
        let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
        let ((), time) = timed(|| {
            thread::scope(|scope| {
                for waiter in 0..waiters {
                    let (journal, stop, count) = (&journal, &stop, &count);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            let sequence = journal.append(&record(waiter)).unwrap();
                            journal.sync(sequence).unwrap();
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                thread::sleep(GROUP_TIME);
                stop.store(true, Ordering::Relaxed);
            });
        });
        rates.add(count.into_inner(), time);
    });
}

/// What the disk does: so many frames in one write, and a sync.
fn raw_group(parent: &FilePath, frames: u64, rates: &mut Rates) {
    with_folder(parent, |folder| {
        let file = zero_filled(folder, 16 << 20);
        let bytes = vec![7; FRAME_BYTES * frames as usize];
        let (mut count, mut at) = (0, 0);
        let ((), time) = timed(|| {
            let start = Instant::now();
            while start.elapsed() < GROUP_TIME {
                file.write_all_at(&bytes, at).unwrap();
                file.sync_data().unwrap();
                count += frames;
                at = (at + bytes.len() as u64) % (15 << 20);
            }
        });
        rates.add(count, time);
    });
}

/// Opens the journal in `folder`; and reads the same files.
fn recover(folder: &FilePath, journal_rates: &mut Rates, raw: &mut Rates) {
    let (recovered, time) = timed(|| Journal::open(folder, options()).unwrap());
    assert_eq!(recovered.records.len() as u64, RECOVERED);
    journal_rates.add(RECOVERED, time);
    drop(recovered);
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    let (bytes, time) = timed(|| {
        files
            .iter()
            .map(|file| fs::read(file).unwrap().len())
            .sum::<usize>()
    });
    assert!(bytes as u64 >= RECOVERED * FRAME_BYTES as u64);
    raw.add(RECOVERED, time);
}

/// Editors and compilers at work: files made, written, moved over others and removed.
fn history() -> Vec<Record> {
    let time = Time::default();
    let path = |number: u64, suffix: &str| {
        Path(format!("src/d{}/f{number}{suffix}", number % 97).into_bytes())
    };
    (0..COALESCED)
        .map(|number| {
            let file = number / 5 % 9973;
            let kind = NodeKind::File;
            match number % 5 {
                0 | 1 => Record::Write {
                    path: path(file, ".new"),
                    inode: number,
                    time,
                },
                2 => Record::Rename {
                    from: path(file, ".new"),
                    to: path(file, ""),
                    kind,
                    mode: RenameMode::Replace {
                        replaced: Some(kind),
                    },
                    time,
                },
                3 => Record::Write {
                    path: path(file, ".o"),
                    inode: number,
                    time,
                },
                _ => Record::Remove {
                    path: path(file, ".o"),
                    kind,
                    time,
                },
            }
        })
        .collect()
}

fn coalesce(history: &[Record], rates: &mut Rates) {
    let (effects, time) = timed(|| {
        let mut plan = Plan::new();
        history.iter().for_each(|record| plan.push(record));
        plan.effects().len()
    });
    assert!(effects > 0);
    rates.add(COALESCED, time);
}

fn line(what: &str, rates: &[f64], raw: Option<&[f64]>) {
    let rate = median(rates);
    print!("{what:<44}{rate:>12.0} records/s");
    if let Some(raw) = raw.map(median) {
        print!("   the disk {raw:>12.0}, {:.2} of it", rate / raw);
    }
    println!();
}

/// What one thread does.
fn lines(what: &str, rates: &Rates, raw: Option<&Rates>) {
    line(what, &rates.elapsed, raw.map(|raw| &*raw.elapsed));
    let alone = format!("{what}, processor time");
    line(&alone, &rates.processor, raw.map(|raw| &*raw.processor));
}

fn main() {
    let parent = std::env::var_os("MESA_BENCH_FOLDER");
    let parent = parent.map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let long = tempfile::tempdir_in(&parent).unwrap();
    let journal = Journal::open(long.path(), options()).unwrap().journal;
    for number in 1..=RECOVERED {
        journal.append(&record(number)).unwrap();
    }
    drop(journal);
    let history = history();

    let mut appends: [Rates; 2] = Default::default();
    let mut groups: [[Rates; 2]; GROUPS.len()] = Default::default();
    let mut recoveries: [Rates; 2] = Default::default();
    let mut coalesced = Rates::default();
    for _ in 0..ROUNDS {
        let [journal, raw] = &mut appends;
        append(&parent, journal, raw);
        for (size, [journal, raw]) in GROUPS.into_iter().zip(&mut groups) {
            group(&parent, size, journal);
            raw_group(&parent, size, raw);
        }
        let [journal, raw] = &mut recoveries;
        recover(long.path(), journal, raw);
        coalesce(&history, &mut coalesced);
    }

    lines("append, no sync", &appends[0], Some(&appends[1]));
    for (size, [journal, raw]) in GROUPS.into_iter().zip(&groups) {
        let what = format!("append and sync, {size} at once");
        line(&what, &journal.elapsed, Some(&raw.elapsed));
    }
    lines(
        "recovery of a million",
        &recoveries[0],
        Some(&recoveries[1]),
    );
    lines("coalescing of 100,000", &coalesced, None);
    let gain = median(&groups[2][0].elapsed) / median(&groups[0][0].elapsed);
    println!("64 at once are {gain:.1} times as fast as one");
}
