//! Large objects over a source with ranges: what is asked for, who shares it, and what damage and lies do.

mod rest;
mod room;

use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::chunks::CHUNK_BYTES;
use super::parts::WHOLE_BYTES_MAX;
use super::*;
use crate::tree::{GitOid, TreePath};

const PIN: Pin = Pin::SAMPLE;

/// What a range comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Sound,
    Unknown,
    Offline,
    /// The bytes are not those that the digest is of, so many times.
    Damaged(usize),
    /// They are, and yet not those of the object.
    Lying,
}

/// One object.
struct Ranged {
    bytes: Vec<u8>,
    manner: Mutex<Manner>,
    ranges: Mutex<Vec<Range<u64>>>,
    wholes: Mutex<usize>,
    /// Where the first request waits for the test.
    gate: Option<Barrier>,
    is_gated: AtomicBool,
    domain: Domain,
}

impl Ranged {
    fn new(size: u64) -> Ranged {
        let bytes = (0..size).map(|at| ((at * at) >> 7) as u8);
        Ranged {
            bytes: bytes.collect(),
            manner: Mutex::new(Manner::Sound),
            ranges: Mutex::default(),
            wholes: Mutex::default(),
            gate: None,
            is_gated: AtomicBool::new(false),
            domain: Domain::default(),
        }
    }

    fn oid(&self) -> GitOid {
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {}\0", self.bytes.len()));
        hasher.update(&self.bytes);
        GitOid(hasher.finalize().into())
    }

    fn want(&self) -> Want {
        Want::Object {
            path: TreePath::try_from("large").unwrap(),
            oid: self.oid(),
            size: self.bytes.len() as u64,
        }
    }

    fn set(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    /// How often each chunk was asked for.
    fn asked(&self) -> Vec<usize> {
        let chunks = (self.bytes.len() as u64).div_ceil(CHUNK_BYTES);
        let ranges = self.ranges.lock();
        let has = |chunk: u64, range: &Range<u64>| range.contains(&(chunk * CHUNK_BYTES));
        let count = |chunk| ranges.iter().filter(|range| has(chunk, range)).count();
        (0..chunks).map(count).collect()
    }
}

impl Source for Ranged {
    fn listing(&self, _: &Pin, _: &TreePath, _: GitOid) -> Result<Vec<ListingEntry>, SourceError> {
        Err(SourceError::NotFound)
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        _: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        *self.wholes.lock() += 1;
        sink.write_all(&self.bytes).map_err(SourceError::Sink)
    }

    fn range(
        &self,
        _: &Pin,
        _: GitOid,
        _: u64,
        range: &Range<u64>,
    ) -> Result<Option<Part>, SourceError> {
        self.ranges.lock().push(range.clone());
        if let Some(gate) = &self.gate
            && !self.is_gated.swap(true, Ordering::SeqCst)
        {
            gate.wait();
            gate.wait();
        }
        let mut manner = self.manner.lock();
        let mut bytes = self.bytes[range.start as usize..range.end as usize].to_vec();
        let sha256 = Sha256::digest(&bytes).into();
        match &mut *manner {
            Manner::Unknown => return Ok(None),
            Manner::Offline => return Err(SourceError::Offline),
            Manner::Damaged(times) if *times > 0 => {
                *times -= 1;
                bytes[7] ^= 1;
            }
            Manner::Lying => {
                bytes[7] ^= 1;
                let sha256 = Sha256::digest(&bytes).into();
                return Ok(Some(Part { bytes, sha256 }));
            }
            Manner::Sound | Manner::Damaged(_) => {}
        }
        Ok(Some(Part { bytes, sha256 }))
    }

    fn domain(&self) -> Domain {
        self.domain
    }
}

struct Setup {
    _folder: tempfile::TempDir,
    source: Arc<Ranged>,
    lower: Lower,
}

fn lower_over(folder: &Path, source: &Arc<Ranged>, limits: Limits) -> Lower {
    let store = Arc::new(Store::open_within(folder, limits).unwrap());
    Lower::new(store, source.clone(), PIN)
}

fn setup(source: Ranged) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(source);
    let lower = lower_over(folder.path(), &source, Limits::default());
    Setup {
        _folder: folder,
        source,
        lower,
    }
}

/// Reads as the overlay does.
fn read(lower: &Lower, want: &Want, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let mut buffer = Vec::new();
    loop {
        if let Some(mut file) = lower.object(want.oid())? {
            file.read_to_end(&mut buffer).unwrap();
            let end = buffer.len().min(range.end as usize);
            return Ok(buffer[range.start as usize..end].to_vec());
        }
        match lower.read_partly(want, &range, &mut buffer) {
            Ok(()) => return Ok(buffer),
            Err(want) => lower.fetch(&want)?,
        }
    }
}

impl Setup {
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        read(&self.lower, &self.source.want(), range)
    }

    /// Reads and compares.
    fn check(&self, range: Range<u64>) {
        let end = self.source.bytes.len().min(range.end as usize);
        let expected = &self.source.bytes[range.start as usize..end];
        assert!(self.read(range.clone()).unwrap() == expected, "{range:?}");
    }

    fn is_whole(&self) -> bool {
        self.lower.is_here(&self.source.want())
    }

    fn becomes_whole(&self) {
        wait_until(|| self.is_whole());
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn here_and_there_costs_what_is_read() {
    let size = 80 * CHUNK_BYTES + 1_000;
    let setup = setup(Ranged::new(size));
    setup.check(0..4_096);
    setup.check(size - 10..size + 500);
    setup.check(40 * CHUNK_BYTES - 5..40 * CHUNK_BYTES + 5);
    // Again, and what lies in the same chunks.
    setup.check(100..200);
    setup.check(size - 1_000..size);
    assert!(setup.read(size..size + 10).unwrap().is_empty());
    let asked = setup.source.asked();
    let of = |asked: &[usize]| -> Vec<usize> {
        let count = asked.iter().enumerate().filter(|(_, count)| **count > 0);
        count.map(|(chunk, _)| chunk).collect()
    };
    assert_eq!(of(&asked), [0, 39, 40, 80]);
    assert_eq!(setup.source.ranges.lock().len(), 3, "one for two chunks");
    assert_eq!((*setup.source.wholes.lock(), setup.is_whole()), (0, false));
}

#[test]
fn from_front_to_back_every_chunk_comes_once_and_the_whole_is_kept() {
    for step in [100_000, 1 << 20] {
        let setup = setup(Ranged::new(80 * CHUNK_BYTES + 1_000));
        let size = setup.source.bytes.len() as u64;
        for start in (0..size).step_by(step) {
            setup.check(start..start + step as u64);
        }
        setup.becomes_whole();
        let asked = setup.source.asked();
        assert!(asked.iter().all(|count| *count == 1), "{asked:?}");
        let requests = setup.source.ranges.lock().len();
        assert!(requests <= 40, "{requests} requests");
        assert_eq!(*setup.source.wholes.lock(), 0);
        let mut file = setup.lower.object(setup.source.oid()).unwrap().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes == setup.source.bytes);
        let counters = setup.lower.counters();
        assert_eq!((counters.objects, counters.object_bytes), (1, size));
    }
}

#[test]
fn in_any_order_the_last_chunk_makes_it_whole() {
    let setup = setup(Ranged::new(20 * CHUNK_BYTES));
    for number in 0..20 {
        let chunk = number * 7 % 20;
        setup.check(chunk * CHUNK_BYTES..(chunk + 1) * CHUNK_BYTES);
    }
    setup.becomes_whole();
    assert!(setup.source.asked().iter().all(|count| *count == 1));
}

#[test]
fn nothing_is_fetched_ahead_where_that_is_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Ranged::new(40 * CHUNK_BYTES));
    let store = Store::open(folder.path()).unwrap().with_prefetch(None);
    let lower = Lower::new(Arc::new(store), source.clone(), PIN);
    for chunk in 0..20 {
        let range = chunk * CHUNK_BYTES..(chunk + 1) * CHUNK_BYTES;
        read(&lower, &source.want(), range).unwrap();
        assert_eq!(source.ranges.lock().len() as u64, chunk + 1);
    }
}

#[test]
fn readers_of_a_chunk_share_its_request_and_its_failure() {
    for manner in [Manner::Sound, Manner::Offline] {
        let setup = setup(Ranged {
            gate: Some(Barrier::new(2)),
            ..Ranged::new(20 * CHUNK_BYTES)
        });
        setup.source.set(manner);
        let gate = setup.source.gate.as_ref().unwrap();
        thread::scope(|scope| {
            let first = scope.spawn(|| setup.read(5..10));
            gate.wait();
            let setup = &setup;
            let others = [0, 1, 2, 3, 4]
                .map(|start| scope.spawn(move || (setup.read(start..start + 100), start)));
            // Another chunk does not wait for it.
            let elsewhere = setup.read(9 * CHUNK_BYTES..9 * CHUNK_BYTES + 5);
            assert_eq!(elsewhere.is_ok(), manner == Manner::Sound);
            wait_until(|| setup.lower.waiting_for(setup.source.oid()) == 5);
            gate.wait();
            for (result, start) in others.into_iter().map(|one| one.join().unwrap()) {
                assert_eq!(result.is_ok(), manner == Manner::Sound, "{start}");
            }
            assert_eq!(first.join().unwrap().is_ok(), manner == Manner::Sound);
        });
        assert_eq!(setup.source.asked()[0], 1);
    }
}

#[test]
fn what_is_here_is_read_without_a_network_and_the_rest_says_why_not() {
    let setup = setup(Ranged::new(40 * CHUNK_BYTES));
    setup.check(0..10);
    setup.source.set(Manner::Offline);
    setup.check(5..CHUNK_BYTES);
    let missing = setup.read(CHUNK_BYTES - 5..CHUNK_BYTES + 5);
    let error = missing.unwrap_err();
    assert!(matches!(error, Error::Source(SourceError::Offline)));
    setup.source.set(Manner::Sound);
    setup.check(CHUNK_BYTES - 5..CHUNK_BYTES + 5);
}

#[test]
fn a_damaged_part_is_asked_for_once_more_and_never_given_out() {
    let setup = setup(Ranged::new(40 * CHUNK_BYTES));
    setup.source.set(Manner::Damaged(1));
    setup.check(0..10);
    assert_eq!(setup.source.asked()[0], 2);
    setup.source.set(Manner::Damaged(2));
    let error = setup
        .read(20 * CHUNK_BYTES..20 * CHUNK_BYTES + 10)
        .unwrap_err();
    assert!(matches!(error, Error::Corrupt { oid } if oid == setup.source.oid()));
    assert_eq!(setup.lower.counters().damaged, 3);
    setup.check(20 * CHUNK_BYTES..20 * CHUNK_BYTES + 10);
    assert!(
        !setup.lower.is_distrusted(),
        "that was the line, not the server"
    );
}

#[test]
fn a_server_that_told_other_bytes_is_believed_no_part_any_more() {
    let setup = setup(Ranged::new(18 * CHUNK_BYTES));
    let size = setup.source.bytes.len() as u64;
    setup.source.set(Manner::Lying);
    setup.read(0..10).unwrap();
    setup.source.set(Manner::Sound);
    for start in (CHUNK_BYTES..size).step_by(1 << 20) {
        setup.check(start..start + (1 << 20));
    }
    wait_until(|| setup.lower.is_distrusted());
    let ranges = setup.source.ranges.lock().len();
    setup.check(0..10);
    assert_eq!(setup.source.ranges.lock().len(), ranges);
    assert_eq!((*setup.source.wholes.lock(), setup.is_whole()), (1, true));
    assert_eq!(setup.lower.counters().damaged, 1);
}

#[test]
fn the_word_of_one_server_is_not_for_readers_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let source = |name: &str| {
        Arc::new(Ranged {
            domain: Domain::of(name),
            ..Ranged::new(20 * CHUNK_BYTES)
        })
    };
    let (one, other) = (source("one"), source("other"));
    for source in [&one, &other] {
        let lower = Lower::new(store.clone(), Arc::clone(source) as Arc<dyn Source>, PIN);
        let want = source.want();
        assert_eq!(read(&lower, &want, 0..9).unwrap(), source.bytes[..9]);
        assert_eq!(source.ranges.lock().len(), 1);
    }
}
