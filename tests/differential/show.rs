//! What is at a path, in words that are the same wherever it is.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::perform::xattrs;
use crate::support::tree::{Entry, look};

/// What is said of a number that is not known, as it may be on the mount.
const NOT_COUNTED: &str = "?";

/// Whether what a mount says is what ext4 says.
pub fn agrees(mount: &str, ext4: &str) -> bool {
    let (mut ours, mut theirs) = (mount.split(' '), ext4.split(' '));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (Some(ours), Some(theirs)) if ours == theirs || ours == NOT_COUNTED => {}
            _ => return false,
        }
    }
}

/// Attributes. Times from before `start` are exact, and others are now: which tick of the clock, is
/// chance. The size of a directory is the file system's own, as is when something was last read.
pub fn attributes(metadata: &Metadata, start: i64) -> String {
    let size = if metadata.is_dir() { 0 } else { metadata.len() };
    // A directory that was not listed yet says 1: not counted.
    let links = match metadata.nlink() {
        1 if metadata.is_dir() => NOT_COUNTED.to_owned(),
        links => links.to_string(),
    };
    let modified = match metadata.mtime() {
        // Writing into a pipe sets the time of its inode on some file systems, and not on FUSE's.
        _ if metadata.file_type().is_fifo() => "-".to_owned(),
        seconds if seconds < start => format!("{seconds}.{:09}", metadata.mtime_nsec()),
        _ => "now".to_owned(),
    };
    format!(
        "{:06o} {}:{} links {links} size {size} modified {modified}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
    )
}

/// The same of a path, without following; or its errno.
pub fn at(path: &Path, start: i64) -> String {
    match fs::symlink_metadata(path) {
        Ok(metadata) => attributes(&metadata, start),
        Err(error) => nix::errno::Errno::from_raw(error.raw_os_error().unwrap()).to_string(),
    }
}

/// Everything below a root: attributes, contents, extended attributes, and which names are of one file.
pub fn everything(root: &Path, start: i64) -> BTreeMap<PathBuf, String> {
    let mut paths = vec![PathBuf::new()];
    let mut first_names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut found = BTreeMap::new();
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        let here = root.join(&path);
        let metadata = fs::symlink_metadata(&here).unwrap();
        if metadata.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&here)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            paths.extend(names.into_iter().map(|name| path.join(name)));
        }
        let content = match look(&here) {
            Entry::File { blake3, .. } => blake3.to_hex()[..8].to_owned(),
            Entry::Symlink { target } => format!("-> {}", target.display()),
            Entry::Directory | Entry::Other => String::new(),
        };
        let first = first_names.entry(metadata.ino()).or_insert(path.clone());
        let line = format!(
            "{} {content} [{}] is {}",
            attributes(&metadata, start),
            xattrs(&here).unwrap(),
            first.display(),
        );
        found.insert(path, line);
    }
    found
}
