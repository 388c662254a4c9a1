//! A file system of our own for a data directory: an image file on a loop device, or memory. It can
//! lose its power.
//!
//! The kernel gives a loop device up by itself once nothing is mounted from it, so taking the mount
//! away is all the cleaning up there is.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::kernel;
use super::process::run;
use super::stopwatch::wait_until;

/// What a disk is formatted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// With a journal, and without blocks that only root may use.
    Ext4,
    Xfs,
    Memory,
}

/// `FS_IOC_SHUTDOWN`, which ext4 and XFS share: `_IOR('X', 125, __u32)`.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Nothing is written any more, not even the file system's own log: the plug is out.
const WITHOUT_LOG: u32 = 2;
/// A file system is free of its last user within this time.
const FREE_DEADLINE: Duration = Duration::from_secs(20);

/// A mounted file system below the folder of a world, which takes it away when it ends.
pub struct Disk {
    format: Format,
    image: PathBuf,
    point: PathBuf,
    bytes: u64,
}

/// A journaled ext4 of its own for what is measured, on a loop device with direct I/O. The root file systems
/// of some machines have no journal, so that their fsync is nothing, and get slow after many removals.
pub struct Ground {
    mounts: Mounts,
    _folder: tempfile::TempDir,
}

/// What is mounted at and below a path, taken away when this is dropped.
struct Mounts(PathBuf);

impl Drop for Mounts {
    fn drop(&mut self) {
        for point in kernel::mounts_below(&self.0) {
            kernel::detach(&point);
        }
    }
}

impl Ground {
    /// Makes it; `None` where that cannot be done, which it says.
    pub fn make(bytes: u64) -> Option<Ground> {
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("mesa-bench-").tempdir_in("/var/tmp").unwrap();
        let mounts = Mounts(folder.path().join("disk"));
        Disk::make(Format::Ext4, &mounts.0, bytes)?.bypass_cache();
        Some(Ground {
            mounts,
            _folder: folder,
        })
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        &self.mounts.0
    }
}

impl Disk {
    /// Makes one at a mount point, with its image beside that; `None` where that cannot be done,
    /// which it says.
    pub fn make(format: Format, point: &Path, bytes: u64) -> Option<Disk> {
        if !nix::unistd::Uid::effective().is_root() {
            println!("skipped: only root can mount a file system");
            return None;
        }
        let disk = Disk {
            format,
            image: point.with_extension("image"),
            point: point.to_owned(),
            bytes,
        };
        fs::create_dir_all(point).unwrap();
        if let Some(tool) = disk.format_with() {
            File::create(&disk.image).unwrap().set_len(bytes).unwrap();
            let mut command = Command::new(tool[0]);
            command.args(&tool[1..]).arg(&disk.image);
            if let Err(error) = command.output() {
                println!("skipped: {} cannot be run: {error}", tool[0]);
                return None;
            }
            run(&mut command).success();
        }
        disk.mount();
        Some(disk)
    }

    fn format_with(&self) -> Option<&'static [&'static str]> {
        match self.format {
            Format::Ext4 => Some(&["mkfs.ext4", "-q", "-F", "-m", "0"]),
            Format::Xfs => Some(&["mkfs.xfs", "-q", "-f"]),
            Format::Memory => None,
        }
    }

    /// Mounts it: after a power cut, that replays the file system's log.
    pub fn mount(&self) {
        let mut command = Command::new("mount");
        match self.format {
            Format::Memory => {
                let size = format!("size={}", self.bytes);
                command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
            }
            Format::Ext4 => {
                command.args(["-t", "ext4", "-o", "loop"]).arg(&self.image);
            }
            Format::Xfs => {
                command.args(["-t", "xfs", "-o", "loop"]).arg(&self.image);
            }
        }
        run(command.arg(&self.point)).success();
    }

    /// Has the loop device read and write its image past the page cache, so that what is read again
    /// after a sync is not in memory twice, and a sync waits for the disk beneath.
    pub fn bypass_cache(&self) {
        let table = fs::read_to_string("/proc/self/mounts").unwrap();
        let point = self.point.to_str().unwrap();
        let line = table
            .lines()
            .find(|line| line.split(' ').nth(1) == Some(point));
        let device = line.unwrap().split(' ').next().unwrap();
        run(Command::new("losetup").args(["--direct-io=on", device])).success();
    }

    /// Pulls the plug: whatever is not on the disk now never will be.
    pub fn cut(&self) {
        let root = File::open(&self.point).unwrap();
        let how = WITHOUT_LOG;
        // SAFETY: the request reads one number, which lives as long as the call.
        let code = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const how) };
        assert_eq!(code, 0, "shutdown: {}", std::io::Error::last_os_error());
    }

    /// Unmounts, once its last user is gone.
    pub fn unmount(&self) {
        let point = CString::new(self.point.as_os_str().as_bytes()).unwrap();
        wait_until("the disk is free", FREE_DEADLINE, || {
            // SAFETY: a C string, alive during the call.
            unsafe { libc::umount(point.as_ptr()) == 0 }
        });
    }

    /// Bytes that can still be written.
    pub fn available(&self) -> u64 {
        let space = super::syscall::space(&self.point);
        let block = u64::try_from(space.f_bsize).unwrap();
        space.f_bavail * block
    }
}
