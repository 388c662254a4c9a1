//! Processes that cannot even be killed: whoever stays in state D for longer than an operation may
//! take is one. Threads of this test, its children, and daemons and servers that run our program.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::REMOTE_MAX;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// One wait of a thread: its id, when it began, and how often it had waited before, since two waits
/// with a moment between them may look like one.
type Wait = (u32, u64, u64);

/// Looks until it is done; gives the longest time that anybody was seen in state D.
pub fn watch(done: &AtomicBool) -> Duration {
    let mut since: HashMap<Wait, Instant> = HashMap::new();
    let mut longest = Duration::ZERO;
    while !done.load(Ordering::SeqCst) {
        let now = Instant::now();
        let stuck: Vec<Wait> = ours().into_iter().flat_map(threads).collect();
        since.retain(|thread, _| stuck.contains(thread));
        for thread in stuck {
            let first = *since.entry(thread).or_insert(now);
            longest = longest.max(now - first);
            assert!(
                now - first < REMOTE_MAX,
                "thread {} is in state D for {:?}",
                thread.0,
                now - first
            );
        }
        thread::sleep(PAUSE);
    }
    longest
}

/// This process, its children, and whatever runs our program.
fn ours() -> Vec<u32> {
    let own = std::process::id();
    let program = Path::new(env!("CARGO_BIN_EXE_mesa"));
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    pids.filter(|pid| {
        *pid == own
            || fields(Path::new(&format!("/proc/{pid}/stat")))
                .is_some_and(|fields| fields[1] == own.to_string())
            || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
    })
    .collect()
}

/// The threads of a process that are in state D.
fn threads(pid: u32) -> Vec<Wait> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let found = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let fields = fields(&entry.path().join("stat"))?;
        let thread = entry.file_name().to_str()?.parse().ok()?;
        if fields[0] != "D" {
            return None;
        }
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let mut lines = status.lines();
        let waits = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((
            thread,
            fields[19].parse().unwrap(),
            waits.trim().parse().unwrap(),
        ))
    });
    found.collect()
}

/// The fields of a `stat` file from the state on.
fn fields(path: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
