//! stress-ng's stressors of file systems, each checking what it did, and dbench.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::judge::Judge;
use crate::support::fixture;
use crate::support::process::run_within;
use crate::support::world::World;
use crate::tools::{DBENCH, STRESS_NG, let_others_through};
use crate::variable;

/// What stress-ng does to the mount, each for as long, one after the other.
const STRESSORS: [&str; 13] = [
    "rename",
    "link",
    "symlink",
    "dir",
    "dentry",
    "hdd",
    "mmap",
    "flock",
    "fcntl",
    "xattr",
    "chmod",
    "utime",
    "fallocate",
];
/// Seconds for all of them, unless `MESA_STRESS_SECONDS` says otherwise.
const SECONDS: u64 = 65;
/// Processes of each stressor.
const WORKERS: &str = "2";
/// How long dbench runs, after a warm-up of a fifth of that which it does by itself.
const DBENCH_SECONDS: &str = "8";
/// Whatever they clean up.
const AFTERWARDS: Duration = Duration::from_secs(120);

fn mounted() -> World {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    let seconds = 2 * variable("MESA_STRESS_SECONDS", SECONDS);
    world.watch_for(Duration::from_secs(seconds) + 3 * AFTERWARDS);
    world.set("MESA_ALLOW_OTHER", "true");
    let_others_through(world.folder());
    world.mount();
    world
}

#[test]
fn stress_ng_finds_everything_as_it_left_it() {
    let world = mounted();
    let folder = world.repo("app").join("src/deep");
    let each = (variable("MESA_STRESS_SECONDS", SECONDS) / STRESSORS.len() as u64).max(1);
    // As for dbench.
    for stressor in STRESSORS {
        stress(&world, &folder, stressor, 1);
    }
    let judge = Judge::before(&world);
    for stressor in STRESSORS {
        let operations = stress(&world, &folder, stressor, each);
        assert!(operations > 0, "{stressor} did nothing");
        println!("stress-ng --verify, {stressor} for {each} s: {operations} operations");
    }
    judge.judge(&world, "stress-ng");
}

/// Runs one stressor, and gives how often it did what it does.
fn stress(world: &World, folder: &Path, stressor: &str, seconds: u64) -> u64 {
    let mut stress = STRESS_NG.command(world);
    stress.args(["--verify", "--metrics-brief"]);
    stress.args(["--timeout", &format!("{seconds}s")]);
    stress.args([format!("--{stressor}"), WORKERS.to_owned()]);
    stress.args(more(stressor)).arg("--temp-path").arg(folder);
    let finished = run_within(&mut stress, AFTERWARDS).success();
    let said = format!("{}\n{}", finished.text(), finished.errors());
    for bad in ["fail:", "error:", "skipped"] {
        assert!(!said.contains(bad), "{said}");
    }
    operations(&said, stressor)
}

/// What makes some come around often.
fn more(stressor: &str) -> &'static [&'static str] {
    match stressor {
        "hdd" => &["--hdd-bytes", "16m"],
        "mmap" => &["--mmap-bytes", "4m", "--mmap-file"],
        "fallocate" => &["--fallocate-bytes", "8m"],
        // One of its operations is 4,096 attributes, made, replaced, read and listed: no matter of time.
        "xattr" => &["--xattr-ops", "2", "--timeout", "60s"],
        _ => &[],
    }
}

/// The count in the line of the metrics: `metrc: [PID] NAME COUNT ...`.
fn operations(said: &str, stressor: &str) -> u64 {
    let lines = said.lines().filter_map(|line| line.split_once("] "));
    let found = lines.filter_map(|(_, rest)| {
        let mut words = rest.split_whitespace();
        (words.next() == Some(stressor)).then(|| words.next()?.parse().ok())?
    });
    found.max().unwrap_or(0)
}

#[test]
fn dbench_runs_to_its_end() {
    let world = mounted();
    let folder = world.repo("app").join("bench");
    fs::create_dir(&folder).unwrap();
    // The first run brings what stays for the next one: caches, and memory that was freed.
    dbench(&world, &folder);
    let judge = Judge::before(&world);
    println!("dbench: {}", dbench(&world, &folder));
    judge.judge(&world, "dbench");
}

/// Runs it, and gives its closing line.
fn dbench(world: &World, folder: &Path) -> String {
    let mut dbench = DBENCH.command(world);
    dbench.args(["--timelimit", DBENCH_SECONDS, "--xattr", "--stat-check"]);
    dbench.arg("--directory").arg(folder).arg(WORKERS);
    let finished = run_within(&mut dbench, AFTERWARDS).success();
    let text = finished.text();
    let line = text.lines().find(|line| line.starts_with("Throughput"));
    line.unwrap_or_else(|| panic!("{finished}")).to_owned()
}
