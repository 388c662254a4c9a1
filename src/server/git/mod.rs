//! Bare Git repositories with Mesa's changes and bookmarks on top: the only place that knows gix.
//!
//! ```text
//! refs/heads/<name>            a bookmark: a commit of the change that it points at
//! refs/mesa/changes/<id>       a change: its current commit, made when the change is first touched
//! refs/mesa/unborn/<name>      a bookmark on the virtual root: the empty tree
//! HEAD                         the default bookmark, which may be unborn
//! incoming/                    objects on their way in; cleared when the repository is opened
//! uploads/                     large blobs of which parts have come; given up after a day
//! ```
//!
//! A change id is the commit's `change-id` header, or is derived from the commit's oid, as Jujutsu
//! does both. A change's current commit is its `refs/mesa/changes` reference, or else the commit
//! that history shows.
//!
//! Invariants: an object is on disk, synced, before a reference names it; a reference is synced
//! before the caller hears of it; the change's reference moves before the bookmarks that follow
//! it, so after a crash a bookmark may lag, and opening the repository lets it catch up; a merge
//! moves its bookmark first, so a merge that exists took effect. An object stays for ever, and moves
//! from loose files into packs (`repack`). One process owns the folder, and one writer at a time moves
//! references (the caller's ticket).

mod authors;
mod bookmarks;
mod changes;
mod commit;
mod compare;
mod diff;
mod edit;
mod error;
mod history;
mod import;
mod large;
mod lines;
mod merge;
mod objects;
mod packets;
mod path;
mod program;
mod push;
mod rebase;
mod refs;
mod repack;
mod staging;
mod tree;
mod uploads;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use gix::odb::pack::cache::lru::MemoryCappedHashmap;
use nix::fcntl::{Flock, FlockArg};
use parking_lot::RwLock;

use crate::tree::GitOid;

use bookmarks::Lag;
pub(in crate::server) use bookmarks::{Bookmark, Direction};
pub(in crate::server) use changes::{ChangeInput, Evolution, PatchInput, Snapshot};
pub(in crate::server) use commit::{Commit, Person};
pub(in crate::server) use compare::{
    Comparison, Entry as Compared, Hunks, LineKind, NoLines, Status,
};
pub(in crate::server) use edit::{Source, Step, decode};
pub(in crate::server) use error::Error;
pub(in crate::server) use import::import;
pub(in crate::server) use large::LargeBlobs;
pub(in crate::server) use merge::{
    Choice, Conflict, Conflicts, Hunk, MergeInput, Omitted, Outcome, Resolution, Resolutions, Side,
    SourceFate, Unsettled,
};
pub(in crate::server) use objects::{Blobs, Child, Found};
pub(in crate::server) use packets::{
    Command, LENGTH_BYTES, Line, Malformed, Manner, Verdict, advertisement, length, line, report,
};
pub(in crate::server) use program::{Program, Protocol};
pub(in crate::server) use push::{COMMANDS_MAX, Pushed, Quarantine, Together};
pub(in crate::server) use repack::{Repacked, tell as tell_unpacked};
pub(in crate::server) use tree::{Entry, Kind, SizeCache};

use error::{At, Doing};

/// Deepest path that is written. A path of 4096 bytes could have 2048 components; 500 is deeper
/// than any real tree and keeps every walk over paths small.
pub(in crate::server) const DEPTH_MAX: usize = 500;
/// Most entries in one listing: about 250 MB of JSON, and more than any repository that is
/// read at depth 1.
pub(in crate::server) const LISTING_ENTRIES_MAX: usize = 1 << 20;
/// Bytes of decoded trees that one request keeps.
const OBJECT_CACHE_BYTES: usize = 4 << 20;
/// Bytes of objects that one request keeps since packs hold others as differences to them; without, each
/// of these is put together from its first ancestor on.
const BASE_CACHE_BYTES: usize = 4 << 20;

const HASH: gix::hash::Kind = gix::hash::Kind::Sha1;

/// A repository that this process owns.
#[derive(Debug)]
pub(in crate::server) struct Repository {
    folder: PathBuf,
    shared: RwLock<Shared>,
    index: RwLock<history::Index>,
    lineage: rebase::Lineage,
    reaches: objects::Reaches,
    access: Access,
    /// Whose a folder is that is not ours: held while we write there.
    claim: Option<Flock<fs::File>>,
}

/// What may be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is read, and nothing is written into it.
    ReadOnly,
    /// It is read and written.
    ReadWrite,
}

/// What requests share of an open repository. gix has room for so many packs as there were when it
/// was opened, and some, so it is opened again when packs have come or gone.
#[derive(Debug)]
struct Shared {
    repo: gix::ThreadSafeRepository,
    packs_changed: Option<SystemTime>,
    /// What was shared before, as long as somebody has a handle of it.
    earlier: Vec<Weak<gix::odb::Store>>,
}

impl Shared {
    fn open(folder: &Path) -> Result<Shared, Error> {
        // Looked at first: packs that come in between are found at the next request.
        let packs_changed = packs_changed(folder);
        let repo = open_gix(folder)?;
        Ok(Shared {
            repo,
            packs_changed,
            earlier: Vec::new(),
        })
    }
}

fn packs_changed(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join("objects/pack"))
        .and_then(|metadata| metadata.modified())
        .ok()
}

impl Repository {
    /// Makes an empty bare repository in `folder`, which must not exist.
    pub(in crate::server) fn create(folder: &Path, default_bookmark: &str) -> Result<(), Error> {
        bookmarks::check_name(default_bookmark)?;
        let options = gix::create::Options {
            destination_must_be_empty: Some(true),
            ..gix::create::Options::default()
        };
        gix::create::into(folder, gix::create::Kind::Bare, options)
            .doing("creating a repository")?;
        // Sample hooks of the template, which nothing runs.
        let hooks = folder.join("hooks");
        fs::remove_dir_all(&hooks).at(&hooks)?;
        refs::write_head(folder, default_bookmark)?;
        let repo = open_gix(folder)?.to_thread_local();
        let mut staging = staging::Staging::new(&repo)?;
        // gix takes the empty tree for granted, but Git wants it on disk once a tree names it.
        staging.write_always(gix::objs::Kind::Tree, &[])?;
        staging.publish()
    }

    /// Opens a repository and undoes what a crash may have left: half-written objects, half a pack, stale
    /// reference locks, bookmarks that had not yet followed their change.
    pub(in crate::server) fn open(folder: &Path) -> Result<Repository, Error> {
        staging::clear(folder)?;
        uploads::sweep(folder)?;
        refs::remove_stale_locks(folder)?;
        repack::sweep(folder)?;
        let repository = Repository::load(folder, Access::ReadWrite, None)?;
        repository.catch_up_bookmarks(Lag::Any)?;
        Ok(repository)
    }

    /// Opens a repository that somebody else keeps. Lock files stay: whoever made them may live.
    pub(in crate::server) fn open_in_place(
        folder: &Path,
        access: Access,
    ) -> Result<Repository, Error> {
        let mut claim = None;
        if access == Access::ReadWrite {
            let file = fs::File::open(folder).at(folder)?;
            let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            claim = Some(lock.map_err(|(_, errno)| errno.into()).at(folder)?);
        }
        let repository = Repository::load(folder, access, claim)?;
        let repo = repository.local();
        if repo.object_hash() != HASH {
            return Err(Error::SourceHash {
                path: folder.to_owned(),
            });
        }
        repository.bookmarks()?;
        if access == Access::ReadWrite {
            staging::clear(folder)?;
            uploads::sweep(folder)?;
            repository.catch_up_bookmarks(Lag::Amended)?;
        }
        Ok(repository)
    }

    fn load(
        folder: &Path,
        access: Access,
        claim: Option<Flock<fs::File>>,
    ) -> Result<Repository, Error> {
        Ok(Repository {
            folder: folder.to_owned(),
            shared: RwLock::new(Shared::open(folder)?),
            index: RwLock::default(),
            lineage: rebase::Lineage::default(),
            reaches: objects::Reaches::default(),
            access,
            claim,
        })
    }

    /// What may be done with it.
    pub(in crate::server) fn access(&self) -> Access {
        self.access
    }

    /// A handle for one request, which may come to the same trees again.
    fn local(&self) -> gix::Repository {
        let mut repo = self.plain();
        repo.object_cache_size(OBJECT_CACHE_BYTES);
        repo
    }

    /// A handle for one request, which reads each object once.
    fn plain(&self) -> gix::Repository {
        let packs_changed = packs_changed(&self.folder);
        let is_old = |shared: &Shared| shared.packs_changed != packs_changed;
        if is_old(&self.shared.read())
            && let Err(error) = self.reopen(is_old)
        {
            tracing::warn!(%error, "the repository cannot be opened again");
        }
        let mut repo = self.shared.read().repo.to_thread_local();
        repo.objects
            .set_pack_cache(|| Box::new(MemoryCappedHashmap::new(BASE_CACHE_BYTES)));
        repo
    }

    /// Opens the repository again for the handles to come, unless somebody else has meanwhile.
    fn reopen(&self, is_old: impl Fn(&Shared) -> bool) -> Result<(), Error> {
        let mut shared = self.shared.write();
        if is_old(&shared) {
            let mut new = Shared::open(&self.folder)?;
            new.earlier.append(&mut shared.earlier);
            new.earlier.retain(|store| store.strong_count() > 0);
            new.earlier.push(Arc::downgrade(&shared.repo.objects));
            *shared = new;
        }
        Ok(())
    }

    /// What handles of before the last opening read from.
    fn earlier(&self) -> Vec<Weak<gix::odb::Store>> {
        self.shared.read().earlier.clone()
    }

    /// Where uploads are put before they become objects.
    pub(in crate::server) fn incoming(&self) -> PathBuf {
        self.folder.join(staging::FOLDER)
    }

    /// Stores a file as a blob; on return it survives a power cut.
    pub(in crate::server) fn store_blob(
        &self,
        file: &mut fs::File,
        size: u64,
    ) -> Result<GitOid, Error> {
        let repo = self.local();
        let mut staging = staging::Staging::new(&repo)?;
        let oid = staging.write_stream(size, file)?;
        staging.publish()?;
        Ok(ours(&oid))
    }

    /// Stores all blobs that `next` gives, or none; on return they survive a power cut.
    pub(in crate::server) fn store_blobs<E: From<Error>>(
        &self,
        mut next: impl FnMut() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Vec<(GitOid, u64)>, E> {
        let repo = self.local();
        let mut staging = staging::Staging::new(&repo)?;
        let mut stored = Vec::new();
        while let Some(bytes) = next()? {
            let oid = staging.write(gix::objs::Kind::Blob, &bytes)?;
            stored.push((ours(&oid), bytes.len() as u64));
        }
        staging.publish()?;
        Ok(stored)
    }
}

/// Opens a repository with the indices of all its packs, so that its handles look into these before they
/// look for loose files.
fn open_gix(folder: &Path) -> Result<gix::ThreadSafeRepository, Error> {
    let repo = gix::open::Options::isolated()
        .open_path_as_is(true)
        .open(folder)
        .doing("opening a repository")?;
    // Whoever looks for what is not there looks everywhere.
    let nothing = gix::ObjectId::null(HASH);
    let _ = repo
        .to_thread_local()
        .objects
        .exists_without_refresh(&nothing);
    Ok(repo)
}

fn ours(oid: &gix::oid) -> GitOid {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(oid.as_bytes()) {
        *to = *from;
    }
    GitOid(bytes)
}

fn theirs(oid: GitOid) -> gix::ObjectId {
    gix::ObjectId::Sha1(oid.0)
}
