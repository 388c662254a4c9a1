//! How many requests of each kind the kernel has sent.
//!
//! A round trip is the unit of cost of a FUSE file system, so tests assert these numbers instead of
//! times. Requests to the virtual root and its organization directories count as one kind of their
//! own: their attributes expire by the clock, so their number is not a function of the workload.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::latency::{Histogram, Latency};

macro_rules! kinds {
    ($($kind:ident => $name:literal),* $(,)?) => {
        /// A kind of request.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum RequestKind {
            $(#[doc = concat!("`", $name, "` of the FUSE protocol.")] $kind),*
        }

        impl RequestKind {
            /// Every kind, in the order of their declaration.
            pub const ALL: &[RequestKind] = &[$(RequestKind::$kind),*];

            /// The kind's name in logs and reports.
            pub fn name(self) -> &'static str {
                match self { $(RequestKind::$kind => $name),* }
            }
        }

        const KINDS: usize = [$($name),*].len();
    };
}

kinds! {
    Virtual => "virtual",
    Lookup => "lookup",
    Forget => "forget",
    Getattr => "getattr",
    Setattr => "setattr",
    Readlink => "readlink",
    Mknod => "mknod",
    Mkdir => "mkdir",
    Unlink => "unlink",
    Rmdir => "rmdir",
    Symlink => "symlink",
    Rename => "rename",
    Link => "link",
    Open => "open",
    Read => "read",
    Write => "write",
    Flush => "flush",
    Release => "release",
    Fsync => "fsync",
    Opendir => "opendir",
    Readdir => "readdir",
    Readdirplus => "readdirplus",
    Fsyncdir => "fsyncdir",
    Statfs => "statfs",
    Setxattr => "setxattr",
    Getxattr => "getxattr",
    Listxattr => "listxattr",
    Removexattr => "removexattr",
    Create => "create",
    Fallocate => "fallocate",
    Lseek => "lseek",
    CopyFileRange => "copy_file_range",
}

/// The counts of one mount, from its start.
#[derive(Debug)]
pub struct Counters {
    counts: [AtomicU64; KINDS],
    latencies: [Histogram; KINDS],
    finished: AtomicU64,
    passes: AtomicBool,
    passed: AtomicU64,
    has_rings: AtomicBool,
    by_ring: AtomicU64,
    preloaded: AtomicU64,
    withdrawn: AtomicU64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            counts: [const { AtomicU64::new(0) }; KINDS],
            latencies: std::array::from_fn(|_| Histogram::default()),
            finished: AtomicU64::new(0),
            passes: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            has_rings: AtomicBool::new(false),
            by_ring: AtomicU64::new(0),
            preloaded: AtomicU64::new(0),
            withdrawn: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Counts one request.
    pub(super) fn count(&self, kind: RequestKind) {
        if let Some(counter) = self.counts.get(kind as usize) {
            // Only the total matters; nothing is published through it.
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the end of a request.
    pub(super) fn finished(&self, kind: RequestKind, took: Duration) {
        if let Some(latency) = self.latencies.get(kind as usize) {
            latency.record(took);
        }
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    /// Says whether bodies are given to the kernel.
    pub(super) fn pass(&self, passes: bool) {
        self.passes.store(passes, Ordering::Relaxed);
    }

    /// Counts a body that was given to the kernel.
    pub(super) fn passed(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether bodies are given to the kernel, which reads and writes them by itself, and how many were.
    pub fn passthrough(&self) -> (bool, u64) {
        let passes = self.passes.load(Ordering::Relaxed);
        (passes, self.passed.load(Ordering::Relaxed))
    }

    /// Says whether the kernel takes rings.
    pub(super) fn agree_on_rings(&self, agreed: bool) {
        self.has_rings.store(agreed, Ordering::Relaxed);
    }

    /// Counts a request that came by a ring.
    pub(super) fn count_ring(&self) {
        self.by_ring.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the kernel agreed to send requests by rings, and how many came by one.
    pub fn rings(&self) -> (bool, u64) {
        let agreed = self.has_rings.load(Ordering::Relaxed);
        (agreed, self.by_ring.load(Ordering::Relaxed))
    }

    /// Counts a file that the kernel was given before it asked.
    pub(super) fn count_preloaded(&self) {
        self.preloaded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that it was about to be given when it asked.
    pub(super) fn count_withdrawn(&self) {
        self.withdrawn.fetch_add(1, Ordering::Relaxed);
    }

    /// Files that the kernel was given before it asked for them, and those that it asked for just then.
    pub fn preloaded(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.preloaded), load(&self.withdrawn))
    }

    /// How long requests of one kind took so far, from their arrival to their reply.
    pub fn latency(&self, kind: RequestKind) -> Latency {
        let latency = self.latencies.get(kind as usize);
        latency.map(Histogram::snapshot).unwrap_or_default()
    }

    /// Requests that wait for their reply.
    pub fn in_flight(&self) -> u64 {
        // In this order: what ends between the two is counted as if it had not begun.
        let finished = self.finished.load(Ordering::Relaxed);
        let begun: u64 = self.all().map(|(_, count)| count).sum();
        begun.saturating_sub(finished)
    }

    /// Requests of one kind so far.
    pub fn of(&self, kind: RequestKind) -> u64 {
        self.counts
            .get(kind as usize)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Every kind with its count.
    pub fn all(&self) -> impl Iterator<Item = (RequestKind, u64)> + '_ {
        RequestKind::ALL.iter().map(|kind| (*kind, self.of(*kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for kind in RequestKind::ALL {
            counters.count(*kind);
        }
        assert!(counters.all().all(|(_, count)| count == 1));
        assert_eq!(counters.in_flight(), KINDS as u64);
        counters.finished(RequestKind::Read, Duration::ZERO);
        assert_eq!(counters.in_flight(), KINDS as u64 - 1);
        assert_eq!(counters.latency(RequestKind::Read).count(), 1);
        assert_eq!(counters.latency(RequestKind::Write).count(), 0);
    }
}
