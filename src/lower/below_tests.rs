//! In which order all below a directory is asked for, of a source in memory that notes it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use super::*;
use crate::tree::{ChangeId, GitOid, Name, Timestamp, TreePath};

const ROOT: GitOid = GitOid([3; 20]);
const BELOW: GitOid = GitOid([4; 20]);
const FILES: [(GitOid, &str, usize); 5] = [
    (ROOT, "a.bin", 70_000),
    (ROOT, "b.rs", 2),
    (ROOT, "README.md", 3),
    (BELOW, "c.rs", 4),
    (BELOW, "Cargo.toml", 5),
];

/// Two directories of files, each of a size of its own; the sizes in the order that was asked for.
#[derive(Default)]
struct Asked(Mutex<Vec<u64>>);

fn blob(size: usize) -> GitOid {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {size}\0"));
    hasher.update(vec![b'x'; size]);
    GitOid(hasher.finalize().into())
}

impl Source for Asked {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        let entry = |name: &str, kind, size, oid| ListingEntry {
            name: Name::try_from(name).unwrap(),
            kind,
            size,
            oid,
        };
        let files = FILES.iter().filter(|(folder, ..)| *folder == tree);
        let files =
            files.map(|(_, name, size)| entry(name, EntryKind::File, *size as u64, blob(*size)));
        let folder = entry("below", EntryKind::Directory, 0, BELOW);
        let folder = (tree == ROOT).then_some(folder);
        Ok(files.chain(folder).collect())
    }

    fn objects(
        &self,
        _: &Pin,
        wanted: &[Located],
        taker: &mut dyn Taker,
    ) -> Result<bool, SourceError> {
        for (_, oid, size) in wanted {
            self.0.lock().push(*size);
            taker.take(*oid, &vec![b'x'; *size as usize]);
        }
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

#[test]
fn manifests_of_all_directories_come_before_what_is_small_and_the_rest() {
    let cache = tempfile::tempdir().unwrap();
    let source = Arc::new(Asked::default());
    let store = Store::open(cache.path()).unwrap().with_prefetch(None);
    let time = Timestamp {
        seconds: 0,
        nanoseconds: 0,
    };
    let pin = Pin {
        change: ChangeId([1; 16]),
        commit: GitOid([2; 20]),
        tree: ROOT,
        time,
    };
    let lower = Lower::new(Arc::new(store), source.clone(), pin);
    let progress = Progress::default();
    assert!(lower.fetch_below(&TreePath::ROOT, &progress).unwrap());
    let mut asked = source.0.lock().clone();
    assert_eq!(asked.pop(), Some(70_000));
    asked[..2].sort_unstable();
    asked[2..].sort_unstable();
    assert_eq!(asked, [3, 5, 2, 4]);
    assert_eq!(progress.files_here.load(Ordering::Relaxed), 5);
}
