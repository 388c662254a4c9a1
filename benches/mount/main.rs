//! An agent's work on a mount, beside the same work on the disk itself and on what else lays an upper
//! layer over a lower one: kernel overlayfs and fuse-overlayfs.
//!
//! ```text
//! for each round, for each workload, for each peer in turn: prepare, run (timed), look at what came out
//! ```
//!
//! All of them stand on one ext4 with a journal, on a loop device with direct I/O, since the root file
//! systems of some machines have none and their fsync is nothing. What a workload read, and what it
//! left behind, is hashed outside the measured time and must be the same for every peer, so that a
//! wrong answer cannot be fast. Edits are pushed to a server on the same processors while the work goes
//! on, as with users; before each turn everything is pushed.
//!
//! `MESA_BENCH_ROUNDS` (5), `MESA_BENCH_ONLY` (a part of the names), `MESA_BENCH_CPU` (everything on that
//! processor), `MESA_BENCH_CHART` (a file for the chart, as SVG). Only root can mount file systems.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a measurement that fails is no measurement"
)]

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::inputs::Inputs;
use crate::peers::Peer;
use crate::support::disk::Ground;
use crate::table::{Cell, Row};
use crate::workloads::{Place, WORKLOADS, Workload};

mod chart;
mod content;
mod inputs;
mod peers;
mod programs;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod trees;
mod workloads;

const DISK_BYTES: u64 = 16 << 30;

fn main() -> ExitCode {
    if let Err(missing) = needs() {
        println!("{missing}");
        return ExitCode::FAILURE;
    }
    let rounds = env::var("MESA_BENCH_ROUNDS").map_or(5, |text| text.parse().unwrap());
    let only = env::var("MESA_BENCH_ONLY").unwrap_or_default();
    let placement = pin();
    let ground = Ground::make(DISK_BYTES).unwrap();
    let point = ground.path().to_owned();
    // SAFETY: no other thread has been started.
    unsafe { env::set_var("TMPDIR", &point) };
    let inputs = Inputs::make(&point, rounds);
    let peers = peers::all(&point, &inputs);
    let chosen: Vec<&Workload> = WORKLOADS
        .iter()
        .filter(|workload| workload.name.contains(&only))
        .collect();
    let mut rows: Vec<Row> = chosen
        .iter()
        .map(|workload| Row::new(workload, &peers))
        .collect();
    for round in 0..=rounds {
        for (workload, row) in chosen.iter().zip(&mut rows) {
            let mut outcome: Option<blake3::Hash> = None;
            for turn in 0..peers.len() {
                let index = (round + turn) % peers.len();
                let (cell, found) = measure(workload, &peers[index], &inputs, round);
                let expected = *outcome.get_or_insert(found);
                assert_eq!(
                    found, expected,
                    "{}: {} has another outcome than the one before it",
                    workload.name, peers[index].name
                );
                // The first round warms what is to be warm.
                if round > 0 {
                    row.cells[index].push(cell);
                }
            }
        }
    }
    let peers_named: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    println!("{rounds} rounds, {placement}; medians, as multiples of native's time");
    table::print(&peers_named, &rows);
    if let Ok(path) = env::var("MESA_BENCH_CHART") {
        chart::draw(Path::new(&path), &peers_named, &rows);
        println!("chart in {path}");
    }
    ExitCode::SUCCESS
}

/// One turn: how long it took, what the kernel asked us for, and a hash of what came out.
fn measure(
    workload: &Workload,
    peer: &Peer,
    inputs: &Inputs,
    round: usize,
) -> (Cell, blake3::Hash) {
    let place = Place {
        root: peer.root.clone(),
        inputs,
        round,
    };
    (workload.prepare)(&place);
    peer.settle();
    let before = peer.requests();
    let start = Instant::now();
    let read = (workload.run)(&place);
    let elapsed = start.elapsed();
    let mut requests = peer.requests();
    for (kind, count) in &mut requests {
        *count -= before.get(kind).unwrap_or(&0);
    }
    let hash = (workload.check)(&place, &read);
    (Cell { elapsed, requests }, hash)
}

/// What must be on this machine.
fn needs() -> Result<(), String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err("only root can mount the file systems that are compared".to_owned());
    }
    for (program, package) in [
        ("fuse-overlayfs", "fuse-overlayfs"),
        ("sqlite3", "sqlite3"),
        ("make", "make"),
        ("losetup", "mount"),
        ("mkfs.ext4", "e2fsprogs"),
    ] {
        let path = env::var_os("PATH").unwrap_or_default();
        if !env::split_paths(&path).any(|folder| folder.join(program).exists()) {
            return Err(format!("no {program}: apt-get install {package}"));
        }
    }
    Ok(())
}

/// Pins this process, and all that it will start, to one processor if that is asked for.
fn pin() -> String {
    let Ok(cpu) = env::var("MESA_BENCH_CPU") else {
        return "placed by the scheduler".to_owned();
    };
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu.parse().unwrap()).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
    format!("all on processor {cpu}")
}

/// The middle one.
fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// Removes what a workload left, if it is there.
fn clear(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{path:?}: {error}"),
        _ => (),
    }
}
