//! The table of keys: looked up by every request, changed rarely, and then on disk first.
//!
//! What requests see is a snapshot, replaced as a whole once the file that has it is durable; so a
//! reader waits for no disk, and what a crash leaves is the table of before or after. The time of a
//! key's last use is an atomic beside the snapshot: it is stored with every change, and by itself once
//! a minute at most, so the file knows it to a minute, also after kill -9.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{Row, Template, new_api_key};
use crate::remote::api::token::{SigningSecret, Verifier};
use crate::server::data;
use crate::server::error::Error;

/// Most keys, the dead included: a table of 5 MB, which is written in a few milliseconds.
pub(super) const KEYS_MAX: usize = 10_000;
/// Seconds between two times that nothing but last uses is written.
const USES_SECONDS: u64 = 60;
/// Version 1 had no tags, no last use, and no keys of an organization, and every key had a name.
const VERSION: u64 = 2;

/// All keys of the organization.
#[derive(Debug)]
pub(in crate::server) struct KeyTable {
    file: PathBuf,
    /// Whose keys they are: its slug.
    pub(super) organization: String,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Whoever changes the table takes this turn; readers need none.
    pub(in crate::server) turn: Arc<Semaphore>,
    uses_stored_at: AtomicU64,
}

/// A key, and when it was used last.
#[derive(Debug, Clone)]
pub(in crate::server) struct Key {
    pub(in crate::server) row: Row,
    used_at: Arc<AtomicU64>,
}

impl Key {
    pub(super) fn of(row: Row) -> Key {
        let used_at = Arc::new(AtomicU64::new(row.last_used_at.unwrap_or(0)));
        Key { row, used_at }
    }

    /// When it was used last, in seconds since 1970.
    pub(in crate::server) fn last_used_at(&self) -> Option<u64> {
        Some(self.used_at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    pub(super) fn note_use(&self, now: u64) {
        self.used_at.fetch_max(now, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Snapshot {
    keys: Vec<Arc<Key>>,
    by_id: HashMap<String, usize>,
    /// By the hash of the stored secret, so that the map holds no second copy of it.
    by_secret: HashMap<[u8; 32], usize>,
    by_public_key: HashMap<[u8; 32], usize>,
}

impl Snapshot {
    fn of(keys: Vec<Arc<Key>>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (at, key) in keys.iter().enumerate() {
            snapshot.by_id.insert(key.row.id.clone(), at);
            match &key.row.verifier {
                Verifier::Secret(secret) => snapshot.by_secret.insert(hash(secret), at),
                Verifier::PublicKey(key) => snapshot.by_public_key.insert(*key.bytes(), at),
            };
        }
        snapshot.keys = keys;
        snapshot
    }
}

fn hash(secret: &SigningSecret) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u64,
    keys: Vec<Row>,
}

impl KeyTable {
    /// Opens the table of a data directory. When no key is left that could make another one, a new
    /// one is written to `admin.key`: whoever owns the directory is never locked out of it.
    pub(in crate::server) fn open(
        folder: &Path,
        organization: &str,
        now: u64,
    ) -> Result<KeyTable, Error> {
        let file = folder.join("keys.json");
        let rows = match data::read_json::<Stored>(&file)? {
            Some(stored) if (1..=VERSION).contains(&stored.version) => stored.keys,
            Some(stored) => {
                return Err(Error::Version {
                    path: file,
                    found: stored.version,
                    known: VERSION,
                });
            }
            None => Vec::new(),
        };
        let keys = rows.into_iter().map(|row| Arc::new(Key::of(row))).collect();
        let table = KeyTable::of(file, organization, keys);
        if !table.keys().iter().any(|key| key.row.can_administer(now)) {
            let (value, row) = new_api_key(Template::administrator(), now);
            // The value first: a crash in between finds no such key again, and makes another one.
            let text = Zeroizing::new(format!("{}\n", value.as_str()));
            data::publish(&folder.join("admin.key"), text.as_bytes())?;
            tracing::info!(key = row.id, "a new key is in admin.key");
            table.add(row, now)?;
        }
        Ok(table)
    }

    pub(super) fn of(file: PathBuf, organization: &str, keys: Vec<Arc<Key>>) -> KeyTable {
        KeyTable {
            file,
            organization: organization.to_owned(),
            snapshot: RwLock::new(Arc::new(Snapshot::of(keys))),
            turn: Arc::new(Semaphore::new(1)),
            uses_stored_at: AtomicU64::new(0),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone()
    }

    /// All keys, the dead included.
    pub(in crate::server) fn keys(&self) -> Vec<Arc<Key>> {
        self.snapshot().keys.clone()
    }

    /// The key of that id, dead or not.
    pub(in crate::server) fn find(&self, id: &str) -> Option<Arc<Key>> {
        let snapshot = self.snapshot();
        snapshot.keys.get(*snapshot.by_id.get(id)?).cloned()
    }

    pub(super) fn find_secret(&self, secret: &SigningSecret) -> Option<Arc<Key>> {
        let snapshot = self.snapshot();
        let at = *snapshot.by_secret.get(&hash(secret))?;
        let key = snapshot.keys.get(at)?;
        match &key.row.verifier {
            Verifier::Secret(own) if own == secret => Some(key.clone()),
            _ => None,
        }
    }

    /// The key of the organization that was registered with these bytes, dead or not.
    pub(super) fn find_public_key(&self, bytes: &[u8; 32]) -> Option<Arc<Key>> {
        let snapshot = self.snapshot();
        let at = *snapshot.by_public_key.get(bytes)?;
        snapshot.keys.get(at).cloned()
    }

    /// Adds a key; on return it survives a power cut. A full table forgets the key that has been
    /// dead for longest. Wants the turn, as all that changes the table.
    pub(in crate::server) fn add(&self, row: Row, now: u64) -> Result<Arc<Key>, Error> {
        // Dead or not: what was revoked does not come back under another name.
        if let Some(key) = row.public_key()
            && self.find_public_key(key.bytes()).is_some()
        {
            return Err(Error::KeyRegistered);
        }
        let mut keys = self.keys();
        if keys.len() >= KEYS_MAX {
            let dead = keys.iter().enumerate().filter_map(|(at, key)| {
                let since = key.row.dead_since(now)?;
                Some((since, at))
            });
            let (_, at) = dead.min().ok_or(Error::TooManyKeys { max: KEYS_MAX })?;
            keys.remove(at);
        }
        let key = Arc::new(Key::of(row));
        keys.push(key.clone());
        self.publish(keys)?;
        Ok(key)
    }

    /// Replaces what is known of a key; on return that survives a power cut.
    pub(in crate::server) fn replace(&self, row: Row) -> Result<(), Error> {
        let mut keys = self.keys();
        for key in &mut keys {
            if key.row.id == row.id {
                let used_at = key.used_at.clone();
                *key = Arc::new(Key { row, used_at });
                break;
            }
        }
        self.publish(keys)
    }

    /// Whether last uses are to be stored now; who is told so has to call [`KeyTable::store_uses`].
    pub(in crate::server) fn wants_uses_stored(&self, now: u64) -> bool {
        let stored_at = self.uses_stored_at.load(Ordering::Relaxed);
        now.saturating_sub(stored_at) >= USES_SECONDS
            && self
                .uses_stored_at
                .compare_exchange(stored_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Stores last uses.
    pub(in crate::server) fn store_uses(&self) -> Result<(), Error> {
        self.publish(self.keys())
    }

    /// Makes a table durable, then visible.
    fn publish(&self, keys: Vec<Arc<Key>>) -> Result<(), Error> {
        let rows = keys.iter().map(|key| Row {
            last_used_at: key.last_used_at(),
            ..key.row.clone()
        });
        let stored = Stored {
            version: VERSION,
            keys: rows.collect(),
        };
        data::publish_json(&self.file, &stored)?;
        *self.snapshot.write() = Arc::new(Snapshot::of(keys));
        Ok(())
    }
}
