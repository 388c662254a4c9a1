//! Watches the processes that work in a folder: none of them may hang in the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A process that is in state D at every look for so long hangs. A busy disk takes seconds.
const HANGS: Duration = Duration::from_secs(20);

/// A thread that looks at the processes below a folder until it is told to end.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watch {
    /// Begins.
    pub fn over(folder: &Path) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let (end, folder) = (Arc::clone(&over), folder.to_owned());
        Watch {
            thread: thread::spawn(move || look(&folder, &end)),
            over,
        }
    }

    /// Ends, and gives how long a process was in state D without a break.
    ///
    /// # Panics
    ///
    /// One hung.
    #[track_caller]
    pub fn end(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn look(folder: &Path, over: &AtomicBool) -> Duration {
    let mut since: BTreeMap<(u32, String), Instant> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    let mut seen = 0;
    while !over.load(Ordering::Relaxed) {
        let working = working_in(folder);
        seen += working.len();
        let blocked: Vec<(u32, String)> = working
            .into_iter()
            .filter(|(_, state, _)| *state == 'D')
            .map(|(pid, _, start)| (pid, start))
            .collect();
        since.retain(|process, _| blocked.contains(process));
        for process in blocked {
            let first = *since.entry(process.clone()).or_insert_with(Instant::now);
            longest = longest.max(first.elapsed());
            assert!(first.elapsed() < HANGS, "hangs: {}", told(process.0));
        }
        thread::sleep(LOOK_AGAIN);
    }
    assert!(seen > 0, "looked at no process at all");
    longest
}

/// Processes whose working folder is there: number, state, and time of their start.
fn working_in(folder: &Path) -> Vec<(u32, char, String)> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    pids.filter_map(|pid| {
        let below: PathBuf = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in brackets, and may have some itself.
        let mut words = stat.rsplit_once(") ")?.1.split(' ');
        let state = words.next()?.chars().next()?;
        let start = words.nth(18)?.to_owned();
        below.starts_with(folder).then_some((pid, state, start))
    })
    .collect()
}

/// Which process that is, and where in the kernel it waits.
fn told(pid: u32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    format!(
        "{pid} {} in {}: {}",
        read("comm").trim(),
        read("wchan"),
        read("stack")
    )
}
