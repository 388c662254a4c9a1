//! Taking away what was not used for longest, so that a store keeps its limit.
//!
//! ```text
//! published --> usage over the limit --> count --> the oldest go, down to 95 % --> usage corrected
//! ```
//!
//! Chunks of objects that are not whole go first if nobody has used them for some minutes; else last, since
//! somebody is about to read the next one.
//!
//! Any process that shares the store may do it, one at a time. What is pinned (a second name), and what
//! somebody has open (a shared flock on it), stays. An index entry whose object is gone is damage that
//! its next reader clears away; [`sweep_index`] does it for all.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::census::{self, Census, Cutoff};
use super::disk::{discard, place, read_index};
use super::partials;
use super::usage::Usage;

/// An eviction goes so many hundredths below the limit, so that one is not needed for each object.
const SLACK_PERCENT: u64 = 5;
/// While somebody else evicts, a store may be over its limit by this share; then one waits for it.
const PATIENCE_PERCENT: u64 = 2;

/// What an eviction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evicted {
    /// Objects that went.
    pub objects: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Bytes on disk that are left, with the directories.
    pub left: u64,
    /// Objects that stay because they are pinned.
    pub pinned_objects: u64,
    /// Their bytes.
    pub pinned_bytes: u64,
}

/// Takes away what was not used for longest, down to so many bytes on disk if they are given, and index
/// entries without objects. Mounts may use the store meanwhile: what they have open stays. A store that
/// is not there is empty.
///
/// # Errors
///
/// A folder that cannot be read.
pub fn collect(folder: &Path, down_to: Option<u64>) -> io::Result<Evicted> {
    if !folder.exists() {
        return Ok(Evicted::default());
    }
    let _turn = turn(folder, true)?;
    let usage = Usage::new(folder);
    let before = usage.sum()?;
    let census = census::count(folder)?;
    let evicted = evict(folder, &census, down_to.unwrap_or(u64::MAX))?;
    sweep_index(folder)?;
    if let Some(before) = before {
        usage.end(before, evicted.left)?;
    }
    Ok(evicted)
}

/// Keeps a store within its limit.
#[derive(Debug)]
pub(super) struct Keeper {
    usage: Usage,
    bytes_max: Option<u64>,
    /// No eviction before this: the last one left more than it should, since it was in use.
    not_before: AtomicU64,
    evicted: AtomicU64,
}

impl Keeper {
    /// With a limit, everybody adds from now on.
    pub(super) fn new(folder: &Path, bytes_max: Option<u64>) -> Keeper {
        let usage = Usage::new(folder);
        if bytes_max.is_some()
            && let Err(error) = usage.begin()
        {
            tracing::warn!(%error, "the cache may grow over its limit until it is counted");
        }
        Keeper {
            usage,
            bytes_max,
            not_before: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// The largest object that is kept: what needs most of the limit would only drive out the rest.
    pub(super) fn object_bytes_max(&self) -> u64 {
        self.bytes_max.map_or(u64::MAX, |max| max / 4 * 3)
    }

    /// The share of the limit that is used; 0 without a limit, or before the first count.
    pub(super) fn pressure(&self) -> f64 {
        match (self.bytes_max, self.usage.sum()) {
            (Some(max), Ok(Some(used))) => used as f64 / max as f64,
            _ => 0.0,
        }
    }

    /// Bytes on disk, as far as they are known: only where there is a limit.
    pub(super) fn used(&self) -> Option<u64> {
        self.usage.sum().ok().flatten()
    }

    /// Objects that this process took away.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn not_before(&self) -> u64 {
        self.not_before.load(Ordering::Relaxed)
    }

    /// Counts bytes on disk that were published, and evicts if that was too much. May block for as long as it
    /// takes to look at every object.
    pub(super) fn published(&self, folder: &Path, bytes: u64) -> io::Result<()> {
        let Some(used) = self.usage.add(bytes)? else {
            return Ok(());
        };
        let Some(max) = self.bytes_max else {
            return Ok(());
        };
        if used <= max.max(self.not_before.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let is_urgent = used > percent(max, 100 + PATIENCE_PERCENT);
        let Some(_turn) = turn(folder, is_urgent)? else {
            return Ok(());
        };
        // Whoever had the turn before may have done it.
        match self.usage.sum()? {
            Some(used) if used > max => self.count_and_evict(folder, max).map(drop),
            _ => Ok(()),
        }
    }

    /// Counts bytes on disk that were removed.
    pub(super) fn removed(&self, bytes: u64) {
        if bytes > 0
            && let Err(error) = self.usage.subtract(bytes)
        {
            tracing::debug!(%error, "the cache counts too much until it is counted");
        }
    }

    /// Counts, and evicts if there is too much; nothing without a limit.
    pub(super) fn enforce(&self, folder: &Path) -> io::Result<Option<Evicted>> {
        let Some(max) = self.bytes_max else {
            return Ok(None);
        };
        let _turn = turn(folder, true)?;
        self.count_and_evict(folder, max).map(Some)
    }

    fn count_and_evict(&self, folder: &Path, max: u64) -> io::Result<Evicted> {
        let before = self.usage.begin()?;
        let census = census::count(folder)?;
        let down_to = match census.held.bytes > max {
            true => percent(max, 100 - SLACK_PERCENT),
            false => max,
        };
        let evicted = evict(folder, &census, down_to)?;
        self.usage.end(before, evicted.left)?;
        let stuck = evicted.left > max;
        let not_before = if stuck {
            evicted.left + percent(max, SLACK_PERCENT)
        } else {
            0
        };
        self.not_before.store(not_before, Ordering::Relaxed);
        self.evicted.fetch_add(evicted.objects, Ordering::Relaxed);
        if evicted.objects > 0 {
            tracing::debug!(?evicted, stuck, "took away what was not used for longest");
        }
        Ok(evicted)
    }
}

fn percent(of: u64, percent: u64) -> u64 {
    of / 100 * percent
}

/// The turn of one process; `None` when another has it and nobody is to wait.
fn turn(folder: &Path, wait: bool) -> io::Result<Option<File>> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(folder.join("evicting"))?;
    if wait {
        file.lock()?;
        return Ok(Some(file));
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes away down to so many bytes, the oldest first.
fn evict(folder: &Path, census: &Census, down_to: u64) -> io::Result<Evicted> {
    let mut evicted = Evicted {
        left: census.held.bytes,
        pinned_objects: census.held.pinned_objects,
        pinned_bytes: census.held.pinned_bytes,
        ..Evicted::default()
    };
    if evicted.left <= down_to {
        return Ok(evicted);
    }
    let (idle, active): (Vec<_>, Vec<_>) = partials::files(folder)?
        .into_iter()
        .partition(|(_, found)| partials::is_idle(found));
    evict_chunks(&idle, down_to, &mut evicted);
    let surplus = evicted.left.saturating_sub(down_to);
    if surplus == 0 {
        return Ok(evicted);
    }
    let mut cutoff: Cutoff = census.ages.oldest(surplus);
    let mut freed = 0;
    census::for_each_object(folder, |object, found| {
        if !census::is_pinned(found) && cutoff.takes(found) && remove(&object.path(), found) {
            cutoff.took(found);
            evicted.objects += 1;
            freed += census::on_disk(found);
        }
    })?;
    evicted.bytes += freed;
    evicted.left = evicted.left.saturating_sub(freed);
    evict_chunks(&active, down_to, &mut evicted);
    Ok(evicted)
}

/// Takes chunks away, those used longest ago first, as long as there is too much.
fn evict_chunks(files: &[(PathBuf, Metadata)], down_to: u64, evicted: &mut Evicted) {
    for (path, found) in files {
        if evicted.left <= down_to {
            return;
        }
        if partials::take_away(path) {
            let bytes = census::on_disk(found);
            evicted.bytes += bytes;
            evicted.left = evicted.left.saturating_sub(bytes);
        }
    }
}

/// Removes an object unless somebody has it open; tells whether it went.
fn remove(path: &Path, found: &Metadata) -> bool {
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let Ok(file) = opened else { return false };
    if file.try_lock().is_err() {
        return false;
    }
    // Used or pinned since it was looked at.
    let is_as_found = file
        .metadata()
        .is_ok_and(|now| now.modified().ok() == found.modified().ok() && !census::is_pinned(&now));
    is_as_found && fs::remove_file(path).is_ok()
}

/// Removes index entries whose objects are gone; tells how many.
///
/// # Errors
///
/// A folder that cannot be read.
fn sweep_index(folder: &Path) -> io::Result<u64> {
    let mut swept = 0;
    let mut sweep = |shelf: &Path| {
        census::for_each(shelf, &mut |entry| {
            let content = read_index(&entry.path());
            if let Some(content) = content
                && !place(folder, "objects", &content.0).exists()
            {
                discard(&entry.path());
                swept += 1;
            }
            Ok(())
        })
    };
    census::for_each(&folder.join("index"), &mut |shelf| sweep(&shelf.path()))?;
    census::for_each(&folder.join("listings"), &mut |domain| {
        census::for_each(&domain.path(), &mut |shelf| sweep(&shelf.path()))
    })?;
    Ok(swept)
}
