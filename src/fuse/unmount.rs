//! Unmounting what we mounted, and nothing else.
//!
//! `umount2(2)` takes a path, and what is at the path may have changed since we mounted: someone has
//! unmounted ours and mounted something else, or mounted something on top. So the list of mounts is
//! read first, and must have our mount on top at that path. (Between the look and the call there is
//! a gap that no system call closes.)

use std::fs;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::unistd::geteuid;

use super::helper::Helper;
use super::mount::Identity;
use super::mountinfo::MountEntry;
use super::{Error, mountinfo};

/// Where the kernel has a directory for each FUSE connection.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";
/// Dead mounts, one on top of the other, that are cleared at once.
const DEAD_MOUNTS_MAX: usize = 16;

/// How much to insist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// Only if nobody uses the mount.
    Clean,
    /// Takes the mount off the tree now; it ends when the last process that uses it is done.
    Lazy,
    /// Aborts the connection first: whoever uses the mount gets ECONNABORTED or ENOTCONN, also
    /// processes that are stuck in it.
    Force,
}

/// What unmounting came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmounted {
    /// The mount was there, and is off the tree.
    Done,
    /// Somebody else had unmounted it before.
    AlreadyGone,
}

/// Takes our mount off the tree.
///
/// # Errors
///
/// [`Error::Busy`] when it is in use and `lazily` is not asked for, [`Error::Covered`] when
/// something is mounted on top, or another [`Error`].
pub(super) fn detach(
    identity: &Identity,
    helper: &Helper,
    lazily: bool,
) -> Result<Unmounted, Error> {
    let entries = mountinfo::read()?;
    let path = &identity.path;
    let is_listed = entries.iter().any(|entry| identity.resembles(entry));
    let is_on_top =
        mountinfo::topmost(&entries, path).is_some_and(|entry| identity.resembles(entry));
    match (is_listed, is_on_top) {
        (true, true) if identity.is_at_path() => {
            take_off(path, helper, lazily)?;
            Ok(Unmounted::Done)
        }
        (true, false) => Err(Error::Covered { path: path.clone() }),
        (true, true) | (false, _) => Ok(Unmounted::AlreadyGone),
    }
}

/// Whether our mount is still on the tree, be it below another.
pub(super) fn is_attached(identity: &Identity) -> bool {
    let Ok(entries) = mountinfo::read() else {
        return false;
    };
    match mountinfo::topmost(&entries, &identity.path) {
        Some(entry) if identity.resembles(entry) => identity.is_at_path(),
        Some(_) => entries.iter().any(|entry| identity.resembles(entry)),
        None => false,
    }
}

/// Unmounts dead mounts of ours at a path, whose daemon is gone without having unmounted them.
/// Tells whether there was one. `helper` is as in [`super::Options`].
///
/// # Errors
///
/// [`Error::DeadStranger`] when what is dead there is not ours, or another [`Error`].
pub fn clear_dead_mount(mount_point: &Path, helper: Option<PathBuf>) -> Result<bool, Error> {
    clear_dead(mount_point, &Helper::new(helper))
}

/// As [`clear_dead_mount`].
pub(super) fn clear_dead(mount_point: &Path, helper: &Helper) -> Result<bool, Error> {
    for cleared in 0..DEAD_MOUNTS_MAX {
        // Not `stat`, which the kernel answers by itself as long as the root's attributes are fresh:
        // the mount of a daemon that died a moment ago would look alive.
        match nix::sys::statvfs::statvfs(mount_point) {
            // Aborted: it died while we asked.
            Err(errno) if is_dead(errno) => {}
            _ => return Ok(cleared > 0),
        }
        let path = canonical_without_the_last(mount_point)?;
        let entries = mountinfo::read()?;
        match mountinfo::topmost(&entries, &path) {
            Some(entry) if entry.is_ours() => {
                tracing::info!(path = %path.display(), "clearing a dead mount");
                take_off(&path, helper, true)?;
            }
            _ => return Err(Error::DeadStranger { path }),
        }
    }
    Ok(true)
}

/// The canonical path of something that cannot be looked at itself.
fn canonical_without_the_last(path: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::MountPoint {
        path: path.to_path_buf(),
        source,
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize().map_err(failed)?.join(name)),
        _ => Ok(absolute),
    }
}

fn take_off(path: &Path, helper: &Helper, lazily: bool) -> Result<(), Error> {
    let flags = if lazily {
        MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH
    } else {
        MntFlags::UMOUNT_NOFOLLOW
    };
    match nix::mount::umount2(path, flags) {
        Ok(()) => Ok(()),
        // Users who are not root need the helper, unless they are root of their own namespace.
        Err(Errno::EPERM) if !geteuid().is_root() => helper.unmount(path, lazily),
        Err(Errno::EBUSY) => Err(Error::Busy {
            path: path.to_path_buf(),
        }),
        Err(errno) => Err(Error::Unmount {
            path: path.to_path_buf(),
            source: errno.into(),
        }),
    }
}

/// Whether this is what a mount says that nobody serves any more, or is about to say nothing else: what was
/// on its way into a ring when its process died is canceled.
pub(super) fn is_dead(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOTCONN | Errno::ECONNABORTED | Errno::ECANCELED
    )
}

/// Aborts the connection behind `device`: every request that waits, and every later one, fails. Does
/// nothing if the connection has ended.
///
/// # Errors
///
/// [`Error::Abort`]; the kernel's control file system may be absent, and only root can mount it.
pub(super) fn abort(identity: &Identity, device: BorrowedFd<'_>) -> Result<(), Error> {
    let path = abort_file(identity.device);
    let abort = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(&path)?;
        // The number may be another mount's as soon as our connection has ended, but the open file
        // belongs to the connection that had the number when it was opened. If ours is alive after
        // that, it was ours.
        if is_connected(device)? {
            file.write_all(b"1")?;
        }
        Ok(())
    };
    let has_ended = || is_connected(device).is_ok_and(|is_connected| !is_connected);
    let result = match abort() {
        Err(_) if has_ended() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && geteuid().is_root() => {
            with_control_file_system(abort)
        }
        result => result,
    };
    result.map_err(|source| Error::Abort { path, source })
}

/// Where a connection is aborted. The directory's name is the kernel's own form of a device number: 20
/// bits are the minor.
fn abort_file((major, minor): (u32, u32)) -> PathBuf {
    let number = u64::from(major) << 20 | u64::from(minor);
    Path::new(CONNECTIONS)
        .join(number.to_string())
        .join("abort")
}

/// Aborts the connection of a mount of ours, whoever serves it, without asking that one anything:
/// every process that is stuck in it gets an error. Tells whether there was such a mount.
///
/// # Errors
///
/// [`Error::Abort`]; the kernel's control file system may be absent, and only root can mount it.
pub fn abort_mount(mount_point: &Path) -> Result<bool, Error> {
    let path = canonical_without_the_last(mount_point)?;
    let listed = || -> Result<Option<MountEntry>, Error> {
        let entries = mountinfo::read()?;
        let top = mountinfo::topmost(&entries, &path).filter(|entry| entry.is_ours());
        Ok(top.cloned())
    };
    let Some(entry) = listed()? else {
        return Ok(false);
    };
    let path = abort_file(entry.device);
    let abort = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(&path)?;
        // As above: if the mount is there after its file was opened, the file is its own.
        match listed() {
            Ok(Some(still)) if still == entry => file.write_all(b"1"),
            _ => Ok(()),
        }
    };
    let result = match abort() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && geteuid().is_root() => {
            with_control_file_system(abort)
        }
        result => result,
    };
    match result {
        Ok(()) => Ok(true),
        Err(source) => Err(Error::Abort { path, source }),
    }
}

/// What is mounted below a path.
///
/// # Errors
///
/// [`Error::MountInfo`].
pub fn mounts_inside(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = mountinfo::read()?.into_iter().map(|entry| entry.path);
    Ok(entries
        .filter(|inside| inside.starts_with(path) && inside != path)
        .collect())
}

/// Whether the kernel still has the connection: it reports an error on the device when not.
fn is_connected(device: BorrowedFd<'_>) -> io::Result<bool> {
    let mut devices = [PollFd::new(device, PollFlags::empty())];
    nix::poll::poll(&mut devices, PollTimeout::ZERO)?;
    let [device] = devices;
    Ok(!device
        .revents()
        .is_some_and(|events| events.contains(PollFlags::POLLERR)))
}

/// Mounts the kernel's control file system for the time of one call.
fn with_control_file_system(call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    nix::mount::mount(
        Some("fusectl"),
        CONNECTIONS,
        Some("fusectl"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    )?;
    let result = call();
    let unmounted = nix::mount::umount2(CONNECTIONS, MntFlags::MNT_DETACH);
    result.and(unmounted.map_err(io::Error::from))
}
