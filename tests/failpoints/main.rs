//! The daemon dies at every failpoint, is started again, and must have everything that it had
//! acknowledged.
//!
//! For each point there is a fresh world: a real server, a real mount, and a daemon that was told to
//! abort there. It is driven by a fixed story of system calls until it dies; the calls that returned
//! are the model. Then the mount must show the model, with the one call that was under way either
//! there or not; go on; push; and the remote, read by Git, must have the same, in one change.
//!
//! Where others take part (publishing, conflicts, repairs, imports) each way has a short story of its
//! own, and both sides must be there afterwards, each once.
//!
//! A point that no scenario reaches fails the test by its name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that panics has failed, which is what it is for"
)]
#![cfg(debug_assertions)]

#[path = "../support/mod.rs"]
mod support;
#[allow(
    dead_code,
    reason = "the random part of it belongs to the tests of the mount"
)]
#[path = "../mount/workload.rs"]
mod workload;

mod armed;
mod crash;
mod others;
mod scenarios;
mod story;

use std::collections::{BTreeSet, VecDeque};
use std::panic::catch_unwind;
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use crate::scenarios::{SCENARIOS, Scenario, Way};

/// Worlds at a time: the machine that decides has two cores, and a world waits half of its time.
const AT_A_TIME: usize = 3;

/// Every point of both crates, by name.
fn registered() -> BTreeSet<&'static str> {
    let all = journal::failpoint::ALL.iter().chain(mesa::failpoints::ALL);
    all.map(|point| point.name()).collect()
}

#[test]
fn every_point_has_a_scenario() {
    let covered: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.point).collect();
    let registered = registered();
    let missing: Vec<_> = registered.difference(&covered).collect();
    assert!(missing.is_empty(), "no scenario dies at {missing:?}");
    let unknown: Vec<_> = covered.difference(&registered).collect();
    assert!(unknown.is_empty(), "no such point: {unknown:?}");
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_a_death_at_any_point() {
    // For looking into one: its name, or the beginning of it.
    let wanted = std::env::var("FAILPOINTS").unwrap_or_default();
    let deaths = SCENARIOS
        .iter()
        .filter(|scenario| scenario.point.starts_with(&wanted))
        .flat_map(|scenario| scenario.times.iter().map(move |nth| (scenario, *nth)));
    let queue: Mutex<VecDeque<(&Scenario, u64)>> = Mutex::new(deaths.collect());
    let total = queue.lock().len();
    assert!(total > 0, "no point begins with {wanted:?}");
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some((scenario, nth)) = queue.lock().pop_front() else {
                        return;
                    };
                    let start = Instant::now();
                    let died = catch_unwind(|| match scenario.way {
                        Way::Driven | Way::Decided | Way::Restarted { .. } => {
                            crash::die_and_compare(scenario, nth);
                        }
                        _ => others::die_and_compare(scenario, nth),
                    });
                    let millis = start.elapsed().as_millis();
                    println!(
                        "{}:{nth} {} in {millis} ms",
                        scenario.point,
                        match died {
                            Ok(()) => "held",
                            Err(_) => "FAILED",
                        }
                    );
                    if died.is_err() {
                        failed.lock().push(format!("{}:{nth}", scenario.point));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(
        failed.is_empty(),
        "{} of {total} deaths: {failed:?}",
        failed.len()
    );
    println!("{total} deaths, and nothing lost");
}
