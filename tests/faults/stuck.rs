//! Processes that cannot even be killed: whoever stays in state D for longer than an operation may
//! take is one. Threads of this test, its children, and daemons and servers that run our program.
//! Tests beside this one have their own limits: a thread has the name of the one that began it, and so of its
//! test.
//!
//! A thread that syncs a file to the machine's own disk is in that state as well, for as long as the disk
//! takes for all that others wrote before: that is not ours to bound. Its kernel stack tells, to root.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::REMOTE_MAX;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What the kernel's functions begin with in which a thread waits for a disk.
const DISK: [&str; 6] = ["ext4_", "jbd2_", "xfs_", "xlog_", "btrfs_", "blk_"];

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
                "thread {} is in state D for {:?}:\n{}",
                thread.0,
                now - first,
                stack(&PathBuf::from(format!("/proc/{}", thread.0)))
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

/// What a thread is doing in the kernel, a function a line; nothing where that is not ours to know.
fn stack(thread: &Path) -> String {
    fs::read_to_string(thread.join("stack")).unwrap_or_default()
}

/// Whether that is to wait for a disk.
fn waits_for_a_disk(stack: &str) -> bool {
    stack.lines().any(|line| {
        let function = line.split(' ').nth(1).unwrap_or_default();
        DISK.iter().any(|prefix| function.starts_with(prefix))
    })
}

/// The threads of a process that are in state D, and not for a disk.
fn threads(pid: u32) -> Vec<Wait> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let is_of_this_test = |thread: &Path| {
        let name = |thread: &Path| fs::read_to_string(thread.join("comm")).ok();
        pid != std::process::id() || name(thread) == name(Path::new("/proc/thread-self"))
    };
    let found = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        if !is_of_this_test(&entry.path()) {
            return None;
        }
        let fields = fields(&entry.path().join("stat"))?;
        let thread = entry.file_name().to_str()?.parse().ok()?;
        if fields[0] != "D" || waits_for_a_disk(&stack(&entry.path())) {
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

#[test]
fn only_a_wait_for_a_disk_is_passed_over() {
    let synced = "[<0>] jbd2_log_wait_commit+0xe0/0x160\n[<0>] ext4_sync_file+0x1a/0x200\n";
    assert!(waits_for_a_disk(synced));
    let read = "[<0>] folio_wait_bit_common+0x12/0x330\n[<0>] fuse_file_read_iter+0x5a/0x90\n";
    assert!(!waits_for_a_disk(read));
    assert!(!waits_for_a_disk(""));
}

#[test]
fn threads_of_other_tests_are_passed_over() {
    let names = || {
        let name = fs::read_to_string("/proc/thread-self/comm").unwrap();
        let begun = thread::spawn(|| fs::read_to_string("/proc/thread-self/comm").unwrap());
        (name, begun.join().unwrap())
    };
    let (own, begun) = names();
    assert_eq!(own, begun);
    let other = thread::Builder::new().name("another test".into());
    let (other, begun) = other.spawn(names).unwrap().join().unwrap();
    assert_eq!(
        (other.as_str(), begun.as_str()),
        ("another test\n", "another test\n")
    );
}
