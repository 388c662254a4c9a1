//! What is to stay: second names of objects, which eviction honours (`evict.rs`).
//!
//! ```text
//! pins/<holder>/<path>/<tree sha>/<64 hex digits>  an object that the path needs in that snapshot
//! pins/<holder>/<path>/<tree sha>/whole            there once all of these are, and durable
//! ```
//!
//! A pinned path has a folder for the snapshot that is shown. That of the next snapshot is filled before
//! this one goes, so whoever dies in between has pinned too much, and never too little. What two paths
//! need has a name in both, and stays until both are gone. All of it can be made again from the listings:
//! the list of what is pinned is not kept here, but with the state of its holder.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::census;
use super::disk::{discard, has_hash, hex, make_folder, open_regular, read_index};
use super::store::Store;
use super::{Domain, Error, Listing};
use crate::tree::{ContentHash, GitOid, TreePath};

/// The name of the file that says that nothing is missing; no object has such a short name.
const WHOLE: &str = "whole";
/// Looks at what is gone, or another, again each time: eviction is not that fast.
const LOOKS_MAX: u32 = 3;

/// Who pins: a repository of a data directory, by a name that no other has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder([u8; 16]);

impl Holder {
    /// The holder that `text` names.
    pub fn of(text: &str) -> Holder {
        Holder(short_hash(text.as_bytes()))
    }
}

fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    for (byte, source) in short.iter_mut().zip(blake3::hash(bytes).as_bytes()) {
        *byte = *source;
    }
    short
}

fn pins_of(folder: &Path, holder: Holder) -> PathBuf {
    folder.join("pins").join(hex(&holder.0))
}

fn name_of(path: &TreePath) -> String {
    hex(&short_hash(path.as_bytes()))
}

/// The names that one path's objects get in one snapshot.
pub(super) struct Links<'a> {
    store: &'a Store,
    folder: PathBuf,
    /// Whether there are some that may not be durable.
    has_new: AtomicBool,
}

impl<'a> Links<'a> {
    /// Makes the folder for them.
    pub(super) fn open(
        store: &'a Store,
        holder: Holder,
        path: &TreePath,
        tree: GitOid,
    ) -> io::Result<Links<'a>> {
        let folder = pins_of(&store.folder, holder).join(name_of(path));
        let folder = folder.join(hex(&tree.0));
        make_folder(&folder)?;
        Ok(Links {
            store,
            folder,
            has_new: AtomicBool::new(false),
        })
    }

    /// Pins a blob; says whether it was there.
    pub(super) fn blob(&self, oid: GitOid, size: u64) -> io::Result<bool> {
        match read_index(&self.store.blob_place(oid)) {
            Some(content) => self.link(content, Some(size)),
            None => Ok(false),
        }
    }

    /// Pins a listing, which may be in memory alone.
    pub(super) fn listing(&self, domain: Domain, oid: GitOid, listing: &Listing) -> io::Result<()> {
        if oid == GitOid::EMPTY_TREE {
            return Ok(());
        }
        for _ in 0..LOOKS_MAX {
            let index = read_index(&self.store.listing_place(domain, oid));
            if let Some(content) = index
                && self.link(content, None)?
            {
                return Ok(());
            }
            self.store.write_listing(domain, oid, listing)?;
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    /// Gives an object its second name; says whether it is there, and sound.
    ///
    /// One that has it already is told by its length: its reader hashes it in any case.
    fn link(&self, content: ContentHash, size: Option<u64>) -> io::Result<bool> {
        let (place, link) = (
            self.store.object_place(content),
            self.folder.join(hex(&content.0)),
        );
        let Some((file, length)) = open_regular(&place)? else {
            discard(&link);
            return Ok(false);
        };
        let found = file.metadata()?;
        let is_that = |path: &Path| {
            path.symlink_metadata()
                .is_ok_and(|at| (at.dev(), at.ino()) == (found.dev(), found.ino()))
        };
        if is_that(&link) && size.is_none_or(|size| size == length) {
            return Ok(true);
        }
        if !has_hash(&file, length, content) {
            tracing::warn!(length, "a cached object is damaged");
            discard(&place);
            discard(&link);
            return Ok(false);
        }
        // Whoever is about to evict it has the lock until it is gone.
        file.lock_shared()?;
        if !is_that(&place) {
            return Ok(false);
        }
        self.has_new.store(true, Ordering::Relaxed);
        for _ in 0..LOOKS_MAX {
            match fs::hard_link(&place, &link) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Another file of the tree has the same bytes; or it is of what was damaged.
                    if is_that(&link) {
                        return Ok(true);
                    }
                    discard(&link);
                }
                linked => return linked.map(|()| true),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Makes all of them durable, and then lets go of what the path needed in other snapshots.
    pub(super) fn finish(&self) -> io::Result<()> {
        let whole = self.folder.join(WHOLE);
        if self.has_new.load(Ordering::Relaxed) || !whole.exists() {
            nix::unistd::syncfs(File::open(&self.folder)?)?;
            File::create(&whole)?;
        }
        let (Some(parent), Some(own)) = (self.folder.parent(), self.folder.file_name()) else {
            return Ok(());
        };
        remove_all_but(parent, |name| name == own)
    }
}

/// Removes the folders that a folder has, but for those that are meant to stay.
fn remove_all_but(folder: &Path, stays: impl Fn(&std::ffi::OsStr) -> bool) -> io::Result<()> {
    census::for_each(folder, &mut |entry| {
        if stays(&entry.file_name()) {
            return Ok(());
        }
        match fs::remove_dir_all(entry.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    })
}

impl Store {
    /// How many objects were found damaged so far, pinned ones perhaps: those have to be pinned again.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether all that a path needs in a snapshot is pinned.
    pub fn is_pinned(&self, holder: Holder, path: &TreePath, tree: GitOid) -> bool {
        let folder = pins_of(&self.folder, holder).join(name_of(path));
        folder.join(hex(&tree.0)).join(WHOLE).exists()
    }

    /// Lets go of everything that a holder has pinned but for some paths. What is cut short is done by the
    /// next call.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when a folder cannot be removed.
    pub fn release_all_but(&self, holder: Holder, paths: &[TreePath]) -> Result<(), Error> {
        let folder = pins_of(&self.folder, holder);
        let kept: Vec<String> = paths.iter().map(name_of).collect();
        let stays = |name: &std::ffi::OsStr| kept.iter().any(|kept| name == kept.as_str());
        remove_all_but(&folder, stays).map_err(Error::Store)?;
        if paths.is_empty() {
            // Another may be making one just now.
            let _not_empty = fs::remove_dir(&folder);
        }
        Ok(())
    }
}

/// Removes a damaged object by all of its names, so that whoever pins it fetches it again.
///
/// # Errors
///
/// What the disk says.
pub fn discard_damaged(folder: &Path, object: &Path) -> io::Result<()> {
    fs::remove_file(object)?;
    let parts = object
        .parent()
        .and_then(Path::file_name)
        .zip(object.file_name());
    let Some((shelf, rest)) = parts else {
        return Ok(());
    };
    let mut name = shelf.to_owned();
    name.push(rest);
    for_each_snapshot(folder, &mut |snapshot| {
        let link = snapshot.join(&name);
        if link.symlink_metadata().is_ok() {
            // In this order: what is not whole is looked at again.
            discard(&snapshot.join(WHOLE));
            discard(&link);
        }
    })
}

/// Shows every folder of links.
fn for_each_snapshot(folder: &Path, visit: &mut dyn FnMut(&Path)) -> io::Result<()> {
    census::for_each(&folder.join("pins"), &mut |holder| {
        census::for_each(&holder.path(), &mut |path| {
            census::for_each(&path.path(), &mut |snapshot| {
                visit(&snapshot.path());
                Ok(())
            })
        })
    })
}
