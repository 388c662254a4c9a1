//! One folder, and file operations below it that nothing leads out of.
//!
//! Every path is walked name by name from the folder's own descriptor, and no symbolic link is
//! followed: a path whose parent is a link, or stops being a directory meanwhile, fails.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::error::Error;
use super::object::{blob_oid, oid_of};
use crate::lower::EntryKind;
use crate::tree::{GitOid, Name, TreePath};

/// A folder, by descriptor.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A file or a link, with the object that it would be in Git.
    Leaf(EntryKind, GitOid),
    Directory,
    /// A pipe, a socket or a device.
    Other,
    /// A file or a link stands where a directory would be on the way there.
    Below(TreePath),
}

/// How a parent was reached.
enum Parent {
    Open(OwnedFd, Name),
    Nothing,
    Blocked(TreePath),
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

fn failed(path: &TreePath) -> impl Fn(Errno) -> Error {
    let path = path.clone();
    move |errno| Error::Folder {
        path: path.clone(),
        source: errno.into(),
    }
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    ///
    /// It is none, or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Folder(open(path, flags, Mode::empty())?))
    }

    fn parent(&self, path: &TreePath) -> Result<Parent, Error> {
        let failed = failed(path);
        let Some((parent, last)) = path.split_last() else {
            return Err(failed(Errno::EINVAL));
        };
        let mut at = TreePath::ROOT;
        let mut folder = self.0.try_clone().map_err(|source| Error::Folder {
            path: path.clone(),
            source,
        })?;
        for name in parent.names() {
            at = at.join(&name)?;
            match openat(&folder, name.as_os_str(), DIRECTORY, Mode::empty()) {
                Ok(below) => folder = below,
                Err(Errno::ENOENT) => return Ok(Parent::Nothing),
                Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(Parent::Blocked(at)),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(Parent::Open(folder, last))
    }

    /// The parent's descriptor, making directories on the way that are missing.
    fn make_parent(&self, path: &TreePath) -> Result<(OwnedFd, Name), Error> {
        if let Parent::Open(folder, name) = self.parent(path)? {
            return Ok((folder, name));
        }
        if let Some((parent, _)) = path.split_last() {
            self.make_directory(&parent)?;
        }
        match self.parent(path)? {
            Parent::Open(folder, name) => Ok((folder, name)),
            Parent::Nothing | Parent::Blocked(_) => Err(failed(path)(Errno::ENOTDIR)),
        }
    }

    /// Makes a directory and those above it; one that is there is as good.
    pub(super) fn make_directory(&self, path: &TreePath) -> Result<(), Error> {
        let failed = failed(path);
        let mut folder = self.0.try_clone().map_err(|source| Error::Folder {
            path: path.clone(),
            source,
        })?;
        for name in path.names() {
            match mkdirat(&folder, name.as_os_str(), Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            folder =
                openat(&folder, name.as_os_str(), DIRECTORY, Mode::empty()).map_err(&failed)?;
        }
        Ok(())
    }

    /// Looks at a path; reads a file whole, for its identifier.
    pub(super) fn look(&self, path: &TreePath) -> Result<Found, Error> {
        let failed = failed(path);
        let (folder, name) = match self.parent(path)? {
            Parent::Open(folder, name) => (folder, name),
            Parent::Nothing => return Ok(Found::Nothing),
            Parent::Blocked(at) => return Ok(Found::Below(at)),
        };
        let name = name.as_os_str();
        let stat = match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(Found::Nothing),
            stat => stat.map_err(&failed)?,
        };
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFDIR {
            return Ok(Found::Directory);
        }
        if kind == SFlag::S_IFLNK {
            let target = readlinkat(&folder, name).map_err(&failed)?;
            let oid = oid_of("blob", target.as_bytes());
            return Ok(Found::Leaf(EntryKind::Symlink, oid));
        }
        if kind != SFlag::S_IFREG {
            return Ok(Found::Other);
        }
        let kind = match stat.st_mode & 0o100 {
            0 => EntryKind::File,
            _ => EntryKind::Executable,
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&folder, name, flags, Mode::empty()).map_err(&failed)?);
        let io_failed = |source| Error::Folder {
            path: path.clone(),
            source,
        };
        let size = file.metadata().map_err(io_failed)?.len();
        let oid = blob_oid(file, size).map_err(io_failed)?;
        // Cut short under our hands: somebody writes to it, so it is none that we know.
        Ok(oid.map_or(Found::Other, |oid| Found::Leaf(kind, oid)))
    }

    /// What is in a directory, by path.
    pub(super) fn list(&self, path: &TreePath) -> Result<Vec<TreePath>, Error> {
        let failed = failed(path);
        let Parent::Open(folder, name) = self.parent(path)? else {
            return Ok(Vec::new());
        };
        let mut directory =
            Dir::openat(&folder, name.as_os_str(), DIRECTORY, Mode::empty()).map_err(&failed)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(&failed)?;
            match Name::try_from(entry.file_name().to_bytes()) {
                Ok(name) => names.push(path.join(&name)?),
                // `.` and `..`.
                Err(_) => continue,
            }
        }
        Ok(names)
    }

    /// Removes a file or a link; nothing there is as good.
    pub(super) fn remove(&self, path: &TreePath) -> Result<(), Error> {
        self.unlink(path, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes a directory if it is empty, and says whether none is there now.
    pub(super) fn remove_directory(&self, path: &TreePath) -> Result<bool, Error> {
        match self.unlink(path, UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Error::Folder { source, .. })
                if matches!(
                    source.raw_os_error(),
                    Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOTDIR)
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn unlink(&self, path: &TreePath, flags: UnlinkatFlags) -> Result<(), Error> {
        let Parent::Open(folder, name) = self.parent(path)? else {
            return Ok(());
        };
        match unlinkat(&folder, name.as_os_str(), flags) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed(path)(errno)),
        }
    }

    /// Puts a link in place of whatever file or link is there, in one step.
    pub(super) fn put_link(&self, path: &TreePath, target: &[u8]) -> Result<(), Error> {
        let (folder, name) = self.make_parent(path)?;
        let staged = staged(&name);
        discard(&folder, &staged);
        symlinkat(target, &folder, &staged[..]).map_err(failed(path))?;
        renameat(&folder, &staged[..], &folder, name.as_os_str()).map_err(failed(path))
    }

    /// Puts a file in place of whatever file or link is there, in one step, once `fill` has written
    /// its bytes without an error.
    pub(super) fn put_file(
        &self,
        path: &TreePath,
        kind: EntryKind,
        fill: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (folder, name) = self.make_parent(path)?;
        let staged = staged(&name);
        discard(&folder, &staged);
        let mode = match kind {
            EntryKind::Executable => 0o777,
            _ => 0o666,
        };
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(&folder, &staged[..], flags, Mode::from_bits_truncate(mode));
        let mut file = File::from(file.map_err(failed(path))?);
        let put = fill(&mut file).and_then(|()| {
            renameat(&folder, &staged[..], &folder, name.as_os_str()).map_err(failed(path))
        });
        if put.is_err() {
            discard(&folder, &staged);
        }
        put
    }

    /// Makes everything below survive a power cut.
    pub(super) fn sync(&self) -> Result<(), Error> {
        nix::unistd::syncfs(self.0.as_fd()).map_err(failed(&TreePath::ROOT))
    }
}

/// Where a file is written before it gets its name: the same at every try, so that what a crash left
/// is found again.
fn staged(name: &Name) -> Vec<u8> {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let short: String = hash.chars().take(16).collect();
    format!(".mesa-import-{short}").into_bytes()
}

fn discard(folder: &OwnedFd, staged: &[u8]) {
    // Not there, nearly always; anything else fails the step that comes next.
    let _ = unlinkat(folder, staged, UnlinkatFlags::NoRemoveDir);
}
