//! Repacking: what is loose becomes a pack, and many packs become one.
//!
//! A loose object is a file of its own, and reading it means to find, open, inflate and close that. So
//! they are gathered into a pack once there are many, and packs are folded once there are many of those.
//!
//! ```text
//! list -> `git pack-objects`, in `incoming/` -> synced and moved in, the index last
//!      -> wait for readers that opened the repository before -> remove what the pack has
//! ```
//!
//! `git` is told each object by its id, and follows no references: what nothing leads to, say a blob that
//! was stored ahead of its change, is packed like the rest. Nothing is ever pruned, and the work goes by
//! what is loose, not by history. An object is in place at every moment: a crash leaves it there twice at
//! worst, and the next repacking removes what a pack has already.
//!
//! Readers need no lock. Handles that were opened before the pack came would look for the loose file, and
//! gix does not look elsewhere if it goes between being found and being opened, so these handles end
//! first; later ones know the pack, and look there first. The `git` program looks again by itself.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use gix::ObjectId;
use gix::odb::{loose, pack};
use journal::failpoint::limit;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::error::{At, Doing, Error};
use super::program::{Effort, Program, UNPACK_OBJECTS_MAX};
use super::push::Quarantine;
use super::{HASH, Repository};

/// Loose objects from which on they are packed. Git waits for 6,700, since people wait for its packing;
/// nobody waits here. To list and read so many costs 0.1 s more of the processor than from a pack, of 6,700
/// it were 0.3 s; and it takes a few hundred changes, each with syncs of its own, to a repacking with three.
const LOOSE_MAX: u64 = 2_048;
/// Packs from which on they are folded: Git's own number. An object is looked for in one after the other.
const PACKS_MAX: u64 = 50;
/// Ids begin with one of so many bytes, and each has a folder: one of them tells how full the others are.
const FOLDERS: u64 = 256;
/// Git looks into the same one.
const SAMPLE: &str = "17";
/// Ids that are written to the program at once.
const IDS_AT_ONCE: usize = 1_024;
/// Longest life of the program, as long as that of one that takes a push.
const DEADLINE: Duration = Duration::from_secs(3_600);
/// Longest wait for readers. They have a handle for one step of an answer each; if one takes longer, loose
/// files stay until the next time.
const READERS_WAIT: Duration = Duration::from_secs(60);
const READERS_LOOK: Duration = Duration::from_millis(10);

/// What a repacking has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::server) struct Repacked {
    /// Loose objects that are loose no more.
    pub(in crate::server) loose: usize,
    /// Packs that are part of another one.
    pub(in crate::server) packs: usize,
}

/// A pack by its index.
struct Pack {
    index: pack::index::File,
    path: PathBuf,
    bytes: u64,
}

/// What is to become one pack.
struct Heap {
    objects: PathBuf,
    loose: Vec<ObjectId>,
    /// Indices of packs that become part of the new one.
    folded: Vec<PathBuf>,
    /// All of these that are in no pack that stays.
    wanted: Vec<ObjectId>,
}

/// Packs what is loose in a repository that nobody else knows, unless that is little. It is as good
/// without, so a failure is told and no more. Blocks, on a thread of tokio's that may.
pub(super) fn pack_new(repository: &Path) {
    let packed = Handle::current().block_on(async {
        let heap = Heap::read(repository)?;
        if heap.loose.len() >= UNPACK_OBJECTS_MAX as usize
            && let Some(quarantine) = heap.pack(repository, Effort::Quick).await?
        {
            quarantine.publish(repository)?;
            heap.remove()?;
        }
        Ok(())
    });
    if let Err(error) = packed {
        tell(&repository.to_string_lossy(), &error);
    }
}

/// Tells why a repository is not packed; that there is no `git`, once.
pub(in crate::server) fn tell(repository: &str, error: &Error) {
    static MISSING: Once = Once::new();
    match error {
        Error::ProgramMissing => MISSING.call_once(|| {
            tracing::warn!("there is no git program: objects stay loose, and are read more slowly");
        }),
        error => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(repository, %error, cause, "not packed");
        }
    }
}

/// Removes what a crash left of packs: one without an index was on its way in or out. Only for who knows
/// that nobody moves one in.
pub(super) fn sweep(repository: &Path) -> Result<(), Error> {
    for path in files(&repository.join("objects/pack"))? {
        let is_half = ["pack", "rev"]
            .iter()
            .any(|of| path.extension() == Some(of.as_ref()));
        if is_half && !path.with_extension("idx").exists() {
            fs::remove_file(&path).at(&path)?;
        }
    }
    Ok(())
}

impl Repository {
    /// Whether repacking is worth it, by an estimate that costs next to nothing.
    pub(in crate::server) async fn is_heap(&self) -> Result<bool, Error> {
        let objects = self.folder.join("objects");
        blocking(move || is_heap(&objects)).await
    }

    /// Packs what is loose, and folds packs if there are many. Readers and writers go on.
    pub(in crate::server) async fn repack(self: &Arc<Repository>) -> Result<Repacked, Error> {
        let this = self.clone();
        let heap = blocking(move || Heap::read(&this.folder)).await?;
        let quarantine = heap.pack(&self.folder, Effort::Thorough).await?;
        let this = self.clone();
        let before = blocking(move || {
            if let Some(quarantine) = quarantine {
                quarantine.publish(&this.folder)?;
            }
            this.reopen(|_| true)?;
            Ok(this.earlier())
        })
        .await?;
        let gone = async {
            while before.iter().any(|store| store.strong_count() > 0) {
                sleep(READERS_LOOK).await;
            }
        };
        if timeout(READERS_WAIT, gone).await.is_err() {
            tracing::debug!("somebody still reads: what is packed stays loose as well");
            return Ok(Repacked::default());
        }
        blocking(move || heap.remove()).await
    }
}

fn is_heap(objects: &Path) -> Result<bool, Error> {
    let sample = loose_in(objects, SAMPLE)?.len() as u64;
    let loose_max = limit("MESA_TEST_LOOSE_OBJECTS", LOOSE_MAX);
    let has_many = sample > 0 && sample * FOLDERS >= loose_max;
    Ok(has_many || is_to_be_folded(objects, indices(objects)?.len()))
}

impl Heap {
    fn read(repository: &Path) -> Result<Heap, Error> {
        let objects = repository.join("objects");
        let mut kept = packs(&objects)?;
        let folded = match is_to_be_folded(&objects, kept.len()) {
            true => fold(&mut kept),
            false => Vec::new(),
        };
        let loose = loose_objects(&objects)?;
        let mut known = HashSet::new();
        let ids = loose
            .iter()
            .copied()
            .chain(folded.iter().flat_map(Pack::ids));
        let wanted = ids
            .filter(|id| known.insert(*id) && !kept.iter().any(|pack| pack.has(id)))
            .collect();
        Ok(Heap {
            objects,
            wanted,
            folded: folded.into_iter().map(|pack| pack.path).collect(),
            loose,
        })
    }

    /// Has `git` make the pack, where it can be moved in; `None` if there is nothing to pack.
    async fn pack(&self, repository: &Path, effort: Effort) -> Result<Option<Quarantine>, Error> {
        if self.wanted.is_empty() {
            return Ok(None);
        }
        let quarantine = Quarantine::new(repository)?;
        let mut program = Program::pack_objects(repository, &quarantine, effort)?;
        let work = async {
            if let Some(mut input) = program.input.take() {
                for ids in self.wanted.chunks(IDS_AT_ONCE) {
                    let mut lines = Vec::new();
                    for id in ids {
                        // Memory takes all that is written.
                        let _ = writeln!(lines, "{id}");
                    }
                    // One that does not listen has failed, which its end says.
                    if input.write_all(&lines).await.is_err() {
                        break;
                    }
                }
            }
            program.finish().await
        };
        let late = |_| Error::Program {
            source: io::ErrorKind::TimedOut.into(),
        };
        match timeout(DEADLINE, work).await.map_err(late)?? {
            (status, _) if status.success() => Ok(Some(quarantine)),
            (status, said) => Err(Error::ProgramFailed { status, said }),
        }
    }

    /// Removes what packs have: each file only if its objects are found in a pack that stays.
    fn remove(&self) -> Result<Repacked, Error> {
        let (folded, kept): (Vec<_>, Vec<_>) = packs(&self.objects)?
            .into_iter()
            .partition(|pack| self.folded.contains(&pack.path));
        let is_kept = |id: &ObjectId| kept.iter().any(|pack| pack.has(id));
        let store = loose::Store::at(self.objects.clone(), HASH);
        let mut done = Repacked::default();
        for id in self.loose.iter().filter(|id| is_kept(id)) {
            let path = store.object_path(id);
            fs::remove_file(&path).at(&path)?;
            done.loose += 1;
        }
        for pack in folded {
            if !pack.ids().all(|id| is_kept(&id)) {
                continue;
            }
            // Without its index nobody looks for it, and a crash leaves what the next start sweeps.
            for extension in ["idx", "rev", "bitmap", "mtimes", "pack"] {
                let path = pack.path.with_extension(extension);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).at(&path);
                    }
                    _ => {}
                }
            }
            done.packs += 1;
        }
        Ok(done)
    }
}

impl Pack {
    fn has(&self, id: &ObjectId) -> bool {
        self.index.lookup(id).is_some()
    }

    fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.index.iter().map(|entry| entry.oid)
    }
}

/// The index of every pack.
fn indices(objects: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = files(&objects.join("pack"))?;
    found.retain(|path| path.extension() == Some("idx".as_ref()));
    Ok(found)
}

/// What is in a folder, which may not be there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found
            .at(folder)?
            .map(|file| Ok(file.at(folder)?.path()))
            .collect(),
    }
}

fn packs(objects: &Path) -> Result<Vec<Pack>, Error> {
    let open = |path: PathBuf| {
        let data = path.with_extension("pack");
        Ok(Pack {
            index: pack::index::File::at(&path, HASH).doing("opening a pack's index")?,
            bytes: fs::metadata(&data).at(&data)?.len(),
            path,
        })
    };
    indices(objects)?.into_iter().map(open).collect()
}

/// Whether there are too many packs. Packs that somebody made an index of all of are his to fold.
fn is_to_be_folded(objects: &Path, packs: usize) -> bool {
    let is_many = packs as u64 > limit("MESA_TEST_PACKS", PACKS_MAX);
    is_many && !objects.join("pack/multi-pack-index").exists()
}

/// Takes out the packs that are to become one. A pack that is larger than all smaller ones together stays:
/// so an object is written again a few times in its life, however many packs come.
fn fold(packs: &mut Vec<Pack>) -> Vec<Pack> {
    packs.sort_unstable_by_key(|pack| std::cmp::Reverse(pack.bytes));
    let mut rest: u64 = packs.iter().map(|pack| pack.bytes).sum();
    let kept = packs.iter().take_while(|pack| {
        rest -= pack.bytes;
        pack.bytes > rest
    });
    let kept = kept.count();
    packs.split_off(kept)
}

/// Every loose object, in the order in which they came: what came together is read together.
fn loose_objects(objects: &Path) -> Result<Vec<ObjectId>, Error> {
    let mut found: Vec<(SystemTime, ObjectId)> = Vec::new();
    for folder in 0..FOLDERS {
        let folder = format!("{folder:02x}");
        for (id, path) in loose_in(objects, &folder)? {
            let changed = fs::metadata(&path).and_then(|facts| facts.modified());
            found.push((changed.at(&path)?, id));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// The loose objects in one folder.
fn loose_in(objects: &Path, folder: &str) -> Result<Vec<(ObjectId, PathBuf)>, Error> {
    let id = |path: &Path| {
        let digits = [folder.as_bytes(), path.file_name()?.as_bytes()].concat();
        ObjectId::from_hex(&digits).ok()
    };
    let found = files(&objects.join(folder))?.into_iter();
    Ok(found.filter_map(|path| Some((id(&path)?, path))).collect())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::Task)?
}

#[cfg(test)]
#[path = "repack_tests.rs"]
mod tests;
