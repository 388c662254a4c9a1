//! How long edits take to the server, beside `git push` of the same to the same server: a burst of small
//! files, and one large file.
//!
//! Ours is the time of `mesa journal flush` once pushing is released, of what was written before; Git's
//! that of `git push` alone, of what was added and committed before, which the mount does not need. The
//! content is the server's once either returns. By turns, with new content each time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails is no measurement"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::fixture::{self, noise};
use crate::support::git::git_text;
use crate::support::process::{run, run_within};
use crate::support::world::World;

#[path = "../tests/support/mod.rs"]
mod support;

/// Turns of each, of which the middle one counts.
const TURNS: usize = 3;
const FILES: usize = 2_000;
const FILE_BYTES: usize = 6_000;
const LARGE_BYTES: usize = 1 << 30;
const DEADLINE: Duration = Duration::from_secs(600);

/// What is pushed.
#[derive(Clone, Copy)]
enum What {
    Burst,
    Large,
}

impl What {
    fn write(self, folder: &Path, seed: &str) {
        let _there_already = fs::create_dir(folder.join(seed));
        let folder = folder.join(seed);
        match self {
            What::Burst => {
                for number in 0..FILES {
                    // Half of it is text, as in sources.
                    let mut bytes = noise(&format!("{seed} {number}"), FILE_BYTES / 2);
                    let line = format!("let value_{number} = compute({number}); // {seed}\n");
                    while bytes.len() < FILE_BYTES {
                        bytes.extend_from_slice(line.as_bytes());
                    }
                    fs::write(folder.join(format!("file-{number}")), bytes).unwrap();
                }
            }
            What::Large => fs::write(folder.join("large"), noise(seed, LARGE_BYTES)).unwrap(),
        }
    }
}

fn main() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.watch_for(Duration::from_secs(3600));
    world.mount();
    // Looked at, and so open: what is not cannot be held.
    world.local_tree("app");
    let key = fs::read_to_string(world.folder().join("server/admin.key")).unwrap();
    let address = world.server_address();
    let remote = format!("http://t:{}@{address}/local/app.git", key.trim());
    let clone = source.path().join("clone");
    git_text(source.path(), &["clone", "--quiet", &remote, "clone"]);
    println!("| pushed | mesa, s | git push, s | ratio |");
    println!("| --- | --- | --- | --- |");
    for (what, name) in [
        (What::Burst, "2,000 files of 6 kB"),
        (What::Large, "a file of 1 GiB"),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..TURNS {
            let seed = format!("{turn}-of-{}", name.replace([' ', ','], "-"));
            times[0].push(ours(&world, what, &format!("ours-{seed}")));
            times[1].push(gits(&clone, what, &format!("gits-{seed}")));
        }
        let [ours, gits] = times.map(|mut times| {
            times.sort();
            times[TURNS / 2].as_secs_f64()
        });
        println!("| {name} | {ours:.2} | {gits:.2} | {:.2} |", ours / gits);
    }
}

fn ours(world: &World, what: What, seed: &str) -> Duration {
    run(&mut world.mesa(&["journal", "hold"])).success();
    what.write(&world.repo("app"), seed);
    nix::unistd::sync();
    let start = Instant::now();
    run(&mut world.mesa(&["journal", "release"])).success();
    let mut flush = world.mesa(&["journal", "flush", "--timeout", "10m"]);
    run_within(&mut flush, DEADLINE).success();
    start.elapsed()
}

fn gits(clone: &Path, what: What, seed: &str) -> Duration {
    git_text(clone, &["checkout", "--quiet", "-B", seed, "origin/main"]);
    what.write(clone, seed);
    git_text(clone, &["add", "."]);
    git_text(clone, &["commit", "--quiet", "--message", seed]);
    nix::unistd::sync();
    let start = Instant::now();
    let mut push = Command::new("git");
    push.args(["push", "--quiet", "origin", seed])
        .current_dir(clone);
    run_within(&mut push, DEADLINE).success();
    start.elapsed()
}
