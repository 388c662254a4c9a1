//! New objects, written beside the database and moved into it when they are durable.
//!
//! Every object is a loose file in a private folder; publishing syncs them all and only then
//! renames them into `objects/`, so that no crash, not even a power cut, leaves a damaged object
//! under a name that says it is there. What is never published goes away with the folder.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gix::objs::{Kind, Write as _};
use gix::odb::loose;

use super::error::{At, Doing, Error};
use super::{HASH, edit};

/// Name of the folder inside the repository.
pub(super) const FOLDER: &str = "incoming";

/// Up to this many files are synced one by one. More of them would cost over 100 ms at about 1 ms
/// each, and then one sync of the whole file system is cheaper, even though it also waits for what
/// other programs have written.
const SYNC_EACH_MAX: usize = 128;

/// Objects that are not in the database yet.
pub(super) struct Staging<'repo> {
    repo: &'repo gix::Repository,
    folder: tempfile::TempDir,
    store: loose::Store,
    staged: HashSet<gix::ObjectId>,
}

/// Makes the folder, empty. A `git` that outlives a server that was killed may write for as long as
/// it takes to notice, so a folder that fills again is removed again.
pub(super) fn clear(repository: &Path) -> Result<(), Error> {
    let folder = repository.join(FOLDER);
    let mut attempts = 0..CLEAR_ATTEMPTS;
    loop {
        match fs::remove_dir_all(&folder) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error)
                if error.kind() == io::ErrorKind::DirectoryNotEmpty
                    && attempts.next().is_some() => {}
            Err(error) => return Err(error).at(&folder),
        }
    }
    fs::create_dir(&folder).at(&folder)
}

/// A file that is made in a folder that goes away is made once more at most: its folder is gone.
const CLEAR_ATTEMPTS: usize = 100;

impl<'repo> Staging<'repo> {
    pub(super) fn new(repo: &'repo gix::Repository) -> Result<Staging<'repo>, Error> {
        let incoming = repo.git_dir().join(FOLDER);
        fs::create_dir_all(&incoming).at(&incoming)?;
        let folder = tempfile::Builder::new()
            .prefix("objects-")
            .tempdir_in(&incoming)
            .at(&incoming)?;
        let store = loose::Store::at(folder.path(), HASH);
        Ok(Staging {
            repo,
            folder,
            store,
            staged: HashSet::new(),
        })
    }

    pub(super) fn repo(&self) -> &'repo gix::Repository {
        self.repo
    }

    /// Writes an object, unless the database has it.
    pub(super) fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<gix::ObjectId, Error> {
        let oid = gix::objs::compute_hash(HASH, kind, bytes).doing("hashing an object")?;
        if self.staged.contains(&oid) || self.repo.objects.exists_without_refresh(&oid) {
            return Ok(oid);
        }
        self.store
            .write_buf_with_known_id(kind, bytes, oid)
            .doing("writing an object")?;
        self.staged.insert(oid);
        Ok(oid)
    }

    /// Writes an object that the database may only pretend to have.
    pub(super) fn write_always(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        let oid = self
            .store
            .write_buf(kind, bytes)
            .doing("writing an object")?;
        self.staged.insert(oid);
        Ok(())
    }

    /// Writes a blob of exactly `size` bytes, in constant memory.
    pub(super) fn write_stream(
        &mut self,
        size: u64,
        from: &mut dyn Read,
    ) -> Result<gix::ObjectId, Error> {
        let mut from = Exactly { from, left: size };
        let oid = self
            .store
            .write_stream(Kind::Blob, size, &mut from)
            .doing("writing a blob")?;
        self.staged.insert(oid);
        Ok(oid)
    }

    /// The kind of an object, staged or stored.
    pub(super) fn kind(&self, oid: &gix::ObjectId) -> Result<Option<Kind>, Error> {
        Ok(self.header(oid)?.map(|(kind, _)| kind))
    }

    /// The kind and size of an object, staged or stored.
    pub(super) fn header(&self, oid: &gix::ObjectId) -> Result<Option<(Kind, u64)>, Error> {
        if self.staged.contains(oid) {
            let header = self
                .store
                .try_header(oid)
                .doing("reading a staged object")?;
            return Ok(header.map(|(size, kind)| (kind, size)));
        }
        let header = self
            .repo
            .try_find_header(*oid)
            .doing("reading an object's header")?;
        Ok(header.map(|header| (header.kind(), header.size())))
    }

    /// The bytes of a blob, staged or stored.
    pub(super) fn blob(&self, oid: &gix::ObjectId) -> Result<Vec<u8>, Error> {
        if self.staged.contains(oid) {
            let mut bytes = Vec::new();
            self.store
                .try_find(oid, &mut bytes)
                .doing("reading a staged object")?;
            return Ok(bytes);
        }
        let blob = self.repo.find_blob(*oid).doing("reading a blob")?;
        Ok(blob.detach().data)
    }

    /// Moves everything into the database; on return it survives a power cut.
    pub(super) fn publish(self) -> Result<(), Error> {
        let from = self.folder.path();
        let names: Vec<PathBuf> = self
            .staged
            .iter()
            .filter_map(|oid| {
                let path = self.store.object_path(oid);
                path.strip_prefix(from).map(Path::to_owned).ok()
            })
            .collect();
        move_objects(from, self.repo.objects.store_ref().path(), &names)?;
        let path = from.to_owned();
        self.folder.close().at(&path)
    }
}

impl edit::Objects for Staging<'_> {
    fn tree(&self, oid: &gix::ObjectId) -> Result<Vec<gix::objs::tree::Entry>, Error> {
        if !self.staged.contains(oid) {
            return super::tree::entries(self.repo, oid);
        }
        let mut bytes = Vec::new();
        self.store
            .try_find(oid, &mut bytes)
            .doing("reading a staged object")?;
        let tree = gix::objs::TreeRef::from_bytes(&bytes, HASH).doing("reading a staged tree")?;
        Ok(tree.entries.into_iter().map(Into::into).collect())
    }

    fn store_tree(&mut self, bytes: &[u8]) -> Result<gix::ObjectId, Error> {
        self.write(Kind::Tree, bytes)
    }
}

/// Moves files of one database into another on the same file system, in order; on return they
/// survive a power cut. None of them is in the other one before all of them are durable.
pub(super) fn move_objects(from: &Path, to: &Path, names: &[PathBuf]) -> Result<(), Error> {
    let paths: Vec<PathBuf> = names.iter().map(|name| from.join(name)).collect();
    sync_files(from, &paths)?;
    let mut folders = HashSet::new();
    for (path, name) in paths.iter().zip(names) {
        let target = to.join(name);
        let Some(folder) = target.parent() else {
            continue;
        };
        match fs::create_dir(folder) {
            Ok(()) => {
                folders.insert(to.to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).at(folder),
        }
        fs::rename(path, &target).at(&target)?;
        folders.insert(folder.to_owned());
    }
    sync_folders(&folders)
}

/// Makes the contents of files durable; `folder` is on the same file system.
pub(super) fn sync_files(folder: &Path, paths: &[PathBuf]) -> Result<(), Error> {
    if paths.len() > SYNC_EACH_MAX {
        let folder_file = File::open(folder).at(folder)?;
        return nix::unistd::syncfs(&folder_file)
            .map_err(io::Error::from)
            .at(folder);
    }
    for path in paths {
        File::open(path).and_then(|file| file.sync_all()).at(path)?;
    }
    Ok(())
}

/// Makes the entries of folders durable.
pub(super) fn sync_folders<'a>(
    folders: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Error> {
    for folder in folders {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .at(folder)?;
    }
    Ok(())
}

/// A reader that fails unless there are exactly so many bytes: the size is written before them.
struct Exactly<'a> {
    from: &'a mut dyn Read,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) if count > 0 || left == 0 || buffer.is_empty() => {
                self.left = left;
                Ok(count)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the size changed while reading",
            )),
        }
    }
}
