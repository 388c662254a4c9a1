//! One call of a script, and scripts by chance: few names, so that calls meet each other's work, and
//! every errno has its turn.

use std::path::PathBuf;

use crate::workload::Dice;

/// Names at every level.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "lower"];
/// How deep below a worker's root names are: what is deep is rarely there.
const LEVELS: [usize; 6] = [1, 1, 1, 2, 2, 3];
/// Files that a worker has open at once.
pub const SLOTS: u64 = 4;
/// Offsets and sizes stay below this: some pages, and pieces of one.
const BYTES_MAX: u64 = 70_000;
/// What `open` may be told, beside the access mode.
const FLAGS: [i32; 8] = [
    libc::O_CREAT,
    libc::O_EXCL,
    libc::O_TRUNC,
    libc::O_APPEND,
    libc::O_NOFOLLOW,
    libc::O_DIRECTORY,
    libc::O_NOATIME,
    libc::O_PATH,
];
const MODES: [u32; 8] = [0o644, 0o755, 0o600, 0o4755, 0o2750, 0o1777, 0o2644, 0];
const XATTRS: [&str; 4] = ["user.one", "user.two", "trusted.three", "nonsense"];
/// Where symbolic links lead; never up, since each worker is to stay below its root.
const TARGETS: [&str; 5] = ["a", "b/c", "missing", "lower/./b", "d"];

/// One call. Slots are files that were opened before.
#[derive(Clone, Debug)]
pub enum Call {
    Open(u64, PathBuf, i32, u32),
    Close(u64),
    Write(u64, usize),
    Pwrite(u64, u64, usize),
    Read(u64, usize),
    Pread(u64, u64, usize),
    MapWrite(u64, u64, usize),
    Seek(u64, i64, i32),
    Ftruncate(u64, u64),
    Fallocate(u64, i32, u64, u64),
    CopyRange(u64, u64, u64, u64, usize),
    Fsync(u64),
    Fdatasync(u64),
    Fchmod(u64, u32),
    Truncate(PathBuf, u64),
    MakeDirectory(PathBuf, u32),
    MakeFifo(PathBuf, u32),
    RemoveDirectory(PathBuf),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u32),
    Link(PathBuf, PathBuf, bool),
    Symlink(&'static str, PathBuf),
    ReadLink(PathBuf),
    List(PathBuf),
    Chmod(PathBuf, u32),
    Chown(PathBuf, Option<u32>, Option<u32>),
    /// Access and modification time in seconds; none: as it is.
    Times(PathBuf, Option<i64>, Option<i64>),
    SetXattr(PathBuf, &'static str, usize, i32),
    GetXattr(PathBuf, &'static str, usize),
    RemoveXattr(PathBuf, &'static str),
    ListXattrs(PathBuf),
}

fn path(dice: &mut Dice) -> PathBuf {
    let levels = one_of(dice, &LEVELS);
    (0..levels).map(|_| one_of(dice, &NAMES)).collect()
}

fn one_of<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
    of[usize::try_from(dice.below(of.len() as u64)).unwrap()]
}

fn size(dice: &mut Dice) -> usize {
    let most = one_of(dice, &[1, 100, 5_000, BYTES_MAX]);
    usize::try_from(dice.below(most)).unwrap()
}

fn offset(dice: &mut Dice) -> u64 {
    let most = one_of(dice, &[1, 5_000, BYTES_MAX]);
    dice.below(most)
}

fn open(dice: &mut Dice) -> Call {
    let mut flags = one_of(
        dice,
        &[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR],
    );
    for flag in FLAGS {
        // Most of the time one of them, or none.
        if dice.below(12) == 0 {
            flags |= flag;
        }
    }
    if dice.below(2) == 0 {
        flags |= libc::O_CREAT;
    }
    Call::Open(dice.below(SLOTS), path(dice), flags, one_of(dice, &MODES))
}

fn fallocate(dice: &mut Dice) -> Call {
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    let mode = one_of(
        dice,
        &[
            0,
            keep,
            libc::FALLOC_FL_PUNCH_HOLE | keep,
            libc::FALLOC_FL_PUNCH_HOLE,
            libc::FALLOC_FL_ZERO_RANGE,
            libc::FALLOC_FL_ZERO_RANGE | keep,
        ],
    );
    Call::Fallocate(dice.below(SLOTS), mode, offset(dice), offset(dice))
}

fn times(dice: &mut Dice) -> Call {
    let mut time = || match dice.below(3) {
        0 => None,
        _ => Some(i64::try_from(dice.below(1_000_000_000)).unwrap()),
    };
    let (accessed, modified) = (time(), time());
    Call::Times(path(dice), accessed, modified)
}

fn owner(dice: &mut Dice) -> Option<u32> {
    one_of(dice, &[None, Some(0), Some(1_000), Some(65_534)])
}

fn rename(dice: &mut Dice) -> Call {
    let (no_replace, exchange) = (libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE);
    let flags = one_of(
        dice,
        &[0, 0, 0, no_replace, exchange, exchange | no_replace],
    );
    Call::Rename(path(dice), path(dice), flags)
}

fn seek(dice: &mut Dice) -> Call {
    let whence = one_of(dice, &[libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END]);
    let by = i64::try_from(offset(dice)).unwrap() - 3_000;
    Call::Seek(dice.below(SLOTS), by, whence)
}

fn xattr(dice: &mut Dice) -> Call {
    let name = one_of(dice, &XATTRS);
    let size = usize::try_from(dice.below(300)).unwrap();
    let flags = one_of(dice, &[0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE]);
    match dice.below(8) {
        0..=3 => Call::SetXattr(path(dice), name, size, flags),
        4 | 5 => Call::GetXattr(path(dice), name, size),
        6 => Call::RemoveXattr(path(dice), name),
        _ => Call::ListXattrs(path(dice)),
    }
}

/// The next call of a script.
pub fn next(dice: &mut Dice) -> Call {
    let slot = dice.below(SLOTS);
    match dice.below(100) {
        0..=18 => open(dice),
        19 => Call::Close(slot),
        20..=23 => Call::Write(slot, size(dice)),
        24..=29 => Call::Pwrite(slot, offset(dice), size(dice)),
        30..=32 => Call::Read(slot, size(dice)),
        33..=36 => Call::Pread(slot, offset(dice), size(dice)),
        37..=39 => Call::MapWrite(slot, offset(dice), size(dice)),
        40..=42 => seek(dice),
        43..=45 => Call::Ftruncate(slot, offset(dice)),
        46..=48 => fallocate(dice),
        49 => {
            let to = dice.below(SLOTS);
            Call::CopyRange(slot, to, offset(dice), offset(dice), size(dice))
        }
        50 => Call::Fsync(slot),
        51 => Call::Fdatasync(slot),
        52 => Call::Fchmod(slot, one_of(dice, &MODES)),
        53..=54 => Call::Truncate(path(dice), offset(dice)),
        55..=63 => Call::MakeDirectory(path(dice), one_of(dice, &MODES) | 0o700),
        64 => Call::MakeFifo(path(dice), one_of(dice, &MODES)),
        65..=66 => Call::RemoveDirectory(path(dice)),
        67..=69 => Call::Unlink(path(dice)),
        70..=77 => rename(dice),
        78..=80 => Call::Link(path(dice), path(dice), dice.below(4) == 0),
        81..=82 => Call::Symlink(one_of(dice, &TARGETS), path(dice)),
        83 => Call::ReadLink(path(dice)),
        84..=87 => Call::List(path(dice)),
        88..=89 => Call::Chmod(path(dice), one_of(dice, &MODES)),
        90..=91 => Call::Chown(path(dice), owner(dice), owner(dice)),
        92..=93 => times(dice),
        _ => xattr(dice),
    }
}

impl Call {
    /// The paths whose attributes are shown after it.
    pub fn paths(&self) -> Vec<PathBuf> {
        match self {
            Call::Open(_, path, ..)
            | Call::Truncate(path, _)
            | Call::MakeDirectory(path, _)
            | Call::MakeFifo(path, _)
            | Call::RemoveDirectory(path)
            | Call::Unlink(path)
            | Call::Symlink(_, path)
            | Call::ReadLink(path)
            | Call::Chmod(path, _)
            | Call::Chown(path, ..)
            | Call::Times(path, ..)
            | Call::SetXattr(path, ..)
            | Call::RemoveXattr(path, _) => vec![path.clone()],
            Call::Rename(from, to, _) | Call::Link(from, to, _) => vec![from.clone(), to.clone()],
            _ => Vec::new(),
        }
    }

    /// The open file whose attributes are shown after it.
    pub fn slot(&self) -> Option<u64> {
        match self {
            Call::Write(slot, _)
            | Call::Pwrite(slot, ..)
            | Call::MapWrite(slot, ..)
            | Call::Ftruncate(slot, _)
            | Call::Fallocate(slot, ..)
            | Call::Fchmod(slot, _)
            | Call::CopyRange(_, slot, ..) => Some(*slot),
            _ => None,
        }
    }
}
