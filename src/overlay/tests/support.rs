//! A snapshot in memory, a remote that edits are applied to, and operations by path.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha1::{Digest, Sha1};

use super::remote::{Item, Tree, children, join};
use crate::lower::{EntryKind, ListingEntry, Pin, Source, SourceError, Store};
use crate::overlay::{Access, Error, Local, Options, Overlay, Owner, Visit};
use crate::tree::{Attributes, ChangeId, GitOid, Ino, Kind, Name, Timestamp, TreePath};
use crate::upper::Bodies;

/// The snapshot's contents, by object.
#[derive(Default)]
pub(super) struct Snapshot {
    listings: HashMap<GitOid, Vec<ListingEntry>>,
    objects: HashMap<GitOid, Vec<u8>>,
    root: Option<GitOid>,
    pub(super) requests: AtomicU64,
}

impl Snapshot {
    pub(super) fn of(tree: &Tree) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.root = Some(snapshot.directory(tree, ""));
        snapshot
    }

    fn directory(&mut self, tree: &Tree, path: &str) -> GitOid {
        let mut entries = Vec::new();
        for name in children(tree, path) {
            let child = join(path, &name);
            let (kind, size, oid) = match &tree[&child] {
                Item::Directory => (EntryKind::Directory, 0, self.directory(tree, &child)),
                Item::Symlink(target) => {
                    (EntryKind::Symlink, target.len() as u64, self.blob(target))
                }
                Item::File { bytes, executable } => {
                    let kind = match executable {
                        true => EntryKind::Executable,
                        false => EntryKind::File,
                    };
                    (kind, bytes.len() as u64, self.blob(bytes))
                }
            };
            entries.push(ListingEntry {
                name: Name::try_from(&name[..]).unwrap(),
                kind,
                size,
                oid,
            });
        }
        if entries.is_empty() {
            return GitOid::EMPTY_TREE;
        }
        let oid = GitOid(Sha1::digest(format!("{entries:?}")).into());
        self.listings.insert(oid, entries);
        oid
    }

    fn blob(&mut self, bytes: &[u8]) -> GitOid {
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {}\0", bytes.len()));
        hasher.update(bytes);
        let oid = GitOid(hasher.finalize().into());
        self.objects.insert(oid, bytes.to_vec());
        oid
    }

    fn pin(&self) -> Pin {
        Pin {
            change: ChangeId([7; 16]),
            commit: GitOid([8; 20]),
            tree: self.root.unwrap(),
            time: Timestamp {
                seconds: 1_700_000_000,
                nanoseconds: 0,
            },
        }
    }
}

impl Source for Snapshot {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.listings
            .get(&tree)
            .cloned()
            .ok_or(SourceError::NotFound)
    }

    fn object(
        &self,
        _: &Pin,
        _: &TreePath,
        oid: GitOid,
        _: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let bytes = self.objects.get(&oid).ok_or(SourceError::NotFound)?;
        sink.write_all(bytes).map_err(SourceError::Sink)
    }
}

pub(super) const OWNER: Owner = Owner { uid: 7, gid: 8 };

/// An overlay with its folders, reopened at will.
pub(super) struct Fixture {
    /// Dropped before its folder: what closes may still write there.
    overlay: Option<Overlay>,
    folder: tempfile::TempDir,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Fixture {
    pub(super) fn new(tree: &Tree) -> Fixture {
        Fixture::at(tempfile::tempdir().unwrap(), tree)
    }

    /// On a disk of memory, where there is one: for so many operations that a disk would be what is
    /// measured.
    pub(super) fn in_memory(tree: &Tree) -> Fixture {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Fixture::at(folder.unwrap(), tree)
    }

    /// In a folder.
    pub(super) fn at(folder: tempfile::TempDir, tree: &Tree) -> Fixture {
        let snapshot = Arc::new(Snapshot::of(tree));
        let overlay = Some(open(folder.path(), &snapshot));
        Fixture {
            folder,
            snapshot,
            overlay,
        }
    }

    pub(super) fn overlay(&self) -> &Overlay {
        self.overlay.as_ref().unwrap()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the bytes of a local file are.
    pub(super) fn body(&self, ino: Ino) -> PathBuf {
        let shelf = format!("repo/bodies/shelf-{:02x}", ino.0 % 64);
        self.folder().join(shelf).join(ino.to_string())
    }

    /// Local files that have bytes, with a name or without.
    pub(super) fn bodies(&self) -> BTreeSet<Ino> {
        Bodies::present(&self.folder().join("repo/bodies")).unwrap()
    }

    pub(super) fn close(&mut self) {
        self.overlay = None;
    }

    pub(super) fn reopen(&mut self) {
        self.overlay = None;
        self.overlay = Some(open(self.folder.path(), &self.snapshot));
    }

    /// Calls until nothing is missing, as the kernel's adapter does.
    pub(super) fn call<T>(
        &self,
        operation: impl Fn(&Overlay) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match operation(self.overlay()) {
                Err(Error::Missing(want)) => self.overlay().fetch(&want).unwrap(),
                other => return other,
            }
        }
    }

    /// Walks to a path. The references stay: the kernel keeps its own as well.
    pub(super) fn find(&self, path: &str) -> Result<Ino, Error> {
        let mut ino = Ino::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let name = Name::try_from(name).unwrap();
            ino = self.call(|overlay| overlay.lookup(ino, &name))?.ino;
        }
        Ok(ino)
    }

    /// The directory of a path and its last name.
    pub(super) fn place(&self, path: &str) -> Result<(Ino, Name), Error> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(parent)?, Name::try_from(name).unwrap()))
    }

    pub(super) fn attributes(&self, path: &str) -> Result<Attributes, Error> {
        let ino = self.find(path)?;
        self.call(|overlay| overlay.attributes(ino))
    }

    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let ino = self.find(path)?;
        self.overlay().open(ino)?;
        let read = self.call(|overlay| {
            let mut bytes = Vec::new();
            overlay.read(ino, 0, 1 << 20, &mut bytes)?;
            Ok(bytes)
        });
        self.overlay().release(ino);
        read
    }

    pub(super) fn write(&self, path: &str, offset: u64, data: &[u8]) -> Result<(), Error> {
        let ino = self.find(path)?;
        self.overlay().open(ino)?;
        let written = self.call(|overlay| overlay.write(ino, offset, data));
        self.overlay().release(ino);
        written
    }

    pub(super) fn names(&self, path: &str) -> Result<BTreeSet<String>, Error> {
        let ino = self.find(path)?;
        let mut names = BTreeSet::new();
        let mut after = 0;
        loop {
            // Three at a time, so that resuming is part of every test.
            let mut taken = 0;
            let from = after;
            let mut visit = |cookie, _, _, name: &[u8]| {
                if taken == 3 {
                    return Visit::Full;
                }
                taken += 1;
                after = cookie;
                let name = String::from_utf8(name.to_vec()).unwrap();
                assert!(names.insert(name), "listed twice");
                Visit::Taken
            };
            // What is missing is known before the first visit.
            while let Err(error) = self.overlay().read_directory(ino, from, &mut visit) {
                match error {
                    Error::Missing(want) => self.overlay().fetch(&want).unwrap(),
                    other => return Err(other),
                }
            }
            if taken == 0 {
                break;
            }
        }
        assert!(names.remove(".") && names.remove(".."));
        Ok(names)
    }

    /// The whole state that recovery must bring back, in words: not how many operations led to it,
    /// which compaction forgets.
    pub(super) fn everything(&self) -> String {
        let state = self.overlay().state.lock();
        format!(
            "{:#?}\n{:#?}",
            state.upper.snapshot(),
            state.work.plan.effects()
        )
    }

    /// The whole visible tree.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.walk("", &mut tree);
        tree
    }

    fn walk(&self, path: &str, tree: &mut Tree) {
        let mut links = 2;
        for name in self.names(path).unwrap() {
            let path = join(path, &name);
            let attributes = self.attributes(&path).unwrap();
            let item = match attributes.kind {
                Kind::Directory => Item::Directory,
                Kind::Symlink => {
                    let target = self.call(|overlay| overlay.read_link(attributes.ino));
                    Item::Symlink(target.unwrap())
                }
                _ => {
                    let bytes = self.read(&path).unwrap();
                    assert_eq!(attributes.size, bytes.len() as u64, "{path}");
                    let executable = attributes.permissions.is_executable();
                    Item::File { bytes, executable }
                }
            };
            let directory = item == Item::Directory;
            tree.insert(path.clone(), item);
            if directory {
                links += 1;
                self.walk(&path, tree);
            }
        }
        // It was listed just now, so they are counted.
        assert_eq!(
            self.attributes(path).unwrap().links,
            links,
            "links of {path:?}"
        );
    }
}

/// How the repository below a fixture's folder is opened.
pub(super) fn options(folder: &Path) -> Options {
    Options {
        folder: folder.join("repo"),
        owner: OWNER,
        commit_interval: Duration::from_secs(3600),
        ignore: "".into(),
        access: Access::default(),
    }
}

fn open(folder: &Path, snapshot: &Arc<Snapshot>) -> Overlay {
    let options = options(folder);
    std::fs::create_dir_all(&options.folder).unwrap();
    let local = Local::open(&options).unwrap();
    let store = Arc::new(Store::open(&folder.join("cache")).unwrap());
    let source: Arc<dyn Source> = Arc::clone(snapshot) as _;
    local
        .over(store, source, Some("main"), snapshot.pin(), &options)
        .unwrap()
}
