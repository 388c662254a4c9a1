//! What goes when a store is full, and what stays.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use sha1::{Digest, Sha1};

use super::census;
use super::disk::{place, read_index};
use super::evict::collect;
use super::store::Effort;
use super::{Limits, Store};
use crate::tree::GitOid;

const MIB: u64 = 1 << 20;

fn open(folder: &Path, disk_bytes_max: u64) -> Store {
    let limits = Limits {
        disk_bytes_max: Some(disk_bytes_max),
        ..Limits::default()
    };
    let store = Store::open_within(folder, limits).unwrap();
    store.enforce().unwrap();
    store
}

fn publish(store: &Store, number: u64, size: u64) -> GitOid {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let mut blob = Sha1::new();
    blob.update(format!("blob {size}\0"));
    blob.update(&bytes);
    let oid = GitOid(blob.finalize().into());
    let progress = AtomicU64::new(0);
    let mut incoming = store.incoming(size, &progress).unwrap();
    incoming.write_all(&bytes).unwrap();
    assert!(store.publish_blob(incoming, oid, size).unwrap());
    oid
}

fn is_there(store: &Store, oid: GitOid) -> bool {
    store.blob(oid, Effort::Whole).unwrap().is_some()
}

fn on_disk(folder: &Path) -> u64 {
    census::held(folder).unwrap().bytes
}

/// Makes every object one that was used `ago`.
fn age(folder: &Path, ago: Duration) {
    census::for_each_object(folder, |object, _| {
        let file = File::open(object.path()).unwrap();
        file.set_modified(SystemTime::now() - ago).unwrap();
    })
    .unwrap();
}

#[test]
fn stores_that_share_a_folder_stay_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let limit = 16 * MIB;
    let stores = [open(folder, limit), open(folder, limit)];
    for number in 0..600 {
        let store = &stores[usize::from(number % 3 == 0)];
        let oid = publish(store, number, 100_000);
        assert!(is_there(store, oid), "whoever asked for {number} has it");
        let used = on_disk(folder);
        assert!(used <= limit / 100 * 105, "{used} bytes after {number}");
    }
    let used = on_disk(folder);
    assert!(used >= limit / 100 * 90, "{used} bytes: too much went");
    let evicted: u64 = stores.iter().map(|store| store.figures().1).sum();
    assert!(evicted > 400, "{evicted}");
    let counted = stores[0].figures().0.unwrap();
    assert!(
        counted.abs_diff(used) < MIB,
        "{counted} counted, {used} on disk"
    );
}

#[test]
fn what_was_used_lately_is_open_or_is_pinned_stays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = open(folder, 64 * MIB);
    let old: Vec<GitOid> = (0..100)
        .map(|number| publish(&store, number, 50_000))
        .collect();
    let (held, pinned) = (publish(&store, 200, 50_000), publish(&store, 201, 50_000));
    drop(store);
    age(folder, Duration::from_secs(3600));
    let object = |oid: GitOid| {
        let index = place(folder, "index", &oid.0);
        place(folder, "objects", &read_index(&index).unwrap().0)
    };
    fs::create_dir(folder.join("pins")).unwrap();
    fs::hard_link(object(pinned), folder.join("pins/one")).unwrap();

    let store = open(folder, 64 * MIB);
    let mut open_file = store.blob(held, Effort::Whole).unwrap().unwrap();
    age(folder, Duration::from_secs(3600));
    // Another process, which has nothing in memory: the first use counts.
    let other = open(folder, 64 * MIB);
    assert!(is_there(&other, old[7]));
    let collected = collect(folder, Some(on_disk(folder) - 3 * MIB)).unwrap();
    assert!(collected.bytes >= 3 * MIB, "{collected:?}");
    assert!(is_there(&other, old[7]), "used lately");
    assert!(collect(folder, Some(0)).unwrap().objects > 20);
    assert!(!is_there(&other, old[8]));
    assert!(is_there(&other, pinned));
    assert!(is_there(&other, held), "somebody has it open");
    let mut bytes = Vec::new();
    open_file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 50_000);
    drop(open_file);
    let indexed = |folder: &Path| {
        let mut count = 0;
        census::for_each(&folder.join("index"), &mut |shelf| {
            census::for_each(&shelf.path(), &mut |_| {
                count += 1;
                Ok(())
            })
        })
        .unwrap();
        count
    };
    collect(folder, Some(0)).unwrap();
    assert_eq!(indexed(folder), 1, "of the pinned one");
    assert_eq!(census::held(folder).unwrap().objects, 1);
}

#[test]
fn a_limit_on_what_is_all_in_use_costs_no_count_for_each_object() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = open(folder, 4 * MIB);
    let held: Vec<File> = (0..60)
        .map(|number| publish(&store, number, 100_000))
        .map(|oid| store.blob(oid, Effort::Whole).unwrap().unwrap())
        .collect();
    let after = store.keeper.not_before();
    assert!(after > 4 * MIB, "{after}");
    assert!(on_disk(folder) > 6 * MIB, "what is open stays");
    drop(held);
    store.enforce().unwrap();
    let next = publish(&store, 100, 100_000);
    assert!(is_there(&store, next));
}

#[test]
fn what_is_too_large_is_served_and_what_is_not_to_be_kept_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = open(folder, 4 * MIB);
    let small = publish(&store, 1, 1_000);
    let large = publish(&store, 2, 4 * MIB);
    assert!(is_there(&store, large) && is_there(&store, small));
    drop(store);
    let store = open(folder, 4 * MIB);
    assert!(!is_there(&store, large) && is_there(&store, small));

    let limits = Limits {
        is_kept: false,
        ..Limits::default()
    };
    let passing = Store::open_within(folder, limits).unwrap();
    assert!(!is_there(&passing, small));
    let seen = publish(&passing, 3, 1_000);
    assert!(is_there(&passing, seen) && !is_there(&store, seen));
    drop((passing, store));
    assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
}
