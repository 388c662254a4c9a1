//! Listings that come along with one that is wanted, and those that nobody has asked for yet.

use super::*;

/// Three directories, one in the other; a request for the first may tell of the second as well.
#[derive(Default)]
struct Nested {
    can_tell: bool,
    told: Mutex<Vec<(GitOid, Option<u64>)>>,
    asked: Mutex<Vec<GitOid>>,
}

const NESTED: [GitOid; 3] = [GitOid([3; 20]), GitOid([4; 20]), GitOid([5; 20])];

impl Nested {
    fn entries(tree: GitOid) -> Vec<ListingEntry> {
        let place = NESTED.iter().position(|one| *one == tree).unwrap();
        let below = NESTED.get(place + 1).map(|oid| ListingEntry {
            name: Name::try_from("d").unwrap(),
            kind: EntryKind::Directory,
            size: 0,
            oid: *oid,
        });
        below.into_iter().collect()
    }

    /// Goes down to the last one, and gives what was asked for: by many, and one by one.
    fn walk(self, folder: &Path, is_asked_only: bool) -> (Vec<(GitOid, Option<u64>)>, Vec<GitOid>) {
        let source = Arc::new(self);
        let store = Arc::new(Store::open(folder).unwrap());
        let used = Arc::downgrade(&store);
        let mut lower = Lower::new(store, source.clone(), PIN);
        if is_asked_only {
            lower = lower.as_asked();
        }
        for (depth, oid) in NESTED.into_iter().enumerate() {
            let path = TreePath::try_from(&*vec!["d"; depth].join("/")).unwrap();
            lower.fetch(&Want::Listing { path, oid }).unwrap();
            let listing = lower.listing(oid).unwrap().unwrap();
            assert_eq!(listing.entries().len(), usize::from(depth < 2));
        }
        drop(lower);
        wait_for_end(&used);
        let asked = source.asked.lock().clone();
        (source.told.lock().clone(), asked)
    }
}

impl Source for Nested {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        self.asked.lock().push(tree);
        Ok(Nested::entries(tree))
    }

    fn listings_below(
        &self,
        _: &Pin,
        (_, tree): (&TreePath, GitOid),
        bytes_max: Option<u64>,
        take: &mut (dyn FnMut(GitOid, Vec<ListingEntry>) -> bool + Send),
    ) -> Result<bool, SourceError> {
        if bytes_max.is_some() {
            self.told.lock().push((tree, bytes_max));
        }
        if self.can_tell {
            let below = NESTED.into_iter().skip_while(|one| *one != tree);
            let count = if bytes_max > Some(ALONG_BYTES_MAX) {
                3
            } else {
                2
            };
            below.take(count).for_each(|oid| {
                take(oid, Nested::entries(oid));
            });
        }
        Ok(self.can_tell)
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
fn whoever_goes_down_a_path_asks_once_where_the_source_can_tell() {
    let walk = |can_tell, is_asked_only| {
        let cache = tempfile::tempdir().unwrap();
        let source = Nested {
            can_tell,
            ..Nested::default()
        };
        source.walk(cache.path(), is_asked_only)
    };
    let once = |oid| (oid, Some(ALONG_BYTES_MAX));
    let [first, _, last] = NESTED;
    assert_eq!(walk(true, false), (vec![once(first), once(last)], vec![]));
    assert_eq!(
        walk(false, false),
        (NESTED.map(once).to_vec(), NESTED.to_vec())
    );
    assert_eq!(walk(true, true), (vec![], NESTED.to_vec()));
}

#[test]
fn listings_are_asked_for_ahead_once_and_only_where_some_are_not_here() {
    let cache = tempfile::tempdir().unwrap();
    let source = Arc::new(Nested {
        can_tell: true,
        ..Nested::default()
    });
    let store = Arc::new(Store::open(cache.path()).unwrap());
    let used = Arc::downgrade(&store);
    let lower = Lower::new(store, source.clone(), PIN);
    let [first, _, last] = NESTED;
    lower.keep_listing(first, Nested::entries(first)).unwrap();
    lower.list_ahead();
    until("the last one came", || {
        lower.listing_in_memory(last).is_some()
    });
    drop(lower);
    wait_for_end(&used);
    let store = Arc::new(Store::open(cache.path()).unwrap());
    let used = Arc::downgrade(&store);
    Lower::new(store, source.clone(), PIN).list_ahead();
    wait_for_end(&used);
    assert_eq!(*source.told.lock(), [(first, Some(1 << 20))]);
    assert_eq!(*source.asked.lock(), []);
}
