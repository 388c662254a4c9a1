//! What `stat` shows of a file: inode number, kind, mode bits, owner, size and times.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An inode number, unique within one repository's tree and never reused in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ino(pub u64);

impl Ino {
    /// The root directory of a repository.
    pub const ROOT: Ino = Ino(1);
}

impl fmt::Display for Ino {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe; local only, since Git has no such thing.
    Fifo,
    /// A Unix domain socket; local only.
    Socket,
    /// A character device; local only.
    CharDevice,
    /// A block device; local only.
    BlockDevice,
}

impl Kind {
    /// Whether Git has no such thing.
    pub fn is_special(self) -> bool {
        match self {
            Kind::File | Kind::Directory | Kind::Symlink => false,
            Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => true,
        }
    }
}

/// The twelve mode bits: set-user-id, set-group-id, sticky, and three times rwx.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Permissions(u16);

impl Permissions {
    /// What a plain file of a Git tree shows.
    pub const FILE: Permissions = Permissions(0o644);
    /// What an executable file of a Git tree shows.
    pub const EXECUTABLE: Permissions = Permissions(0o755);
    /// What a directory of a Git tree shows.
    pub const DIRECTORY: Permissions = Permissions(0o755);
    /// What every symbolic link shows.
    pub const SYMLINK: Permissions = Permissions(0o777);

    /// Keeps the twelve permission bits of a mode and drops the kind.
    pub fn of_mode(mode: u32) -> Permissions {
        Permissions((mode & 0o7777) as u16)
    }

    /// The twelve bits.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether Git would store the file as executable: the owner's execute bit.
    pub fn is_executable(self) -> bool {
        self.0 & 0o100 != 0
    }
}

/// A point in time as `stat` shows it; `nanoseconds` is below 10^9.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp {
    /// Whole seconds since 1970, rounded down; negative before.
    pub seconds: i64,
    /// Nanoseconds past `seconds`.
    pub nanoseconds: u32,
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp {
                seconds: after.as_secs().cast_signed(),
                nanoseconds: after.subsec_nanos(),
            },
            Err(error) => {
                let before = error.duration();
                let seconds = before.as_secs().cast_signed();
                match before.subsec_nanos() {
                    0 => Timestamp {
                        // The earliest time of all has no positive counterpart.
                        seconds: seconds.wrapping_neg(),
                        nanoseconds: 0,
                    },
                    nanoseconds => Timestamp {
                        seconds: -seconds - 1,
                        nanoseconds: 1_000_000_000 - nanoseconds,
                    },
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        let nanoseconds = Duration::from_nanos(u64::from(time.nanoseconds));
        let seconds = Duration::from_secs(time.seconds.unsigned_abs());
        let whole = if time.seconds >= 0 {
            UNIX_EPOCH.checked_add(seconds)
        } else {
            UNIX_EPOCH.checked_sub(seconds)
        };
        whole
            .and_then(|whole| whole.checked_add(nanoseconds))
            .unwrap_or(UNIX_EPOCH)
    }
}

/// Everything that `stat` shows of one inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// The inode number within its repository.
    pub ino: Ino,
    /// The kind of file.
    pub kind: Kind,
    /// The mode bits.
    pub permissions: Permissions,
    /// Hard links. A directory has 2 and one for each directory in it, or 1 for "not counted".
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, else 0.
    pub rdev: u32,
    /// Bytes; for a symbolic link the length of its target.
    pub size: u64,
    /// 512-byte blocks on the local disk, or what the size would take.
    pub blocks: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of content or attributes.
    pub ctime: Timestamp,
    /// Whether the content, and its times with it, may change without anybody being told.
    pub volatile: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_earliest_time_of_all_survives_the_round_trip() {
        let time = Timestamp {
            seconds: i64::MIN,
            nanoseconds: 0,
        };
        assert_eq!(Timestamp::from(SystemTime::from(time)), time);
    }

    proptest! {
        #[test]
        fn timestamps_survive_the_round_trip(seconds in -4_000_000_000_i64..4_000_000_000, nanoseconds in 0_u32..1_000_000_000) {
            let time = Timestamp { seconds, nanoseconds };
            prop_assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn git_knows_the_owners_execute_bit_only() {
        assert!(Permissions::of_mode(0o100_744).is_executable());
        assert!(!Permissions::of_mode(0o100_655).is_executable());
    }
}
