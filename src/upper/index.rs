//! The index: a copy of the upper layer's state in sled, for opening without reading the whole
//! journal. The only file that uses sled.
//!
//! One tree; keys are `m` (what the state reaches), `n` + inode number, `e` + directory + name,
//! numbers big endian. A value is postcard behind eight bytes of its blake3 hash, keyed by the key.
//! A checkpoint is one batch that also writes `m` with the sequence it reaches and the number of
//! nodes and entries, so a half-written or a silently shortened index is noticed. `flush` of sled
//! 0.34.7 does not fsync, so a checkpoint also syncs sled's file.
//!
//! Any doubt (an error, a panic inside sled, a bad hash, a wrong count) moves the index aside, and
//! the state is rebuilt from the journal.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use journal::Sequence;

use super::Error;
use super::state::{Node, Upper};
use super::stored::{
    Meta, StoredEntry, StoredNode, decode, encode, entry_key, load_entry_at, load_node_at,
    load_remote, node_key, store_entry, store_node, store_remote,
};
use crate::failpoints;
use crate::tree::{Ino, Name, TreePath};

/// Layout of keys and values; another one is rebuilt, not read.
const VERSION: u32 = 2;
/// sled's page cache. Its default is 1 GiB; the state is in memory anyway.
const CACHE_BYTES: u64 = 8 << 20;

/// How long sled may take to close: it writes back what it has. One that takes longer hangs, and is
/// left alone.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// The index of one repository's upper layer; closed while it cannot be used.
pub struct Index {
    folder: PathBuf,
    db: Option<sled::Db>,
    /// What the next write meets inside sled.
    #[cfg(test)]
    pub(crate) fault: Option<Fault>,
}

/// What can happen inside sled.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Error,
    Panic,
}

/// Why the index could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// sled says so.
    #[error(transparent)]
    Store(sled::Error),
    /// sled panicked.
    #[error("a panic inside the store")]
    Panic,
    /// It was closed after a failure, and not opened again.
    #[error("the store is closed")]
    Closed,
}

/// Changes that one checkpoint writes, taken from the state at one sequence.
pub struct Checkpoint {
    reaches: Sequence,
    meta: Meta,
    nodes: Vec<(Ino, Option<StoredNode>)>,
    entries: Vec<(Ino, Name, Option<StoredEntry>)>,
}

impl Index {
    /// Opens the index and reads the state that it has, with the sequence which that reaches; no
    /// state when there is none or it is in doubt. An index that cannot be opened is none: it is
    /// made anew by [`Index::ensure_open`].
    pub fn open(folder: &Path) -> (Index, Option<(Sequence, Upper)>) {
        let mut index = Index {
            folder: folder.to_path_buf(),
            db: None,
            #[cfg(test)]
            fault: None,
        };
        let opened = catch_unwind(AssertUnwindSafe(|| open_folder(folder)));
        let loaded = match opened {
            Ok(Ok(db)) => {
                let db = index.db.insert(db);
                catch_unwind(AssertUnwindSafe(|| load(db))).unwrap_or(None)
            }
            Ok(Err(_)) | Err(_) => None,
        };
        match loaded {
            Some(loaded) => (index, loaded),
            None => {
                tracing::warn!(folder = %folder.display(), "the index is in doubt and will be rebuilt");
                index.give_up();
                if let Err(error) = index.ensure_open() {
                    tracing::warn!(%error, "no index for the time being");
                }
                (index, None)
            }
        }
    }

    /// Makes an empty index if there is none in use, and says whether it did: then the next
    /// checkpoint must write everything.
    ///
    /// # Errors
    ///
    /// It cannot be made now: the disk is full, for instance.
    pub fn ensure_open(&mut self) -> Result<bool, Error> {
        if self.db.is_some() {
            return Ok(false);
        }
        set_aside(&self.folder).map_err(Error::Folder)?;
        failpoints::INDEX_SET_ASIDE.reach();
        let opened = catch_unwind(AssertUnwindSafe(|| open_folder(&self.folder)));
        self.db = Some(opened.unwrap_or(Err(Error::Index(IndexError::Panic)))?);
        Ok(true)
    }

    /// Closes what cannot be trusted any more.
    fn give_up(&mut self) {
        if let Some(db) = self.db.take() {
            close(db);
        }
    }

    /// Writes a checkpoint. On return it survives a power cut.
    ///
    /// The caller has made sure that the journal is synced up to what the checkpoint reaches.
    ///
    /// # Errors
    ///
    /// sled's or the disk's. The index is closed then, since a failed write may leave sled useless
    /// for good.
    pub fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let written = self.try_write(checkpoint);
        #[cfg(test)]
        {
            self.fault = None;
        }
        if written.is_err() {
            self.give_up();
        }
        written
    }

    fn try_write(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Some(db) = &self.db else {
            return Err(Error::Index(IndexError::Closed));
        };
        let written = catch_unwind(AssertUnwindSafe(|| {
            db.apply_batch(batch(checkpoint))?;
            failpoints::CHECKPOINT_APPLIED.reach();
            #[cfg(test)]
            match self.fault {
                Some(Fault::Error) => return Err(sled::Error::Unsupported("a fault".into())),
                Some(Fault::Panic) => panic!("a fault inside sled"),
                None => {}
            }
            db.flush()
        }));
        match written {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Error::Index(IndexError::Store(error))),
            Err(_) => return Err(Error::Index(IndexError::Panic)),
        }
        failpoints::CHECKPOINT_FLUSHED.reach();
        let file = File::open(self.folder.join("db")).map_err(Error::Folder)?;
        file.sync_data().map_err(Error::Folder)?;
        failpoints::CHECKPOINT_SYNCED.reach();
        tracing::debug!(reaches = checkpoint.reaches.0, "checkpoint written");
        Ok(())
    }
}

fn batch(checkpoint: &Checkpoint) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (ino, node) in &checkpoint.nodes {
        let key = node_key(*ino);
        match node {
            Some(node) => batch.insert(&key[..], encode(&key, node)),
            None => batch.remove(&key[..]),
        }
    }
    for (directory, name, entry) in &checkpoint.entries {
        let key = entry_key(*directory, name);
        match entry {
            Some(entry) => batch.insert(&key[..], encode(&key, entry)),
            None => batch.remove(&key[..]),
        }
    }
    batch.insert(b"m", encode(b"m", &checkpoint.meta));
    batch
}

fn open_folder(folder: &Path) -> Result<sled::Db, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(Error::Folder)?;
    sled::Config::new()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        .mode(sled::Mode::LowSpace)
        .open()
        .map_err(|error| Error::Index(IndexError::Store(error)))
}

/// Closes sled on a thread of its own: after a panic or on a full disk it may panic again, or hang.
fn close(db: sled::Db) {
    let (done, is_done) = bounded::<()>(0);
    let closing = thread::Builder::new()
        .name("index-close".into())
        .spawn(move || {
            let _done = done;
            let _panicked = catch_unwind(AssertUnwindSafe(|| drop(db)));
        });
    if closing.is_ok() && is_done.recv_timeout(CLOSE_MAX) == Err(RecvTimeoutError::Timeout) {
        tracing::error!("the index does not close, and is left alone");
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The outer `None` is doubt, the inner one an empty index.
#[allow(
    clippy::option_option,
    reason = "the two absences differ and meet nowhere else"
)]
fn load(db: &sled::Db) -> Option<Option<(Sequence, Upper)>> {
    let Some(value) = db.get(b"m").ok()? else {
        return db.is_empty().then_some(None);
    };
    let meta: Meta = decode(b"m", &value)?;
    if meta.version != VERSION {
        return None;
    }
    let mut upper = Upper {
        nodes: HashMap::new(),
        children: HashMap::new(),
        tallies: HashMap::new(),
        next: meta.next,
        remote: load_remote(&meta.remote)?,
        given_up: load_paths(&meta.given_up)?,
        changed_nodes: HashSet::new(),
        changed_entries: HashSet::new(),
    };
    for item in db.scan_prefix(b"n") {
        let (key, value) = item.ok()?;
        let (ino, node) = load_node_at(&key, &value)?;
        upper.nodes.insert(ino, node);
    }
    let mut entries = 0;
    for item in db.scan_prefix(b"e") {
        let (key, value) = item.ok()?;
        let (directory, name, entry) = load_entry_at(&key, &value)?;
        if let Some(ino) = entry.node {
            let node = upper.nodes.get_mut(&ino)?;
            node.names.push((directory, name.clone()));
        }
        upper.recount(directory, None, Some(entry));
        let children = upper.children.entry(directory).or_default();
        children.insert((name.cookie(), name), entry);
        entries += 1;
    }
    let whole = upper.nodes.len() as u64 == meta.nodes && entries == meta.entries;
    let sound = whole
        && upper.nodes.contains_key(&Ino::ROOT)
        && upper
            .children
            .keys()
            .all(|directory| upper.nodes.contains_key(directory));
    sound.then_some(Some((Sequence(meta.applied), upper)))
}

impl Upper {
    /// Takes what changed since the last checkpoint. `reaches` is the last record applied.
    pub fn checkpoint(&mut self, reaches: Sequence) -> Checkpoint {
        let nodes = std::mem::take(&mut self.changed_nodes)
            .into_iter()
            .map(|ino| (ino, self.nodes.get(&ino).filter(|node| is_kept(ino, node))))
            .map(|(ino, node)| (ino, node.map(store_node)))
            .collect();
        let entries = std::mem::take(&mut self.changed_entries)
            .into_iter()
            .map(|(directory, name)| {
                let entry = self.entry(directory, &name).map(store_entry);
                (directory, name, entry)
            })
            .collect();
        Checkpoint {
            reaches,
            meta: self.meta(reaches),
            nodes,
            entries,
        }
    }

    /// Makes the next checkpoint write everything, for an index that has nothing.
    pub fn mark_all_changed(&mut self) {
        self.changed_nodes = self.nodes.keys().copied().collect();
        self.changed_entries = self
            .children
            .iter()
            .flat_map(|(directory, children)| {
                let name = |(_, name): &(u64, Name)| (*directory, name.clone());
                children.keys().map(name).collect::<Vec<_>>()
            })
            .collect();
    }

    fn meta(&self, reaches: Sequence) -> Meta {
        Meta {
            version: VERSION,
            applied: reaches.0,
            nodes: self
                .nodes
                .iter()
                .filter(|(ino, node)| is_kept(**ino, node))
                .count() as u64,
            entries: self
                .children
                .values()
                .map(|entries| entries.len() as u64)
                .sum(),
            next: self.next,
            remote: store_remote(&self.remote),
            given_up: self
                .given_up
                .iter()
                .map(|path| path.as_bytes().to_vec())
                .collect(),
        }
    }
}

/// A nameless node dies with the daemon, so it is not stored.
fn is_kept(ino: Ino, node: &Node) -> bool {
    ino == Ino::ROOT || !node.names.is_empty()
}

/// Moves whatever stands at the index's place aside, and what was aside before away.
fn set_aside(folder: &Path) -> io::Result<()> {
    let aside = folder.with_extension("doubtful");
    let gone = match fs::symlink_metadata(&aside) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(&aside),
        Ok(_) => fs::remove_file(&aside),
        Err(error) => Err(error),
    };
    for done in [gone, fs::rename(folder, &aside)] {
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn load_paths(stored: &[Vec<u8>]) -> Option<BTreeSet<TreePath>> {
    let paths = stored.iter();
    paths
        .map(|path| TreePath::try_from(&path[..]).ok())
        .collect()
}
