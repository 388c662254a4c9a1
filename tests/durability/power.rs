//! Power cuts: the data directory is on a disk whose plug is pulled, by the call that ext4 and XFS
//! have for it, while a writer writes and pushes go on.
//!
//! What must be there: everything up to the last completed fsync of anything (a file, a directory,
//! an `O_SYNC` write), and everything older than the commit interval. What else is there is a first
//! part of the local history: names, kinds and permissions are exactly those after some operation at
//! or after that point, and each byte of a file is one that this file had at that point or later.
//!
//! Each round begins with a folder of the lower layer moved to where the writer works, so that files
//! are copied up, and synced or not, before the cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::disk::{Disk, Format};
use crate::support::fixture;
use crate::support::git::commit_all;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::syscall::refused;
use crate::support::world::World;
use crate::workload::{Dice, Model, Operation};
use crate::{Seed, variable};

const CUTS: u64 = 8;
/// The disk that fails: room for a journal and little else.
const FAILING_BYTES: u64 = 96 << 20;
const PATHS_MAX: usize = 90;
/// Files of the lower layer that a round begins with: from none to several pages.
const LOWER_BYTES: [usize; 8] = [0, 1, 100, 1_000, 4_096, 5_000, 8_192, 20_000];
const DEADLINE: Duration = Duration::from_secs(60);
/// Operations that a failure shows.
const SAID_MAX: usize = 40;
/// The commit interval of these tests.
const INTERVAL: &str = "200ms";
/// After this time an operation is older than the interval, also on a busy machine: bytes are synced
/// in rounds of an interval each, which themselves take time.
const OLD: Duration = Duration::from_millis(1_500);

/// What a writer did since its last durable point.
struct History {
    /// The tree at that point, and after each operation since.
    trees: Vec<(Model, Instant)>,
    /// An operation whose call failed: it may have happened in part.
    doubt: Option<Operation>,
    syncs: usize,
    /// Files that only the lower layer has, by where they were when the round began.
    lower: BTreeSet<PathBuf>,
    /// Files that were copied up since the last durable point, and before it.
    copied: usize,
    copied_durably: usize,
    /// The latest operations, for whoever looks into a failure.
    said: Vec<String>,
}

#[test]
fn what_was_synced_survives_power_cuts_on_ext4() {
    survives(Format::Ext4, 96 << 20);
}

#[test]
fn what_was_synced_survives_power_cuts_on_xfs() {
    // What mkfs.xfs takes for the least.
    survives(Format::Xfs, 320 << 20);
}

fn survives(format: Format, bytes: u64) {
    let cuts = variable("MESA_POWER_CUTS", CUTS);
    let seed = Seed {
        variable: "MESA_POWER_SEED",
        value: variable("MESA_POWER_SEED", 1),
    };
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &with_lower(source.path(), cuts))]);
    world.watch_for(Duration::from_secs(30) * u32::try_from(4 + cuts).unwrap());
    world.set("MESA_COMMIT_INTERVAL", INTERVAL);
    let Some(disk) = Disk::make(format, &world.data(), bytes) else {
        return;
    };
    world.mount();
    let root = world.repo("app").join("work");
    fs::create_dir(&root).unwrap();
    let mut dice = Dice::new(seed.value);
    let (mut syncs, mut survived, mut lost, mut copied) = (0, 0, 0, 0);
    for cut in 0..cuts {
        // In every third round nobody syncs, and time has to do it.
        let by_time = cut % 3 == 2;
        let history = History::begin(&root, cut);
        let history = write_until_cut(&mut world, &disk, &root, history, &mut dice, by_time);
        world.kill_daemon_hard();
        disk.unmount();
        disk.mount();
        world.mount();
        let rule = if by_time { "time" } else { "syncs" };
        let what = format!("{format:?}, cut {cut}, durable by {rule}");
        let kept = history.explain(&root, &what);
        syncs += history.syncs;
        survived += kept;
        lost += (history.trees.len() - 1).saturating_sub(kept);
        copied += history.copied_durably;
        // Pushing goes on from what is there.
        let whole = world.flush_and_compare("app");
        assert!(whole.0.contains_key(Path::new("README.md")), "{what}");
    }
    assert!(syncs > 0, "nothing was ever synced");
    assert!(copied > 0, "no copy of a lower file was ever synced");
    println!(
        "{format:?}: {cuts} cuts, {syncs} syncs with {copied} files copied up before; of what was \
         not synced {survived} operations survived and {lost} did not"
    );
}

/// A small repository with a folder for each round.
fn with_lower(folder: &Path, rounds: u64) -> PathBuf {
    let root = fixture::small(folder);
    for round in 0..rounds {
        let lower = root.join(format!("lower/{round}"));
        fs::create_dir_all(&lower).unwrap();
        for bytes in LOWER_BYTES {
            let name = format!("{bytes}");
            let seed = format!("{round} {name}");
            fs::write(lower.join(name), fixture::noise(&seed, bytes)).unwrap();
        }
    }
    commit_all(&root, "lower");
    root
}

/// A disk that fails while it is mounted: the fsync says so, and from then on nothing is pretended.
#[test]
fn a_disk_that_fails_turns_the_repository_read_only() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    let Some(disk) = Disk::make(Format::Ext4, &world.data(), FAILING_BYTES) else {
        return;
    };
    world.mount();
    let app = world.repo("app");
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    fs::write(app.join("durable"), "durable\n").unwrap();
    let file = File::options()
        .append(true)
        .open(app.join("durable"))
        .unwrap();
    file.sync_all().unwrap();
    (&file).write_all(b"and more\n").unwrap();
    disk.cut();
    refused(file.sync_all(), libc::EIO);
    refused(file.sync_all(), libc::EIO);
    refused((&file).write_all(b"too late\n"), libc::EROFS);
    refused(fs::create_dir(app.join("too-late")), libc::EROFS);
    refused(fs::remove_file(app.join("README.md")), libc::EROFS);
    let status = world.repo_status("app");
    assert_eq!(status["state"], "read-only");
    assert!(
        status["reason"].as_str().unwrap().contains("durable"),
        "{status}"
    );
    let text = run(&mut world.mesa(&["status"])).success().text();
    assert!(text.contains("read-only"), "{text}");
    drop(file);
    world.kill_daemon_hard();

    disk.unmount();
    disk.mount();
    world.mount();
    let kept = fs::read_to_string(app.join("durable")).unwrap();
    assert!(kept.starts_with("durable\n"), "{kept:?}");
    fs::write(app.join("again"), "again\n").unwrap();
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush_and_compare("app");
}

/// Writes until the plug is pulled.
fn write_until_cut(
    world: &mut World,
    disk: &Disk,
    root: &Path,
    mut history: History,
    dice: &mut Dice,
    by_time: bool,
) -> History {
    let (done, cut) = (AtomicUsize::new(0), AtomicBool::new(false));
    let goal = 20 + usize::try_from(dice.below(150)).unwrap();
    let start = Instant::now();
    let history = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while history.step(root, dice, by_time, &cut) {
                done.fetch_add(1, Ordering::SeqCst);
            }
            history
        });
        wait_until("enough operations", DEADLINE, || {
            let enough = done.load(Ordering::SeqCst) >= goal;
            writer.is_finished() || (enough && !(by_time && start.elapsed() < OLD * 2))
        });
        assert!(!writer.is_finished(), "the writer failed before the cut");
        cut.store(true, Ordering::SeqCst);
        disk.cut();
        let pulled = Instant::now();
        let mut history = writer.join().unwrap();
        if by_time {
            history.forget_before(pulled - OLD);
        }
        history
    });
    assert!(world.with_daemon(|daemon| !daemon.ends_within(Duration::ZERO)));
    history
}

impl History {
    /// Moves a folder of the lower layer below the root, and begins with what is there then.
    fn begin(root: &Path, round: u64) -> History {
        let lower = root.join(format!("lower-{round}"));
        fs::rename(root.join(format!("../lower/{round}")), &lower).unwrap();
        for folder in [root, &root.join("../lower")] {
            File::open(folder).unwrap().sync_all().unwrap();
        }
        let lower = LOWER_BYTES.map(|bytes| lower.join(format!("{bytes}")));
        let lower = lower
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().to_owned());
        History {
            trees: vec![(Model::read(root), Instant::now())],
            doubt: None,
            syncs: 0,
            lower: lower.collect(),
            copied: 0,
            copied_durably: 0,
            said: Vec::new(),
        }
    }

    fn now(&self) -> &Model {
        &self.trees.last().unwrap().0
    }

    /// One operation, and perhaps a sync; says whether both were acknowledged.
    fn step(&mut self, root: &Path, dice: &mut Dice, by_time: bool, cut: &AtomicBool) -> bool {
        let operation = self.now().next_within(PATHS_MAX, dice);
        let sync = if by_time { 0 } else { dice.below(24) };
        let synchronous = sync == 1 && matches!(operation, Operation::Write(..));
        let performed = match &operation {
            Operation::Write(path, offset, bytes) if synchronous => OpenOptions::new()
                .write(true)
                .custom_flags(if offset.is_multiple_of(2) {
                    libc::O_SYNC
                } else {
                    libc::O_DSYNC
                })
                .open(root.join(path))
                .and_then(|file| file.write_all_at(bytes, *offset)),
            other => other.perform(root),
        };
        if let Err(error) = performed {
            assert!(cut.load(Ordering::SeqCst), "{operation:?}: {error}");
            self.doubt = Some(operation);
            return false;
        }
        if let Operation::Write(path, ..) | Operation::Truncate(path, _) = &operation {
            let born = self.now().files().find(|(at, ..)| at == path);
            let born = born.map(|(_, born, _)| born.to_owned());
            self.copied += usize::from(born.is_some_and(|born| self.lower.remove(&born)));
        }
        let shown = format!("{operation:?}");
        self.said.push(shown.chars().take(160).collect());
        if self.said.len() > SAID_MAX {
            self.said.remove(0);
        }
        let mut model = self.now().clone();
        model.apply(&operation);
        self.trees.push((model, Instant::now()));
        if synchronous {
            self.is_durable();
        } else if sync == 2 || sync == 3 {
            let path = match &operation {
                Operation::Create(path) | Operation::Write(path, ..) if sync == 3 => path.clone(),
                _ => PathBuf::new(),
            };
            match File::open(root.join(path)).and_then(|file| file.sync_all()) {
                Ok(()) => self.is_durable(),
                Err(error) => {
                    assert!(cut.load(Ordering::SeqCst), "fsync: {error}");
                    return false;
                }
            }
        }
        // The rounds that are to last do not need millions of operations.
        if by_time {
            std::thread::yield_now();
            wait_until("time", DEADLINE, || {
                self.trees.last().unwrap().1.elapsed() > Duration::from_millis(3)
            });
        }
        true
    }

    fn is_durable(&mut self) {
        self.trees.drain(..self.trees.len() - 1);
        self.syncs += 1;
        self.copied_durably += std::mem::take(&mut self.copied);
    }

    /// What is older than this must have become durable by itself.
    fn forget_before(&mut self, time: Instant) {
        let old = self.trees.iter().rposition(|(_, at)| *at <= time);
        self.trees.drain(..old.expect("nothing is old enough"));
        assert!(self.trees.len() > 1, "nothing is young enough");
        self.syncs += 1;
    }

    /// Checks that a tree is one of this history, and says how many operations after the durable
    /// point it has.
    fn explain(&self, root: &Path, what: &str) -> usize {
        let mounted = Model::read(root);
        let mut trees: Vec<Model> = self.trees.iter().map(|(model, _)| model.clone()).collect();
        if let Some(doubt) = &self.doubt {
            let mut model = self.now().clone();
            model.apply(doubt);
            trees.push(model);
        }
        let kept = trees
            .iter()
            .rposition(|model| model.shape() == mounted.shape());
        let Some(kept) = kept else {
            let nearest = trees.last().unwrap().shape();
            panic!(
                "{what}: mounted is no tree since the last sync, nor with {:?}; mounted (left) and the \
                 last one (right): {}; the last operations: {:?}",
                self.doubt,
                mounted.shape().difference(&nearest).unwrap(),
                self.said
            );
        };
        let mut versions: BTreeMap<&Path, Vec<&Vec<u8>>> = BTreeMap::new();
        for tree in &trees {
            for (_, born, bytes) in tree.files() {
                let of_file = versions.entry(born).or_default();
                if of_file.last() != Some(&bytes) {
                    of_file.push(bytes);
                }
            }
        }
        for (path, born, _) in trees[kept].files() {
            let found = fs::read(root.join(path)).unwrap();
            let versions = &versions[born];
            if let Err(wrong) = is_of(&found, versions) {
                panic!(
                    "{what}: {path:?}, made at {born:?}, {wrong}, in none of {} versions of {:?} \
                     bytes; the last operations: {:?}",
                    versions.len(),
                    versions.iter().map(|bytes| bytes.len()).collect::<Vec<_>>(),
                    self.said
                );
            }
        }
        kept
    }
}

/// Whether every byte is of some version.
fn is_of(found: &[u8], versions: &[&Vec<u8>]) -> Result<(), String> {
    let shortest = versions.iter().map(|bytes| bytes.len()).min().unwrap();
    let longest = versions.iter().map(|bytes| bytes.len()).max().unwrap();
    if found.len() < shortest || found.len() > longest {
        return Err(format!("has {} bytes", found.len()));
    }
    for (at, byte) in found.iter().enumerate() {
        let known = versions.iter().any(|bytes| match bytes.get(at) {
            Some(one) => one == byte,
            // Not yet written then: a hole.
            None => *byte == 0,
        });
        if !known {
            return Err(format!("has {byte:#x} at {at}"));
        }
    }
    Ok(())
}
