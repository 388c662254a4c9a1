//! When the rules change: what was pushed stays, what is no longer ignored is owed.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use journal::{Effect, Sequence};

use super::judge::Judge;
use super::rules::Rules;
use super::{FILE_NAME, Ignore, RULES_BYTES_MAX};
use crate::lower::{EntryKind, Want};
use crate::overlay::error::Error;
use crate::overlay::inodes::want_of_origin;
use crate::overlay::locks::MutexGuard;
use crate::overlay::open::Overlay;
use crate::overlay::state::State;
use crate::tree::{Ino, Kind, Name, TreePath};
use crate::upper::{Upper, journal_path, tree_path};

impl Overlay {
    /// Brings the rules up to date with the configuration and the repository. Under the gate.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`]: the rules, or a listing, have to be fetched; nothing has changed. A disk that
    /// cannot be written.
    pub(in crate::overlay) fn renew_rules(
        &self,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<(), Error> {
        let own = self.own_rules(state)?;
        let text = format!("{}\n{own}", state.ignore.configured);
        if text == state.ignore.rules.text() {
            return Ok(());
        }
        let mut next = Ignore {
            rules: Arc::new(Rules::new(text)),
            listed: None,
            ..state.ignore.clone()
        };
        let changed = Comparison {
            before: Judge::of(Some(self), &state.upper, &state.ignore),
            after: Judge::of(Some(self), &state.upper, &next),
            upper: &state.upper,
            pushed: BTreeSet::new(),
            owed: BTreeSet::new(),
        };
        let (pushed, owed) = changed.compare(&state.work.plan.effects())?;
        // What nothing was pushed of is pushed whole.
        if state.upper.remote().pushed != Sequence::ZERO {
            let plan = &state.work.plan;
            let is_there = |path: &TreePath| !plan.is_new(&journal_path(path));
            next.pushed.extend(pushed.into_iter().filter(is_there));
            next.owed.extend(owed);
        }
        next.store().map_err(Error::Body)?;
        state.ignore = next;
        Ok(())
    }

    /// The rules that the repository has itself, as the mount shows them.
    fn own_rules(&self, state: &State) -> Result<String, Error> {
        let name = Name::try_from(FILE_NAME)?;
        let bytes = match state.upper.entry(Ino::ROOT, &name) {
            Some(entry) => match entry.node {
                Some(ino) => self.rules_of_node(state, ino)?,
                None => Vec::new(),
            },
            None => self.rules_of_lower(state, &name)?,
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn rules_of_node(&self, state: &State, ino: Ino) -> Result<Vec<u8>, Error> {
        let node = state.upper.node(ino).ok_or(Error::Stale)?;
        if node.kind != Kind::File {
            return Ok(Vec::new());
        }
        if node.body {
            let file = self.ledger.bodies.file(ino).map_err(Error::Body)?;
            let mut bytes = Vec::new();
            let mut limited = file.take(RULES_BYTES_MAX as u64 + 1);
            limited.read_to_end(&mut bytes).map_err(Error::Body)?;
            return Ok(match bytes.len() > RULES_BYTES_MAX {
                true => too_large(),
                false => bytes,
            });
        }
        match &node.origin {
            Some(origin) => self.lower_rules(&want_of_origin(origin)),
            None => Ok(Vec::new()),
        }
    }

    fn rules_of_lower(&self, state: &State, name: &Name) -> Result<Vec<u8>, Error> {
        let Some((path, tree)) = state.lower_directory(Ino::ROOT)? else {
            return Ok(Vec::new());
        };
        let listing = self.listing_of(&path, tree)?;
        match listing.find(name) {
            Some(entry) if matches!(entry.kind, EntryKind::File | EntryKind::Executable) => self
                .lower_rules(&Want::Object {
                    path: path.join(name)?,
                    oid: entry.oid,
                    size: entry.size,
                }),
            _ => Ok(Vec::new()),
        }
    }

    fn lower_rules(&self, want: &Want) -> Result<Vec<u8>, Error> {
        match self.lower_bytes(want, RULES_BYTES_MAX) {
            Err(Error::TooLong) => Ok(too_large()),
            read => read,
        }
    }
}

/// No rules at all are better than the first part of some.
fn too_large() -> Vec<u8> {
    tracing::warn!(
        max = RULES_BYTES_MAX,
        "{FILE_NAME} is too large: none of it holds"
    );
    Vec::new()
}

/// What two sets of rules say of the same tree.
struct Comparison<'a> {
    before: Judge<'a>,
    after: Judge<'a>,
    upper: &'a Upper,
    pushed: BTreeSet<TreePath>,
    owed: BTreeSet<TreePath>,
}

impl Comparison<'_> {
    fn compare(
        mut self,
        effects: &[Effect],
    ) -> Result<(BTreeSet<TreePath>, BTreeSet<TreePath>), Error> {
        self.below(Ino::ROOT, &TreePath::ROOT)?;
        // What is gone here, and is still to be removed there.
        for effect in effects {
            if let Effect::Remove { path } = effect {
                let path = tree_path(path)?;
                if !self.before.ignores(&path, false)? && self.after.ignores(&path, false)? {
                    self.pushed.insert(path);
                }
            }
        }
        Ok((self.pushed, self.owed))
    }

    fn below(&mut self, directory: Ino, path: &TreePath) -> Result<(), Error> {
        let upper = self.upper;
        for (_, name, entry) in upper.entries_after(directory, 0) {
            let Some((ino, node)) = entry.node.and_then(|ino| Some((ino, upper.node(ino)?))) else {
                continue;
            };
            let path = path.join(name)?;
            let before = self.before.ignores_node(&path, node)?;
            let after = self.after.ignores_node(&path, node)?;
            match (before, after) {
                // All below it as well, then and now.
                (true, true) => continue,
                // With all below it that is not ignored for another reason.
                (true, false) => {
                    self.owed.insert(path);
                    continue;
                }
                (false, true) => {
                    self.pushed.insert(path.clone());
                }
                (false, false) => {}
            }
            if node.kind == Kind::Directory {
                self.below(ino, &path)?;
            }
        }
        Ok(())
    }
}
