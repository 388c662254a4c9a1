//! Whether a path is ignored, by rules, by the pinned commit, and by what was pushed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::rules::Said;
use super::{FILE_NAME, Ignore};
use crate::lower::EntryKind;
use crate::overlay::error::Error;
use crate::overlay::open::{Local, Overlay};
use crate::overlay::state::State;
use crate::tree::{Ino, Kind, TreePath};
use crate::upper::{Node, Upper};

/// What becomes of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// No rule is against it.
    Wanted,
    /// A rule is, but the remote has it.
    Kept,
    /// It stays local, and so does all below it.
    Ignored,
}

/// Judges paths of one state.
pub(in crate::overlay) struct Judge<'a> {
    /// `None` where no lower layer is there: then what stands in a directory that the commit has counts
    /// as committed.
    overlay: Option<&'a Overlay>,
    upper: &'a Upper,
    ignore: &'a Ignore,
    /// Verdicts on directories.
    known: RefCell<HashMap<TreePath, Verdict>>,
}

impl<'a> Judge<'a> {
    pub(in crate::overlay) fn new(overlay: Option<&'a Overlay>, state: &'a State) -> Judge<'a> {
        Judge::of(overlay, &state.upper, &state.ignore)
    }

    pub(super) fn of(
        overlay: Option<&'a Overlay>,
        upper: &'a Upper,
        ignore: &'a Ignore,
    ) -> Judge<'a> {
        Judge {
            overlay,
            upper,
            ignore,
            known: RefCell::default(),
        }
    }

    /// Whether a path stays local.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`]: a listing of the pinned commit is needed.
    pub(in crate::overlay) fn ignores(
        &self,
        path: &TreePath,
        is_directory: bool,
    ) -> Result<bool, Error> {
        Ok(self.verdict(path, is_directory)? == Verdict::Ignored)
    }

    /// The same of a node that is there.
    ///
    /// # Errors
    ///
    /// As [`Judge::ignores`].
    pub(in crate::overlay) fn ignores_node(
        &self,
        path: &TreePath,
        node: &Node,
    ) -> Result<bool, Error> {
        self.ignores(path, node.kind == Kind::Directory)
    }

    /// The same as far as it is known here: what is in doubt is not ignored.
    pub(in crate::overlay) fn surely_ignores(&self, path: &TreePath, is_directory: bool) -> bool {
        self.ignores(path, is_directory).unwrap_or(false)
    }

    /// Adds what is ignored below a directory.
    fn list(&self, directory: Ino, path: &TreePath, found: &mut Vec<TreePath>) {
        for (_, name, entry) in self.upper.entries_after(directory, 0) {
            let node = entry
                .node
                .and_then(|ino| Some((ino, self.upper.node(ino)?)));
            let (Some((ino, node)), Ok(path)) = (node, path.join(name)) else {
                continue;
            };
            let is_directory = node.kind == Kind::Directory;
            if self.surely_ignores(&path, is_directory) {
                found.push(path);
            } else if is_directory {
                self.list(ino, &path, found);
            }
        }
    }

    fn verdict(&self, path: &TreePath, is_directory: bool) -> Result<Verdict, Error> {
        let Some((parent, name)) = path.split_last() else {
            return Ok(Verdict::Wanted);
        };
        if let Some(verdict) = self.known.borrow().get(path) {
            return Ok(*verdict);
        }
        let above = self.verdict(&parent, true)?;
        if above == Verdict::Ignored {
            return Ok(above);
        }
        let is_against =
            above == Verdict::Kept || self.ignore.rules.say(path, is_directory) == Said::Ignored;
        let is_rules = parent.is_root() && name.as_bytes() == FILE_NAME.as_bytes();
        let verdict = if !is_against || is_rules {
            Verdict::Wanted
        } else if self.ignore.pushed.contains(path) || self.is_committed(path, above)? {
            Verdict::Kept
        } else {
            Verdict::Ignored
        };
        if is_directory {
            self.known.borrow_mut().insert(path.clone(), verdict);
        }
        Ok(verdict)
    }

    /// Whether the pinned commit has it, at this path or where a renamed directory shows it through.
    fn is_committed(&self, path: &TreePath, above: Verdict) -> Result<bool, Error> {
        let Some((parent, name)) = path.split_last() else {
            return Ok(true);
        };
        let entry = self.upper.resolve(&parent);
        let entry = entry.and_then(|directory| self.upper.entry(directory, &name));
        if entry.is_some_and(|entry| entry.covers) {
            return Ok(true);
        }
        match self.overlay {
            Some(overlay) => overlay.pinned_has(path),
            None => Ok(above == Verdict::Kept),
        }
    }
}

impl Local {
    /// What stays local because a rule of the last push says so; of a directory it is the directory
    /// alone, with all below it.
    pub fn ignored(&self) -> Vec<TreePath> {
        let mut found = Vec::new();
        Judge::new(None, &self.state).list(Ino::ROOT, &TreePath::ROOT, &mut found);
        found
    }
}

impl Overlay {
    /// What stays local because a rule of the last capture says so; of a directory it is the directory
    /// alone, with all below it.
    pub fn ignored(&self) -> Arc<[TreePath]> {
        let mut state = self.state.lock();
        let head = self.journal.head();
        if let Some((at, listed)) = &state.ignore.listed
            && *at == head
        {
            return Arc::clone(listed);
        }
        let mut found = Vec::new();
        let judge = Judge::new(Some(self), &state);
        judge.list(Ino::ROOT, &TreePath::ROOT, &mut found);
        let listed: Arc<[TreePath]> = found.into();
        state.ignore.listed = Some((head, Arc::clone(&listed)));
        listed
    }

    /// Whether the pinned commit has a path.
    fn pinned_has(&self, path: &TreePath) -> Result<bool, Error> {
        let mut tree = self.lower.pin().tree;
        let mut directory = TreePath::ROOT;
        let mut names = path.names().peekable();
        while let Some(name) = names.next() {
            let listing = self.listing_of(&directory, tree)?;
            let Some(entry) = listing.find(&name) else {
                return Ok(false);
            };
            if names.peek().is_some() && entry.kind != EntryKind::Directory {
                return Ok(false);
            }
            tree = entry.oid;
            directory = directory.join(&name)?;
        }
        Ok(true)
    }
}
