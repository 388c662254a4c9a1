//! Who keeps a mount from being unmounted: processes with something open in it, and mounts inside.
//!
//! Only `/proc` is looked at, where the kernel gives paths by itself: looking at the mount would mean
//! asking a daemon, who may be the one that hangs. A process that is stuck can hold up who reads its
//! maps, so that one thread looks, and what it has found in time is told.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use crate::fuse;

/// How long `/proc` is looked at: a machine of ten thousand processes takes about half a second.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Holders that are told: who needs more than these needs `--force`.
const HOLDERS_MAX: usize = 20;

/// How something holds a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    WorkingDirectory,
    RootDirectory,
    Program,
    OpenFile,
    MappedFile,
}

/// Something that holds a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// A process.
    Process {
        /// Its number.
        pid: u32,
        /// Its name, as the kernel has it.
        command: String,
        /// What of the mount.
        path: PathBuf,
        /// How.
        hold: Hold,
    },
    /// Another mount below ours.
    Mount(PathBuf),
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, command, path, hold) = match self {
            Holder::Mount(path) => {
                return write!(formatter, "something is mounted at {}", path.display());
            }
            Holder::Process {
                pid,
                command,
                path,
                hold,
            } => (pid, command, path.display(), hold),
        };
        write!(formatter, "process {pid} ({command}) ")?;
        match hold {
            Hold::WorkingDirectory => write!(formatter, "has its working directory in {path}"),
            Hold::RootDirectory => write!(formatter, "has its root directory in {path}"),
            Hold::Program => write!(formatter, "runs {path}"),
            Hold::OpenFile => write!(formatter, "has {path} open"),
            Hold::MappedFile => write!(formatter, "has mapped {path}"),
        }
    }
}

/// Finds what holds the mount at a path. Processes of other users are seen by root alone.
pub(super) fn find(mount_point: &Path) -> Vec<Holder> {
    let deadline = Instant::now() + LOOK_MAX;
    let inside = fuse::mounts_inside(mount_point).unwrap_or_default();
    let mut found: Vec<Holder> = inside.into_iter().map(Holder::Mount).collect();
    let (sender, holders) = bounded(HOLDERS_MAX);
    let mount_point = mount_point.to_owned();
    let spawned = thread::Builder::new()
        .name("holders".into())
        .spawn(move || look(&mount_point, &sender));
    if let Err(error) = spawned {
        tracing::warn!(error = %error, "nobody looks for what holds the mount");
    }
    while found.len() < HOLDERS_MAX
        && let Ok(holder) = holders.recv_deadline(deadline)
    {
        found.push(holder);
    }
    found
}

/// The inode numbers of what programs have open or mapped below a folder of the mount, as far as they are
/// found in time: what the kernel does not tell a file system whose files it opens by itself.
pub(super) fn open_inodes(folder: &Path) -> BTreeSet<u64> {
    let deadline = Instant::now() + LOOK_MAX;
    let (sender, found) = bounded(HOLDERS_MAX);
    let folder = folder.to_owned();
    let spawned = thread::Builder::new()
        .name("open-inodes".into())
        .spawn(move || {
            for process in processes() {
                let inodes = inodes_of(&process.path(), &folder);
                if inodes.into_iter().any(|inode| sender.send(inode).is_err()) {
                    return;
                }
            }
        });
    if let Err(error) = spawned {
        tracing::warn!(error = %error, "nobody looks for files that are open");
    }
    let mut inodes = BTreeSet::new();
    while let Ok(inode) = found.recv_deadline(deadline) {
        inodes.insert(inode);
    }
    inodes
}

/// What one process has open or mapped below a folder. A program that runs is mapped.
fn inodes_of(process: &Path, folder: &Path) -> Vec<u64> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    let open = descriptors.flatten().filter_map(|descriptor| {
        let path = fs::read_link(descriptor.path()).ok()?;
        let facts = process.join("fdinfo").join(descriptor.file_name());
        match path.starts_with(folder) {
            true => inode_of_facts(&fs::read_to_string(facts).ok()?),
            false => None,
        }
    });
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let lines = maps.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| mapped(line).is_some_and(|path| path.starts_with(folder)));
    open.chain(lines.filter_map(inode_of_map)).collect()
}

/// The line `ino:` of a descriptor's facts, which are there since Linux 5.14.
fn inode_of_facts(facts: &str) -> Option<u64> {
    let number = facts.lines().find_map(|line| line.strip_prefix("ino:"))?;
    number.trim().parse().ok()
}

/// The fifth word of a line of `maps`.
fn inode_of_map(line: &[u8]) -> Option<u64> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    std::str::from_utf8(words.nth(4)?).ok()?.parse().ok()
}

/// The folders of all processes.
fn processes() -> impl Iterator<Item = fs::DirEntry> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| {
        let name = entry.file_name();
        name.as_bytes().iter().all(u8::is_ascii_digit)
    })
}

/// Sends what it finds, until nobody wants more.
fn look(mount_point: &Path, found: &Sender<Holder>) {
    for process in processes() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        for (hold, path) in holds(&process.path(), mount_point) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let holder = Holder::Process {
                pid,
                command: command.trim_end().to_owned(),
                path,
                hold,
            };
            if found.send(holder).is_err() {
                return;
            }
        }
    }
}

/// What one process holds; a path that it holds in two ways is told once.
fn holds(process: &Path, mount_point: &Path) -> Vec<(Hold, PathBuf)> {
    let mut holds: Vec<(Hold, PathBuf)> = Vec::new();
    let mut note = |hold: Hold, path: PathBuf| {
        if path.starts_with(mount_point) && holds.iter().all(|(_, known)| *known != path) {
            holds.push((hold, path));
        }
    };
    for (hold, name) in [
        (Hold::WorkingDirectory, "cwd"),
        (Hold::RootDirectory, "root"),
        (Hold::Program, "exe"),
    ] {
        if let Ok(path) = fs::read_link(process.join(name)) {
            note(hold, path);
        }
    }
    for descriptor in fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Ok(path) = fs::read_link(descriptor.path()) {
            note(Hold::OpenFile, path);
        }
    }
    for line in fs::read(process.join("maps"))
        .unwrap_or_default()
        .split(|byte| *byte == b'\n')
    {
        if let Some(path) = mapped(line) {
            note(Hold::MappedFile, path.to_owned());
        }
    }
    holds
}

/// `7f00-7f10 r-xp 00000000 00:33 42        /mnt/path`
fn mapped(line: &[u8]) -> Option<&Path> {
    let start = line.iter().position(|byte| *byte == b'/')?;
    Some(Path::new(OsStr::from_bytes(line.get(start..)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        let line = b"7f00-7f10 r-xp 00000000 00:33 42        /mnt/a file";
        assert_eq!(mapped(line), Some(Path::new("/mnt/a file")));
        assert_eq!(inode_of_map(line), Some(42));
        assert_eq!(mapped(b"7f00-7f10 rw-p 00000000 00:00 0    [heap]"), None);
    }

    #[test]
    fn a_process_is_found_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = folder.join("open");
        let _open = fs::File::create(&path).unwrap();
        let found = find(&folder);
        let pid = std::process::id();
        let ours = found.iter().find(|holder| {
            matches!(holder, Holder::Process { pid: other, path: held, hold, .. }
                if *other == pid && *held == path && *hold == Hold::OpenFile)
        });
        let told = ours.unwrap().to_string();
        assert!(
            told.contains(&format!("has {} open", path.display())),
            "{told}"
        );
        assert_eq!(found.len(), 1, "{found:?}");
        let _again = fs::File::open(&path).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        assert_eq!(open_inodes(&folder), BTreeSet::from([inode]));
        assert_eq!(open_inodes(&folder.join("other")), BTreeSet::new());
    }
}
