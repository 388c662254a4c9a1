//! Writes somebody else's side of a conflict into the mounted tree, step by step, like any program.
//!
//! Names come from a server and directories are shared with other programs, so no symbolic link is
//! followed on the way: every directory is opened below the one before.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use crate::daemon::control::{TheirFiles, TheirKind, TheirStep};
use crate::tree::{Name, TreePath};

/// The name under which a file is written before it takes its place.
const TEMPORARY: &str = ".mesa-conflict-file";

/// Why their side could not be written. What was written stays; the conflict stays listed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A path that cannot be one.
    #[error("the daemon names an impossible path")]
    Path(#[source] crate::tree::NameError),
    /// The mounted repository.
    #[error("cannot open {}", path.display())]
    Root {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// One of the paths.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
}

/// Writes their side.
///
/// # Errors
///
/// [`Error`]; running it again goes on.
pub(super) fn write(files: &TheirFiles) -> Result<(), Error> {
    if files.steps.is_empty() {
        return Ok(());
    }
    let path = PathBuf::from(&files.root);
    let root = match File::open(&path) {
        Ok(root) => OwnedFd::from(root),
        Err(source) => return Err(Error::Root { path, source }),
    };
    for step in &files.steps {
        let path = TreePath::try_from(&step.path[..]).map_err(Error::Path)?;
        apply(&root, &path, step).map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

fn apply(root: &OwnedFd, path: &TreePath, step: &TheirStep) -> io::Result<()> {
    let Some((parent, name)) = path.split_last() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let make = step.is != TheirKind::Gone;
    let Some(folder) = descend(root, &parent, make)? else {
        return Ok(());
    };
    match &step.is {
        TheirKind::Gone => clear(&folder, &name),
        TheirKind::Directory => match is_directory(&folder, &name)? {
            Some(true) => Ok(()),
            _ => {
                clear(&folder, &name)?;
                Ok(mkdirat(
                    &folder,
                    name.as_os_str(),
                    Mode::from_bits_truncate(0o777),
                )?)
            }
        },
        TheirKind::Symlink { target } => {
            clear(&folder, &name)?;
            let target = std::os::unix::ffi::OsStrExt::from_bytes(&target[..]);
            let target: &std::ffi::OsStr = target;
            Ok(symlinkat(target, &folder, name.as_os_str())?)
        }
        TheirKind::File { staged, executable } => {
            if is_directory(&folder, &name)? == Some(true) {
                clear(&folder, &name)?;
            }
            clear(&folder, &temporary()?)?;
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let mode = Mode::from_bits_truncate(if *executable { 0o777 } else { 0o666 });
            let mut file = File::from(openat(&folder, TEMPORARY, flags, mode)?);
            io::copy(&mut File::open(staged)?, &mut file)?;
            drop(file);
            Ok(nix::fcntl::renameat(
                &folder,
                TEMPORARY,
                &folder,
                name.as_os_str(),
            )?)
        }
    }
}

fn temporary() -> io::Result<Name> {
    Name::try_from(TEMPORARY).map_err(io::Error::other)
}

/// Opens the directory at a path, and makes it where it is missing if that is wanted; what stands in
/// its way and is no directory gives way then, since their side has one there.
fn descend(root: &OwnedFd, path: &TreePath, make: bool) -> io::Result<Option<OwnedFd>> {
    let mut folder = root.try_clone()?;
    for name in path.names() {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let open = || openat(&folder, name.as_os_str(), flags, Mode::empty());
        folder = match open() {
            Ok(below) => below,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) if !make => return Ok(None),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                clear(&folder, &name)?;
                mkdirat(&folder, name.as_os_str(), Mode::from_bits_truncate(0o777))?;
                open()?
            }
            Err(errno) => return Err(errno.into()),
        };
    }
    Ok(Some(folder))
}

fn is_directory(folder: &OwnedFd, name: &Name) -> io::Result<Option<bool>> {
    match fstatat(folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => {
            let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
            Ok(Some(kind == SFlag::S_IFDIR))
        }
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes whatever stands at a name.
fn clear(folder: &OwnedFd, name: &Name) -> io::Result<()> {
    match is_directory(folder, name)? {
        None => Ok(()),
        Some(false) => Ok(unlinkat(
            folder,
            name.as_os_str(),
            UnlinkatFlags::NoRemoveDir,
        )?),
        Some(true) => {
            // The descriptor's own name leads to the directory, whatever becomes of the path.
            let below = PathBuf::from(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()));
            std::fs::remove_dir_all(below.join(name.as_os_str()))
        }
    }
}
