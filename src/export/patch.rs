//! One mail with a Git patch, as `git format-patch` writes it, for `git am` and `git apply`.
//!
//! Texts are hunks where both sides are here and of a size to be compared; everything else is a
//! binary patch, which names both sides by their ids and so is as safe. What only moved is a rename
//! or a copy, and needs no content at all.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};

use super::base::Base;
use super::changes::{Change, New, Old};
use super::error::Error;
use super::literal::literal;
use super::model::Leaf;
use super::object::{Bytes, copy_blob};
use super::quote::quoted;
use super::{EMPTY_DIRECTORY, Exported, LeftOut, Work, hunks};
use crate::lower::EntryKind;
use crate::tree::{GitOid, TreePath};

/// Who commits what is exported.
pub(super) const AUTHOR: &str = "Mesa export <export@mesa.invalid>";

/// Largest text that is compared line by line: two of them and their lines are in memory.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// What Git writes for no object.
const NO_OID: GitOid = GitOid([0; 20]);

/// Writes the mail.
pub(super) fn write(
    work: &Work<'_>,
    changes: &[Change],
    base: Base<'_>,
    out: &mut impl Write,
) -> Result<Exported, Error> {
    let mut left_out = work.left_out.clone();
    let mut patch = Patch {
        base,
        out,
        moved: moved(changes),
        count: 0,
    };
    patch.header(work)?;
    for change in changes {
        if matches!(change.new, Some(New::EmptyDirectory)) {
            left_out.push(LeftOut::new(&change.path, EMPTY_DIRECTORY));
        }
        patch.change(change)?;
    }
    if patch.count == 0 {
        return Err(Error::Nothing);
    }
    patch.line(&[b"-- \nmesa ", env!("CARGO_PKG_VERSION").as_bytes(), b"\n"])?;
    Ok(Exported {
        count: patch.count,
        left_out,
        commit: None,
    })
}

/// Removed paths whose content one added path has, by the removed one: those are renames.
fn moved(changes: &[Change]) -> HashMap<TreePath, TreePath> {
    let removed: HashSet<&TreePath> = changes
        .iter()
        .filter(|change| is_removed(change))
        .map(|change| &change.path)
        .collect();
    let mut moved = HashMap::new();
    for change in changes {
        if let Some(New::Leaf(leaf)) = &change.new
            && let Bytes::Lower { from, .. } = &leaf.bytes
            && copies(leaf)
            && change.old.is_none_or(|old| old.oid != leaf.oid)
            && removed.contains(from)
        {
            moved.entry(from.clone()).or_insert(change.path.clone());
        }
    }
    moved
}

fn is_removed(change: &Change) -> bool {
    change.old.is_some() && !matches!(change.new, Some(New::Leaf(_)))
}

/// Whether the content stands in the pinned commit, from where it can be taken.
fn copies(leaf: &Leaf) -> bool {
    leaf.bytes.is_lower() && leaf.kind != EntryKind::Submodule
}

fn mode(kind: EntryKind) -> &'static [u8] {
    match kind {
        EntryKind::File => b"100644",
        EntryKind::Executable => b"100755",
        EntryKind::Symlink => b"120000",
        EntryKind::Submodule | EntryKind::Directory => b"160000",
    }
}

/// Git has no patch between a file, a link and a submodule: one goes, the other comes.
fn is_same_sort(one: EntryKind, other: EntryKind) -> bool {
    let is_file = |kind| matches!(kind, EntryKind::File | EntryKind::Executable);
    one == other || (is_file(one) && is_file(other))
}

struct Patch<'a, W> {
    base: Base<'a>,
    out: &'a mut W,
    moved: HashMap<TreePath, TreePath>,
    count: u64,
}

/// One side of a file's patch.
#[derive(Clone, Copy)]
struct Side<'a> {
    kind: EntryKind,
    oid: GitOid,
    bytes: &'a Bytes,
}

impl<'a> From<&'a Leaf> for Side<'a> {
    fn from(leaf: &'a Leaf) -> Side<'a> {
        Side {
            kind: leaf.kind,
            oid: leaf.oid,
            bytes: &leaf.bytes,
        }
    }
}

impl<W: Write> Patch<'_, W> {
    fn line(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        self.out.write_all(&parts.concat()).map_err(Error::Output)
    }

    fn header(&mut self, work: &Work<'_>) -> Result<(), Error> {
        let pin = self.base.0.pin();
        let text = format!(
            "From {commit} Mon Sep 17 00:00:00 2001\nFrom: {AUTHOR}\nDate: {date}\n\
             Subject: [PATCH] Edits from the Mesa mount of {org}/{repo}\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n\
             Made on commit {commit}\nof change {change}.\n---\n\n",
            commit = pin.commit,
            change = pin.change,
            date = date(work.time.seconds),
            org = work.organization,
            repo = work.repository,
        );
        self.line(&[text.as_bytes()])
    }

    fn change(&mut self, change: &Change) -> Result<(), Error> {
        let path = &change.path;
        let old_bytes = change.old.map(|old| Bytes::Lower {
            size: old.size,
            from: path.clone(),
        });
        let old = change.old.zip(old_bytes.as_ref());
        let old = old.map(|(Old { kind, oid, .. }, bytes)| Side { kind, oid, bytes });
        let Some(New::Leaf(leaf)) = &change.new else {
            return match old {
                // A rename takes it away.
                Some(_) if self.moved.contains_key(path) => Ok(()),
                Some(old) => self.pair(path, Some(old), None),
                None => Ok(()),
            };
        };
        let new = Side::from(leaf);
        match old {
            Some(old) if old.oid == new.oid || !copies(leaf) => self.replace(path, old, new),
            old => {
                if old.is_some() {
                    self.pair(path, old, None)?;
                }
                match &leaf.bytes {
                    Bytes::Lower { from, .. } if copies(leaf) => self.copy(path, leaf, from),
                    _ => self.pair(path, None, Some(new)),
                }
            }
        }
    }

    fn replace(&mut self, path: &TreePath, old: Side<'_>, new: Side<'_>) -> Result<(), Error> {
        if is_same_sort(old.kind, new.kind) {
            return self.pair(path, Some(old), Some(new));
        }
        self.pair(path, Some(old), None)?;
        self.pair(path, None, Some(new))
    }

    fn copy(&mut self, path: &TreePath, leaf: &Leaf, from: &TreePath) -> Result<(), Error> {
        let source = self.base.entry(from)?.map_or(leaf.kind, |entry| entry.kind);
        let verb: &[u8] = match self.moved.get(from) == Some(path) {
            true => b"rename",
            false => b"copy",
        };
        self.start(from, path)?;
        if source != leaf.kind {
            self.modes(source, leaf.kind)?;
        }
        self.line(&[b"similarity index 100%\n"])?;
        self.line(&[verb, b" from ", &quoted("", from.as_bytes()), b"\n"])?;
        self.line(&[verb, b" to ", &quoted("", path.as_bytes()), b"\n"])
    }

    fn start(&mut self, from: &TreePath, to: &TreePath) -> Result<(), Error> {
        self.count += 1;
        let (from, to) = (quoted("a/", from.as_bytes()), quoted("b/", to.as_bytes()));
        self.line(&[b"diff --git ", &from, b" ", &to, b"\n"])
    }

    fn modes(&mut self, old: EntryKind, new: EntryKind) -> Result<(), Error> {
        self.line(&[b"old mode ", mode(old), b"\n"])?;
        self.line(&[b"new mode ", mode(new), b"\n"])
    }

    /// One path: made, removed or changed.
    fn pair(
        &mut self,
        path: &TreePath,
        old: Option<Side<'_>>,
        new: Option<Side<'_>>,
    ) -> Result<(), Error> {
        self.start(path, path)?;
        let mut same_mode = None;
        match (old, new) {
            (None, Some(new)) => self.line(&[b"new file mode ", mode(new.kind), b"\n"])?,
            (Some(old), None) => self.line(&[b"deleted file mode ", mode(old.kind), b"\n"])?,
            (Some(old), Some(new)) if old.kind != new.kind => self.modes(old.kind, new.kind)?,
            (Some(old), _) => same_mode = Some(mode(old.kind)),
            (None, None) => {}
        }
        let oid = |side: Option<Side<'_>>| side.map_or(NO_OID, |side| side.oid);
        if oid(old) == oid(new) {
            return Ok(());
        }
        let index = format!("index {}..{}", oid(old), oid(new));
        self.line(&[index.as_bytes()])?;
        if let Some(mode) = same_mode {
            self.line(&[b" ", mode])?;
        }
        self.line(&[b"\n"])?;
        match (self.text(old)?, self.text(new)?) {
            (Some(before), Some(after)) => {
                if before == after {
                    // An empty file that comes or goes.
                    return Ok(());
                }
                self.side(b"--- ", "a/", path, old.is_some())?;
                self.side(b"+++ ", "b/", path, new.is_some())?;
                hunks::write(&before, &after, self.out).map_err(Error::Output)
            }
            _ => self.binary(old, new),
        }
    }

    fn side(
        &mut self,
        mark: &[u8],
        prefix: &str,
        path: &TreePath,
        is_there: bool,
    ) -> Result<(), Error> {
        if !is_there {
            return self.line(&[mark, b"/dev/null\n"]);
        }
        let name = quoted(prefix, path.as_bytes());
        // A space would end the name, if nothing else did.
        let end: &[u8] = match name.contains(&b' ') && !name.starts_with(b"\"") {
            true => b"\t\n",
            false => b"\n",
        };
        self.line(&[mark, &name, end])
    }

    /// One side as text, if it is here and is one; nothing there is an empty text.
    fn text(&self, side: Option<Side<'_>>) -> Result<Option<Vec<u8>>, Error> {
        let Some(side) = side else {
            return Ok(Some(Vec::new()));
        };
        if side.kind == EntryKind::Submodule {
            return Ok(Some(
                format!("Subproject commit {}\n", side.oid).into_bytes(),
            ));
        }
        let size = side.bytes.size();
        if size > TEXT_BYTES_MAX || !self.is_here(side)? {
            return Ok(None);
        }
        let mut text = Vec::new();
        let mut reader = side.bytes.open(side.oid, self.base)?.take(size);
        reader.read_to_end(&mut text).map_err(Error::Body)?;
        if super::object::oid_of("blob", &text) != side.oid {
            return Err(Error::Torn);
        }
        Ok(hunks::is_text(&text).then_some(text))
    }

    /// Whether reading needs no server.
    fn is_here(&self, side: Side<'_>) -> Result<bool, Error> {
        match side.bytes {
            Bytes::Lower { .. } => Ok(self.base.here(side.oid)?.is_some()),
            _ => Ok(true),
        }
    }

    /// Forward, and back as well if the old content is here, so that the patch can be reversed.
    fn binary(&mut self, old: Option<Side<'_>>, new: Option<Side<'_>>) -> Result<(), Error> {
        self.line(&[b"GIT binary patch\n"])?;
        self.literal(new)?;
        match old {
            Some(side) if !self.is_here(side)? => Ok(()),
            old => self.literal(old),
        }
    }

    fn literal(&mut self, side: Option<Side<'_>>) -> Result<(), Error> {
        let base = self.base;
        let size = side.map_or(0, |side| side.bytes.size());
        literal(size, self.out, |mut out| match side {
            Some(side) => copy_blob(side.bytes, side.oid, base, &mut out),
            None => Ok(()),
        })
    }
}

/// A point in time as mails have it, in UTC.
fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March, so that the leap day is the last; eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    let name = MONTHS.get(((month + 2) % 12).unsigned_abs() as usize);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let name = name.copied().unwrap_or_default();
    format!("{day} {name} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1 Jan 1970 00:00:00 +0000");
        assert_eq!(date(951_782_400), "29 Feb 2000 00:00:00 +0000");
        assert_eq!(date(1_795_500_757), "24 Nov 2026 06:12:37 +0000");
        assert_eq!(date(-1), "31 Dec 1969 23:59:59 +0000");
    }
}
