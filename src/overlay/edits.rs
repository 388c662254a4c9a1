//! From effects to edits: what the remote tree needs, told from the state at the capture.
//!
//! Coalescing says which paths changed, the state says what they became. Removals come first;
//! then each path is emitted from the state, so edits never depend on what the remote had there. A
//! renamed directory of the lower layer is a graft of its tree and the edits below it, and covers
//! whatever else coalescing has to say below its path.

use std::collections::BTreeSet;
use std::sync::Arc;

use journal::Effect;

use super::capture::{Bodies, CapturedBody, CopiedBody, KeptLocal, KeptLocalReason};
use super::error::Error;
use super::ignore::Judge;
use super::inodes::want_of_origin;
use super::open::Overlay;
use super::state::State;
use crate::lower::Listing;
use crate::tree::{Content, Edit, GitOid, Ino, Kind, Name, TreePath};
use crate::upper::{Entry, Node, journal_path, tree_path};

/// Longest target of a symbolic link (PATH_MAX less the NUL).
const TARGET_BYTES_MAX: usize = 4095;

/// Whether what the remote has at a path already shows the node's own lower content there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beneath {
    /// Yes: only what differs from the lower layer is emitted.
    Shown,
    /// No: everything is.
    Absent,
}

pub(super) struct Edits<'a> {
    overlay: &'a Overlay,
    state: &'a State,
    bodies: Bodies,
    judge: Judge<'a>,
    edits: Vec<Edit>,
    kept_local: Vec<KeptLocal>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(overlay: &'a Overlay, state: &'a State, bodies: Bodies) -> Edits<'a> {
        Edits {
            overlay,
            state,
            bodies,
            judge: Judge::new(Some(overlay), state),
            edits: Vec::new(),
            kept_local: Vec::new(),
        }
    }

    /// The edits, without what was given up, and without what is below a `.git`, which is named once.
    pub(super) fn finish(mut self) -> (Vec<Edit>, Vec<KeptLocal>) {
        self.edits
            .retain(|edit| !self.state.upper.is_given_up(edit.path()));
        self.finish_whole()
    }

    /// The same, with what was given up.
    pub(super) fn finish_whole(mut self) -> (Vec<Edit>, Vec<KeptLocal>) {
        let mut folders = BTreeSet::new();
        self.edits.retain(|edit| match git_folder(edit.path()) {
            Some(folder) => {
                folders.insert(folder);
                false
            }
            None => true,
        });
        let reason = KeptLocalReason::GitFolder;
        let folders = folders.into_iter().map(|path| KeptLocal { path, reason });
        self.kept_local.extend(folders);
        (self.edits, self.kept_local)
    }

    /// All that differs from the pinned commit.
    pub(super) fn everything(&mut self) -> Result<(), Error> {
        self.children(Ino::ROOT, &TreePath::ROOT)
    }

    /// What was ignored before the rules changed, as it is now.
    pub(super) fn owed(&mut self) -> Result<(), Error> {
        for path in self.state.ignore.owed() {
            match self.state.upper.resolve(path) {
                Some(Ino::ROOT) => self.everything()?,
                Some(ino) => self.subtree(ino, path, Beneath::Absent)?,
                None => {}
            }
        }
        Ok(())
    }

    /// What the effects name.
    pub(super) fn effects(&mut self, effects: &[Effect]) -> Result<(), Error> {
        let mut copied: Vec<TreePath> = Vec::new();
        for effect in effects {
            if let Effect::Copy { to, .. } = effect {
                copied.push(tree_path(to)?);
            }
        }
        let covered = |path: &TreePath| copied.iter().any(|to| path != to && path.starts_with(to));
        let mut emptied = Vec::new();
        for effect in effects {
            if let Effect::Remove { path } = effect {
                let path = tree_path(path)?;
                if !covered(&path) {
                    // Whether it was a directory, nobody knows any more.
                    if !self.judge.ignores(&path, false)? {
                        self.edits.push(Edit::Remove { path: path.clone() });
                    }
                    emptied.extend(path.split_last().map(|(parent, _)| parent));
                }
            }
        }
        for effect in effects {
            let path = match effect {
                Effect::Remove { .. } => continue,
                Effect::Copy { to, .. } => to,
                Effect::Put { path, .. } => path,
            };
            let path = tree_path(path)?;
            let Some(ino) = self.state.upper.resolve(&path).filter(|_| !covered(&path)) else {
                continue;
            };
            if self.hides_what_was_pushed(ino, &path)? {
                self.edits.push(Edit::Remove { path: path.clone() });
                emptied.extend(path.split_last().map(|(parent, _)| parent));
            }
            match effect {
                Effect::Put { .. } => self.put(ino, &path)?,
                Effect::Copy { .. } | Effect::Remove { .. } => {
                    self.subtree(ino, &path, Beneath::Absent)?;
                }
            }
        }
        emptied.sort();
        emptied.dedup();
        for directory in emptied {
            if !covered(&directory) {
                self.keep_empty(&directory)?;
            }
        }
        Ok(())
    }

    /// Whether a node that Git cannot hold stands where the remote has something.
    fn hides_what_was_pushed(&self, ino: Ino, path: &TreePath) -> Result<bool, Error> {
        let node = self.node(ino)?;
        Ok(node.kind.is_special()
            && !self.state.work.plan.is_new(&journal_path(path))
            && !self.judge.ignores_node(path, node)?)
    }

    /// Git drops a directory with its last file; ours is still there.
    fn keep_empty(&mut self, path: &TreePath) -> Result<(), Error> {
        let Some(ino) = self.state.upper.resolve(path) else {
            return Ok(());
        };
        let told = |edit: &Edit| matches!(edit, Edit::Directory { path: told } if told == path);
        if ino != Ino::ROOT
            && !self.judge.ignores(path, true)?
            && self.is_empty(ino, path)?
            && !self.edits.iter().any(told)
        {
            self.edits.push(Edit::Directory { path: path.clone() });
        }
        Ok(())
    }

    /// One node that is new or changed. A directory's children have effects of their own.
    fn put(&mut self, ino: Ino, path: &TreePath) -> Result<(), Error> {
        let node = self.node(ino)?;
        if node.kind == Kind::Directory {
            if !self.leaves_out(path, node)? && self.is_empty(ino, path)? {
                self.edits.push(Edit::Directory { path: path.clone() });
            }
            return Ok(());
        }
        self.leaf(ino, node, path)
    }

    /// A node and everything below it.
    fn subtree(&mut self, ino: Ino, path: &TreePath, beneath: Beneath) -> Result<(), Error> {
        let node = self.node(ino)?;
        if node.kind != Kind::Directory {
            return self.leaf(ino, node, path);
        }
        if self.leaves_out(path, node)? {
            return Ok(());
        }
        if self.is_empty(ino, path)? {
            if beneath == Beneath::Shown {
                // What the lower layer has below it is there, in place or with a graft above.
                self.edits.push(Edit::Remove { path: path.clone() });
            }
            self.edits.push(Edit::Directory { path: path.clone() });
            return self.local_children(ino, path);
        }
        if let (Beneath::Absent, Some(origin)) = (beneath, &node.origin)
            && origin.oid != GitOid::EMPTY_TREE
        {
            self.edits.push(Edit::Graft {
                path: path.clone(),
                tree: origin.oid,
                from: origin.path.clone(),
            });
        }
        self.children(ino, path)
    }

    /// What is in a directory of which nothing is pushed, so that it is named.
    fn local_children(&mut self, directory: Ino, path: &TreePath) -> Result<(), Error> {
        let state = self.state;
        for (_, name, entry) in state.upper.entries_after(directory, 0) {
            if let Some(ino) = entry.node {
                self.subtree(ino, &path.join(name)?, Beneath::Absent)?;
            }
        }
        Ok(())
    }

    /// The upper entries of a directory whose lower content the remote shows already.
    fn children(&mut self, directory: Ino, path: &TreePath) -> Result<(), Error> {
        let state = self.state;
        let entries: Vec<(&Name, Entry)> = state
            .upper
            .entries_after(directory, 0)
            .map(|(_, name, entry)| (name, entry))
            .collect();
        for (name, entry) in entries {
            let path = path.join(name)?;
            let in_place = |ino| state.upper.is_in_place(ino, &path);
            match entry.node {
                None => self.edits.push(Edit::Remove { path }),
                Some(ino) if in_place(ino) => self.subtree(ino, &path, Beneath::Shown)?,
                Some(ino) => {
                    if entry.covers {
                        self.edits.push(Edit::Remove { path: path.clone() });
                    }
                    self.subtree(ino, &path, Beneath::Absent)?;
                }
            }
        }
        Ok(())
    }

    /// A node that is not a directory.
    fn leaf(&mut self, ino: Ino, node: &Node, path: &TreePath) -> Result<(), Error> {
        if self.leaves_out(path, node)? {
            return Ok(());
        }
        let path = path.clone();
        match node.kind {
            Kind::File => {
                let content = self.content(ino, node)?;
                let executable = node.permissions.is_executable();
                self.edits.push(Edit::File {
                    path,
                    content,
                    executable,
                });
            }
            Kind::Symlink => {
                let target = match &node.origin {
                    None => node.target.clone(),
                    Some(origin) => self
                        .overlay
                        .lower_bytes(&want_of_origin(origin), TARGET_BYTES_MAX)?,
                };
                self.edits.push(Edit::Symlink { path, target });
            }
            _ => self.kept_local.push(KeptLocal {
                path,
                reason: KeptLocalReason::SpecialFile,
            }),
        }
        Ok(())
    }

    fn content(&self, ino: Ino, node: &Node) -> Result<Content, Error> {
        let ledger = &self.overlay.ledger;
        if node.body {
            let stamp = self.state.standing.get(&ino).map(|standing| standing.seen);
            let size = ledger.bodies.metadata(ino).map_err(Error::Body)?.len();
            if self.bodies == Bodies::Copied {
                let file = match stamp {
                    None => ledger.bodies.file(ino),
                    Some(_) => ledger.open_settled(ino),
                };
                let file = file.map_err(Error::Body)?;
                let copy = ledger.bodies.copy_aside(&file, size).map_err(Error::Body)?;
                return Ok(Content::Body(Arc::new(CopiedBody { copy, size })));
            }
            return Ok(Content::Body(Arc::new(CapturedBody {
                ledger: Arc::clone(ledger),
                ino,
                generation: ledger.generation(ino),
                size,
                stamp,
            })));
        }
        Ok(match &node.origin {
            Some(origin) => Content::Lower {
                oid: origin.oid,
                size: origin.size,
                from: origin.path.clone(),
            },
            // A file that was made and never written to.
            None => Content::Empty,
        })
    }

    fn node(&self, ino: Ino) -> Result<&'a Node, Error> {
        self.state.upper.node(ino).ok_or(Error::Stale)
    }

    /// Whether a directory has nothing that is to be pushed.
    fn is_empty(&self, ino: Ino, path: &TreePath) -> Result<bool, Error> {
        for (_, name, entry) in self.state.upper.entries_after(ino, 0) {
            let Some(node) = entry.node.map(|ino| self.node(ino)).transpose()? else {
                continue;
            };
            if !stays_here(name, node) && !self.judge.ignores_node(&path.join(name)?, node)? {
                return Ok(false);
            }
        }
        let beneath = match self.state.lower_directory(ino)? {
            None => return Ok(true),
            Some((path, oid)) => self.listing(&path, oid)?,
        };
        let hidden = |name: &Name| self.state.upper.entry(ino, name).is_some();
        Ok(beneath.entries().iter().all(|entry| hidden(&entry.name)))
    }

    /// Whether a node stays local because a rule says so; then it is named, with all below it.
    fn leaves_out(&mut self, path: &TreePath, node: &Node) -> Result<bool, Error> {
        let ignored = self.judge.ignores_node(path, node)?;
        if ignored {
            self.kept_local.push(KeptLocal {
                path: path.clone(),
                reason: KeptLocalReason::Ignored,
            });
        }
        Ok(ignored)
    }

    fn listing(&self, path: &TreePath, oid: GitOid) -> Result<Arc<Listing>, Error> {
        self.overlay.listing_of(path, oid)
    }
}

/// Whether Git has nothing like it, whatever the rules say.
fn stays_here(name: &Name, node: &Node) -> bool {
    is_git(name) || !is_text(name) || node.kind.is_special()
}

/// Whether a name can be told to a server.
pub(super) fn is_text(name: &Name) -> bool {
    std::str::from_utf8(name.as_bytes()).is_ok()
}

/// Whether Git takes a name for its own folder on some system: `.git` in any case, as on file systems
/// that fold it.
pub(super) fn is_git(name: &Name) -> bool {
    name.as_bytes().eq_ignore_ascii_case(b".git")
}

/// The part of a path up to a component that Git takes for its own folder.
pub(super) fn git_folder(path: &TreePath) -> Option<TreePath> {
    let mut folder = TreePath::ROOT;
    for name in path.names() {
        folder = folder.join(&name).ok()?;
        if is_git(&name) {
            return Some(folder);
        }
    }
    None
}
