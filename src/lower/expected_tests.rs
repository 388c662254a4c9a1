//! What is expected to be read is fetched in the background, of a source in memory that counts.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use super::*;
use crate::tree::{ChangeId, GitOid, Name, Timestamp, TreePath};

const FOLDERS: u8 = 12;
const FILES: u8 = 30;
const ROOT: GitOid = GitOid([200; 20]);
const PIN: Pin = Pin {
    change: ChangeId([1; 16]),
    commit: GitOid([2; 20]),
    tree: ROOT,
    time: Timestamp {
        seconds: 0,
        nanoseconds: 0,
    },
};

/// Directories `0` to `11` of files `0` to `29`, and what was asked of them.
#[derive(Default)]
struct Folders {
    listings: Mutex<Vec<GitOid>>,
    batches: Mutex<Vec<usize>>,
    is_away: AtomicBool,
}

fn bytes(folder: u8, file: u8) -> Vec<u8> {
    format!("{folder}/{file}\n").into_bytes()
}

fn blob(folder: u8, file: u8) -> GitOid {
    let bytes = bytes(folder, file);
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(&bytes);
    GitOid(hasher.finalize().into())
}

fn entries(tree: GitOid) -> Vec<ListingEntry> {
    let entry = |number: u8, kind, size, oid| ListingEntry {
        name: Name::try_from(number.to_string().as_str()).unwrap(),
        kind,
        size,
        oid,
    };
    if tree == ROOT {
        let folder = |number| entry(number, EntryKind::Directory, 0, GitOid([number + 1; 20]));
        return (0..FOLDERS).map(folder).collect();
    }
    let folder = tree.0[0] - 1;
    let size = |file| bytes(folder, file).len() as u64;
    (0..FILES)
        .map(|file| entry(file, EntryKind::File, size(file), blob(folder, file)))
        .collect()
}

impl Source for Folders {
    fn listing(&self, _: &Pin, _: &TreePath, _: GitOid) -> Result<Vec<ListingEntry>, SourceError> {
        Err(SourceError::Offline)
    }

    fn listings_below(
        &self,
        _: &Pin,
        (_, tree): (&TreePath, GitOid),
        bytes_max: Option<u64>,
        take: &mut (dyn FnMut(GitOid, Vec<ListingEntry>) -> bool + Send),
    ) -> Result<bool, SourceError> {
        self.listings.lock().push(tree);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(SourceError::Offline);
        }
        let below = (0..FOLDERS).map(|number| GitOid([number + 1; 20]));
        let below = below.filter(|_| tree == ROOT && bytes_max.is_none());
        std::iter::once(tree)
            .chain(below)
            .all(|tree| take(tree, entries(tree)));
        Ok(true)
    }

    fn objects(
        &self,
        _: &Pin,
        wanted: &[Located],
        taker: &mut dyn Taker,
    ) -> Result<bool, SourceError> {
        self.batches.lock().push(wanted.len());
        if self.is_away.load(Ordering::SeqCst) {
            return Err(SourceError::Offline);
        }
        let all = (0..FOLDERS).flat_map(|folder| (0..FILES).map(move |file| (folder, file)));
        let all: HashMap<GitOid, Vec<u8>> = all
            .map(|(folder, file)| (blob(folder, file), bytes(folder, file)))
            .collect();
        wanted.iter().all(|(_, oid, _)| taker.take(*oid, &all[oid]));
        Ok(true)
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        _: GitOid,
        _: u64,
        _: &mut dyn Write,
    ) -> Result<(), SourceError> {
        Err(SourceError::Offline)
    }
}

/// A lower layer over them, which waits for its threads at the end.
struct Opened {
    source: Arc<Folders>,
    lower: Option<Lower>,
    used: Weak<Store>,
}

impl Opened {
    fn of(cache: &Path, prefetch: Option<Prefetch>) -> Opened {
        let store = Arc::new(Store::open(cache).unwrap().with_prefetch(prefetch));
        let source = Arc::new(Folders::default());
        let used = Arc::downgrade(&store);
        let lower = Lower::new(store, source.clone(), PIN);
        lower.keep_listing(ROOT, entries(ROOT)).unwrap();
        Opened {
            source,
            lower: Some(lower),
            used,
        }
    }

    fn expect(&self, paths: &[&str]) {
        let paths = paths.iter().map(|path| TreePath::try_from(*path).unwrap());
        self.lower.as_ref().unwrap().expect(paths.collect());
    }

    /// Looks into the snapshot, and waits until what that begins is over; gives what was asked for.
    fn look(&mut self) -> (usize, Vec<usize>) {
        self.lower.as_ref().unwrap().looked_into();
        // Whoever is at work holds them as well.
        let begun = Instant::now();
        while Arc::strong_count(self.lower.as_ref().unwrap().batches()) > 1 {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never ends");
            std::thread::sleep(Duration::from_millis(1));
        }
        let listings = std::mem::take(&mut *self.source.listings.lock()).len();
        (listings, std::mem::take(&mut *self.source.batches.lock()))
    }

    fn has(&self, folder: u8, file: u8) -> bool {
        let lower = self.lower.as_ref().unwrap();
        lower.store().has_blob(blob(folder, file))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.lower = None;
        let begun = Instant::now();
        while self.used.strong_count() > 0 && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn it_comes_at_the_first_look_in_one_batch_and_never_again() {
    let cache = tempfile::tempdir().unwrap();
    let mut opened = Opened::of(cache.path(), Some(Prefetch::default()));
    assert_eq!(opened.look(), (0, vec![]), "nothing is expected yet");
    opened.expect(&[
        "3/7",
        "3/9",
        "no/such",
        "4/1/of/a/file",
        "3/99",
        "5/2",
        "8/1",
        "3/7",
    ]);
    assert_eq!(opened.source.batches.lock().len(), 0);
    let (listings, batches) = opened.look();
    assert_eq!(batches, [4]);
    assert!(listings <= 3, "{listings} requests for listings");
    assert!(opened.has(3, 7) && opened.has(3, 9) && opened.has(5, 2) && opened.has(8, 1));
    assert_eq!(opened.look(), (0, vec![]));
    // All of it is here now, and so are the listings.
    opened.expect(&["3/7", "5/2", "no/such"]);
    assert_eq!(opened.look(), (0, vec![]));
}

#[test]
fn what_the_listings_here_can_tell_comes_before_others_are_asked_for() {
    let cache = tempfile::tempdir().unwrap();
    let mut opened = Opened::of(cache.path(), Some(Prefetch::default()));
    opened.expect(&["1/0"]);
    assert_eq!(opened.look(), (1, vec![1]));
    opened.expect(&["2/0", "1/1", "2/1", "1/2"]);
    assert_eq!(opened.look(), (1, vec![2, 2]));
}

#[test]
fn a_directory_stands_for_all_below_it() {
    let cache = tempfile::tempdir().unwrap();
    let mut opened = Opened::of(cache.path(), Some(Prefetch::default()));
    opened.expect(&["2"]);
    assert_eq!(opened.look(), (1, vec![usize::from(FILES)]));
}

#[test]
fn it_takes_as_much_as_may_be_fetched_ahead() {
    let limited = |objects_max, bytes_max, depth_max| {
        let cache = tempfile::tempdir().unwrap();
        let prefetch = Prefetch {
            objects_max,
            bytes_max,
            depth_max,
            ..Prefetch::default()
        };
        let mut opened = Opened::of(cache.path(), Some(prefetch));
        opened.expect(&["2", "3"]);
        opened.look().1.iter().sum::<usize>()
    };
    let all = 2 * usize::from(FILES);
    assert_eq!(limited(1_000, 1 << 20, None), all);
    assert_eq!(limited(31, 1 << 20, None), 31);
    // Files of four or five bytes.
    assert_eq!(limited(1_000, 16, None), 4);
    assert_eq!(limited(1_000, 1 << 20, Some(0)), 0);
    assert_eq!(
        limited(1_000, 1 << 20, Some(1)),
        0,
        "none is told ahead that deep"
    );
    assert_eq!(limited(1_000, 1 << 20, Some(2)), all);
}

#[test]
fn where_nothing_may_be_fetched_ahead_nothing_is() {
    let cache = tempfile::tempdir().unwrap();
    let mut opened = Opened::of(cache.path(), None);
    opened.expect(&["3/7"]);
    assert_eq!(opened.look(), (0, vec![]));
}

#[test]
fn what_failed_is_left_alone_for_a_while() {
    let cache = tempfile::tempdir().unwrap();
    let mut opened = Opened::of(cache.path(), Some(Prefetch::default()));
    opened.source.is_away.store(true, Ordering::SeqCst);
    opened.expect(&["3/7", "4/1"]);
    assert_eq!(opened.look(), (1, vec![]), "one request, not one for each");
    opened.source.is_away.store(false, Ordering::SeqCst);
    assert_eq!(opened.look(), (0, vec![]));
    let expected = &opened.lower.as_ref().unwrap().batches().expected;
    assert_eq!(expected.take(Instant::now()), None);
    let later = Instant::now() + super::ahead::PAUSE;
    assert_eq!(expected.take(later).map(|paths| paths.len()), Some(2));
}
