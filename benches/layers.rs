//! What one operation costs in our own layers, without the kernel, a daemon or a network: the overlay with
//! its journal and bodies, and the store below it. `cargo bench --bench layers`; the journal by itself is
//! `cargo bench -p journal`, and everything together `cargo bench --bench mount`.
//!
//! The folders are made where `TMPDIR` says: on a disk of memory it is our own time that is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a measurement that fails is no measurement"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use divan::Bencher;
use mesa::lower::{EntryKind, ListingEntry, Lower, Pin, Source, SourceError, Store, Want};
use mesa::overlay::{Access, Error, Local, Options, Overlay, Owner, Rename, Visit};
use mesa::tree::{ChangeId, GitOid, Ino, Name, Permissions, Timestamp, TreePath};
use sha1::{Digest, Sha1};

/// Files of the lower layer, all in its root: as many as one of them may need that no other does.
const FILES: usize = 5_000;
/// Bytes of each: what most sources have.
const FILE_BYTES: usize = 3_000;
/// Every operation is done so often: samples of some each.
const SAMPLES: u32 = 40;
const SAMPLE_SIZE: u32 = 50;
const OWNER: Owner = Owner { uid: 0, gid: 0 };

fn main() {
    divan::main();
}

/// The lower layer, in memory.
struct Snapshot {
    listing: Vec<ListingEntry>,
    objects: HashMap<GitOid, Vec<u8>>,
}

impl Snapshot {
    fn new() -> Snapshot {
        let mut objects = HashMap::new();
        let listing = (0..FILES).map(|number| {
            let bytes = format!("{number:08}").repeat(FILE_BYTES / 8).into_bytes();
            let mut hash = Sha1::new();
            hash.update(format!("blob {}\0", bytes.len()));
            hash.update(&bytes);
            let (oid, size) = (GitOid(hash.finalize().into()), bytes.len() as u64);
            objects.insert(oid, bytes);
            let (name, kind) = (lower(number), EntryKind::File);
            ListingEntry {
                name,
                kind,
                size,
                oid,
            }
        });
        Snapshot {
            listing: listing.collect(),
            objects,
        }
    }

    fn pin() -> Pin {
        Pin {
            change: ChangeId([1; 16]),
            commit: GitOid([2; 20]),
            tree: GitOid([3; 20]),
            time: Timestamp::default(),
        }
    }
}

impl Source for Snapshot {
    fn listing(&self, _: &Pin, _: &TreePath, _: GitOid) -> Result<Vec<ListingEntry>, SourceError> {
        Ok(self.listing.clone())
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        oid: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        let bytes = self.objects.get(&oid).ok_or(SourceError::NotFound)?;
        sink.write_all(bytes).map_err(SourceError::Sink)
    }
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn lower(number: usize) -> Name {
    name(&format!("file-{number:05}"))
}

/// An overlay over the snapshot, gone with its folder.
struct Mounted {
    overlay: Overlay,
    /// Counts what must be another one each time.
    next: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl Mounted {
    fn new() -> Mounted {
        let folder = tempfile::tempdir().unwrap();
        let overlay = Mounted {
            overlay: open(folder.path()),
            next: AtomicUsize::new(0),
            _folder: folder,
        };
        // The listing, and every object, as after a first look at everything.
        for number in 0..FILES {
            let ino = overlay.find(number);
            overlay.read(ino);
        }
        overlay
    }

    fn call<T>(&self, mut operation: impl FnMut(&Overlay) -> Result<T, Error>) -> T {
        loop {
            match operation(&self.overlay) {
                Err(Error::Missing(want)) => self.overlay.fetch(&want).unwrap(),
                other => return other.unwrap(),
            }
        }
    }

    fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn find(&self, number: usize) -> Ino {
        let name = lower(number);
        self.call(|overlay| overlay.lookup(Ino::ROOT, &name)).ino
    }

    fn read(&self, ino: Ino) -> usize {
        let mut bytes = Vec::new();
        self.overlay.open(ino).unwrap();
        self.call(|overlay| {
            bytes.clear();
            overlay.read(ino, 0, FILE_BYTES, &mut bytes)
        });
        self.overlay.release(ino);
        bytes.len()
    }

    fn make(&self) -> (Ino, Name) {
        let name = name(&format!("new-{}", self.next()));
        let permissions = Permissions::of_mode(0o644);
        let made = self
            .overlay
            .create(Ino::ROOT, &name, permissions, OWNER)
            .unwrap();
        self.overlay.release(made.ino);
        (made.ino, name)
    }
}

fn open(folder: &Path) -> Overlay {
    let options = Options {
        folder: folder.join("repo"),
        owner: OWNER,
        // Nothing is synced but what asks for it.
        commit_interval: Duration::from_secs(3600),
        ignore: "".into(),
        access: Access::default(),
    };
    std::fs::create_dir_all(&options.folder).unwrap();
    let store = Arc::new(Store::open(&folder.join("cache")).unwrap());
    let source: Arc<dyn Source> = Arc::new(Snapshot::new());
    let local = Local::open(&options).unwrap();
    local
        .over(store, source, Some("main"), Snapshot::pin(), &options)
        .unwrap()
}

#[divan::bench_group(sample_count = SAMPLES, sample_size = SAMPLE_SIZE)]
mod overlay {
    use super::*;

    #[divan::bench]
    fn lookup_of_a_lower_file(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        bencher.bench_local(|| mounted.find(black_box(7)));
    }

    #[divan::bench]
    fn attributes_of_a_lower_file(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let ino = mounted.find(7);
        bencher.bench_local(|| mounted.overlay.attributes(black_box(ino)).unwrap().size);
    }

    #[divan::bench]
    fn first_read_of_a_lower_file(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let ino = mounted.find(7);
        bencher.bench_local(|| mounted.read(black_box(ino)));
    }

    #[divan::bench]
    fn listing_of_5000_lower_files(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        bencher.bench_local(|| {
            let mut count = 0;
            let mut visit = |_, _, _, _: &[u8]| {
                count += 1;
                Visit::Taken
            };
            let read = mounted.overlay.read_directory(Ino::ROOT, 0, &mut visit);
            read.unwrap();
            assert!(count >= FILES);
        });
    }

    #[divan::bench]
    fn first_write_to_a_lower_file(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let fresh = bencher.with_inputs(|| mounted.find(mounted.next() % FILES));
        fresh.bench_local_values(|ino| mounted.overlay.write(ino, 0, b"first").unwrap());
    }

    #[divan::bench]
    fn write_of_100_bytes(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let (ino, _) = mounted.make();
        bencher.bench_local(|| mounted.overlay.write(ino, 0, &[7; 100]).unwrap());
    }

    #[divan::bench]
    fn write_and_sync_of_100_bytes(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let (ino, _) = mounted.make();
        bencher.bench_local(|| {
            mounted.overlay.write(ino, 0, &[7; 100]).unwrap();
            mounted.overlay.sync(ino).unwrap();
        });
    }

    #[divan::bench]
    fn creation(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        bencher.bench_local(|| mounted.make());
    }

    #[divan::bench]
    fn rename(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let made =
            bencher.with_inputs(|| (mounted.make().1, name(&format!("to-{}", mounted.next()))));
        made.bench_local_values(|(from, to)| {
            let (root, mode) = (Ino::ROOT, Rename::Replace);
            mounted
                .overlay
                .rename(root, &from, root, &to, mode)
                .unwrap();
        });
    }

    #[divan::bench]
    fn removal(bencher: Bencher<'_, '_>) {
        let mounted = Mounted::new();
        let made = bencher.with_inputs(|| mounted.make().1);
        made.bench_local_values(|name| mounted.overlay.remove_file(Ino::ROOT, &name).unwrap());
    }
}

#[divan::bench_group(sample_count = SAMPLES, sample_size = SAMPLE_SIZE)]
mod store {
    use super::*;

    struct Kept {
        lower: Lower,
        entries: Vec<ListingEntry>,
        next: AtomicUsize,
        _folder: tempfile::TempDir,
    }

    impl Kept {
        fn new() -> Kept {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(Store::open(folder.path()).unwrap());
            let snapshot = Snapshot::new();
            let entries = snapshot.listing.clone();
            Kept {
                lower: Lower::new(store, Arc::new(snapshot), Snapshot::pin()),
                entries,
                next: AtomicUsize::new(0),
                _folder: folder,
            }
        }

        fn fresh(&self) -> Want {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let entry = &self.entries[next % FILES];
            Want::Object {
                path: TreePath::ROOT.join(&entry.name).unwrap(),
                oid: entry.oid,
                size: entry.size,
            }
        }
    }

    #[divan::bench]
    fn arrival_of_an_object(bencher: Bencher<'_, '_>) {
        let kept = Kept::new();
        let fresh = bencher.with_inputs(|| kept.fresh());
        fresh.bench_local_values(|want| kept.lower.fetch(&want).unwrap());
    }

    #[divan::bench]
    fn opening_of_an_object(bencher: Bencher<'_, '_>) {
        let kept = Kept::new();
        let want = kept.fresh();
        kept.lower.fetch(&want).unwrap();
        let oid = kept.entries[0].oid;
        bencher.bench_local(|| kept.lower.object(black_box(oid)).unwrap().is_some());
    }
}
