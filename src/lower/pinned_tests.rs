//! What is pinned stays, and what is no longer does not, over a source in memory that can go away.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sha1::{Digest, Sha1};

use super::evict::collect;
use super::{
    EntryKind, Error, Holder, Limits, ListingEntry, Lower, Pin, Progress, Source, SourceError,
    Store, Want, census, discard_damaged,
};
use crate::tree::{ChangeId, GitOid, Name, Timestamp, TreePath};

const MIB: usize = 1 << 20;

/// Trees by what is below them, and what was asked of them.
#[derive(Default)]
struct Memory {
    listings: HashMap<GitOid, Vec<ListingEntry>>,
    objects: HashMap<GitOid, Vec<u8>>,
    /// Objects that it gives before it goes away; none of them once it has.
    patience: AtomicUsize,
    is_away: AtomicBool,
}

impl Memory {
    /// A root with files at these paths of one or two names.
    fn of(files: &[(&str, Vec<u8>)]) -> (Memory, GitOid) {
        let mut memory = Memory {
            patience: AtomicUsize::new(usize::MAX),
            ..Memory::default()
        };
        let mut root: Vec<ListingEntry> = Vec::new();
        let mut folders: HashMap<&str, Vec<ListingEntry>> = HashMap::new();
        for (path, bytes) in files {
            let oid = hash("blob", bytes);
            memory.objects.insert(oid, bytes.clone());
            let file = |name| entry(name, EntryKind::File, oid, bytes.len() as u64);
            match path.split_once('/') {
                Some((folder, name)) => folders.entry(folder).or_default().push(file(name)),
                None => root.push(file(path)),
            }
        }
        for (name, entries) in folders {
            let tree = memory.add(entries);
            root.push(entry(name, EntryKind::Directory, tree, 0));
        }
        let tree = memory.add(root);
        (memory, tree)
    }

    fn add(&mut self, mut entries: Vec<ListingEntry>) -> GitOid {
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let tree = hash("tree", format!("{entries:?}").as_bytes());
        self.listings.insert(tree, entries);
        tree
    }

    fn is_gone(&self) -> bool {
        self.is_away.load(Ordering::SeqCst)
    }
}

impl Source for Memory {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        match self.is_gone() {
            true => Err(SourceError::Offline),
            false => Ok(self.listings[&tree].clone()),
        }
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        oid: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        let left = |left: usize| left.checked_sub(1);
        let given = (self.patience).fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        if self.is_gone() || given.is_err() {
            return Err(SourceError::Offline);
        }
        let sent = sink.write_all(&self.objects[&oid]);
        sent.map_err(SourceError::Sink)
    }
}

fn entry(name: &str, kind: EntryKind, oid: GitOid, size: u64) -> ListingEntry {
    ListingEntry {
        name: Name::try_from(name).unwrap(),
        kind,
        size,
        oid,
    }
}

fn hash(kind: &str, bytes: &[u8]) -> GitOid {
    let mut hasher = Sha1::new();
    hasher.update(format!("{kind} {}\0", bytes.len()));
    hasher.update(bytes);
    GitOid(hasher.finalize().into())
}

/// A snapshot over a folder.
struct Shown {
    lower: Lower,
    memory: Arc<Memory>,
    tree: GitOid,
}

fn show(folder: &Path, limit: Option<u64>, files: &[(&str, Vec<u8>)]) -> Shown {
    let limits = Limits {
        disk_bytes_max: limit,
        ..Limits::default()
    };
    let store = Store::open_within(folder, limits).unwrap();
    store.enforce().unwrap();
    let (memory, tree) = Memory::of(files);
    let memory = Arc::new(memory);
    let pin = Pin {
        change: ChangeId([1; 16]),
        commit: GitOid([2; 20]),
        tree,
        time: Timestamp {
            seconds: 0,
            nanoseconds: 0,
        },
    };
    Shown {
        lower: Lower::new(Arc::new(store), memory.clone(), pin).as_asked(),
        memory,
        tree,
    }
}

fn path(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

fn holder() -> Holder {
    Holder::of("one")
}

impl Shown {
    fn pin(&self, at: &str) -> Result<bool, Error> {
        let progress = Progress::default();
        let at = path(at);
        self.lower.pin_below(&at, (holder(), &at), &progress)
    }

    fn is_pinned(&self, at: &str) -> bool {
        self.lower.store().is_pinned(holder(), &path(at), self.tree)
    }

    fn release_all_but(&self, paths: &[&str]) {
        let paths: Vec<TreePath> = paths.iter().map(|text| path(text)).collect();
        self.lower
            .store()
            .release_all_but(holder(), &paths)
            .unwrap();
    }

    /// The bytes of a file as far as they are here, with no source.
    fn read(&self, at: &str) -> Option<Vec<u8>> {
        self.memory.is_away.store(true, Ordering::SeqCst);
        let mut tree = self.tree;
        let mut found = None;
        for name in path(at).names() {
            let listing = self.lower.listing(tree).unwrap()?;
            let entry = listing.find(&name).unwrap();
            tree = entry.oid;
            found = Some((entry.oid, entry.size));
        }
        let (oid, size) = found?;
        let want = Want::Object {
            path: path(at),
            oid,
            size,
        };
        self.lower.fetch(&want).ok()?;
        let mut bytes = Vec::new();
        let mut file = self.lower.object(oid).unwrap()?;
        file.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }
}

fn bytes(number: u8, size: usize) -> Vec<u8> {
    vec![number; size]
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("kept/one", bytes(1, 10)),
        ("kept/two", bytes(2, 20)),
        ("kept/empty", Vec::new()),
        ("also/two", bytes(2, 20)),
        ("also/three", bytes(3, 30)),
        ("other/four", bytes(4, 40)),
        ("file", bytes(5, 50)),
    ]
}

/// The names that objects have below `pins/`.
fn links(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.join("pins")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|path| !path.ends_with("whole"));
    found
}

#[test]
fn what_is_pinned_is_all_that_stays_and_reads_without_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shown = show(folder, None, &files());
    assert!(
        shown
            .lower
            .fetch_below(&TreePath::ROOT, &Progress::default())
            .unwrap()
    );
    assert!(shown.pin("kept").unwrap() && shown.pin("file").unwrap());
    assert!(!shown.pin("no/such").unwrap());
    assert!(shown.is_pinned("kept") && shown.is_pinned("file"));
    drop(shown);
    // Two listings, two files, and one file.
    assert_eq!(collect(folder, Some(0)).unwrap().pinned_objects, 5);
    let shown = show(folder, None, &files());
    for (name, is_here) in [
        ("kept/one", true),
        ("kept/two", true),
        ("file", true),
        ("other/four", false),
    ] {
        assert_eq!(shown.read(name).is_some(), is_here, "{name}");
    }
    assert_eq!(shown.read("kept/empty").unwrap(), b"");
    assert!(shown.pin("kept").is_ok(), "nothing of it is missing");
    shown.release_all_but(&[]);
    assert_eq!(links(folder), Vec::<PathBuf>::new());
    assert_eq!(collect(folder, Some(0)).unwrap().pinned_objects, 0);
    assert_eq!(census::held(folder).unwrap().objects, 0);
}

#[test]
fn what_two_paths_pin_stays_until_both_are_released() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shown = show(folder, None, &files());
    assert!(shown.pin("kept").unwrap() && shown.pin("also").unwrap());
    shown.release_all_but(&["also"]);
    assert!(!shown.is_pinned("kept") && shown.is_pinned("also"));
    collect(folder, Some(0)).unwrap();
    let after = show(folder, None, &files());
    assert_eq!(after.read("also/two").unwrap(), bytes(2, 20));
    assert_eq!(after.read("kept/one"), None);
    after.release_all_but(&[]);
    collect(folder, Some(0)).unwrap();
    assert_eq!(show(folder, None, &files()).read("also/two"), None);
}

#[test]
fn the_next_snapshot_is_whole_before_the_last_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(show(folder, None, &files()).pin("kept").unwrap());
    let mut changed = files();
    changed[0].1 = bytes(9, 90);
    changed.push(("kept/new", bytes(8, 80)));
    let next = show(folder, None, &changed);
    next.memory.patience.store(1, Ordering::SeqCst);
    assert!(matches!(
        next.pin("kept"),
        Err(Error::Source(SourceError::Offline))
    ));
    assert!(!next.is_pinned("kept"));
    collect(folder, Some(0)).unwrap();
    let last = show(folder, None, &files());
    assert_eq!(last.read("kept/one").unwrap(), bytes(1, 10));
    next.memory.patience.store(1, Ordering::SeqCst);
    assert!(next.pin("kept").unwrap(), "what came before the end stayed");
    assert!(next.is_pinned("kept"));
    collect(folder, Some(0)).unwrap();
    let next = show(folder, None, &changed);
    assert_eq!(next.read("kept/one").unwrap(), bytes(9, 90));
    assert_eq!(next.read("kept/new").unwrap(), bytes(8, 80));
    assert_eq!(
        show(folder, None, &files()).read("kept/one"),
        None,
        "released"
    );
}

#[test]
fn no_limit_is_in_the_way_of_what_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let limit = 4 * MIB as u64;
    let large: Vec<(String, Vec<u8>)> = (0..12)
        .map(|number| (format!("kept/{number}"), bytes(number, MIB / 2)))
        .chain([("kept/large".to_owned(), bytes(99, 7 * MIB / 2))])
        .chain((100..110).map(|number| (format!("other/{number}"), bytes(number, MIB / 2))))
        .collect();
    let large: Vec<(&str, Vec<u8>)> = large
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    let shown = show(folder, Some(limit), &large);
    assert!(shown.pin("kept").unwrap());
    shown
        .lower
        .fetch_below(&TreePath::ROOT, &Progress::default())
        .unwrap();
    let held = census::held(folder).unwrap();
    assert!(held.pinned_bytes > 2 * limit, "{held:?}");
    drop(shown);
    let shown = show(folder, Some(limit), &large);
    for (name, bytes) in large.iter().filter(|(name, _)| name.starts_with("kept")) {
        assert_eq!(shown.read(name).as_ref(), Some(bytes), "{name}");
    }
    shown.release_all_but(&[]);
    shown.lower.store().enforce().unwrap();
    assert!(census::held(folder).unwrap().bytes <= limit);
}

#[test]
fn what_the_disk_damages_is_noticed_and_pinned_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shown = show(folder, None, &files());
    assert!(shown.pin("kept").unwrap());
    let object = |number: u8, size| {
        let hash = blake3::hash(&bytes(number, size)).to_hex();
        folder.join("objects").join(&hash[..2]).join(&hash[2..])
    };
    let damage = |place: &Path| {
        // In place, so that both names show it.
        fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(place, "other bytes").unwrap();
    };
    damage(&object(1, 10));
    discard_damaged(folder, &object(1, 10)).unwrap();
    assert!(!shown.is_pinned("kept"));
    assert!(shown.pin("kept").unwrap() && shown.is_pinned("kept"));
    // A reader finds out first.
    damage(&object(2, 20));
    assert_eq!(shown.lower.store().lost(), 0);
    assert_eq!(shown.read("kept/two"), None);
    assert_eq!(shown.lower.store().lost(), 1);
    shown.memory.is_away.store(false, Ordering::SeqCst);
    assert!(shown.pin("kept").unwrap());
    drop(shown);
    assert_eq!(collect(folder, Some(0)).unwrap().pinned_objects, 4);
    let shown = show(folder, None, &files());
    assert_eq!(shown.read("kept/one").unwrap(), bytes(1, 10));
    assert_eq!(shown.read("kept/two").unwrap(), bytes(2, 20));
}

#[test]
fn what_is_stopped_is_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let shown = show(folder.path(), None, &files());
    let progress = Progress::default();
    progress.is_stopped.store(true, Ordering::SeqCst);
    let at = path("kept");
    shown
        .lower
        .pin_below(&at, (holder(), &at), &progress)
        .unwrap();
    assert!(!shown.is_pinned("kept"));
}
