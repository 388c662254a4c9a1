//! How a mount of 50,000 files behaves: how soon it answers, how much memory a walk of everything
//! takes, and how many remote calls each step makes.
//!
//! One process on purpose, with the real binary: the daemon's memory is read from `/proc`. Times are
//! of this machine, and only counts and memory are checked against their targets, besides the one
//! time that is promised: `ls` within 2 s of the start of `mesa mount`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails is no measurement"
)]

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::support::fixture;
use crate::support::process::run;
use crate::support::world::World;

#[path = "../tests/support/mod.rs"]
mod support;

/// Files in the measured repository.
const FILES: usize = 50_000;
/// `ls` of the root answers within this time from the start of `mesa mount`.
const FIRST_LISTING_TARGET: Duration = Duration::from_secs(2);
/// The daemon never holds more than this while everything is walked.
const MEMORY_TARGET_KIB: u64 = 150 << 10;

fn main() -> ExitCode {
    let repository = fixture::many(FILES);
    let mut world = World::serve(&[("many", &repository)]);
    world.count_requests();

    let start = Instant::now();
    run(&mut world.mesa(&["mount", "--daemonize"])).success();
    let mounted = start.elapsed();
    let entries = fs::read_dir(world.repo("many")).unwrap().count();
    let listed = start.elapsed();
    let calls_first = world.proxy().take();
    // Held only now: asking for the status would have been part of the time.
    world.adopt();
    let memory = |world: &World, field: &str| {
        world
            .with_daemon(|daemon| daemon.memory_kib(field))
            .expect("no memory figure")
    };
    let memory_first = memory(&world, "VmHWM");

    let walk = |world: &World| {
        let start = Instant::now();
        let found = run(world
            .command("find")
            .arg(world.repo("many"))
            .args(["-printf", "%s\\n"]));
        let lines = found.success().stdout.split(|byte| *byte == b'\n').count();
        assert!(lines > FILES, "find saw {lines} paths");
        (start.elapsed(), world.proxy().take().len())
    };
    let (cold, calls_cold) = walk(&world);
    let (warm, calls_warm) = walk(&world);
    let memory_peak = memory(&world, "VmHWM");
    let memory_after = memory(&world, "VmRSS");

    println!("mount of {FILES} files ({entries} entries at the root)");
    println!("| step                              | time       | remote calls |");
    println!("| --------------------------------- | ---------- | ------------ |");
    println!("| `mesa mount -d` returns           | {mounted:>10.2?} |              |");
    println!(
        "| `ls` of the root, from that start | {listed:>10.2?} | {:>12} |",
        calls_first.len()
    );
    println!("| `find`, first                     | {cold:>10.2?} | {calls_cold:>12} |");
    println!("| `find`, second                    | {warm:>10.2?} | {calls_warm:>12} |");
    println!("| daemon's memory                   | MiB        |              |");
    println!(
        "| after the first `ls`, peak        | {:>10.1} |              |",
        mebibytes(memory_first)
    );
    println!(
        "| after both walks, peak            | {:>10.1} |              |",
        mebibytes(memory_peak)
    );
    println!(
        "| after both walks, now             | {:>10.1} |              |",
        mebibytes(memory_after)
    );

    let met = listed <= FIRST_LISTING_TARGET && memory_peak <= MEMORY_TARGET_KIB;
    println!(
        "targets: `ls` within {FIRST_LISTING_TARGET:?}, memory below {} MiB: {}",
        MEMORY_TARGET_KIB >> 10,
        if met { "met" } else { "MISSED" }
    );
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
