//! Files that the kernel reads and writes by itself (FUSE passthrough), and what becomes of the journal
//! when nobody tells us of a write.
//!
//! ```text
//! open for writing --> Write record --> writes, stores through maps: no request
//!                         |                     |
//!                         |   look: stamp other than at the last capture --> counts as work, once
//!                         |                     |
//!                      capture --> the record again, behind what the capture covers
//!                         |
//! nobody has the body open for writing any more --> a last look, settled
//! ```
//!
//! A body is *standing* from its first opening for writing until nobody can write it any more. Its
//! record stands behind every capture, so that a process that dies leaves it to be pushed again: who
//! writes through the kernel does not notice, and goes on. But that record is no work by itself; work it
//! becomes when the body's stamp says that something was written. The looks are those of everybody who
//! asks whether something is pending, and of upkeep.
//!
//! A release does not settle: the kernel sends one when a file is closed, and a map that outlives that
//! is a map of the body alone. Whether one is left, or a process of a mount that is dead, the kernel
//! tells by a lease.

use std::any::Any;
use std::fs::File;
use std::io;
use std::sync::Arc;

use journal::{Effect, Record, Sequence};

use super::dirty::Touch;
use super::error::Error;
use super::ledger::Ledger;
use super::locks::MutexGuard;
use super::open::{Overlay, now};
use super::passing::Passing;
use super::stamp::{self, Stamp};
use super::state::{Purpose, State};
use super::types::{Aim, NewNode, Owner};
use super::xattrs::CAPABILITY;
use crate::tree::{Attributes, Ino, Name, Permissions};
use crate::upper::{journal_path, journal_time, tree_path};

/// What lets the kernel read and write a body by itself; given up after the last release.
pub type Passage = Arc<dyn Any + Send + Sync>;

/// Makes a passage to a body, if that can be had. Called under a lock: it asks the kernel, and nothing
/// else.
pub type Pass<'a> = dyn FnMut(&File) -> Option<Passage> + 'a;

/// How a file was opened; all opens of one file at the same time are of one kind.
#[derive(Debug)]
pub enum Way {
    /// Reads and writes are requests.
    Asking(Pages),
    /// The kernel reads and writes the body by itself.
    Through(Passage),
}

/// What becomes of the pages that the kernel has of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// They are as good as the body.
    Kept,
    /// The body may have changed beneath them.
    Dropped,
}

/// A body that the kernel may write by itself.
#[derive(Debug)]
pub(super) struct Standing {
    /// Opens for writing that were not yet released.
    writers: u32,
    /// The body when it was last looked at.
    pub(super) seen: Stamp,
}

impl State {
    /// Whether the kernel may write a file by itself. What it writes takes no privileges away, so none
    /// may be there.
    fn is_passable(&self, ino: Ino) -> bool {
        self.upper.node(ino).is_some_and(|node| {
            node.body
                && node.permissions.bits() & 0o6000 == 0
                && !node.xattrs.contains_key(CAPABILITY)
        })
    }

    /// Finds which bodies processes of a dead mount may still write. Each has a record that no capture
    /// covers; this one knows nobody who writes the body, so that it settles by itself.
    pub(super) fn inherit_writers(&mut self, passing: &Passing, ledger: &Ledger) {
        if !passing.may_have_been() {
            return;
        }
        for effect in self.work.plan.effects() {
            let Effect::Put { path, .. } = effect else {
                continue;
            };
            let found = tree_path(&path)
                .ok()
                .and_then(|path| self.upper.resolve(&path));
            let Some(ino) = found.filter(|ino| self.upper.node(*ino).is_some_and(|node| node.body))
            else {
                continue;
            };
            if let Ok(metadata) = ledger.bodies.metadata(ino)
                && stamp::has_writer(&ledger.bodies.path(ino)).unwrap_or(true)
            {
                let seen = Stamp::of(&metadata);
                self.standing.insert(ino, Standing { writers: 0, seen });
                self.marked.insert(ino);
                ledger.note_writer(ino);
            }
        }
        tracing::info!(
            standing = self.standing.len(),
            "files that a dead mount's processes write"
        );
    }
}

impl Overlay {
    /// Opens a regular file, by a passage if it is an upper one and nobody has it open otherwise. Every
    /// success is undone by one [`Overlay::release`], or [`Overlay::release_writer`] where a passage was
    /// opened for writing.
    ///
    /// # Errors
    ///
    /// As [`Overlay::open`]; for writing also [`Error::NoEdits`], and where a passage is,
    /// [`Error::ReadOnly`] and a full disk.
    pub fn open_through(&self, ino: Ino, aim: Aim, pass: &mut Pass<'_>) -> Result<Way, Error> {
        if aim == Aim::Writing {
            self.check_edits()?;
        }
        let can_pass = self.passing.can(&self.ledger);
        let mut state = self.state.lock();
        state.check_openable(ino)?;
        let (passage, body) = match state.live.get(&ino) {
            Some(live) if live.opens > 0 => {
                let held = live.held.as_ref();
                held.map_or((None, None), |held| {
                    (held.passage.clone(), held.body.clone())
                })
            }
            _ if can_pass && state.is_passable(ino) => {
                let body = self.ledger.bodies.file(ino).map_err(Error::Body)?;
                (pass(&body), Some(Arc::new(body)))
            }
            _ => (None, None),
        };
        if passage.is_some() && aim == Aim::Writing {
            self.begin_writing(&mut state, ino)?;
        }
        let is_standing = state.standing.contains_key(&ino);
        let live = state.live.entry(ino).or_default();
        live.opens += 1;
        let held = live.holding();
        held.body = body;
        held.passage.clone_from(&passage);
        Ok(match passage {
            Some(passage) => {
                held.pages_stale = true;
                Way::Through(passage)
            }
            None => Way::Asking(match std::mem::take(&mut held.pages_stale) || is_standing {
                true => Pages::Dropped,
                false => Pages::Kept,
            }),
        })
    }

    /// Makes a regular file and opens it, by a passage if that can be had.
    ///
    /// # Errors
    ///
    /// As [`Overlay::create`].
    pub fn create_through(
        &self,
        (parent, name): (Ino, &Name),
        permissions: Permissions,
        owner: Owner,
        aim: Aim,
        pass: &mut Pass<'_>,
    ) -> Result<(Attributes, Way), Error> {
        let can_pass = self.passing.can(&self.ledger);
        let attributes = self.make(parent, name, NewNode::File, permissions, owner)?;
        let ino = attributes.ino;
        // From here on the file is there, and the worst that can happen is that every write asks.
        let opened = match can_pass {
            true => self
                .make_body(ino)
                .and_then(|()| self.open_through(ino, aim, pass)),
            false => self.open(ino).map(|()| Way::Asking(Pages::Kept)),
        };
        let way = opened.or_else(|error| {
            tracing::debug!(%error, "a new file is not passed");
            self.open(ino).map(|()| Way::Asking(Pages::Dropped))
        })?;
        // The body was made a tick later, perhaps, and its times are the file's.
        Ok((self.attributes(ino).unwrap_or(attributes), way))
    }

    fn make_body(&self, ino: Ino) -> Result<(), Error> {
        let mut state = self.state.lock();
        self.ledger.bodies.make(ino).map_err(Error::Body)?;
        self.ledger.note_change(ino);
        self.ledger.note_dirty(ino, Touch::Made);
        self.mark(&mut state, ino, Purpose::Change)
    }

    /// Undoes one open for writing by a passage.
    pub fn release_writer(&self, ino: Ino) {
        let mut state = self.state.lock();
        if let Some(standing) = state.standing.get_mut(&ino) {
            standing.writers = standing.writers.saturating_sub(1);
        }
        self.close_one(&mut state, ino);
        self.settle(&mut state, ino);
    }

    fn begin_writing(&self, state: &mut MutexGuard<'_, State>, ino: Ino) -> Result<(), Error> {
        self.check_writable()?;
        self.ledger.check_open().map_err(Error::Body)?;
        let metadata = self.ledger.bodies.metadata(ino).map_err(Error::Body)?;
        let seen = Stamp::of(&metadata);
        if !state.marked.contains(&ino) && !state.standing.contains_key(&ino) {
            self.stand(state, ino)?;
        }
        // A capture that is on its way does not look at the stamp of what was not standing then.
        self.ledger.note_change(ino);
        self.ledger.note_dirty(ino, Touch::Anyhow);
        self.ledger.note_writer(ino);
        let entry = state.standing.entry(ino);
        entry.or_insert(Standing { writers: 0, seen }).writers += 1;
        Ok(())
    }

    /// Says in the journal that the bytes of a file may change from now on. In memory it is no work.
    /// It may use what a full disk keeps in reserve: opening comes before cutting.
    fn stand(&self, state: &mut MutexGuard<'_, State>, ino: Ino) -> Result<(), Error> {
        if state.is_removed(ino) {
            return Ok(());
        }
        for record in write_records(state, ino)? {
            let sequence = self.append_for(&record, Purpose::Freeing)?;
            state.upper.apply(sequence, &record)?;
            state.stood = sequence;
        }
        Ok(())
    }

    /// Says it again for all that stand, behind what a capture or a compaction covers.
    pub(super) fn stand_again(&self, state: &mut MutexGuard<'_, State>) -> Result<(), Error> {
        let standing: Vec<Ino> = state.standing.keys().copied().collect();
        standing
            .into_iter()
            .try_for_each(|ino| self.stand(state, ino))
    }

    /// The state, with all that was written by the kernel alone counted as work.
    pub(super) fn looked(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        self.look(&mut state);
        state
    }

    /// Looks at every body that stands: what has another stamp than before is work.
    pub(super) fn look(&self, state: &mut MutexGuard<'_, State>) {
        if state.standing.is_empty() {
            return;
        }
        let standing: Vec<Ino> = state.standing.keys().copied().collect();
        for ino in standing {
            self.look_at(state, ino);
        }
    }

    fn look_at(&self, state: &mut MutexGuard<'_, State>, ino: Ino) {
        let metadata = self.ledger.bodies.metadata(ino);
        let (Ok(metadata), Some(standing)) = (metadata, state.standing.get_mut(&ino)) else {
            return;
        };
        let before = std::mem::replace(&mut standing.seen, Stamp::of(&metadata));
        if before.still_holds(&metadata) || state.marked.contains(&ino) || state.is_removed(ino) {
            return;
        }
        if let Ok(records) = write_records(state, ino) {
            for record in &records {
                state.count(record, now());
            }
            state.marked.insert(ino);
            self.wake_replay();
        }
    }

    /// Looks at what the kernel writes by itself, and lets go of what nobody can write any more.
    pub(super) fn settle_writers(&self) {
        let idle: Vec<Ino> = {
            let state = self.looked();
            let idle = state.standing.iter().filter(|(_, it)| it.writers == 0);
            idle.map(|(ino, _)| *ino).collect()
        };
        for ino in idle {
            self.settle(&mut self.state.lock(), ino);
        }
    }

    /// Lets go of a body if nobody has it open for writing any more. What was written until then is seen.
    fn settle(&self, state: &mut MutexGuard<'_, State>, ino: Ino) {
        let is_idle = state.standing.get(&ino).is_some_and(|it| it.writers == 0);
        if !is_idle || self.has_writer(ino) {
            return;
        }
        self.look_at(state, ino);
        state.standing.remove(&ino);
        self.ledger.forget_writer(ino);
        if let Err(error) = self.stand_down(state) {
            tracing::debug!(%error, "what is pushed counts as pending once more");
        }
    }

    fn has_writer(&self, ino: Ino) -> bool {
        match stamp::has_writer(&self.ledger.bodies.path(ino)) {
            Err(error) => error.kind() != io::ErrorKind::NotFound,
            Ok(there) => there,
        }
    }

    /// With nobody left who writes unseen, and nothing to be pushed, the records that stood are of no
    /// more use; the next process would take them for work.
    fn stand_down(&self, state: &mut MutexGuard<'_, State>) -> Result<(), Error> {
        let remote = state.upper.remote();
        let is_needless = state.standing.is_empty()
            && state.since_capture.is_none()
            && !state.has_pending()
            && remote.intended.is_none()
            && remote.pushed > Sequence::ZERO
            && remote.pushed < state.stood;
        match remote.change.filter(|_| is_needless) {
            None => Ok(()),
            Some((_, commit)) => {
                let (through, commit) = (self.journal.head(), commit.0);
                self.commit(state, &Record::Pushed { through, commit })
                    .map(drop)
            }
        }
    }

    /// Brings to rest what can be. A body that is written even now is looked for at the next opening.
    pub(super) fn rest_writers(&self) -> Result<(), Error> {
        self.settle_writers();
        match self.state.lock().standing.is_empty() {
            true => self.passing.end().map_err(Error::Body),
            false => Ok(()),
        }
    }
}

/// A record for each path of a file: its bytes are in its body, and change.
fn write_records(state: &State, ino: Ino) -> Result<Vec<Record>, Error> {
    let time = journal_time(now());
    let record = |path| Record::Write {
        path: journal_path(&path),
        inode: ino.0,
        time,
    };
    Ok(state.paths(ino)?.into_iter().map(record).collect())
}
