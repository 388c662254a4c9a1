//! Group commit, the barrier, and what a failed sync means.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier as Rendezvous, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use journal::{Barrier, Error, Journal, Options, Path, Record, Sequence, Time};

const NEVER: Duration = Duration::from_secs(3600);

fn options(commit_interval: Duration) -> Options {
    Options {
        commit_interval,
        ..Options::default()
    }
}

fn write(inode: u64) -> Record {
    Record::Write {
        path: Path(b"file".to_vec()),
        inode,
        time: Time::default(),
    }
}

/// Notes what it was asked for, takes a while, and fails when told to.
#[derive(Default)]
struct Slow {
    through: AtomicU64,
    fails: AtomicBool,
    takes: Duration,
}

impl Barrier for Slow {
    fn before_sync(&self, through: Sequence) -> io::Result<()> {
        self.through.store(through.0, Ordering::SeqCst);
        thread::sleep(self.takes);
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }
}

#[test]
fn concurrent_syncs_share() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    journal.set_barrier(Arc::new(Slow {
        takes: Duration::from_millis(20),
        ..Slow::default()
    }));
    let rendezvous = Rendezvous::new(64);
    thread::scope(|scope| {
        for inode in 0..64 {
            let (journal, rendezvous) = (&journal, &rendezvous);
            scope.spawn(move || {
                rendezvous.wait();
                let sequence = journal.append(&write(inode)).unwrap();
                journal.sync(sequence).unwrap();
                assert!(journal.synced() >= sequence);
            });
        }
    });
    assert_eq!(journal.synced(), Sequence(64));
    assert!(
        journal.syncs() <= 16,
        "{} syncs for 64 waiters",
        journal.syncs()
    );
}

#[test]
fn the_barrier_comes_first_and_covers_what_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    let barrier = Arc::new(Slow::default());
    journal.set_barrier(Arc::clone(&barrier) as Arc<dyn Barrier>);
    let sequence = journal.append(&write(1)).unwrap();
    assert_eq!(journal.synced(), Sequence::ZERO);
    journal.sync(sequence).unwrap();
    assert_eq!(barrier.through.load(Ordering::SeqCst), sequence.0);
}

#[test]
fn a_failed_sync_is_final_for_appends_and_syncs_but_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    let barrier = Arc::new(Slow::default());
    journal.set_barrier(Arc::clone(&barrier) as Arc<dyn Barrier>);
    let first = journal.append(&write(1)).unwrap();
    journal.sync(first).unwrap();
    barrier.fails.store(true, Ordering::SeqCst);
    let second = journal.append(&write(2)).unwrap();
    assert!(matches!(journal.sync(second), Err(Error::SyncFailed(_))));
    barrier.fails.store(false, Ordering::SeqCst);
    assert!(matches!(journal.sync(second), Err(Error::SyncFailed(_))));
    assert!(matches!(
        journal.append(&write(3)),
        Err(Error::SyncFailed(_))
    ));
    let no_records = &mut std::iter::empty();
    assert!(matches!(
        journal.compact(first, no_records),
        Err(Error::SyncFailed(_))
    ));
    drop(journal);
    let recovered = Journal::open(folder.path(), options(NEVER)).unwrap();
    assert_eq!(recovered.records, [(first, write(1)), (second, write(2))]);
    recovered.journal.sync(second).unwrap();
}

#[test]
fn every_waiter_learns_of_a_failed_sync() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    let barrier = Slow {
        fails: AtomicBool::new(true),
        takes: Duration::from_millis(20),
        ..Slow::default()
    };
    journal.set_barrier(Arc::new(barrier));
    assert!(journal.failure().is_none());
    let sequences: Vec<Sequence> = (1..=8)
        .map(|inode| journal.append(&write(inode)).unwrap())
        .collect();
    thread::scope(|scope| {
        for sequence in sequences {
            let journal = &journal;
            scope.spawn(move || {
                assert!(matches!(journal.sync(sequence), Err(Error::SyncFailed(_))));
            });
        }
    });
    let failure = journal.failure().expect("it is remembered");
    assert_eq!(failure.raw_os_error(), Some(5));
}

#[test]
fn no_waiter_is_forgotten_however_they_come() {
    const WAITERS: u64 = 16;
    let folder = tempfile::tempdir().unwrap();
    // So short that the committer also begins unasked, between an append and its wait.
    let journal = Journal::open(folder.path(), options(Duration::from_micros(100)));
    let journal = Arc::new(journal.unwrap().journal);
    let (done, finished) = mpsc::channel();
    for waiter in 0..WAITERS {
        let (journal, done) = (Arc::clone(&journal), done.clone());
        thread::spawn(move || {
            for inode in 0..50 {
                let sequence = journal.append(&write(inode)).unwrap();
                journal.sync(sequence).unwrap();
                assert!(journal.synced() >= sequence);
            }
            done.send(waiter).unwrap();
        });
    }
    for _ in 0..WAITERS {
        let waiter = finished.recv_timeout(Duration::from_secs(60));
        waiter.expect("everyone who waits is woken");
    }
    assert_eq!(journal.synced(), Sequence(WAITERS * 50));
}

#[test]
fn the_interval_syncs_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let interval = Duration::from_millis(10);
    let journal = Journal::open(folder.path(), options(interval))
        .unwrap()
        .journal;
    for inode in 1..=3 {
        let sequence = journal.append(&write(inode)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while journal.synced() < sequence {
            assert!(Instant::now() < deadline, "never synced");
            thread::yield_now();
        }
    }
}

#[test]
fn nothing_is_synced_before_its_interval_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    let asked = journal.append(&write(1)).unwrap();
    journal.sync(asked).unwrap();
    journal.append(&write(2)).unwrap();
    let enough = Instant::now() + Duration::from_millis(50);
    while Instant::now() < enough {
        assert_eq!(journal.synced(), asked);
        thread::yield_now();
    }
}

#[test]
fn an_interval_of_zero_syncs_every_append() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(Duration::ZERO))
        .unwrap()
        .journal;
    for inode in 1..=5 {
        let sequence = journal.append(&write(inode)).unwrap();
        assert_eq!(journal.synced(), sequence);
    }
    assert_eq!(journal.syncs(), 5);
}

#[test]
fn dropping_syncs_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let barrier = Arc::new(Slow::default());
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    journal.set_barrier(Arc::clone(&barrier) as Arc<dyn Barrier>);
    let sequence = journal.append(&write(1)).unwrap();
    drop(journal);
    assert_eq!(barrier.through.load(Ordering::SeqCst), sequence.0);
}

#[test]
fn dropping_what_is_synced_syncs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let barrier = Arc::new(Slow::default());
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    journal.set_barrier(Arc::clone(&barrier) as Arc<dyn Barrier>);
    let sequence = journal.append(&write(1)).unwrap();
    journal.sync(sequence).unwrap();
    barrier.through.store(0, Ordering::SeqCst);
    drop(journal);
    let asked = barrier.through.load(Ordering::SeqCst);
    assert_eq!(asked, 0, "the barrier is not called again");
}

#[test]
fn syncing_what_does_not_exist_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), options(NEVER))
        .unwrap()
        .journal;
    journal.sync(Sequence::ZERO).unwrap();
    let refused = journal.sync(Sequence(1));
    assert!(matches!(
        refused,
        Err(Error::NotAppended {
            head: Sequence(0),
            ..
        })
    ));
}

#[test]
fn one_journal_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Journal::open(folder.path(), Options::default()).unwrap();
    let second = Journal::open(folder.path(), Options::default());
    assert!(matches!(second, Err(Error::Locked { .. })));
    drop(first);
    Journal::open(folder.path(), Options::default()).unwrap();
}

#[test]
fn a_journal_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Journal>();
    shared::<Error>();
}
