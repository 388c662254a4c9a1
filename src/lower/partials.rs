//! The large objects of which some chunks are here, of one process: a few, those that were used last.
//!
//! What is here of them is the word of one server, so that it is not for the readers of another one. It ends
//! with the process: bytes that no Git hash has proved yet are not worth a format that survives crashes.
//! Meanwhile it counts for the limit of the store like all else. What nobody has read for some minutes goes
//! before any whole object, and the rest after all of those (`evict.rs`).

use std::collections::HashSet;
use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::batches::ROOM_BYTES_MIN;
use super::census;
use super::disk::make_folder;
use super::partial::Partial;
use super::{Domain, Error, Store};
use crate::tree::GitOid;

/// Objects of which some chunks are here: more than are read at a time, each a descriptor.
const PARTIALS_MAX: usize = 32;
/// The largest that is read in chunks: its bits take half a MiB.
pub(super) const PARTIAL_BYTES_MAX: u64 = 1 << 40;
/// What the names of their files end in.
const SUFFIX: &str = "part";
/// How long after the last use one is about to be used again.
const IDLE_AFTER: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Partials {
    /// Those used last at the end.
    objects: Vec<(Domain, Arc<Partial>)>,
    /// Whose word turned out to be wrong.
    distrusted: HashSet<Domain>,
}

impl Store {
    /// The chunks that are here of an object, as one server tells them.
    pub(super) fn partial(&self, domain: Domain, oid: GitOid) -> Option<Arc<Partial>> {
        let mut partials = self.partials.lock();
        let mut objects = partials.objects.iter();
        let at = objects.position(|(of, one)| (*of, one.oid) == (domain, oid))?;
        let found = partials.objects.remove(at);
        let partial = found.1.clone();
        partials.objects.push(found);
        Some(partial)
    }

    /// The same, or none of its chunks.
    pub(super) fn partial_or_new(
        &self,
        domain: Domain,
        oid: GitOid,
        size: u64,
    ) -> Result<Arc<Partial>, Error> {
        if let Some(found) = self.partial(domain, oid) {
            let is_better_anew = found.is_in_memory() && self.has_room(ROOM_BYTES_MIN);
            if found.size == size && found.is_alive() && !is_better_anew {
                return Ok(found);
            }
            self.forget_partial(&found);
        }
        let made = Partial::create(self.partial_path(), oid, size).map_err(Error::Store)?;
        let mut partials = self.partials.lock();
        let mut objects = partials.objects.iter();
        if let Some((_, faster)) = objects.find(|(of, one)| (*of, one.oid) == (domain, oid)) {
            return Ok(faster.clone());
        }
        let made = Arc::new(made);
        partials.objects.push((domain, made.clone()));
        let oldest = match partials.objects.len() > PARTIALS_MAX {
            true => Some(partials.objects.remove(0).1),
            false => None,
        };
        drop(partials);
        if let Some(oldest) = oldest {
            self.keeper.removed(oldest.remove());
        }
        Ok(made)
    }

    /// Lets go of the chunks of an object. Who reads them even now, goes on.
    pub(super) fn forget_partial(&self, partial: &Arc<Partial>) {
        let mut partials = self.partials.lock();
        partials
            .objects
            .retain(|(_, one)| !Arc::ptr_eq(one, partial));
        drop(partials);
        self.keeper.removed(partial.remove());
    }

    /// Lets go of the chunks of an object that is here as a whole.
    pub(super) fn forget_partials_of(&self, oid: GitOid) {
        let partials = self.partials.lock();
        let of_it = partials.objects.iter().filter(|(_, one)| one.oid == oid);
        let of_it: Vec<_> = of_it.map(|(_, one)| one.clone()).collect();
        drop(partials);
        of_it.iter().for_each(|one| self.forget_partial(one));
    }

    /// Counts chunks that were written, and evicts if that was too much.
    pub(super) fn count_chunks(&self, bytes: u64) {
        if let Err(error) = self.keeper.published(&self.folder, bytes) {
            tracing::warn!(%error, "the cache may grow over its limit");
        }
    }

    /// Whether an object of that many bytes is one that is kept.
    pub(super) fn keeps(&self, size: u64) -> bool {
        size <= self.keeper.object_bytes_max()
    }

    /// Believes no part of an object any more that a server tells.
    pub(super) fn distrust(&self, domain: Domain) {
        self.partials.lock().distrusted.insert(domain);
    }

    /// Whether a server told something wrong.
    pub(super) fn distrusts(&self, domain: Domain) -> bool {
        self.partials.lock().distrusted.contains(&domain)
    }

    /// A path that nothing has, where an eviction finds it.
    fn partial_path(&self) -> io::Result<PathBuf> {
        let path = self.temporary.path()?.with_extension(SUFFIX);
        match path.starts_with(&self.folder) {
            true => Ok(path),
            // A store that is not kept is itself something temporary.
            false => {
                let folder = self.folder.join("tmp").join("own");
                make_folder(&folder)?;
                Ok(folder.join(path.file_name().unwrap_or_default()))
            }
        }
    }
}

/// The files of objects that are not whole, of every process that shares the store; those used last at the
/// end.
///
/// # Errors
///
/// A folder that cannot be read.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    census::for_each(&folder.join("tmp"), &mut |process| {
        census::for_each(&process.path(), &mut |file| {
            let path = file.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX)
                && let Ok(metadata) = file.metadata()
                && metadata.is_file()
            {
                found.push((path, metadata));
            }
            Ok(())
        })
    })?;
    found.sort_by_key(|(_, metadata)| metadata.modified().ok());
    Ok(found)
}

/// Whether nobody is about to read more of it.
pub(super) fn is_idle(found: &Metadata) -> bool {
    let age = found
        .modified()
        .ok()
        .and_then(|used| SystemTime::now().duration_since(used).ok());
    age.is_some_and(|age| age > IDLE_AFTER)
}

/// Takes a file away: its name first, by which whoever has it open finds out, and then its bytes.
pub(super) fn take_away(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else {
        return false;
    };
    // Who published it meanwhile has given it another name.
    fs::remove_file(path).is_ok() && file.set_len(0).is_ok()
}
