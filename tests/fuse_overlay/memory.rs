//! A repository in memory, and what the tests have in it.

use super::*;

/// A repository in memory.
#[derive(Default)]
pub(super) struct Memory {
    listings: HashMap<GitOid, Vec<ListingEntry>>,
    objects: HashMap<GitOid, Vec<u8>>,
    pub(super) offline: AtomicBool,
    held: Mutex<bool>,
    release: Condvar,
    pub(super) listing_calls: AtomicU64,
    pub(super) object_calls: AtomicU64,
}

impl Memory {
    pub(super) fn answer(&self) -> Result<(), SourceError> {
        let held = self.held.lock().unwrap();
        drop(self.release.wait_while(held, |held| *held).unwrap());
        match self.offline.load(Ordering::SeqCst) {
            true => Err(SourceError::Offline),
            false => Ok(()),
        }
    }

    pub(super) fn hold(&self, hold: bool) {
        *self.held.lock().unwrap() = hold;
        self.release.notify_all();
    }
}

impl Source for Memory {
    fn listing(
        &self,
        _: &Pin,
        _: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        self.listing_calls.fetch_add(1, Ordering::SeqCst);
        self.answer()?;
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
        self.object_calls.fetch_add(1, Ordering::SeqCst);
        self.answer()?;
        let bytes = self.objects.get(&oid).ok_or(SourceError::NotFound)?;
        sink.write_all(bytes).map_err(SourceError::Sink)
    }
}

/// A file of the repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    File(Vec<u8>),
    Executable(Vec<u8>),
    Symlink(Vec<u8>),
}

pub(super) fn git_oid(kind: &str, bytes: &[u8]) -> GitOid {
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", bytes.len()));
    hash.update(bytes);
    GitOid(hash.finalize().into())
}

impl Memory {
    /// Stores the files below `prefix` ("" or "dir/") and returns the tree.
    pub(super) fn add(&mut self, files: &BTreeMap<String, Content>, prefix: &str) -> GitOid {
        let below: BTreeSet<String> = files
            .keys()
            .filter_map(|path| path.strip_prefix(prefix))
            .map(|rest| rest.split('/').next().unwrap().to_owned())
            .collect();
        let mut entries = Vec::new();
        for name in below {
            let (kind, bytes) = match files.get(&format!("{prefix}{name}")) {
                Some(Content::File(bytes)) => (EntryKind::File, bytes.clone()),
                Some(Content::Executable(bytes)) => (EntryKind::Executable, bytes.clone()),
                Some(Content::Symlink(bytes)) => (EntryKind::Symlink, bytes.clone()),
                None => (EntryKind::Directory, Vec::new()),
            };
            let oid = match kind {
                EntryKind::Directory => self.add(files, &format!("{prefix}{name}/")),
                _ => git_oid("blob", &bytes),
            };
            let size = bytes.len() as u64;
            if kind != EntryKind::Directory {
                self.objects.insert(oid, bytes);
            }
            let name = Name::try_from(name.as_str()).unwrap();
            entries.push(ListingEntry {
                name,
                kind,
                size,
                oid,
            });
        }
        let mut tree = Vec::new();
        for entry in &entries {
            let mode = match entry.kind {
                EntryKind::File => "100644",
                EntryKind::Executable => "100755",
                EntryKind::Symlink => "120000",
                EntryKind::Directory | EntryKind::Submodule => "40000",
            };
            tree.extend_from_slice(format!("{mode} {}\0", entry.name).as_bytes());
            tree.extend_from_slice(&entry.oid.0);
        }
        let oid = git_oid("tree", &tree);
        self.listings.insert(oid, entries);
        oid
    }
}

pub(super) fn example() -> BTreeMap<String, Content> {
    let mut files = BTreeMap::new();
    let mut add = |path: &str, content| files.insert(path.to_owned(), content);
    let file = |text: &str| Content::File(text.as_bytes().to_vec());
    add("README.md", file("# tool\n"));
    add("empty", file(""));
    add(
        "run.sh",
        Content::Executable(b"#!/bin/sh\necho ran\n".to_vec()),
    );
    add("link", Content::Symlink(b"src/main.rs".to_vec()));
    add("src/main.rs", file("fn main() {}\n"));
    add("src/deep/er/file.txt", file("deep\n"));
    add("src/\u{fc}n\u{ef}code \u{1f600}", file("unicode"));
    let big = (0..3_000_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    add("big.bin", Content::File(big));
    for number in 0..1500 {
        add(
            &format!("many/file-{number:04}"),
            file(&format!("content {number}")),
        );
    }
    files
}
