//! What is asked for many at once, of a source in memory that can tell it; and when nothing is.

mod listings;

use std::collections::HashMap;
use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use super::*;
use crate::tree::{GitOid, Name, TreePath};

const FILES: usize = 200;
const PIN: Pin = Pin::SAMPLE;

/// One directory of files, and what was asked of it.
struct Folder {
    kind: EntryKind,
    objects: HashMap<GitOid, Vec<u8>>,
    names: Vec<(String, GitOid)>,
    tree: GitOid,
    is_dead: AtomicBool,
    /// A batch says nothing until this is false.
    is_stuck: AtomicBool,
    batches: Mutex<Vec<Vec<GitOid>>>,
}

impl Folder {
    fn of(kind: EntryKind) -> Arc<Folder> {
        let mut names = Vec::new();
        let mut objects = HashMap::new();
        for number in 0..FILES {
            let bytes = format!("{number}\n").into_bytes();
            let mut hasher = Sha1::new();
            hasher.update(format!("blob {}\0", bytes.len()));
            hasher.update(&bytes);
            let oid = GitOid(hasher.finalize().into());
            names.push((format!("{number:04}"), oid));
            objects.insert(oid, bytes);
        }
        Arc::new(Folder {
            kind,
            objects,
            names,
            tree: PIN.tree,
            is_dead: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            batches: Mutex::default(),
        })
    }

    /// Opens a store in a folder, and shows what is in this one with it.
    fn lower(self: &Arc<Folder>, folder: &Path) -> Opened {
        let store = Arc::new(Store::open(folder).unwrap());
        let used = Arc::downgrade(&store);
        let lower = Lower::new(store, self.clone(), PIN);
        let root = Want::Listing {
            path: TreePath::ROOT,
            oid: self.tree,
        };
        lower.fetch(&root).unwrap();
        Opened {
            folder: self.clone(),
            lower: Some(lower),
            used,
        }
    }

    fn read(&self, lower: &Lower, number: usize) -> Result<(), Error> {
        let (name, oid) = &self.names[number];
        if lower.object(*oid)?.is_some() {
            return Ok(());
        }
        lower.fetch(&Want::Object {
            path: TreePath::try_from(name.as_str()).unwrap(),
            oid: *oid,
            size: self.objects[oid].len() as u64,
        })
    }

    fn batches(&self) -> usize {
        self.batches.lock().len()
    }
}

/// A lower layer that waits at its end for the threads that it began, so that they find their folder.
struct Opened {
    folder: Arc<Folder>,
    lower: Option<Lower>,
    used: Weak<Store>,
}

fn wait_for_end(used: &Weak<Store>) {
    let begun = Instant::now();
    while used.strong_count() > 0 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Deref for Opened {
    type Target = Lower;

    fn deref(&self) -> &Lower {
        self.lower.as_ref().unwrap()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.folder.is_stuck.store(false, Ordering::SeqCst);
        self.lower = None;
        wait_for_end(&self.used);
    }
}

impl Source for Folder {
    fn listing(&self, _: &Pin, _: &TreePath, _: GitOid) -> Result<Vec<ListingEntry>, SourceError> {
        let entry = |(name, oid): &(String, GitOid)| ListingEntry {
            name: Name::try_from(name.as_str()).unwrap(),
            kind: self.kind,
            size: self.objects[oid].len() as u64,
            oid: *oid,
        };
        Ok(self.names.iter().map(entry).collect())
    }

    fn objects(
        &self,
        _: &Pin,
        wanted: &[Located],
        taker: &mut dyn Taker,
    ) -> Result<bool, SourceError> {
        self.batches
            .lock()
            .push(wanted.iter().map(|(_, oid, _)| *oid).collect());
        while self.is_stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _all = wanted
            .iter()
            .all(|(_, oid, _)| taker.take(*oid, &self.objects[oid]));
        Ok(true)
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        oid: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        match self.is_dead.load(Ordering::SeqCst) {
            true => Err(SourceError::Offline),
            false => sink
                .write_all(&self.objects[&oid])
                .map_err(SourceError::Sink),
        }
    }
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whoever_reads_on_is_read_ahead_of_in_the_order_of_the_directory() {
    let cache = tempfile::tempdir().unwrap();
    let folder = Folder::of(EntryKind::File);
    let lower = folder.lower(cache.path());
    let shown = lower.listing(folder.tree).unwrap().unwrap();
    let place = |oid: &GitOid| shown.entries().iter().position(|entry| entry.oid == *oid);
    for entry in shown.entries() {
        let is_it = |(_, oid): &(String, GitOid)| *oid == entry.oid;
        let number = folder.names.iter().position(is_it).unwrap();
        folder.read(&lower, number).unwrap();
    }
    let batches = folder.batches.lock();
    assert!(
        (2..=FILES / 8).contains(&batches.len()),
        "{} batches",
        batches.len()
    );
    for batch in &*batches {
        assert!(batch.iter().is_sorted_by_key(place));
    }
    // What is missed while its batch is asked for comes twice, and nothing comes more often.
    assert!(lower.counters().objects <= 2 * FILES as u64);
}

#[test]
fn links_that_are_followed_and_reads_that_fail_are_no_run() {
    let cache = tempfile::tempdir().unwrap();
    let links = Folder::of(EntryKind::Symlink);
    let lower = links.lower(cache.path());
    for number in 0..FILES {
        links.read(&lower, number).unwrap();
    }
    assert_eq!(links.batches(), 0);

    let cache = tempfile::tempdir().unwrap();
    let dead = Folder::of(EntryKind::File);
    let lower = dead.lower(cache.path());
    dead.is_dead.store(true, Ordering::SeqCst);
    for number in 0..FILES {
        dead.read(&lower, number).unwrap_err();
    }
    assert_eq!(dead.batches(), 0);
}

#[test]
fn nobody_waits_for_a_batch_without_the_object_that_he_wants() {
    let cache = tempfile::tempdir().unwrap();
    let folder = Folder::of(EntryKind::File);
    let lower = folder.lower(cache.path());
    folder.is_stuck.store(true, Ordering::SeqCst);
    for number in 0..8 {
        folder.read(&lower, number).unwrap();
    }
    until("a window is asked for", || folder.batches() == 2);
    // It never comes: who wants another object has it, and so has who wants one of it.
    let window = folder.batches.lock().concat();
    let of_window = |number: &usize| window.contains(&folder.names[*number].1);
    for number in [
        (8..FILES).find(|number| !of_window(number)).unwrap(),
        (8..FILES).find(of_window).unwrap(),
    ] {
        folder.read(&lower, number).unwrap();
    }
    assert_eq!(folder.batches(), 2);
    folder.is_stuck.store(false, Ordering::SeqCst);
    // What was missed says where the reader is.
    until("another is asked for", || folder.batches() > 2);
}

#[test]
fn a_disk_that_is_nearly_full_is_not_filled_ahead() {
    let disk = tempfile::tempdir().unwrap();
    let flags = nix::mount::MsFlags::empty();
    let size = Some("size=32m");
    if nix::mount::mount(Some("tmpfs"), disk.path(), Some("tmpfs"), flags, size).is_err() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let read = std::panic::catch_unwind(|| {
        let folder = Folder::of(EntryKind::File);
        let lower = folder.lower(&disk.path().join("cache"));
        for number in 0..FILES {
            folder.read(&lower, number).unwrap();
        }
        folder.batches()
    });
    nix::mount::umount2(disk.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(read.unwrap(), 0);
}
