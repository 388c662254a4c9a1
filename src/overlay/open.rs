//! Opening: recovering the local state, putting it over a lower layer, and committing records.
//!
//! It has two steps, because what the lower layer must show is in the journal: [`Local::open`]
//! recovers without any network, and [`Local::over`] adds the lower layer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use journal::failpoint::limit;
use journal::{AttributeChange, Journal, Record, Sequence};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::error::Error;
use super::ledger::Ledger;
use super::state::{State, Work};
use super::types::Owner;
use crate::failpoints;
use crate::lower::{Listing, Lower, Pin, Source, Store, Want};
use crate::tree::{Ino, Name, Timestamp};
use crate::upper::{Bodies, Index, RemoteState, Upper, journal_time};

/// Where and how a repository's local state is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The repository's own folder, 0700; `journal`, `index` and `bodies` are made in it.
    pub folder: PathBuf,
    /// Whom files of the lower layer belong to.
    pub owner: Owner,
    /// How long an acknowledged operation may wait to survive a power cut; zero waits for none.
    pub commit_interval: Duration,
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
    wake: Sender<()>,
    woken: Receiver<()>,
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
        let (index, loaded) = Index::open(&folder.join("index"))?;
        failpoints::OPEN_INDEX.reach();
        let state = rebuild(loaded, &recovered, options.owner)?;
        let swept = ledger
            .bodies
            .sweep(|ino| state.upper.node(ino).is_some_and(|node| node.body))
            .map_err(Error::Body)?;
        ledger.note_inherited(state.upper.bodies());
        tracing::info!(
            folder = %folder.display(),
            head = recovered.journal.head().0,
            pending = state.work.operations,
            swept,
            "local state recovered"
        );
        Ok(Local {
            journal: recovered.journal,
            index,
            ledger,
            state,
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
        let (wake, woken) = bounded(1);
        let recorded = self.remote().pin;
        let overlay = Overlay {
            lower: Lower::new(store, source, pin),
            journal: self.journal,
            index: Mutex::new(self.index),
            ledger: self.ledger,
            gate: RwLock::new(()),
            state: Mutex::new(self.state),
            commit_interval: options.commit_interval,
            wake,
            woken,
        };
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
        if overlay.state.lock().work.operations > 0 {
            overlay.wake_replay();
        }
        Ok(overlay)
    }
}

/// The state at the journal's head.
fn rebuild(
    loaded: Option<(Sequence, Upper)>,
    recovered: &journal::Recovered,
    owner: Owner,
) -> Result<State, Error> {
    let now = now();
    let head = recovered.journal.head();
    // An index that is ahead of the journal, or behind its snapshot, is of another history.
    let usable = loaded.filter(|(applied, _)| *applied <= head && *applied >= recovered.snapshot);
    let (applied, upper) = match usable {
        Some((applied, upper)) => (Some(applied), upper),
        None => (None, Upper::default()),
    };
    let mut state = State::new(upper, owner);
    if applied.is_none() {
        state.upper.mark_all_changed();
    }
    for (sequence, record) in &recovered.records {
        if applied.is_none_or(|applied| *sequence > applied) {
            state.upper.apply(*sequence, record)?;
        }
    }
    for ino in state.upper.nameless() {
        state.upper.drop_nameless(ino);
    }
    let (work, since_capture) = unsent(&recovered.records, recovered.snapshot, &state, now);
    state.work = work;
    state.since_capture = since_capture;
    state.lower_time = state
        .upper
        .remote()
        .pin
        .map(|pin| pin.3)
        .unwrap_or_default();
    Ok(state)
}

/// What the remote does not have, as the records tell it: all of it, and what came after a push that
/// was announced and has no outcome. That one may have been accepted, so until it is settled it is on
/// its way, and what came after it is counted by itself, as if the process had never died.
pub(super) fn unsent(
    records: &[(Sequence, Record)],
    snapshot: Sequence,
    state: &State,
    now: Timestamp,
) -> (Work, Option<Work>) {
    let remote = state.upper.remote();
    let (pushed, announced) = (remote.pushed, remote.intended.map(|(through, _)| through));
    let in_snapshot = records
        .iter()
        .take_while(|(sequence, _)| *sequence <= snapshot);
    let pushed_then = in_snapshot
        .filter_map(|(_, record)| match record {
            Record::Pushed { through, .. } => Some(*through),
            _ => None,
        })
        .last()
        .unwrap_or(Sequence::ZERO);
    // A push that was captured before the snapshot and accepted after it leaves what came between.
    let later_is_all = pushed > pushed_then;
    let mut work = Work::default();
    let mut since = announced.map(|_| Work::default());
    for (sequence, record) in records {
        let (is_work, is_since) = if *sequence > snapshot {
            (
                true,
                announced.is_some_and(|announced| *sequence > announced),
            )
        } else {
            match record {
                Record::Pending { .. } => (!later_is_all, false),
                Record::PendingLater { .. } => (
                    later_is_all,
                    announced.is_some_and(|announced| announced < snapshot),
                ),
                _ => (false, false),
            }
        };
        if is_work && *sequence > pushed {
            work.add(record, now);
        }
        if let Some(since) = since.as_mut().filter(|_| is_since) {
            since.add(record, now);
        }
    }
    (work, since)
}

impl Overlay {
    /// The snapshot that is beneath.
    pub fn pin(&self) -> Pin {
        self.lower.pin()
    }

    /// The snapshot itself, and what of it is in the local store.
    pub fn lower(&self) -> &Lower {
        &self.lower
    }

    /// Fetches what an operation missed. Blocks on the network, with the source's deadline.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub fn fetch(&self, want: &Want) -> Result<(), Error> {
        Ok(self.lower.fetch(want)?)
    }

    /// Wakes when there is work to push. One waiter.
    pub fn work(&self) -> &Receiver<()> {
        &self.woken
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

    /// Appends a record and applies it: the one way in which anything changes.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`] once a sync has failed; the journal's.
    pub(super) fn commit(&self, state: &mut State, record: &Record) -> Result<Sequence, Error> {
        self.check_writable()?;
        let sequence = self.journal.append(record)?;
        state.absorb(sequence, record, now())?;
        if record.is_pending_work() {
            self.wake_replay();
        }
        Ok(sequence)
    }

    /// Why nothing can change any more, if that is so: the sync that failed. Opening anew is the cure;
    /// it finds everything that was acknowledged, unless the disk has lost it.
    pub fn failure(&self) -> Option<Arc<std::io::Error>> {
        self.ledger.failure().or_else(|| self.journal.failure())
    }

    pub(super) fn check_writable(&self) -> Result<(), Error> {
        match self.failure() {
            Some(_) => Err(Error::ReadOnly),
            None => Ok(()),
        }
    }

    pub(super) fn wake_replay(&self) {
        // A full channel means that the worker has yet to see the last wake-up.
        let _ = self.wake.try_send(());
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
