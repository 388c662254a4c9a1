//! Why a mount point cannot be mounted, served or unmounted, and what the user can do about it.

use std::io;
use std::path::PathBuf;

/// What went wrong with the mount as a whole; single requests fail with an errno instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mount point is not there or cannot be looked at.
    #[error("the mount point {path}")]
    MountPoint {
        /// The mount point.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The mount point is a file or something else that nothing can be mounted on.
    #[error("the mount point {path} is not a directory")]
    NotDirectory {
        /// The mount point.
        path: PathBuf,
    },
    /// The mount would hide what is in the directory.
    #[error("the mount point {path} is not empty")]
    NotEmpty {
        /// The mount point.
        path: PathBuf,
    },
    /// A mount of ours is there, and something serves it.
    #[error("mesa is mounted at {path} already")]
    AlreadyMounted {
        /// The mount point.
        path: PathBuf,
    },
    /// A dead FUSE mount of another program is there.
    #[error("a dead mount of another program is at {path}")]
    DeadStranger {
        /// The mount point.
        path: PathBuf,
    },
    /// The list of mounts of this process cannot be read.
    #[error("reading /proc/self/mountinfo")]
    MountInfo(#[source] io::Error),
    /// The mount succeeded, but the list of mounts does not have it.
    #[error("what was mounted at {path} is not in /proc/self/mountinfo")]
    NotListed {
        /// The mount point.
        path: PathBuf,
    },
    /// The kernel's FUSE device is not there, or nothing is behind it.
    #[error("/dev/fuse is missing")]
    DeviceMissing(#[source] io::Error),
    /// The kernel's FUSE device may not be opened by this user.
    #[error("/dev/fuse may not be opened by this user")]
    DeviceForbidden(#[source] io::Error),
    /// The process may not mount.
    #[error("mounting at {path} is not permitted")]
    MountForbidden {
        /// The mount point.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `mount(2)` failed for another reason.
    #[error("mounting at {path}")]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The helper finds out by this file what it may unmount.
    #[error("/etc/mtab is missing, and without it fusermount3 unmounts nothing")]
    MountTableMissing,
    /// The program that mounts for users who are not root is not there.
    #[error("{program} is not installed, which mounts for users who are not root")]
    HelperAbsent {
        /// The program.
        program: PathBuf,
    },
    /// The program that mounts for users who are not root cannot be run.
    #[error("{program} cannot be run")]
    HelperUnusable {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program that mounts for users who are not root refused or failed.
    #[error("{program} failed: {said}")]
    HelperFailed {
        /// The program.
        program: PathBuf,
        /// What it wrote to its standard error.
        said: String,
    },
    /// Only an administrator can let other users into a user's mount.
    #[error("other users may not be let into this mount: /etc/fuse.conf has no user_allow_other")]
    OthersForbidden,
    /// Processes have open files or their working directory in the mount.
    #[error("{path} is in use")]
    Busy {
        /// The mount point.
        path: PathBuf,
    },
    /// Something else was mounted on top, and would be the one to be unmounted.
    #[error("something else is mounted on top of {path}")]
    Covered {
        /// The mount point.
        path: PathBuf,
    },
    /// `umount2(2)` failed for another reason.
    #[error("unmounting {path}")]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection to the kernel could not be aborted.
    #[error("aborting the kernel's connection by {path}")]
    Abort {
        /// The control file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel and we did not agree on how to talk.
    #[error("the FUSE handshake with the kernel")]
    Handshake(#[source] io::Error),
    /// A thread did not start.
    #[error("starting the mount's threads")]
    Threads(#[source] io::Error),
}

impl Error {
    /// What the user can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::MountPoint { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("make the directory first: mkdir -p MOUNT_POINT")
            }
            Error::NotEmpty { .. } => {
                Some("choose an empty directory: a mount hides what is below")
            }
            Error::AlreadyMounted { .. } => Some("unmount it first: mesa umount"),
            Error::DeadStranger { .. } => Some("unmount it first: fusermount3 -u -z MOUNT_POINT"),
            Error::DeviceMissing(_) => Some(
                "load the kernel module (modprobe fuse), make the device (mknod -m 666 /dev/fuse c 10 229), \
                 or give the container the device (docker run --device /dev/fuse --cap-add SYS_ADMIN)",
            ),
            Error::DeviceForbidden(_) => Some("as root: chmod 666 /dev/fuse"),
            Error::MountForbidden { .. } => Some(
                "mounting needs CAP_SYS_ADMIN; in a container: \
                 docker run --device /dev/fuse --cap-add SYS_ADMIN",
            ),
            Error::MountTableMissing => Some("as root: ln -s /proc/self/mounts /etc/mtab"),
            Error::HelperAbsent { .. } => Some("apt-get install fuse3"),
            Error::OthersForbidden => Some(
                "as root: echo user_allow_other >> /etc/fuse.conf; or keep the mount to its own \
                     user: allow-other = false, MESA_ALLOW_OTHER=false",
            ),
            Error::Busy { .. } => Some(
                "close what holds it (only root sees what other users have open), or: mesa umount --force",
            ),
            Error::Covered { .. } => Some("unmount what is on top of it first"),
            Error::MountPoint { .. }
            | Error::NotDirectory { .. }
            | Error::MountInfo(_)
            | Error::NotListed { .. }
            | Error::Mount { .. }
            | Error::HelperUnusable { .. }
            | Error::HelperFailed { .. }
            | Error::Unmount { .. }
            | Error::Abort { .. }
            | Error::Handshake(_)
            | Error::Threads(_) => None,
        }
    }
}
