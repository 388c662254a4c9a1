//! What the kernel knows of this process; what it does not tell is left out.

use std::time::{Duration, SystemTime};

/// Figures of this process.
#[derive(Default)]
pub(super) struct Process {
    /// Bytes of memory in use.
    pub(super) resident_bytes: Option<u64>,
    /// The most that it ever was.
    pub(super) resident_bytes_max: Option<u64>,
    /// Threads.
    pub(super) threads: Option<u64>,
    /// Open files.
    pub(super) descriptors: Option<u64>,
    /// When it started, in whole seconds since 1970.
    pub(super) started_seconds: Option<u64>,
}

/// Looks into `/proc/self`.
pub(super) fn look(running_for: Duration) -> Process {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |name| number(&status, name).map(|kibibytes| kibibytes * 1024);
    let descriptors = std::fs::read_dir("/proc/self/fd").ok();
    let started = SystemTime::now().checked_sub(running_for);
    let since_1970 = started.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Process {
        resident_bytes: kibibytes("VmRSS"),
        resident_bytes_max: kibibytes("VmHWM"),
        threads: number(&status, "Threads"),
        // The directory that is being read is one of them.
        descriptors: descriptors.map(|all| (all.count() as u64).saturating_sub(1)),
        started_seconds: since_1970.map(|since| since.as_secs()),
    }
}

/// The number in the line of `/proc/PID/status` with that name.
fn number(status: &str, name: &str) -> Option<u64> {
    let mut lines = status.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_open_files() {
        let found = look(Duration::from_secs(1));
        assert!(found.resident_bytes.unwrap() > 1 << 20);
        assert!(found.resident_bytes_max >= found.resident_bytes);
        assert!(found.threads.unwrap() >= 1 && found.descriptors.unwrap() >= 3);
        assert!(found.started_seconds.unwrap() > 1_600_000_000);
        assert_eq!(number("A:\t12 kB\nAB: 3\n", "AB"), Some(3));
        assert_eq!(number("A:\t12 kB\n", "B"), None);
    }
}
