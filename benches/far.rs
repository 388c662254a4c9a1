//! Whether writing depends on the line: the same work on mounts whose server is here, 200 ms away, and
//! gone, in turns.
//!
//! Edits are pushed while the work goes on, as with users. What was written is compared by its hash, and,
//! where there is a server, what was pushed with it. Figures are medians of five turns (or of as many as the
//! first argument says), and ratios to the server that is here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails is no measurement"
)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::disk::Ground;
use crate::support::fixture::{self, noise};
use crate::support::line::Line;
use crate::support::process::{run, run_within};
use crate::support::tree;
use crate::support::world::World;

#[path = "../tests/support/mod.rs"]
mod support;

const FILES: usize = 2_000;
const FILE_BYTES: usize = 6_000;
const SAVES: usize = 500;
const APPENDS: usize = 200;
const DISK_BYTES: u64 = 8 << 30;
const DEADLINE: Duration = Duration::from_secs(600);

/// Where the server is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Server {
    Here,
    Far,
    Gone,
}

impl Server {
    const ALL: [Server; 3] = [Server::Here, Server::Far, Server::Gone];

    fn round_trip(self) -> Duration {
        Duration::from_millis(if self == Server::Far { 200 } else { 0 })
    }
}

type Work = fn(&Path, &Path);

const WORK: [(&str, Work); 4] = [
    ("untar, 2,000 files", untar),
    ("create 2,000", create),
    ("500 editor saves", save),
    ("200 appends with fsync", append),
];

type Times = BTreeMap<(&'static str, Server), Vec<Duration>>;

fn main() {
    // `cargo bench` says `--bench` as well.
    let turns = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let ground = Ground::make(DISK_BYTES);
    if let Some(ground) = &ground {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var("TMPDIR", ground.path()) };
    }
    let source = tempfile::tempdir().unwrap();
    let repository = fixture::small(source.path());
    let archive = archive(source.path());
    let mut times = Times::new();
    for _ in 0..turns.unwrap_or(5) {
        let hashes = Server::ALL.map(|server| turn(server, &repository, &archive, &mut times));
        assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    }
    println!("| work | server here, ms | 200 ms away | gone |");
    println!("| --- | --- | --- | --- |");
    for (name, _) in WORK {
        let [here, far, gone] = Server::ALL.map(|server| {
            let mut all = times[&(name, server)].clone();
            all.sort_unstable();
            all[all.len() / 2].as_secs_f64()
        });
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} |",
            here * 1e3,
            far / here,
            gone / here
        );
    }
}

/// All the work on a new mount; gives the hash of what was written.
fn turn(server: Server, repository: &Path, archive: &Path, times: &mut Times) -> blake3::Hash {
    let mut world = World::serve(&[("app", repository)]);
    world.watch_for(DEADLINE);
    let line = Line::start(world.server_address(), server.round_trip());
    // Of a server that is gone a call is refused; the line would take it, and say nothing.
    if server != Server::Gone {
        world.set("MESA_API_URL", &format!("http://{}/v1", line.address()));
    }
    world.mount();
    let app = world.repo("app");
    world.local_tree("app");
    if server == Server::Gone {
        world.stop_server();
    }
    let folder = app.join("written");
    fs::create_dir(&folder).unwrap();
    for (name, work) in WORK {
        nix::unistd::sync();
        let begun = Instant::now();
        work(&folder, archive);
        times
            .entry((name, server))
            .or_default()
            .push(begun.elapsed());
    }
    if server == Server::Gone {
        world.start_server();
    }
    let mut flush = world.mesa(&["journal", "flush", "--timeout", "10m"]);
    run_within(&mut flush, DEADLINE).success();
    world.flush_and_compare("app");
    let hash = tree::hash_all(&folder);
    world.unmount("10s").success();
    hash
}

fn untar(folder: &Path, archive: &Path) {
    let mut tar = Command::new("tar");
    let tar = tar.arg("-x").arg("-f").arg(archive).arg("-C").arg(folder);
    run(tar).success();
}

fn create(folder: &Path, _: &Path) {
    fs::create_dir(folder.join("created")).unwrap();
    for number in 0..FILES {
        fs::write(folder.join(format!("created/{number}")), "a line\n").unwrap();
    }
}

/// As editors do: beside the file, synced, and over it.
fn save(folder: &Path, _: &Path) {
    let (place, aside) = (folder.join("saved"), folder.join("saved.tmp"));
    for number in 0..SAVES {
        let mut file = File::create(&aside).unwrap();
        file.write_all(format!("text {number}\n").repeat(100).as_bytes())
            .unwrap();
        file.sync_all().unwrap();
        fs::rename(&aside, &place).unwrap();
    }
}

fn append(folder: &Path, _: &Path) {
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true);
    let mut file = options.open(folder.join("log")).unwrap();
    for number in 0..APPENDS {
        file.write_all(format!("event {number}\n").as_bytes())
            .unwrap();
        file.sync_data().unwrap();
    }
}

fn archive(folder: &Path) -> std::path::PathBuf {
    let files = folder.join("unpacked");
    for number in 0..FILES {
        let below = files.join(format!("folder-{}", number / 50));
        fs::create_dir_all(&below).unwrap();
        let bytes = noise(&format!("file {number}"), FILE_BYTES);
        fs::write(below.join(format!("file-{number}")), bytes).unwrap();
    }
    let archive = folder.join("archive.tar");
    let mut tar = Command::new("tar");
    let tar = tar.arg("-c").arg("-f").arg(&archive).arg("-C").arg(folder);
    run(tar.arg("unpacked")).success();
    archive
}
