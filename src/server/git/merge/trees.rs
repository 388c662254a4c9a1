//! Three trees made one: a walk over what differs, and edits to the target's tree.
//!
//! Directories that one side left alone are taken whole and never read, so the cost is that of what
//! both sides changed. The walk keeps a list of directories instead of calling itself, however deep
//! the trees are.

use std::collections::BTreeMap;

use gix::objs::tree::{EntryKind, EntryMode};

use super::conflict::{self, Choice, Conflicts, Hunk, Omitted, Resolution, Resolutions, Side};
use super::decide::{Decision, Sides, Slot, decide};
use super::markers;
use super::text::{self, Piece, Span};
use crate::server::git::edit::{Editor, Objects as _};
use crate::server::git::error::Error;
use crate::server::git::path::FilePath;
use crate::server::git::staging::Staging;
use crate::server::git::{HASH, changes};

/// Largest file that is merged line by line. What is larger is data, not text that people edit.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// The three trees of a merge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trees {
    pub(super) base: gix::ObjectId,
    pub(super) target: gix::ObjectId,
    pub(super) source: gix::ObjectId,
}

/// Who has the last word on a conflict.
pub(super) enum Referee<'a> {
    /// What was before: for a base that is itself a merge, where a conflict was resolved later.
    Base,
    /// The caller; what becomes of what they say nothing about, they say beforehand.
    Caller(&'a mut Resolutions, Unsettled),
}

/// What becomes of a conflict that nobody settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Unsettled {
    /// Nothing is merged.
    Refused,
    /// It is written down: text between markers; what has no lines is as the target has it, or as the
    /// source where the target has nothing.
    Recorded,
}

/// The tree that a merge made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged {
    pub(super) tree: gix::ObjectId,
    pub(super) is_conflicted: bool,
}

/// Merges trees; the result is staged.
///
/// # Errors
///
/// [`Error::MergeConflict`] with what the referee does not settle, unless it is to be recorded.
pub(super) fn merge(
    staging: &mut Staging<'_>,
    trees: Trees,
    referee: Referee<'_>,
) -> Result<Merged, Error> {
    let is_recorded = matches!(referee, Referee::Caller(_, Unsettled::Recorded));
    let mut walk = Walk {
        staging,
        referee,
        pending: vec![(Vec::new(), trees)],
        edits: Vec::new(),
        kept: Vec::new(),
        conflicts: Conflicts::default(),
    };
    while let Some((names, trees)) = walk.pending.pop() {
        walk.folder(&names, trees)?;
        if walk.conflicts.is_cut && !is_recorded {
            break;
        }
    }
    let is_conflicted = !walk.conflicts.found.is_empty() || walk.conflicts.is_cut;
    if is_conflicted && !is_recorded {
        let mut conflicts = walk.conflicts;
        conflicts
            .found
            .sort_by(|left, right| left.path.cmp(&right.path));
        return Err(Error::MergeConflict(Box::new(conflicts)));
    }
    let (edits, kept) = (walk.edits, walk.kept);
    let mut editor = Editor::new(staging, &trees.target)?;
    for (names, slot) in edits {
        place(&mut editor, staging, names, slot)?;
    }
    for path in kept.into_iter().filter_map(FilePath::existing) {
        editor.make_directory(staging, path)?;
    }
    Ok(Merged {
        tree: editor.finish(staging)?,
        is_conflicted,
    })
}

/// The names from the root to something.
type Names = Vec<Vec<u8>>;

fn place(
    editor: &mut Editor,
    staging: &Staging<'_>,
    names: Names,
    slot: Option<Slot>,
) -> Result<(), Error> {
    let Some(path) = FilePath::existing(names) else {
        return Ok(());
    };
    match slot {
        Some(slot) if slot.is_directory() => editor.graft(staging, path, slot.oid),
        Some(slot) => {
            editor.delete(staging, &path)?;
            editor.put(staging, path, slot.mode, slot.oid)
        }
        None => editor.delete(staging, &path),
    }
}

struct Walk<'a, 'repo> {
    staging: &'a mut Staging<'repo>,
    referee: Referee<'a>,
    pending: Vec<(Names, Trees)>,
    /// What the result has where it is not as the target.
    edits: Vec<(Names, Option<Slot>)>,
    /// Directories that the source emptied on purpose.
    kept: Vec<Names>,
    conflicts: Conflicts,
}

impl Walk<'_, '_> {
    fn folder(&mut self, names: &Names, trees: Trees) -> Result<(), Error> {
        let mut union: BTreeMap<Vec<u8>, Sides> = BTreeMap::new();
        let slot = |mode, oid| Some(Slot { mode, oid });
        for entry in self.staging.tree(&trees.base)? {
            let sides = union.entry(entry.filename.into()).or_default();
            sides.base = slot(entry.mode, entry.oid);
        }
        for entry in self.staging.tree(&trees.target)? {
            let sides = union.entry(entry.filename.into()).or_default();
            sides.target = slot(entry.mode, entry.oid);
        }
        for entry in self.staging.tree(&trees.source)? {
            let sides = union.entry(entry.filename.into()).or_default();
            sides.source = slot(entry.mode, entry.oid);
        }
        for (name, sides) in union {
            let decision = decide(&sides);
            if decision == Decision::Target {
                continue;
            }
            let mut names = names.clone();
            names.push(name);
            match decision {
                Decision::Target => {}
                Decision::Source => self.edits.push((names, sides.source)),
                Decision::Slot(slot) => self.edits.push((names, Some(slot))),
                Decision::Descend => self.descend(names, &sides),
                Decision::Bytes(mode) => self.bytes(names, &sides, mode)?,
                Decision::Clash => self.clash(names, &sides, None)?,
            }
        }
        Ok(())
    }

    fn descend(&mut self, names: Names, sides: &Sides) {
        let empty = gix::ObjectId::empty_tree(HASH);
        let tree = |slot: Option<Slot>| {
            let slot = slot.filter(|slot| slot.is_directory());
            slot.map_or(empty, |slot| slot.oid)
        };
        if sides.source.is_some() && tree(sides.source) == empty {
            self.kept.push(names.clone());
        }
        let trees = Trees {
            base: tree(sides.base),
            target: tree(sides.target),
            source: tree(sides.source),
        };
        self.pending.push((names, trees));
    }

    /// Files that differ in all three versions, or were made on both sides.
    fn bytes(&mut self, names: Names, sides: &Sides, mode: EntryMode) -> Result<(), Error> {
        let path = shown(&names);
        let base = sides.base.filter(|base| base.is_file());
        let mut texts = [Vec::new(), Vec::new(), Vec::new()];
        for (text, slot) in texts.iter_mut().zip([base, sides.target, sides.source]) {
            let Some(slot) = slot else { continue };
            let header = self.staging.header(&slot.oid)?;
            if header.is_none_or(|(_, size)| size > TEXT_BYTES_MAX) {
                return self.clash(names, sides, Some(Omitted::TooLarge));
            }
            *text = self.staging.blob(&slot.oid)?;
        }
        if texts.iter().any(|text| text::is_binary(text)) {
            return self.clash(names, sides, Some(Omitted::Binary));
        }
        let [base, target, source] = &texts;
        let pieces = text::merge(base, target, source);
        let is_clean = pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Settled(_)));
        let merged = match &mut self.referee {
            _ if is_clean => conflict::assemble(&path, &pieces, &Default::default()),
            Referee::Base => Some(before(&pieces)),
            Referee::Caller(resolutions, _) => match resolutions.remove(&path) {
                None => None,
                Some(Resolution::Hunks(choices)) => conflict::assemble(&path, &pieces, &choices),
                Some(Resolution::Whole(choice)) => {
                    return self.choose(names, sides, choice, Some(mode));
                }
            },
        };
        match merged {
            Some(text) => {
                let oid = self.staging.write(gix::objs::Kind::Blob, &text)?;
                self.edits.push((names, Some(Slot { mode, oid })));
            }
            None => {
                let hunks = hunks(&path, &pieces);
                self.conflicts.push(path, hunks, None);
                self.record(names, mode, &pieces)?;
            }
        }
        Ok(())
    }

    /// A path that has no lines to disagree on, only the whole.
    fn clash(
        &mut self,
        names: Names,
        sides: &Sides,
        omitted: Option<Omitted>,
    ) -> Result<(), Error> {
        let path = shown(&names);
        let resolution = match &mut self.referee {
            Referee::Base => {
                self.edits.push((names, sides.base));
                return Ok(());
            }
            Referee::Caller(resolutions, _) => resolutions.remove(&path),
        };
        match resolution {
            Some(Resolution::Whole(choice)) => self.choose(names, sides, choice, None),
            Some(Resolution::Hunks(_)) | None => {
                self.conflicts.push(path, Vec::new(), omitted);
                self.record_whole(names, sides)
            }
        }
    }

    /// Writes a conflict down, if that is wanted.
    fn record(&mut self, names: Names, mode: EntryMode, pieces: &[Piece<'_>]) -> Result<(), Error> {
        if let Referee::Caller(_, Unsettled::Recorded) = self.referee {
            let text = markers::write(pieces);
            let oid = self.staging.write(gix::objs::Kind::Blob, &text)?;
            self.edits.push((names, Some(Slot { mode, oid })));
        }
        Ok(())
    }

    /// The same of a path that one side edited and the other removed; of anything else there is no
    /// text that says both.
    fn record_whole(&mut self, names: Names, sides: &Sides) -> Result<(), Error> {
        let (present, is_target) = match (sides.target, sides.source) {
            (Some(target), None) => (target, true),
            (None, Some(source)) => (source, false),
            _ => return Ok(()),
        };
        let base = sides.base.filter(|base| base.is_file());
        if present.is_file()
            && let Some(edited) = self.text(present)?
            && let Some(before) = base.map_or(Ok(Some(Vec::new())), |base| self.text(base))?
        {
            let nothing = Span::whole(&[]);
            let (target, source) = match is_target {
                true => (Span::whole(&edited), nothing),
                false => (nothing, Span::whole(&edited)),
            };
            let base = Span::whole(&before);
            let clash = Piece::Clash {
                base,
                target,
                source,
            };
            return self.record(names, present.mode, &[clash]);
        }
        if let (Referee::Caller(_, Unsettled::Recorded), false) = (&self.referee, is_target) {
            self.edits.push((names, Some(present)));
        }
        Ok(())
    }

    /// The bytes of a file that can be shown by lines.
    fn text(&self, slot: Slot) -> Result<Option<Vec<u8>>, Error> {
        let header = self.staging.header(&slot.oid)?;
        if header.is_none_or(|(_, size)| size > TEXT_BYTES_MAX) {
            return Ok(None);
        }
        let text = self.staging.blob(&slot.oid)?;
        Ok((!text::is_binary(&text)).then_some(text))
    }

    /// Does what the caller says about a whole path.
    fn choose(
        &mut self,
        names: Names,
        sides: &Sides,
        choice: Choice,
        mode: Option<EntryMode>,
    ) -> Result<(), Error> {
        match choice {
            Choice::Take(Side::Target) => {}
            Choice::Take(Side::Source) => self.edits.push((names, sides.source)),
            Choice::Content(bytes) => {
                let mode = mode.unwrap_or_else(|| mode_of_content(sides));
                if mode.is_link() {
                    changes::check_link(&bytes)?;
                }
                let oid = self.staging.write(gix::objs::Kind::Blob, &bytes)?;
                self.edits.push((names, Some(Slot { mode, oid })));
            }
        }
        Ok(())
    }
}

/// What new content at a path is: a link where there were only links, else a file like the
/// target's or the source's.
fn mode_of_content(sides: &Sides) -> EntryMode {
    let present = || [sides.target, sides.source].into_iter().flatten();
    match present().find(|slot| slot.is_file()) {
        Some(file) => file.mode,
        None if present().all(|slot| slot.mode.is_link()) => EntryKind::Link.into(),
        None => EntryKind::Blob.into(),
    }
}

/// The pieces with every clash as it was before.
fn before(pieces: &[Piece<'_>]) -> Vec<u8> {
    pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Settled(bytes) => bytes,
            Piece::Clash { base, .. } => base.bytes,
        })
        .copied()
        .collect()
}

fn hunks(path: &str, pieces: &[Piece<'_>]) -> Vec<Hunk> {
    pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Settled(_) => None,
            Piece::Clash {
                base,
                target,
                source,
            } => Some(Hunk::new(path, base, target, source)),
        })
        .collect()
}

/// A path for people and for JSON, which has no bytes.
fn shown(names: &Names) -> String {
    String::from_utf8_lossy(&names.join(&b'/')).into_owned()
}
