//! Mounting: `mount(2)` as root, `fusermount3` as anyone else.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use nix::unistd::{getegid, geteuid};

use super::helper::Helper;
use super::mountinfo::MountEntry;
use super::{Error, mountinfo, unmount};

const DEVICE: &str = "/dev/fuse";
/// What the helper reads before it unmounts.
const MOUNT_TABLE: &str = "/etc/mtab";
/// What `df` and `mount` show as the device.
const SOURCE: &str = "mesa";

/// Who may use the mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// The user who mounts, alone; not even root.
    #[default]
    Owner,
    /// Everyone, within the mode bits (`allow_other`).
    Everyone,
}

/// What set-user-id bits and device nodes do on the mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SpecialFiles {
    /// Nothing (`nosuid,nodev`): a server must not hand out privileges.
    #[default]
    Inert,
    /// What they do on a local file system. Only root can ask for it.
    Honoured,
}

/// Who opens and serves files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Opens {
    /// The kernel opens them by itself, from the first open on, which we answer ENOSYS: no request for an open
    /// or a close comes after it. What an open would check, read and write do.
    #[default]
    Kernel,
    /// We are asked for each open, and each read that the kernel has no pages for, and each write, is a
    /// request.
    Plain,
    /// We are asked for each open, and the kernel reads and writes bodies by itself. It lets nobody but root
    /// ask for that.
    Passthrough,
}

/// Which way requests come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transport {
    /// Read from the device, answered by writing to it.
    #[default]
    Device,
    /// By io_uring, where the kernel offers that; else by the device.
    IoUring,
}

/// How to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// An empty directory.
    pub mount_point: PathBuf,
    /// Who may use it.
    pub access: Access,
    /// User and group of the directories above the repositories.
    pub owner: (u32, u32),
    /// What set-user-id bits and device nodes do.
    pub special_files: SpecialFiles,
    /// Who opens and serves files.
    pub opens: Opens,
    /// Which way requests come.
    pub transport: Transport,
    /// The program that mounts for a user who is not root: `FUSERMOUNT_PATH`; else `fusermount3`.
    pub helper: Option<PathBuf>,
}

/// What tells our mount from every other, also from one at the same path.
///
/// The kernel gives both numbers of a mount that is gone to the next one, at once: a tmpfs that is
/// mounted in place of ours looks the same. Only the unique number, of Linux 6.8, is for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// Canonical.
    pub(super) path: PathBuf,
    pub(super) id: u64,
    /// Nobody gets this number again as long as the connection of the mount is alive.
    pub(super) device: (u32, u32),
    pub(super) unique: Option<u64>,
}

impl Identity {
    /// Whether a line of the list of mounts may be our mount.
    pub(super) fn resembles(&self, entry: &MountEntry) -> bool {
        (self.id, self.device, &self.path) == (entry.id, entry.device, &entry.path)
            && entry.is_ours()
    }

    /// Whether the mount that our path leads into is ours, as far as the kernel can tell.
    pub(super) fn is_at_path(&self) -> bool {
        match (self.unique, mountinfo::unique_id(&self.path)) {
            (Some(ours), Some(there)) => ours == there,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

/// Clears a dead mount of ours, checks the mount point, and mounts. The kernel then waits for the
/// handshake on the device.
///
/// # Errors
///
/// [`Error`]; nothing is mounted then.
pub(super) fn mount(options: &Options) -> Result<(OwnedFd, Identity), Error> {
    let helper = Helper::new(options.helper.clone());
    let path = prepared(&options.mount_point, &helper)?;
    let device = if geteuid().is_root() {
        mount_directly(&path, options)?
    } else {
        check_device()?;
        check_mount_table()?;
        helper.mount(&path, &helper_words(options))?
    };
    let entries = mountinfo::read()?;
    match mountinfo::topmost(&entries, &path) {
        Some(entry) if entry.is_ours() => {
            let identity = Identity {
                id: entry.id,
                device: entry.device,
                unique: mountinfo::unique_id(&path),
                path,
            };
            Ok((device, identity))
        }
        _ => Err(Error::NotListed { path }),
    }
}

/// The canonical path of a mount point that is fit to be one.
fn prepared(mount_point: &Path, helper: &Helper) -> Result<PathBuf, Error> {
    unmount::clear_dead(mount_point, helper)?;
    let failed = |source| Error::MountPoint {
        path: mount_point.to_path_buf(),
        source,
    };
    let path = mount_point.canonicalize().map_err(failed)?;
    if !fs::metadata(&path).map_err(failed)?.is_dir() {
        return Err(Error::NotDirectory { path });
    }
    let entries = mountinfo::read()?;
    if mountinfo::topmost(&entries, &path).is_some_and(MountEntry::is_ours) {
        return Err(Error::AlreadyMounted { path });
    }
    if fs::read_dir(&path).map_err(failed)?.next().is_some() {
        return Err(Error::NotEmpty { path });
    }
    Ok(path)
}

fn open_device() -> io::Result<OwnedFd> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(DEVICE)?;
    Ok(device.into())
}

/// Finds out, before `fusermount3` says it in its own words, that the device cannot be opened.
fn check_device() -> Result<(), Error> {
    open_device().map(drop).map_err(device_error)
}

/// Slim images lack it, and then a mount could be made and not be undone: neither by its user nor after
/// a death of its daemon.
fn check_mount_table() -> Result<(), Error> {
    match fs::metadata(MOUNT_TABLE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::MountTableMissing),
        _ => Ok(()),
    }
}

fn device_error(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::DeviceForbidden(error),
        _ => Error::DeviceMissing(error),
    }
}

fn mount_directly(path: &Path, options: &Options) -> Result<OwnedFd, Error> {
    let device = open_device().map_err(device_error)?;
    let words = format!(
        "fd={},rootmode=40000,user_id={},group_id={},{}",
        device.as_raw_fd(),
        geteuid(),
        getegid(),
        shared_words(options)
    );
    let flags = match options.special_files {
        SpecialFiles::Inert => MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        SpecialFiles::Honoured => MsFlags::empty(),
    };
    nix::mount::mount(
        Some(SOURCE),
        path,
        Some(mountinfo::KIND),
        flags,
        Some(words.as_str()),
    )
    .map_err(|errno| {
        let path = path.to_path_buf();
        let source = io::Error::from(errno);
        match errno {
            nix::errno::Errno::EPERM | nix::errno::Errno::EACCES => {
                Error::MountForbidden { path, source }
            }
            nix::errno::Errno::ENODEV => Error::DeviceMissing(source),
            _ => Error::Mount { path, source },
        }
    })?;
    Ok(device)
}

/// The kernel checks the mode bits, so that we are asked for no `access`.
fn shared_words(options: &Options) -> &'static str {
    match options.access {
        Access::Owner => "default_permissions",
        Access::Everyone => "default_permissions,allow_other",
    }
}

/// `fusermount3` adds `nosuid,nodev` for a user who is not root.
fn helper_words(options: &Options) -> String {
    format!("fsname={SOURCE},subtype=mesa,{}", shared_words(options))
}
