//! Which figures there are.

use std::sync::Arc;
use std::time::Instant;

use super::Collector;
use super::process;
use crate::daemon::control::{FamilyKind, Metrics};
use crate::daemon::repositories::OpenRepositories;
use crate::daemon::repository::{Figures, Repository};
use crate::fuse::{Counters, RequestKind};
use crate::lower::Store;
use crate::remote::{OUTCOMES, Remote};

/// Where figures come from.
pub(in crate::daemon) struct Sources<'a> {
    /// The mount's requests.
    pub(in crate::daemon) counters: &'a Counters,
    /// The connection to the server.
    pub(in crate::daemon) remote: &'a Remote,
    /// What is open.
    pub(in crate::daemon) repositories: &'a OpenRepositories,
    /// When the daemon began.
    pub(in crate::daemon) began: Instant,
}

/// Every figure at this moment. Costs a short lock for each open repository.
pub(in crate::daemon) fn gather(sources: &Sources<'_>) -> Metrics {
    let mut collector = Collector::default();
    of_process(&mut collector, sources.began);
    of_fuse(&mut collector, sources.counters);
    of_remote(&mut collector, sources.remote);
    let all = sources.repositories.all();
    of_repositories(&mut collector, &all);
    of_store(&mut collector, sources.repositories.store());
    collector.0
}

fn of_process(collector: &mut Collector, began: Instant) {
    let found = process::look(began.elapsed());
    for (name, help, value) in [
        (
            "process_start_time_seconds",
            "When the daemon started, in seconds since 1970.",
            found.started_seconds,
        ),
        (
            "process_resident_memory_bytes",
            "Memory in use.",
            found.resident_bytes,
        ),
        (
            "mesa_process_resident_memory_max_bytes",
            "The most memory that was ever in use.",
            found.resident_bytes_max,
        ),
        ("process_open_fds", "Open files.", found.descriptors),
        ("mesa_process_threads", "Threads.", found.threads),
    ] {
        if let Some(value) = value {
            collector.gauge(name, help);
            collector.add(&[], value);
        }
    }
}

fn of_fuse(collector: &mut Collector, counters: &Counters) {
    collector.counter(
        "mesa_fuse_requests_total",
        "Requests of the kernel, by kind.",
    );
    for (kind, count) in counters.all() {
        collector.add(&[("kind", kind.name())], count);
    }
    let (passes, passed) = counters.passthrough();
    collector.gauge(
        "mesa_fuse_passthrough",
        "Whether open files with local bytes are left to the kernel (opens = passthrough, and it can be had).",
    );
    collector.add(&[], u64::from(passes));
    collector.counter(
        "mesa_fuse_passed_total",
        "Files that were left to the kernel.",
    );
    collector.add(&[], passed);
    let (agreed, by_ring) = counters.rings();
    collector.gauge(
        "mesa_fuse_rings",
        "Whether requests come by io_uring (transport = io-uring, and it can be had).",
    );
    collector.add(&[], u64::from(agreed));
    collector.counter(
        "mesa_fuse_ring_requests_total",
        "Requests that came by io_uring.",
    );
    collector.add(&[], by_ring);
    let (preloaded, withdrawn) = counters.preloaded();
    collector.counter(
        "mesa_fuse_preloaded_total",
        "Files that the kernel was given before it asked for them.",
    );
    collector.add(&[], preloaded);
    collector.counter(
        "mesa_fuse_preloads_withdrawn_total",
        "Files that it asked for, or changed, just when they were about to be given.",
    );
    collector.add(&[], withdrawn);
    collector.gauge(
        "mesa_fuse_requests_in_flight",
        "Requests of the kernel that wait for their reply.",
    );
    collector.add(&[], counters.in_flight());
    collector.family(
        FamilyKind::Histogram,
        "mesa_fuse_request_duration_seconds",
        "Time from a request's arrival to its reply, by kind; kinds that were not asked for are left out.",
    );
    for kind in RequestKind::ALL {
        let latency = counters.latency(*kind);
        if latency.count() > 0 {
            collector.observe(&[("kind", kind.name())], &latency);
        }
    }
}

fn of_remote(collector: &mut Collector, remote: &Remote) {
    let all = remote.tallies();
    collector.gauge(
        "mesa_remote_up",
        "Whether the server is believed to be reachable: 0 while it is only probed.",
    );
    collector.add(&[], u64::from(!remote.is_offline()));
    collector.counter(
        "mesa_remote_requests_total",
        "Requests to the server, by kind.",
    );
    for (kind, tally) in &all {
        collector.add(&[("kind", kind)], tally.sent);
    }
    collector.counter(
        "mesa_remote_outcomes_total",
        "How requests to the server ended, by kind; ways in which none ended are left out.",
    );
    for (kind, tally) in &all {
        for (outcome, count) in OUTCOMES.iter().zip(&tally.outcomes) {
            if *count > 0 {
                collector.add(&[("kind", kind), ("outcome", outcome.name())], *count);
            }
        }
    }
    collector.gauge(
        "mesa_remote_requests_in_flight",
        "Requests to the server that have no answer yet.",
    );
    let open = |tally: &crate::remote::Tally| tally.sent.saturating_sub(tally.ended());
    collector.add(&[], all.iter().map(|(_, tally)| open(tally)).sum());
    collector.counter(
        "mesa_remote_sent_bytes_total",
        "Bytes of bodies that were sent to the server.",
    );
    for (kind, tally) in all.iter().filter(|(_, tally)| tally.bytes_up > 0) {
        collector.add(&[("kind", kind)], tally.bytes_up);
    }
    collector.counter(
        "mesa_remote_received_bytes_total",
        "Bytes of bodies that came from the server, decompressed.",
    );
    for (kind, tally) in all.iter().filter(|(_, tally)| tally.bytes_down > 0) {
        collector.add(&[("kind", kind)], tally.bytes_down);
    }
}

/// A figure of a repository: what it is, and how it is read.
type Read = (FamilyKind, &'static str, &'static str, fn(&Figures) -> u64);

const OF_REPOSITORY: [Read; 13] = [
    (
        FamilyKind::Gauge,
        "mesa_pending_operations",
        "Operations that the server does not have.",
        |figures| figures.pending.operations,
    ),
    (
        FamilyKind::Gauge,
        "mesa_pending_bytes",
        "Bytes of file contents that the server does not have.",
        |figures| figures.pending.bytes,
    ),
    (
        FamilyKind::Gauge,
        "mesa_pending_oldest_age_seconds",
        "Age of the oldest operation that the server does not have; 0 without one.",
        |figures| figures.pending.oldest_age_seconds.unwrap_or_default(),
    ),
    (
        FamilyKind::Gauge,
        "mesa_conflicts",
        "Conflicts that nobody has settled.",
        |figures| figures.conflicts,
    ),
    (
        FamilyKind::Gauge,
        "mesa_journal_head",
        "Number of the journal's last record: records since the repository was first opened.",
        |figures| figures.position.head.0,
    ),
    (
        FamilyKind::Gauge,
        "mesa_journal_unsynced_records",
        "Records that a power cut would take.",
        |figures| {
            figures
                .position
                .head
                .0
                .saturating_sub(figures.position.synced.0)
        },
    ),
    (
        FamilyKind::Counter,
        "mesa_journal_syncs_total",
        "Syncs of the journal: those who wait at the same time share one.",
        |figures| figures.position.syncs,
    ),
    (
        FamilyKind::Gauge,
        "mesa_journal_bytes",
        "Bytes of the journal on the disk.",
        |figures| figures.position.bytes,
    ),
    (
        FamilyKind::Gauge,
        "mesa_inodes",
        "Inodes that the kernel refers to.",
        |figures| figures.usage.inodes,
    ),
    (
        FamilyKind::Gauge,
        "mesa_open_files",
        "Opens that were not yet released, where the kernel tells of them (opens = plain).",
        |figures| figures.usage.opens,
    ),
    (
        FamilyKind::Gauge,
        "mesa_written_unseen",
        "Files that programs may write without asking: left to the kernel, and open for writing or mapped.",
        |figures| figures.usage.written_unseen,
    ),
    (
        FamilyKind::Counter,
        "mesa_cache_fetched_bytes_total",
        "Bytes of objects that came from the server into the cache.",
        |figures| figures.cache.object_bytes,
    ),
    (
        FamilyKind::Counter,
        "mesa_cache_damaged_total",
        "Objects that arrived other than their hash says.",
        |figures| figures.cache.damaged,
    ),
];

fn of_repositories(collector: &mut Collector, all: &[Arc<Repository>]) {
    collector.gauge("mesa_open_repositories", "Repositories that are open.");
    collector.add(&[], all.len() as u64);
    let figures: Vec<(String, Figures)> = all
        .iter()
        .map(|one| (one.name().to_string(), one.figures()))
        .collect();
    for (kind, name, help, read) in OF_REPOSITORY {
        collector.family(kind, name, help);
        for (repository, figures) in &figures {
            collector.add(&[("repo", repository)], read(figures));
        }
    }
    for (name, help, of) in [
        (
            "mesa_cache_hits_total",
            "What was asked of the cache, and was there; the kernel's own cache is before it.",
            (|cache| [cache.listing_hits, cache.object_hits]) as fn(&crate::lower::Counters) -> _,
        ),
        (
            "mesa_cache_misses_total",
            "What was asked of the cache, and had to be fetched.",
            |cache| [cache.listings, cache.objects],
        ),
    ] {
        collector.counter(name, help);
        for (repository, figures) in &figures {
            let counts: [u64; 2] = of(&figures.cache);
            for (what, count) in ["listing", "object"].iter().zip(counts) {
                collector.add(&[("repo", repository), ("what", what)], count);
            }
        }
    }
    collector.counter(
        "mesa_pushes_total",
        "Attempts to push, by how they ended: accepted, backoff, auth, conflict, refused.",
    );
    for (repository, figures) in &figures {
        for (outcome, count) in figures.pushes.all() {
            collector.add(&[("repo", repository), ("outcome", outcome)], count);
        }
    }
}

fn of_store(collector: &mut Collector, store: &Store) {
    let (used, evicted) = store.figures();
    if let Some(used) = used {
        let help = "Bytes of the cache on disk, by whoever shares it; only where it has a limit.";
        collector.gauge("mesa_cache_bytes", help);
        collector.add(&[], used);
    }
    let help = "Objects that were removed to keep the cache within its limit.";
    collector.counter("mesa_cache_evicted_total", help);
    collector.add(&[], evicted);
}
