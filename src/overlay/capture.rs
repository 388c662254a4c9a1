//! Capturing what has to be pushed, at one point of the local history.
//!
//! A capture holds the gate and the state lock, so no byte and no name changes under it: what it
//! lists is the tree exactly as the journal's head left it. The bytes of bodies are read later;
//! each knows its generation at the capture and says whether it was written to since.

use std::fs::File;
use std::io;
use std::sync::Arc;

use journal::{Effect, Sequence};

use super::edits::Edits;
use super::error::Error;
use super::ledger::Ledger;
use super::open::Overlay;
use super::stamp::Stamp;
use super::state::Work;
use crate::failpoints;
use crate::tree::{ContentSource, Edit, Ino, TreePath};

/// How much a capture covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// What changed since the last push that the remote accepted.
    Pending,
    /// Everything that differs from the pinned commit: for a new change on it.
    Everything,
}

/// Whether bodies may go on changing while a capture is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bodies {
    /// They are read in place; one that changes meanwhile has to be captured again.
    InPlace,
    /// They were copied under the gate: for files that never stand still.
    Copied,
}

/// What is to be pushed: the edits that bring the remote from the last accepted push to `through`.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The last record that is covered.
    pub through: Sequence,
    /// In the order in which they apply.
    pub edits: Vec<Edit>,
    /// What no server can take.
    pub kept_local: Vec<KeptLocal>,
}

/// Something that stays local.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLocal {
    /// Where.
    pub path: TreePath,
    /// Why.
    pub reason: KeptLocalReason,
}

/// Why something stays local.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptLocalReason {
    /// A pipe, a socket or a device: Git has no such thing.
    SpecialFile,
    /// `.git`, as `git init` makes it: a repository inside a tree that Git could not hold and that
    /// no server may be sent, since a clone would take it for its own.
    GitFolder,
    /// The name is not UTF-8, and the servers speak JSON. Of a directory, all below it as well.
    NotText,
    /// An ignore rule matches it. Of a directory, all below it as well.
    Ignored,
}

impl Overlay {
    /// Captures what has to be pushed. `None`: there is nothing, or nothing but what is ignored. From then on the next write of
    /// every file is journaled anew.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`]: a listing or a symbolic link's target is needed; nothing has changed.
    pub fn capture(&self, scope: Scope) -> Result<Option<Capture>, Error> {
        self.capture_with(scope, Bodies::InPlace)
    }

    /// The same, with private copies of all bodies, for files that change faster than they can be
    /// sent. Writers wait while the copies are made.
    ///
    /// # Errors
    ///
    /// As [`Overlay::capture`]; a full disk.
    pub fn capture_copies(&self, scope: Scope) -> Result<Option<Capture>, Error> {
        self.capture_with(scope, Bodies::Copied)
    }

    /// Everything that differs from the pinned commit, also what was given up, for whoever only looks:
    /// what is to be pushed, and what a push on its way has captured, stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Overlay::capture`].
    pub fn survey(&self) -> Result<Capture, Error> {
        self.survey_with(Bodies::InPlace)
    }

    /// The same, with private copies of all bodies.
    ///
    /// # Errors
    ///
    /// As [`Overlay::capture_copies`].
    pub fn survey_copies(&self) -> Result<Capture, Error> {
        self.survey_with(Bodies::Copied)
    }

    fn survey_with(&self, bodies: Bodies) -> Result<Capture, Error> {
        let _gate = self.gate.write();
        let mut state = self.state.lock();
        self.renew_rules(&mut state)?;
        self.look(&mut state);
        let mut edits = Edits::new(self, &state, bodies);
        edits.everything()?;
        let (edits, kept_local) = edits.finish_whole();
        Ok(Capture {
            through: self.journal.head(),
            edits,
            kept_local,
        })
    }

    fn capture_with(&self, scope: Scope, bodies: Bodies) -> Result<Option<Capture>, Error> {
        let _gate = self.gate.write();
        let mut state = self.state.lock();
        self.renew_rules(&mut state)?;
        // The stamps that this leaves are those of the capture.
        self.look(&mut state);
        let mut edits = Edits::new(self, &state, bodies);
        match scope {
            Scope::Everything => edits.everything()?,
            Scope::Pending if !state.has_pending() => return Ok(None),
            Scope::Pending => {
                let effects: Vec<Effect> = state.work.plan.effects();
                edits.effects(&effects)?;
                edits.owed()?;
            }
        }
        let (edits, mut kept_local) = edits.finish();
        // The rules and the tree tell of it at any time.
        kept_local.retain(|kept| kept.reason != KeptLocalReason::Ignored);
        let through = self.journal.head();
        self.stand_again(&mut state)?;
        state.marked.clear();
        state.ignore.capture();
        if edits.is_empty() && kept_local.is_empty() {
            // What came to nothing, or is ignored, is no work. The next process finds out again.
            state.work = Work::default();
            state.ignore.settle();
            return Ok(None);
        }
        state.since_capture = Some(Work::default());
        failpoints::CAPTURED.reach();
        Ok(Some(Capture {
            through,
            edits,
            kept_local,
        }))
    }
}

/// A body as it was at a capture.
#[derive(Debug)]
pub(super) struct CapturedBody {
    pub(super) ledger: Arc<Ledger>,
    pub(super) ino: Ino,
    pub(super) generation: u64,
    pub(super) size: u64,
    /// Of a body that the kernel may write by itself.
    pub(super) stamp: Option<Stamp>,
}

impl ContentSource for CapturedBody {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self) -> io::Result<File> {
        match self.stamp {
            None => self.ledger.bodies.file(self.ino),
            Some(_) => self.ledger.open_settled(self.ino),
        }
    }

    fn is_unchanged(&self) -> bool {
        // The generation of a removed file is forgotten after its body was deleted.
        let metadata = self.ledger.bodies.metadata(self.ino);
        let holds = |stamp: Stamp| {
            let metadata = metadata.as_ref();
            metadata.is_ok_and(|metadata| stamp.still_holds(metadata))
        };
        self.ledger.generation(self.ino) == self.generation
            && metadata.is_ok()
            && self.stamp.is_none_or(holds)
    }
}

/// A private copy of a body, deleted with the capture.
#[derive(Debug)]
pub(super) struct CopiedBody {
    pub(super) copy: tempfile::NamedTempFile,
    pub(super) size: u64,
}

impl ContentSource for CopiedBody {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self) -> io::Result<File> {
        self.copy.reopen()
    }

    fn is_unchanged(&self) -> bool {
        true
    }
}
