//! The lower layer over a source in memory: who is asked, how often, and what damage does.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Barrier;
use std::thread;

use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use super::*;
use crate::tree::{GitOid, Name, TreePath};

const PIN: Pin = Pin::SAMPLE;

/// Answers in the order in which they are given; the last one stays.
#[derive(Default)]
struct Memory {
    listings: HashMap<GitOid, Vec<ListingEntry>>,
    objects: HashMap<GitOid, Vec<Vec<u8>>>,
    asked: Mutex<HashMap<GitOid, usize>>,
    gate: Option<Barrier>,
    domain: Domain,
}

impl Memory {
    fn count(&self, oid: GitOid) -> usize {
        self.asked.lock().get(&oid).copied().unwrap_or(0)
    }

    fn ask(&self, oid: GitOid) -> usize {
        let mut asked = self.asked.lock();
        let count = asked.entry(oid).or_default();
        *count += 1;
        *count
    }
}

impl Source for Memory {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        self.ask(tree);
        self.listings
            .get(&tree)
            .cloned()
            .ok_or(SourceError::Offline)
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        oid: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        let count = self.ask(oid);
        if let Some(gate) = &self.gate {
            gate.wait();
        }
        let answers = self.objects.get(&oid).ok_or(SourceError::Offline)?;
        let answer = answers.get(count - 1).or(answers.last()).unwrap();
        for chunk in answer.chunks(1000) {
            sink.write_all(chunk).map_err(SourceError::Sink)?;
        }
        Ok(())
    }

    fn domain(&self) -> Domain {
        self.domain
    }
}

fn blob(bytes: &[u8]) -> GitOid {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    GitOid(hasher.finalize().into())
}

fn object(bytes: &[u8]) -> Want {
    Want::Object {
        path: TreePath::try_from("a").unwrap(),
        oid: blob(bytes),
        size: bytes.len() as u64,
    }
}

fn listing(oid: GitOid) -> Want {
    Want::Listing {
        path: TreePath::ROOT,
        oid,
    }
}

fn entry(name: &str, size: u64) -> ListingEntry {
    ListingEntry {
        name: Name::try_from(name).unwrap(),
        kind: EntryKind::File,
        size,
        oid: GitOid([9; 20]),
    }
}

fn memory(objects: &[&[u8]]) -> Memory {
    Memory {
        objects: objects
            .iter()
            .map(|bytes| (blob(bytes), vec![bytes.to_vec()]))
            .collect(),
        ..Memory::default()
    }
}

fn lower(folder: &Path, source: Memory) -> (Lower, Arc<Memory>) {
    let source = Arc::new(source);
    let store = Arc::new(Store::open(folder).unwrap());
    (Lower::new(store, source.clone(), PIN), source)
}

fn content(lower: &Lower, oid: GitOid) -> Option<Vec<u8>> {
    let mut file = lower.object(oid).unwrap()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn one_request_per_object_and_none_for_the_second_read_or_process() {
    let folder = tempfile::tempdir().unwrap();
    let large = vec![7; 3 * 1024 * 1024];
    let wants = [object(b"hello"), object(&large)];
    let (first, source) = lower(folder.path(), memory(&[b"hello", &large]));
    for want in &wants {
        assert_eq!(content(&first, want.oid()), None);
        first.fetch(want).unwrap();
        first.fetch(want).unwrap();
        assert!(content(&first, want.oid()).is_some());
        assert_eq!(source.count(want.oid()), 1);
    }
    assert_eq!(content(&first, blob(b"hello")).unwrap(), b"hello");
    assert_eq!(first.counters().objects, 2);
    drop(first);

    let (second, source) = lower(folder.path(), Memory::default());
    assert_eq!(content(&second, blob(b"hello")).unwrap(), b"hello");
    // A large one has to be hashed first, which is the business of a thread that may block.
    assert_eq!(content(&second, blob(&large)), None);
    second.fetch(&object(&large)).unwrap();
    assert_eq!(content(&second, blob(&large)).unwrap(), large);
    assert_eq!(source.count(blob(&large)), 0);
    let offline = second.fetch(&object(b"never seen"));
    assert!(matches!(offline, Err(Error::Source(SourceError::Offline))));
}

#[test]
fn one_request_per_listing_and_none_for_the_second_look_or_process() {
    let folder = tempfile::tempdir().unwrap();
    let oid = GitOid([5; 20]);
    let mut source = Memory::default();
    source
        .listings
        .insert(oid, vec![entry("a", 1), entry("b", 2)]);
    let (first, source) = lower(folder.path(), source);
    assert!(first.listing(oid).unwrap().is_none());
    first.fetch(&listing(oid)).unwrap();
    first.fetch(&listing(oid)).unwrap();
    let before = first.listing_in_memory(oid).unwrap();
    assert_eq!(source.count(oid), 1);
    assert_eq!(first.counters().listings_unproven, 1);
    drop(first);

    let (second, source) = lower(folder.path(), Memory::default());
    assert!(second.listing_in_memory(oid).is_none());
    assert_eq!(second.listing(oid).unwrap().unwrap(), before);
    assert!(second.listing_in_memory(oid).is_some());
    assert_eq!(source.count(oid), 0);
    drop(second);

    let other = Memory {
        domain: Domain::of("https://elsewhere.example"),
        ..Memory::default()
    };
    let (third, _) = lower(folder.path(), other);
    assert!(third.listing(oid).unwrap().is_none());
}

#[test]
fn what_is_empty_is_never_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let (lower, source) = lower(folder.path(), Memory::default());
    lower.fetch(&listing(GitOid::EMPTY_TREE)).unwrap();
    lower.fetch(&object(b"")).unwrap();
    let empty = lower.listing(GitOid::EMPTY_TREE).unwrap().unwrap();
    assert!(empty.entries().is_empty());
    assert_eq!(content(&lower, blob(b"")), Some(vec![]));
    assert!(source.asked.lock().is_empty());
}

#[test]
fn concurrent_readers_share_a_request() {
    const READERS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let want = object(b"shared");
    let mut source = memory(&[b"shared"]);
    source.gate = Some(Barrier::new(2));
    let (lower, source) = lower(folder.path(), source);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| scope.spawn(|| lower.fetch(&want).is_ok()))
            .collect();
        source.gate.as_ref().unwrap().wait();
        assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    });
    assert_eq!(source.count(want.oid()), 1);
}

#[test]
fn damaged_bytes_are_fetched_once_more_and_then_are_an_error() {
    let right = b"right bytes".to_vec();
    let want = object(&right);
    for (wrong, name) in [
        (b"wrong bytes".to_vec(), "content"),
        (b"short".to_vec(), "short"),
        (vec![b'x'; 5_000], "long"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Memory::default();
        source
            .objects
            .insert(want.oid(), vec![wrong.clone(), right.clone()]);
        let (healed, source) = lower(folder.path(), source);
        healed.fetch(&want).unwrap();
        assert_eq!(source.count(want.oid()), 2, "{name}");
        assert_eq!(content(&healed, want.oid()).unwrap(), right);
        assert_eq!(healed.counters().damaged, 1);

        let folder = tempfile::tempdir().unwrap();
        let mut source = Memory::default();
        source.objects.insert(want.oid(), vec![wrong]);
        let (broken, source) = lower(folder.path(), source);
        let result = broken.fetch(&want);
        assert!(matches!(result, Err(Error::Corrupt { oid }) if oid == want.oid()));
        assert_eq!(source.count(want.oid()), 2, "{name}");
        assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn an_object_that_a_power_cut_tore_is_fetched_again() {
    let right = b"these bytes were acknowledged by nobody".to_vec();
    let want = object(&right);
    for torn in [vec![], vec![0; right.len()], b"these".to_vec()] {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = lower(folder.path(), memory(&[&right]));
        first.fetch(&want).unwrap();
        drop(first);
        let [place] = &files_below(&folder.path().join("objects"))[..] else {
            panic!("one object")
        };
        fs::remove_file(place).unwrap();
        fs::write(place, &torn).unwrap();

        let (second, source) = lower(folder.path(), memory(&[&right]));
        assert_eq!(content(&second, want.oid()), None);
        assert!(files_below(&folder.path().join("index")).is_empty());
        second.fetch(&want).unwrap();
        assert_eq!(content(&second, want.oid()).unwrap(), right);
        assert_eq!(source.count(want.oid()), 1);

        // The same while the process knows the object: its length gives it away.
        fs::set_permissions(place, fs::Permissions::from_mode(0o600)).unwrap();
        let file = fs::OpenOptions::new().write(true).open(place).unwrap();
        file.set_len(3).unwrap();
        assert_eq!(content(&second, want.oid()), None);
    }
}

#[test]
fn an_index_entry_without_an_object_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = lower(folder.path(), memory(&[b"gone"]));
    first.fetch(&object(b"gone")).unwrap();
    fs::remove_dir_all(folder.path().join("objects")).unwrap();
    assert_eq!(content(&first, blob(b"gone")), None);
    assert!(files_below(&folder.path().join("index")).is_empty());
    first.fetch(&object(b"gone")).unwrap();
    assert_eq!(content(&first, blob(b"gone")).unwrap(), b"gone");
}

#[test]
fn a_damaged_listing_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let oid = GitOid([5; 20]);
    let mut source = Memory::default();
    source.listings.insert(oid, vec![entry("a", 1)]);
    let (first, _) = lower(folder.path(), source);
    first.fetch(&listing(oid)).unwrap();
    drop(first);
    let place = &files_below(&folder.path().join("objects"))[0];
    fs::remove_file(place).unwrap();
    fs::write(place, b"mesals\x01\0\0\0\0").unwrap();
    let (second, _) = lower(folder.path(), Memory::default());
    assert!(second.listing(oid).unwrap().is_none());
}

#[test]
fn only_the_user_may_read_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let (lower, _) = lower(&cache, memory(&[b"private"]));
    lower.fetch(&object(b"private")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("objects")), 0o700);
    assert_eq!(mode(&files_below(&cache.join("objects"))[0]), 0o400);
}

#[test]
fn a_full_disk_serves_what_it_cannot_keep() {
    let folder = tempfile::tempdir().unwrap();
    let flags = nix::mount::MsFlags::empty();
    let size = Some("size=256k");
    if nix::mount::mount(Some("tmpfs"), folder.path(), Some("tmpfs"), flags, size).is_err() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let served = std::panic::catch_unwind(|| served_from_a_full_disk(folder.path()));
    nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    served.unwrap();
}

fn served_from_a_full_disk(folder: &Path) {
    let small = b"small".to_vec();
    // The disk takes the beginning of this one.
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    let objects: [&[u8]; 2] = [&small, &large];
    let mut ballast = fs::File::create(folder.join("ballast")).unwrap();
    let (kept, source) = lower(&folder.join("cache"), memory(&objects));
    let serves = |lower: &Lower, bytes: &[u8]| {
        lower.fetch(&object(bytes)).unwrap();
        content(lower, blob(bytes)).is_some_and(|read| read == bytes)
    };
    assert!(serves(&kept, &large));
    std::io::copy(&mut std::io::repeat(1), &mut ballast).unwrap_err();
    assert!(serves(&kept, &small) && serves(&kept, &large));
    for bytes in objects {
        assert_eq!(source.count(blob(bytes)), 1, "one request, and it is held");
    }
    // A daemon that starts on the full disk.
    let (other, _) = lower(&folder.join("other"), memory(&objects));
    assert!(serves(&other, &small) && serves(&other, &large));
}
