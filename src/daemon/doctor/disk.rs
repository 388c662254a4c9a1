//! The disk that the state is on: whose it is, and how much room it has.

use std::path::Path;

use nix::sys::statfs::{FsType, statfs};

use super::Finding;
use crate::daemon::space;

/// What kind of disk a directory is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    Local,
    /// Its name.
    Network(&'static str),
    /// Gone when the machine is.
    Memory,
    Unknown,
}

/// File systems whose syncs and locks are another machine's, by the number in `linux/magic.h` (and
/// in the sources of those that are not there).
const NETWORK: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
];
/// tmpfs and ramfs.
const MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

pub(super) fn kind_of_disk(folder: &Path) -> Disk {
    let there = folder.ancestors().find(|path| path.exists());
    match there.and_then(|path| statfs(path).ok()) {
        Some(found) => disk_of(found.filesystem_type()),
        None => Disk::Unknown,
    }
}

#[allow(
    clippy::useless_conversion,
    reason = "its type is another one with another C library"
)]
fn disk_of(FsType(number): FsType) -> Disk {
    // 32 bits, whatever the sign that this architecture gives them.
    let number = i64::from(number) & 0xffff_ffff;
    match NETWORK.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => Disk::Network(name),
        None if MEMORY.contains(&number) => Disk::Memory,
        None => Disk::Local,
    }
}

pub(super) fn judge_disk(folder: &Path, disk: Disk) -> Finding {
    const CHECK: &str = "disk";
    let path = folder.display();
    match disk {
        Disk::Local => Finding::ok(CHECK, format!("{path} is on a local disk")),
        Disk::Memory => Finding::warning(
            CHECK,
            format!("{path} is in memory: a restart of the machine takes what was not pushed"),
            "set MESA_DATA_DIR to a directory on a disk",
        ),
        Disk::Network(name) => Finding::warning(
            CHECK,
            format!(
                "{path} is on a network file system ({name}): slow, and its syncs and locks are another machine's"
            ),
            "set MESA_DATA_DIR to a directory on a local disk",
        ),
        Disk::Unknown => Finding::warning(
            CHECK,
            format!("what {path} is on cannot be found out"),
            format!("df {path}"),
        ),
    }
}

pub(super) fn judge_space(folder: &Path, available: Result<u64, String>) -> Finding {
    const CHECK: &str = "space";
    let path = folder.display();
    match available {
        Err(error) => Finding::problem(
            CHECK,
            format!("the space at {path} cannot be found out: {error}"),
            format!("df {path}"),
        ),
        Ok(bytes) if bytes < space::MOUNT_BYTES_MIN => Finding::problem(
            CHECK,
            format!(
                "{path} has {} KiB of space, and a mount needs {} MiB to begin with",
                bytes >> 10,
                space::MOUNT_BYTES_MIN >> 20
            ),
            "free some space there, or set MESA_DATA_DIR to another disk; `mesa journal export` \
             gets out what was not pushed",
        ),
        Ok(bytes) => Finding::ok(CHECK, format!("{} MiB at {path}", bytes >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Verdict, is};
    use super::*;

    #[test]
    fn disks_that_do_not_keep_what_they_are_given_are_warned_about() {
        let judge = |number| judge_disk(Path::new("/state"), disk_of(FsType(number)));
        is(&judge(0xef53), Verdict::Ok, "local disk");
        is(&judge(0x0102_1994), Verdict::Warning, "in memory");
        is(&judge(0x6969), Verdict::Warning, "NFS");
        is(&judge(0xff53_4d42), Verdict::Warning, "CIFS");
        let unknown = judge_disk(Path::new("/state"), Disk::Unknown);
        is(&unknown, Verdict::Warning, "df /state");
    }

    #[test]
    fn too_little_space_is_a_problem_at_the_floor_of_a_mount() {
        let judge = |bytes| judge_space(Path::new("/state"), Ok(bytes));
        is(&judge(space::MOUNT_BYTES_MIN), Verdict::Ok, "32 MiB");
        is(
            &judge(space::MOUNT_BYTES_MIN - 1),
            Verdict::Problem,
            "free some space",
        );
        let failed = judge_space(Path::new("/state"), Err("EIO".into()));
        is(&failed, Verdict::Problem, "EIO");
    }
}
