//! A mount and ext4, side by side.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::others::{self, meddle};
use crate::shared;
use crate::show::{agrees, everything};
use crate::support::disk::{Disk, Format};
use crate::support::fixture::noise;
use crate::support::git::initialise;
use crate::support::leaks::Leaks;
use crate::support::process::run;
use crate::support::syscall::{set_times, space};
use crate::support::tree::Entry;
use crate::support::world::World;
use crate::worker::{Report, Task};

/// Processes at once.
const WORKERS: u64 = 3;
/// Calls of each, unless `MESA_DIFFERENTIAL_OPS` says otherwise.
const CALLS: u64 = 5_000;
/// The time of the commit, which files of the lower layer show.
const COMMIT_TIME: i64 = 1_767_323_045;
/// What `statfs` says of ext4.
const EXT4: i64 = 0xEF53;
/// Where the temporary folder is not on ext4, both sides are on one of this size.
const DISK_BYTES: u64 = 1 << 30;
/// One seed takes seconds.
const DEADLINE: Duration = Duration::from_secs(240);
const TEST: &str = "two::every_call_has_the_same_outcome_as_on_ext4";

#[test]
fn every_call_has_the_same_outcome_as_on_ext4() {
    if let Some(task) = Task::of_this_process() {
        return task.perform();
    }
    let first = variable("MESA_DIFFERENTIAL_SEED", 1);
    for seed in first..first + variable("MESA_DIFFERENTIAL_SEEDS", 1) {
        one_seed(seed);
    }
}

fn variable(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        Err(_) => otherwise,
    }
}

/// What is there before the first call; the same for each worker.
fn build(root: &Path) {
    for worker in 0..WORKERS {
        let folder = root.join(format!("worker-{worker}"));
        for (path, size) in [
            ("a", 20_000),
            ("b/a", 100),
            ("b/c", 60_000),
            ("lower/a/b", 3_000),
            ("lower/a/c", 0),
            ("lower/b/d", 5_000),
            ("lower/e", 1),
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, noise("lower", size)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(folder.join("lower/e"), Permissions::from_mode(0o755)).unwrap();
        symlink("lower", folder.join("d")).unwrap();
    }
    fs::create_dir(root.join(shared::FOLDER)).unwrap();
    fs::write(root.join(shared::FOLDER).join("log"), "").unwrap();
}

/// The same on ext4, with the modes and times that a mount shows.
fn build_on_ext4(root: &Path) {
    fs::create_dir(root).unwrap();
    build(root);
    let mut paths = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            let entries = fs::read_dir(&path).unwrap();
            paths.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    let time = COMMIT_TIME * 1_000_000_000;
    for path in paths.iter().rev() {
        set_times(path, time, time).unwrap();
    }
}

fn one_seed(seed: u64) {
    println!("seed {seed}");
    let source = tempfile::tempdir().unwrap();
    let repository = source.path().join("app");
    fs::create_dir(&repository).unwrap();
    build(&repository);
    initialise(&repository);
    let mut world = World::serve(&[("app", &repository)]);
    world.watch_for(DEADLINE);
    let ext4 = if space(world.folder()).f_type == EXT4 {
        world.folder().join("ext4")
    } else if Disk::make(Format::Ext4, &world.data(), DISK_BYTES).is_some() {
        world.data().join("ext4")
    } else {
        return;
    };
    world.mount();
    build_on_ext4(&ext4);
    let mounted = world.repo("app");
    fs::read_dir(&mounted).unwrap().count();
    // So that there is a change that others can edit.
    fs::write(mounted.join("first"), "the first edit\n").unwrap();
    world.flush();
    let leaks = Leaks::before(&world);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let start = i64::try_from(now.as_secs()).unwrap() - 1;

    let tasks = |base: &Path| -> Vec<Task> {
        let name = base.file_name().unwrap().display();
        let task = |worker| Task {
            base: base.to_owned(),
            report: world.folder().join(format!("report-{name}-{worker}")),
            worker,
            seed,
            calls: variable("MESA_DIFFERENTIAL_OPS", CALLS),
            start,
        };
        (0..WORKERS).map(task).collect()
    };
    let done = AtomicBool::new(false);
    let (on_mount, edits) = thread::scope(|scope| {
        let others = scope.spawn(|| meddle(&world, &repository, &done));
        let reports = at_once(&tasks(&mounted));
        done.store(true, Ordering::SeqCst);
        (reports, others.join().unwrap())
    });
    let on_ext4 = at_once(&tasks(&ext4));
    compare(seed, &on_mount, &on_ext4);
    let calls: usize = on_mount.iter().map(|report| report.lines.len()).sum();
    let refused = on_mount.iter().flat_map(|report| &report.lines);
    let refused = refused.filter(|line| line.contains(" = E")).count();

    for (base, reports) in [(&mounted, &on_mount), (&ext4, &on_ext4)] {
        let workers: Vec<(u64, u64)> = reports.iter().map(|report| report.shared).collect();
        shared::check(base, &workers);
    }
    let expected = own(&ext4, start);
    same(seed, &own(&mounted, start), &expected, "at the end");
    world.flush();
    leaks.assert_none(&world);
    world.kill_daemon_hard();
    world.mount();
    fs::read_dir(&mounted).unwrap().count();
    same(seed, &own(&mounted, start), &expected, "after a kill");
    remote_is_the_mount(&world);
    println!(
        "seed {seed}: {calls} calls of {WORKERS} processes, {refused} of them refused, {} paths at the \
         end, all as on ext4; meanwhile {} moves of the bookmark, {} branches, {} edits of our change",
        expected.len(),
        edits[0],
        edits[1],
        edits[2]
    );
}

/// Runs all of them at once, to the end.
fn at_once(tasks: &[Task]) -> Vec<Report> {
    let mut workers: Vec<_> = tasks.iter().map(|task| task.start(TEST)).collect();
    for worker in &mut workers {
        assert!(worker.wait().unwrap().success(), "a worker failed");
    }
    tasks.iter().map(Task::report).collect()
}

/// Line by line; what came before the first that differs is shown.
#[track_caller]
fn compare(seed: u64, on_mount: &[Report], on_ext4: &[Report]) {
    for (worker, (mount, ext4)) in on_mount.iter().zip(on_ext4).enumerate() {
        let mut pairs = mount.lines.iter().zip(&ext4.lines);
        let Some(differs) = pairs.position(|(ours, theirs)| !agrees(ours, theirs)) else {
            assert_eq!(mount.lines.len(), ext4.lines.len());
            continue;
        };
        let before = mount.lines[differs.saturating_sub(25)..differs].join("\n");
        panic!(
            "seed {seed}, worker {worker}: call {differs} differs\n{before}\nmount: {}\next4:  {}",
            mount.lines[differs], ext4.lines[differs]
        );
    }
}

/// Everything below the folders of the workers.
fn own(base: &Path, start: i64) -> BTreeMap<PathBuf, String> {
    let folders = (0..WORKERS).map(|worker| PathBuf::from(format!("worker-{worker}")));
    let found = folders.flat_map(|folder| {
        let below = everything(&base.join(&folder), start);
        below
            .into_iter()
            .map(move |(path, line)| (folder.join(path), line))
    });
    found.collect()
}

#[track_caller]
fn same(
    seed: u64,
    found: &BTreeMap<PathBuf, String>,
    expected: &BTreeMap<PathBuf, String>,
    when: &str,
) {
    let paths = found.keys().chain(expected.keys());
    for path in paths {
        let (ours, theirs) = (found.get(path), expected.get(path));
        assert!(
            ours.zip(theirs)
                .is_some_and(|(ours, theirs)| agrees(ours, theirs)),
            "seed {seed}, {when}: {path:?}\nmount: {ours:?}\next4:  {theirs:?}"
        );
    }
}

/// The remote has what is mounted, what others wrote beside it, and no conflict.
fn remote_is_the_mount(world: &World) {
    world.flush();
    let mut local = world.local_tree("app");
    local.0.retain(|_, entry| *entry != Entry::Other);
    let mut remote = world.remote_tree("app");
    let theirs = |path: &PathBuf| path.starts_with(others::FOLDER);
    assert!(remote.0.keys().any(theirs), "nobody else edited our change");
    remote.0.retain(|path, _| !theirs(path));
    remote.assert_equals(&local, "remote (left) and mount (right)");
    assert_eq!(world.repo_status("app")["conflicts"], 0);
    run(&mut world.mesa(&["journal", "verify"])).success();
}
