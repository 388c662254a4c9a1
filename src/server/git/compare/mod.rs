//! Two trees compared: which paths were added, modified, removed or renamed, and in which lines.
//!
//! The walk reads only directories that differ. Lines are compared file by file, and every file, and
//! all of them together, are bounded before they are read; what does not fit is named without lines.

mod hunks;
mod literal;
mod patch;
mod renames;

use gix::objs::tree::EntryKind;

pub(in crate::server) use hunks::{Hunks, LineKind};

use super::diff::{self, Leaf};
use super::error::{Doing, Error};
use super::{Repository, ours, theirs};
use crate::tree::GitOid;

/// Most paths in one comparison: more than anybody looks at, and a second or two of work.
const ENTRIES_MAX: usize = 3_000;
/// Largest file that is compared line by line.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of files that one comparison reads for their lines.
const READ_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of lines that one comparison shows.
const SHOWN_BYTES_MAX: usize = 8 << 20;
/// Most bytes of lines of one file.
const SHOWN_BYTES_OF_ONE_MAX: usize = 2 << 20;
/// Git looks for a NUL in so many bytes to tell data from text.
const BINARY_PREFIX_BYTES: usize = 8000;

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Entry {
    pub(in crate::server) path: Vec<u8>,
    /// Where it was before, if it was renamed.
    pub(in crate::server) old_path: Option<Vec<u8>>,
    old: Option<Leaf>,
    new: Option<Leaf>,
    /// How much of it stayed, in percent, if it was renamed.
    similarity: u8,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Status {
    Added,
    Modified,
    Deleted,
    Renamed,
}

/// Why no lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum NoLines {
    Binary,
    TooLarge,
    /// Other files have used up what a comparison may read or show.
    FileLimit,
}

impl Entry {
    pub(in crate::server) fn status(&self) -> Status {
        match (&self.old_path, self.old, self.new) {
            (Some(_), _, _) => Status::Renamed,
            (None, None, _) => Status::Added,
            (None, _, None) => Status::Deleted,
            (None, _, _) => Status::Modified,
        }
    }
}

/// Two trees, compared.
#[derive(Debug)]
pub(in crate::server) struct Comparison {
    repo: gix::Repository,
    pub(in crate::server) entries: Vec<Entry>,
    /// There may be more than there are entries.
    pub(in crate::server) is_cut: bool,
    read_left: u64,
    shown_left: usize,
}

impl Repository {
    /// Compares two trees.
    pub(in crate::server) fn compare(&self, old: GitOid, new: GitOid) -> Result<Comparison, Error> {
        let repo = self.local();
        let (found, is_cut) = diff::bounded(&repo, theirs(old), theirs(new), ENTRIES_MAX)?;
        let plain = |found: diff::Differing| Entry {
            path: found.path,
            old_path: None,
            old: found.old,
            new: found.new,
            similarity: 0,
        };
        let entries = found.into_iter().map(plain).collect();
        Ok(Comparison {
            entries: renames::join(&repo, entries)?,
            repo,
            is_cut,
            read_left: READ_BYTES_MAX,
            shown_left: SHOWN_BYTES_MAX,
        })
    }
}

impl Comparison {
    /// Bytes of what is there now, or was there before it was removed; `None` for a submodule.
    pub(in crate::server) fn size(&self, entry: &Entry) -> Result<Option<u64>, Error> {
        size(&self.repo, entry.new.or(entry.old))
    }

    /// The lines in which an entry differs.
    pub(in crate::server) fn lines(
        &mut self,
        entry: &Entry,
    ) -> Result<Result<Hunks, NoLines>, Error> {
        let sizes = [size(&self.repo, entry.old)?, size(&self.repo, entry.new)?];
        if entry.old.map(|(_, oid)| oid) == entry.new.map(|(_, oid)| oid) {
            return Ok(Ok(Hunks::default()));
        }
        if sizes.iter().flatten().any(|size| *size > TEXT_BYTES_MAX) {
            return Ok(Err(NoLines::TooLarge));
        }
        let cost: u64 = sizes.iter().flatten().sum();
        match self.read_left.checked_sub(cost) {
            Some(left) => self.read_left = left,
            None => return Ok(Err(NoLines::FileLimit)),
        }
        let (old, new) = (bytes(&self.repo, entry.old)?, bytes(&self.repo, entry.new)?);
        if is_binary(&old) || is_binary(&new) {
            return Ok(Err(NoLines::Binary));
        }
        let hunks = Hunks::between(old, new);
        let shown = hunks.bytes();
        if shown > SHOWN_BYTES_OF_ONE_MAX {
            return Ok(Err(NoLines::TooLarge));
        }
        match self.shown_left.checked_sub(shown) {
            Some(left) => self.shown_left = left,
            None => return Ok(Err(NoLines::FileLimit)),
        }
        Ok(Ok(hunks))
    }
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .take(BINARY_PREFIX_BYTES)
        .any(|byte| *byte == 0)
}

fn size(repo: &gix::Repository, leaf: Option<Leaf>) -> Result<Option<u64>, Error> {
    match leaf {
        Some((mode, oid)) if mode.kind() != EntryKind::Commit => {
            let header = repo.find_header(oid).doing("reading a blob's header")?;
            Ok(Some(header.size()))
        }
        _ => Ok(None),
    }
}

/// What a path holds; a submodule is one line, as Git shows it.
fn bytes(repo: &gix::Repository, leaf: Option<Leaf>) -> Result<Vec<u8>, Error> {
    match leaf {
        None => Ok(Vec::new()),
        Some((mode, oid)) if mode.kind() == EntryKind::Commit => {
            Ok(format!("Subproject commit {}\n", ours(&oid)).into_bytes())
        }
        Some((_, oid)) => Ok(repo.find_blob(oid).doing("reading a blob")?.detach().data),
    }
}
