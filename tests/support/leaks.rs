//! What a daemon holds on to: open files, threads and memory; and whether it let go of it again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::time::Duration;

use super::stopwatch::holds_within;
use super::world::World;

/// By then everything that idles has ended: pooled connections and spare threads after seconds, and
/// what the kernel still refers to once its dentries are dropped.
const SETTLED: Duration = Duration::from_secs(60);
/// Connections that may be more than before: those that are kept half a minute for the next request.
const CONNECTIONS_MORE: usize = 8;
/// What the open segment of a journal is called.
const SEGMENT: &str = "journal segment";
/// Memory that may stay: what the allocator keeps for the next time, and what is still remembered of
/// paths. Leaks of interest are by the operation, and a suite makes 100,000.
const MEMORY_KIB_MAX: u64 = 48 << 10;

/// Open files and threads by kind, and memory, at one moment.
#[derive(Clone, Debug)]
pub struct Holdings {
    files: BTreeMap<String, usize>,
    threads: BTreeMap<String, usize>,
    memory_kib: u64,
}

impl Holdings {
    /// Those of a world's daemon now.
    ///
    /// # Panics
    ///
    /// It cannot be looked at.
    pub fn of(world: &World) -> Holdings {
        let (pid, memory) =
            world.with_daemon(|daemon| (daemon.pid, daemon.memory_kib("RssAnon").unwrap()));
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            // Closed since the folder was read.
            let Ok(target) = fs::read_link(entry.unwrap().path()) else {
                continue;
            };
            let target = target.to_string_lossy();
            let name = match target.contains("/journal/") {
                true => SEGMENT.to_owned(),
                false => kind(&target),
            };
            *files.entry(name).or_default() += 1;
        }
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let Ok(name) = fs::read_to_string(entry.unwrap().path().join("comm")) else {
                continue;
            };
            *threads.entry(kind(name.trim())).or_default() += 1;
        }
        Holdings {
            files,
            threads,
            memory_kib: memory,
        }
    }

    /// What there is more of than before, in words; nothing when all of it was let go.
    fn beyond(&self, before: &Holdings) -> String {
        let mut said = String::new();
        for (what, now, then) in [
            ("open files", &self.files, &before.files),
            ("threads", &self.threads, &before.threads),
        ] {
            for (kind, count) in now {
                let was = then.get(kind).copied().unwrap_or(0);
                let more = if kind == "socket:[#]" {
                    CONNECTIONS_MORE
                } else {
                    0
                };
                if *count > was + more {
                    writeln!(said, "{what}: {kind}: {was} before, {count} now").unwrap();
                }
            }
        }
        if self.memory_kib > before.memory_kib + MEMORY_KIB_MAX {
            let (was, now) = (before.memory_kib, self.memory_kib);
            writeln!(said, "memory: {was} KiB before, {now} KiB now").unwrap();
        }
        said
    }
}

impl std::fmt::Display for Holdings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (files, threads): (usize, usize) =
            (self.files.values().sum(), self.threads.values().sum());
        let memory = self.memory_kib;
        write!(formatter, "{files} files, {threads} threads, {memory} KiB")
    }
}

/// Numbers do not matter: a body is a body, a worker a worker.
fn kind(name: &str) -> String {
    let mut kind = String::with_capacity(name.len());
    for letter in name.chars() {
        if !letter.is_ascii_digit() {
            kind.push(letter);
        } else if !kind.ends_with('#') {
            kind.push('#');
        }
    }
    kind
}

/// What the daemon held before something, to be compared with what it holds after.
#[derive(Debug)]
pub struct Leaks {
    before: Holdings,
}

impl Leaks {
    /// Looks before it begins. What comes with the first use of anything is to be there already.
    pub fn before(world: &World) -> Leaks {
        let mut before = Holdings::of(world);
        // Open but for the moment after a checkpoint.
        before.files.entry(SEGMENT.to_owned()).or_insert(1);
        Leaks { before }
    }

    /// Waits until the daemon holds no more than before, and says what it holds.
    ///
    /// # Panics
    ///
    /// It does hold more, and goes on doing so.
    #[track_caller]
    pub fn assert_none(&self, world: &World) -> Holdings {
        let mut now = Holdings::of(world);
        let settled = holds_within(SETTLED, || {
            now = Holdings::of(world);
            now.beyond(&self.before).is_empty()
        });
        assert!(
            settled,
            "held after {SETTLED:?}:\n{}",
            now.beyond(&self.before)
        );
        now
    }
}
