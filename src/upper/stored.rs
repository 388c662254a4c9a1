//! Keys and values of the index. A value is postcard behind eight bytes of the blake3 hash of key and
//! value.

use std::collections::BTreeMap;

use journal::Record;
use serde::{Deserialize, Serialize};

use super::convert::tree_path;
use super::state::{Entry, Node, Origin, RemoteState};
use crate::tree::{GitOid, Ino, Kind, Name, Permissions, Timestamp, TreePath};

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// Seconds and nanoseconds.
type StoredTime = (i64, u32);

#[derive(Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) version: u32,
    pub(super) applied: u64,
    pub(super) nodes: u64,
    pub(super) entries: u64,
    pub(super) next: u64,
    pub(super) remote: StoredRemote,
    pub(super) given_up: Vec<Vec<u8>>,
}

/// What is known of the remote: the journal's own records of it, in the journal's own encoding, so that
/// there is one description of them.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRemote(Vec<(u16, Vec<u8>)>);

#[derive(Serialize, Deserialize)]
pub(super) struct StoredNode {
    pub(super) kind: u8,
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: u32,
    pub(super) target: Vec<u8>,
    pub(super) atime: StoredTime,
    pub(super) mtime: StoredTime,
    pub(super) ctime: StoredTime,
    pub(super) origin: Option<(Vec<u8>, [u8; 20], u64)>,
    pub(super) body: bool,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry {
    pub(super) node: Option<u64>,
    pub(super) covers: bool,
}

/// Kinds by their stored number.
const KINDS: [Kind; 7] = [
    Kind::File,
    Kind::Directory,
    Kind::Symlink,
    Kind::Fifo,
    Kind::Socket,
    Kind::CharDevice,
    Kind::BlockDevice,
];

fn checksum(key: &[u8], value: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut short = [0; 8];
    hasher.finalize_xof().fill(&mut short);
    short
}

pub(super) fn encode(key: &[u8], value: &impl Serialize) -> Vec<u8> {
    // Serializing these plain structs into memory cannot fail; an empty value would be refused by
    // its checksum when it is read.
    let value = postcard::to_stdvec(value).unwrap_or_default();
    seal(key, &value)
}

pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&checksum(key, value)[..], value].concat()
}

pub(super) fn decode<'a, T: Deserialize<'a>>(key: &[u8], stored: &'a [u8]) -> Option<T> {
    let (sum, value) = stored.split_at_checked(8)?;
    if sum != checksum(key, value) {
        return None;
    }
    postcard::from_bytes(value).ok()
}

pub(super) fn store_node(node: &Node) -> StoredNode {
    let time = |time: Timestamp| (time.seconds, time.nanoseconds);
    StoredNode {
        kind: KINDS
            .iter()
            .position(|kind| *kind == node.kind)
            .unwrap_or_default() as u8,
        permissions: node.permissions.bits(),
        uid: node.uid,
        gid: node.gid,
        rdev: node.rdev,
        target: node.target.clone(),
        atime: time(node.atime),
        mtime: time(node.mtime),
        ctime: time(node.ctime),
        origin: node
            .origin
            .as_ref()
            .map(|origin| (origin.path.as_bytes().to_vec(), origin.oid.0, origin.size)),
        body: node.body,
        xattrs: node
            .xattrs
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

/// What a key and its value say of a node. `None` is doubt, here and below.
pub(super) fn load_node_at(key: &[u8], value: &[u8]) -> Option<(Ino, Node)> {
    let ino = number(key.strip_prefix(b"n")?)?;
    Some((Ino(ino), load_node(decode(key, value)?)?))
}

/// What a key and its value say of an entry: its directory, its name, and itself.
pub(super) fn load_entry_at(key: &[u8], value: &[u8]) -> Option<(Ino, Name, Entry)> {
    let (directory, name) = key.strip_prefix(b"e")?.split_at_checked(8)?;
    let stored: StoredEntry = decode(key, value)?;
    let entry = Entry {
        node: stored.node.map(Ino),
        covers: stored.covers,
    };
    Some((Ino(number(directory)?), Name::try_from(name).ok()?, entry))
}

pub(super) fn store_entry(entry: Entry) -> StoredEntry {
    StoredEntry {
        node: entry.node.map(|ino| ino.0),
        covers: entry.covers,
    }
}

pub(super) fn node_key(ino: Ino) -> Vec<u8> {
    [&b"n"[..], &ino.0.to_be_bytes()].concat()
}

pub(super) fn entry_key(directory: Ino, name: &Name) -> Vec<u8> {
    [&b"e"[..], &directory.0.to_be_bytes(), name.as_bytes()].concat()
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn load_node(stored: StoredNode) -> Option<Node> {
    let time = |(seconds, nanoseconds): StoredTime| {
        // The journal would refuse to read a record with such a time, once a snapshot had it.
        (nanoseconds < NANOSECONDS_PER_SECOND).then_some(Timestamp {
            seconds,
            nanoseconds,
        })
    };
    let origin = match stored.origin {
        None => None,
        Some((path, oid, size)) => Some(Origin {
            path: TreePath::try_from(&path[..]).ok()?,
            oid: GitOid(oid),
            size,
        }),
    };
    Some(Node {
        kind: *KINDS.get(usize::from(stored.kind))?,
        permissions: Permissions::of_mode(u32::from(stored.permissions)),
        uid: stored.uid,
        gid: stored.gid,
        rdev: stored.rdev,
        target: stored.target,
        atime: time(stored.atime)?,
        mtime: time(stored.mtime)?,
        ctime: time(stored.ctime)?,
        origin,
        body: stored.body,
        xattrs: BTreeMap::from_iter(stored.xattrs),
        names: Vec::new(),
    })
}

pub(super) fn store_remote(remote: &RemoteState) -> StoredRemote {
    let records = remote.records().into_iter().chain(remote.announced());
    let store = |record: Record| {
        let mut payload = Vec::new();
        let kind = journal::codec::encode(&record, &mut payload).ok()?;
        Some((kind, payload))
    };
    StoredRemote(records.filter_map(store).collect())
}

/// `None` is doubt.
pub(super) fn load_remote(stored: &StoredRemote) -> Option<RemoteState> {
    let mut remote = RemoteState::default();
    for (kind, payload) in &stored.0 {
        match journal::codec::decode(*kind, payload).ok()? {
            Record::ConflictPath { conflict, path } => {
                remote.absorb_path(&conflict, tree_path(&path).ok()?);
            }
            record => remote.absorb(&record),
        }
    }
    Some(remote)
}
