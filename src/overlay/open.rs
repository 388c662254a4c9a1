//! Opening: recovering the local state, putting it over a lower layer, and committing records.
//!
//! It has two steps, because what the lower layer must show is in the journal: [`Local::open`]
//! recovers without any network, and [`Local::over`] adds the lower layer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use journal::failpoint::limit;
use journal::{AttributeChange, Journal, Record};

use super::bell::Bell;
use super::doubts::{Doubts, InDoubt};
use super::error::Error;
use super::ignore::Ignore;
use super::ledger::Ledger;
use super::locks::{Mutex, MutexGuard, RwLock};
use super::partly::Unproved;
use super::passing::Passing;
use super::recover::{Opening, rebuild};
use super::state::{Purpose, State};
use super::types::{Access, Owner};
use super::witness::{Left, Witness};
use crate::failpoints;
use crate::lower::{Listing, Lower, Pin, Source, Store, Want};
use crate::tree::{Ino, Name, Timestamp};
use crate::upper::{Bodies, Index, RemoteState, journal_time};

/// Where and how a repository's local state is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The repository's own folder, 0700; `journal`, `index` and `bodies` are made in it.
    pub folder: PathBuf,
    /// Whom files of the lower layer belong to.
    pub owner: Owner,
    /// How long an acknowledged operation may wait to survive a power cut; zero waits for none.
    pub commit_interval: Duration,
    /// What is never pushed, in the syntax of `.gitignore`, before what the repository says itself.
    pub ignore: Arc<str>,
    /// Whether edits are taken.
    pub access: Access,
}

/// A journal segment's size: small enough that what a push made needless goes soon, large enough
/// that 100,000 operations need but a few files.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;

/// A repository's recovered local state, not yet over a lower layer.
pub struct Local {
    journal: Journal,
    index: Index,
    pub(super) ledger: Arc<Ledger>,
    pub(super) state: State,
    witness: Witness,
    passing: Passing,
    opening: Opening,
    doubts: Doubts,
    /// Files whose copy of the lower layer's bytes a power cut may have taken.
    undone: BTreeSet<Ino>,
    /// Files whose bytes may be newer than the journal says.
    pub(super) doubtful: Vec<Ino>,
}

/// One repository as a tree of inodes. See the module's page; every method may be called again
/// with the same arguments after [`Error::Missing`], since it has then changed nothing.
pub struct Overlay {
    pub(super) lower: Lower,
    pub(super) journal: Journal,
    pub(super) index: Mutex<Index>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) gate: RwLock<()>,
    pub(super) state: Mutex<State>,
    pub(super) commit_interval: Duration,
    /// Whether edits are taken; while it is opened, they are.
    pub(super) access: Access,
    pub(super) witness: Witness,
    pub(super) passing: Passing,
    pub(super) doubts: Doubts,
    pub(super) unproved: Unproved,
    opening: Opening,
    bell: Bell,
}

impl Local {
    /// Recovers the local state: the index, and the journal after what the index reaches; or the
    /// journal alone when the index is in doubt. Files that were removed while open end here.
    ///
    /// # Errors
    ///
    /// A damaged journal, a disk that cannot be read or written.
    pub fn open(options: &Options) -> Result<Local, Error> {
        let folder = &options.folder;
        let recovered = Journal::open(
            &folder.join("journal"),
            journal::Options {
                commit_interval: options.commit_interval,
                segment_bytes_max: limit("MESA_TEST_SEGMENT_BYTES", SEGMENT_BYTES_MAX),
            },
        )?;
        failpoints::OPEN_JOURNAL.reach();
        let ledger = Arc::new(Ledger::new(
            Bodies::open(folder.join("bodies")).map_err(Error::Body)?,
        ));
        recovered.journal.set_barrier(Arc::clone(&ledger) as _);
        let (index, loaded) = Index::open(&folder.join("index"));
        failpoints::OPEN_INDEX.reach();
        let (mut state, opening) = rebuild(loaded, &recovered, options.owner)?;
        state.ignore = Ignore::open(folder, Arc::clone(&options.ignore), &state.upper);
        let swept = ledger
            .bodies
            .sweep(|ino| state.upper.node(ino).is_some_and(|node| node.body))
            .map_err(Error::Body)?;
        ledger.note_inherited(state.upper.bodies());
        let passing = Passing::of(folder);
        state.inherit_writers(&passing, &ledger);
        let witness = Witness::of(folder);
        let left = witness.look();
        let lost = InDoubt::after(left, &recovered.records);
        let restored = lost.restore(&state.upper, &ledger.bodies);
        let restored = restored.map_err(Error::Body)?;
        let undone = lost.to_undo(&state.upper);
        let mut doubtful: Vec<Ino> = match left {
            Left::Whole => Vec::new(),
            Left::InDoubt => state.upper.bodies().collect(),
        };
        doubtful.retain(|ino| !undone.contains(ino));
        let remade = ledger.bodies.make_missing(&doubtful).map_err(Error::Body)?;
        // A doubt is no change: what a person gave up stays given up.
        let given_up = |ino: &Ino| {
            let path = state.upper.path_of(*ino);
            path.is_some_and(|path| state.upper.is_given_up(&path))
        };
        doubtful.retain(|ino| !given_up(ino));
        tracing::info!(
            folder = %folder.display(),
            head = recovered.journal.head().0,
            pending = state.work.operations,
            swept,
            records = opening.records,
            replayed = opening.replayed,
            doubtful = doubtful.len(),
            undone = undone.len(),
            restored = restored.len(),
            remade,
            "local state recovered"
        );
        Ok(Local {
            journal: recovered.journal,
            index,
            ledger,
            state,
            witness,
            passing,
            opening,
            doubts: InDoubt::of(&recovered.records).doubts(),
            undone,
            doubtful,
        })
    }

    /// What is known of the remote side of this history; its pin tells what to put beneath.
    pub fn remote(&self) -> &RemoteState {
        self.state.upper.remote()
    }

    /// Whether no local change is here, so that a newer commit may be put beneath.
    pub fn is_pristine(&self) -> bool {
        self.state.upper.is_pristine() && self.remote().fork.is_none()
    }

    /// Puts the local state over a lower layer. A pin that is not the recorded one is recorded;
    /// the caller has made sure that the state is pristine then.
    ///
    /// # Errors
    ///
    /// The journal cannot be written.
    pub fn over(
        self,
        store: Arc<Store>,
        source: Arc<dyn Source>,
        bookmark: Option<&str>,
        pin: Pin,
        options: &Options,
    ) -> Result<Overlay, Error> {
        let recorded = self.remote().pin;
        let mut overlay = Overlay {
            lower: Lower::new(store, source, pin),
            journal: self.journal,
            index: Mutex::new(self.index),
            ledger: self.ledger,
            gate: RwLock::new(()),
            state: Mutex::new(self.state),
            commit_interval: options.commit_interval,
            access: Access::ReadWrite,
            witness: self.witness,
            passing: self.passing,
            doubts: self.doubts,
            unproved: Unproved::default(),
            opening: self.opening,
            bell: Bell::new(),
        };
        // Journaled before the witness says that all is well again.
        for ino in self.undone {
            let record = Record::CopyUpUndone { inode: ino.0 };
            overlay.commit_for(&mut overlay.state.lock(), &record, Purpose::Freeing)?;
            overlay.ledger.bodies.remove(ino).map_err(Error::Body)?;
        }
        for ino in self.doubtful {
            overlay.mark(&mut overlay.state.lock(), ino, Purpose::Freeing)?;
        }
        overlay.witness.at_work().map_err(Error::Body)?;
        if recorded != Some((pin.change, pin.commit, pin.tree, pin.time)) {
            let mut state = overlay.state.lock();
            overlay.commit(
                &mut state,
                &Record::Pin {
                    bookmark: bookmark.map(str::to_owned),
                    change: pin.change.0,
                    commit: pin.commit.0,
                    tree: pin.tree.0,
                    time: journal_time(pin.time),
                },
            )?;
            failpoints::PINNED.reach();
            state.lower_time = pin.time;
            if recorded.is_none() {
                overlay.own_root(&mut state, options.owner)?;
            }
        }
        overlay.access = options.access;
        overlay.catch_up();
        if overlay.has_pending() {
            overlay.wake_replay();
        }
        Ok(overlay)
    }
}

impl Overlay {
    /// What opening had to read.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// The snapshot that is beneath.
    pub fn pin(&self) -> Pin {
        self.lower.pin()
    }

    /// The snapshot itself, and what of it is in the local store.
    pub fn lower(&self) -> &Lower {
        &self.lower
    }

    /// Whether what an operation missed is on this machine, so that fetching it needs no network.
    pub fn is_here(&self, want: &Want) -> bool {
        self.lower.is_here(want)
    }

    /// Fetches what an operation missed. Blocks on the network, with the source's deadline.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub fn fetch(&self, want: &Want) -> Result<(), Error> {
        Ok(self.lower.fetch(want)?)
    }

    /// Tells that there is work to push: one message for all of it since the last message was taken.
    pub fn work(&self) -> &Receiver<()> {
        self.bell.heard()
    }

    /// When the latest of it came.
    pub fn worked_at(&self) -> Instant {
        self.bell.latest()
    }

    fn own_root(&self, state: &mut State, owner: Owner) -> Result<(), Error> {
        self.commit(
            state,
            &Record::SetAttributes {
                path: journal::Path::default(),
                inode: Ino::ROOT.0,
                change: AttributeChange {
                    uid: Some(owner.uid),
                    gid: Some(owner.gid),
                    ..AttributeChange::default()
                },
            },
        )?;
        Ok(())
    }

    pub(super) fn wake_replay(&self) {
        self.bell.ring();
    }

    /// The lower listing that an operation on a name needs: none when the upper layer decides alone.
    pub(super) fn listing_for(
        &self,
        directory: Ino,
        name: &Name,
    ) -> Result<Option<Arc<Listing>>, Error> {
        if self.state.lock().upper.entry(directory, name).is_some() {
            return Ok(None);
        }
        self.listing(directory)
    }

    /// The lower listing that shows through a directory, if one does.
    pub(super) fn listing(&self, directory: Ino) -> Result<Option<Arc<Listing>>, Error> {
        self.lower.looked_into();
        let lower = self.state.lock().lower_directory(directory)?;
        let Some((path, oid)) = lower else {
            return Ok(None);
        };
        self.listing_of(&path, oid).map(Some)
    }

    /// A listing by its tree.
    pub(super) fn listing_of(
        &self,
        path: &crate::tree::TreePath,
        oid: crate::tree::GitOid,
    ) -> Result<Arc<Listing>, Error> {
        match self.lower.listing(oid)? {
            Some(listing) => Ok(listing),
            None => Err(Error::Missing(Want::Listing {
                path: path.clone(),
                oid,
            })),
        }
    }

    /// Buries the body of a node that has neither name nor reference.
    pub(super) fn reap(&self, state: &mut MutexGuard<'_, State>, ino: Ino) {
        if let Some(gone) = state.let_go(ino) {
            state.marked.remove(&gone);
            state.standing.remove(&gone);
            self.ledger.bury(gone, self.journal.head());
        }
    }
}

/// The clock that body files' times come from as well, so that the two never disagree.
pub(super) fn now() -> Timestamp {
    match nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME_COARSE) {
        Ok(time) => Timestamp {
            seconds: time.tv_sec(),
            nanoseconds: time.tv_nsec().unsigned_abs() as u32,
        },
        Err(_) => std::time::SystemTime::now().into(),
    }
}
