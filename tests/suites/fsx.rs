//! fsx: one file, thousands of operations by chance, each compared with what must be there; on files
//! that begin empty and files that begin in the lower layer, and with a kill -9 between two runs.
//!
//! The same seed on the machine's own file system gives the bytes that a run must have left. So the end
//! of every run is compared as well: at once, after a kill, and with what Git has after a flush.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::judge::Judge;
use crate::support::fixture::noise;
use crate::support::git::initialise;
use crate::support::process::{Finished, run_within};
use crate::support::tree::Entry;
use crate::support::world::World;
use crate::tools::FSX;
use crate::variable;

/// Seeds of a run, unless `MESA_FSX_SEEDS` says how many: 42 is one at which a peer's file system lost
/// what was written.
const SEEDS: [u64; 10] = [42, 1, 2, 3, 4, 5, 6, 7, 8, 9];
/// Operations with each seed, unless `MESA_FSX_OPS` says otherwise.
///
/// fsx 0.3.2 leaves mapped whatever it reads through a map, so that each operation takes longer than the one
/// before, and after 65,530 of these the kernel gives it no more. A million operations are 200 seeds of
/// 5,000.
const OPERATIONS: u64 = 20_000;
const OPERATIONS_MAX: u64 = 200_000;
/// After so many seeds a long run says how far it is.
const SEEDS_SHOWN: usize = 100;
/// What part of them is done before a kill, and after it.
const PART: u64 = 4;
/// From the seed before a kill to the one after it: more than a long run has seeds.
const OTHER: u64 = 1_000_000;
/// A thousand operations take at most this long on a machine that does much else.
const DEADLINE_PER_THOUSAND: Duration = Duration::from_secs(8);
/// The largest file, and the size of those that keep theirs.
const FILE_BYTES: usize = 256 << 10;

/// Everything at once. The file is mapped, written through the map, and not always synced after.
const ALL: &str = "
flen = 262144
nomsyncafterwrite = true
[weights]
close_open = 1.0
invalidate = 1.0
mapread = 10.0
mapwrite = 10.0
read = 10.0
write = 10.0
truncate = 5.0
fsync = 0.1
fdatasync = 0.1
posix_fallocate = 2.0
punch_hole = 2.0
sendfile = 2.0
posix_fadvise = 1.0
copy_file_range = 2.0
";

/// What leaves the size as it is: so fsx does not begin with a truncation to nothing, and writes into
/// the file of the lower layer.
const IN_PLACE: &str = "
flen = 262144
blockmode = true
nomsyncafterwrite = true
[weights]
invalidate = 1.0
mapread = 10.0
mapwrite = 10.0
read = 10.0
write = 10.0
truncate = 0.0
fsync = 0.1
fdatasync = 0.1
punch_hole = 2.0
sendfile = 2.0
posix_fadvise = 1.0
copy_file_range = 2.0
";

/// How a file begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Made by fsx.
    Empty,
    /// In the lower layer, and cut to nothing when it is opened.
    Cut,
    /// In the lower layer, and written into.
    Whole,
}

impl Begin {
    fn configuration(self) -> &'static str {
        match self {
            Begin::Empty | Begin::Cut => ALL,
            Begin::Whole => IN_PLACE,
        }
    }
}

/// Bytes by configuration, seed and number of operations.
type Known = BTreeMap<(&'static str, u64, u64), Arc<Vec<u8>>>;

/// What seeds leave: it does not depend on where.
static LEFT: Mutex<Known> = Mutex::new(Known::new());

/// A mounted repository with a file for each seed.
struct Bench {
    world: World,
    seeds: Vec<u64>,
    operations: u64,
}

impl Bench {
    fn new(begin: Begin) -> Bench {
        let count = usize::try_from(variable("MESA_FSX_SEEDS", SEEDS.len() as u64)).unwrap();
        let seeds: Vec<u64> = SEEDS.into_iter().chain(100..).take(count).collect();
        let operations = variable("MESA_FSX_OPS", OPERATIONS);
        assert!(operations <= OPERATIONS_MAX, "more than fsx can do");
        let source = tempfile::tempdir().unwrap();
        let root = source.path().join("app");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("README.md"), "files for fsx\n").unwrap();
        if begin != Begin::Empty {
            for seed in &seeds {
                let name = format!("seed-{seed}");
                fs::write(root.join(&name), noise(&name, FILE_BYTES)).unwrap();
            }
        }
        initialise(&root);
        let mut world = World::serve(&[("app", &root)]);
        let rounds = 3 * u32::try_from(count).unwrap() + 2;
        world.watch_for(deadline(operations) * rounds);
        // A long run outlives the token that a world begins with, and pushes at its end.
        world.token = world.mint("24h", &["app"]);
        world.mount();
        Bench {
            world,
            seeds,
            operations,
        }
    }

    fn mounted(&self, seed: u64) -> PathBuf {
        self.world.repo("app").join(format!("seed-{seed}"))
    }

    /// Runs fsx on a file of the mount, compares what it left there, and gives that.
    fn run(&self, begin: Begin, file: u64, seed: u64) -> Arc<Vec<u8>> {
        self.fsx(begin, &self.mounted(file), seed);
        let left = self.left(begin, seed);
        self.compare(file, &left, "at once");
        left
    }

    /// What the same seed leaves outside of the mount.
    fn left(&self, begin: Begin, seed: u64) -> Arc<Vec<u8>> {
        let key = (begin.configuration(), seed, self.operations);
        if let Some(left) = LEFT.lock().unwrap().get(&key) {
            return Arc::clone(left);
        }
        let outside = self.world.folder().join("outside");
        if begin == Begin::Whole {
            fs::write(&outside, noise("anything", FILE_BYTES)).unwrap();
        }
        self.fsx(begin, &outside, seed);
        let left = Arc::new(fs::read(outside).unwrap());
        LEFT.lock().unwrap().insert(key, Arc::clone(&left));
        left
    }

    fn fsx(&self, begin: Begin, file: &Path, seed: u64) {
        let artifacts = tempfile::tempdir_in(self.world.folder()).unwrap();
        let configuration = artifacts.path().join("fsx.toml");
        fs::write(&configuration, begin.configuration()).unwrap();
        let mut fsx = FSX.command(&self.world);
        fsx.args(["-N", &self.operations.to_string()]);
        fsx.args(["-S", &seed.to_string()]);
        fsx.arg("-f").arg(&configuration);
        fsx.arg("-P").arg(artifacts.path()).arg(file);
        let finished = run_within(&mut fsx, deadline(self.operations));
        if !allocated_nothing(&finished) {
            let finished = finished.success();
            assert_eq!(finished.text(), "All operations completed A-OK!");
        }
    }

    #[track_caller]
    fn compare(&self, file: u64, expected: &[u8], when: &str) {
        let found = fs::read(self.mounted(file)).unwrap();
        assert_eq!(found.len(), expected.len(), "size of {file} {when}");
        let mut pairs = found.iter().zip(expected);
        let differs = pairs.position(|(one, other)| one != other);
        assert_eq!(differs, None, "the first wrong byte of {file} {when}");
    }

    /// Flushes, judges, and compares what Git has.
    fn end(self, judge: Judge, suite: &str, expected: &BTreeMap<u64, Arc<Vec<u8>>>) {
        self.world.flush();
        let remote = self.world.remote_tree("app");
        for (seed, bytes) in expected {
            let name = format!("seed-{seed}");
            let entry = &remote.0[Path::new(&name)];
            assert_eq!(*entry, Entry::file(bytes, false), "{name} in the remote");
        }
        judge.judge(&self.world, suite);
    }
}

/// Whether chance had fsx allocate no bytes, which every file system refuses (EINVAL), and fsx takes as the
/// end: once in a million operations. What it has done until then is to be compared all the same.
fn allocated_nothing(finished: &Finished) -> bool {
    let errors = finished.errors();
    let last = errors.lines().last().unwrap_or_default();
    errors.starts_with("Test file system does not support posix_fallocate.")
        && last.contains(" POSIX_FALLOCATE ")
        && last.ends_with("(    0x0 bytes)")
}

fn deadline(operations: u64) -> Duration {
    DEADLINE_PER_THOUSAND * u32::try_from(operations.div_ceil(1000) + 5).unwrap()
}

/// Every seed, one after the other.
fn suite(name: &str, begin: Begin) {
    let bench = Bench::new(begin);
    let judge = Judge::before(&bench.world);
    let start = Instant::now();
    let mut expected = BTreeMap::new();
    for (number, seed) in bench.seeds.iter().enumerate() {
        expected.insert(*seed, bench.run(begin, *seed, *seed));
        if (number + 1) % SEEDS_SHOWN == 0 {
            eprintln!("{name}: {} seeds after {:.0?}", number + 1, start.elapsed());
        }
    }
    println!(
        "fsx 0.3.2, {name}: {} seeds ({:?}) of {} operations completed A-OK in {:.0?}",
        bench.seeds.len(),
        bench.seeds,
        bench.operations,
        start.elapsed()
    );
    bench.end(judge, &format!("fsx, {name}"), &expected);
}

#[test]
fn files_that_begin_empty() {
    suite("files that begin empty", Begin::Empty);
}

#[test]
fn files_of_the_lower_layer_that_are_cut() {
    suite("files of the lower layer, cut", Begin::Cut);
}

#[test]
fn files_of_the_lower_layer_that_are_written_into() {
    suite("files of the lower layer, written into", Begin::Whole);
}

#[test]
fn a_kill_between_two_runs_takes_no_byte() {
    let mut bench = Bench::new(Begin::Cut);
    bench.operations /= PART;
    let mut expected = BTreeMap::new();
    let start = Instant::now();
    for (number, seed) in bench.seeds.clone().into_iter().enumerate() {
        let other = seed + OTHER;
        for run in [seed, other] {
            let left = bench.run(Begin::Cut, seed, run);
            bench.world.kill_daemon_hard();
            bench.world.mount();
            bench.compare(seed, &left, "after a kill");
            expected.insert(seed, left);
        }
        if (number + 1) % SEEDS_SHOWN == 0 {
            eprintln!(
                "with kills: {} seeds after {:.0?}",
                number + 1,
                start.elapsed()
            );
        }
    }
    println!(
        "fsx 0.3.2, a kill -9 after each run: {} seeds, 2 runs of {} operations each on one file, no \
         byte lost, in {:.0?}",
        bench.seeds.len(),
        bench.operations,
        start.elapsed()
    );
    let judge = Judge::before(&bench.world);
    bench.end(judge, "fsx with kills", &expected);
}
