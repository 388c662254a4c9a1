//! Sees to it that what is pinned is on this machine, and stays.
//!
//! ```text
//! waiting ──> fetching ──> kept, absent ──> fetching   another snapshot is shown, an object was damaged
//!                 └──> incomplete ──> fetching         after a pause, or when the server is back
//! ```
//!
//! The list is durable before a command is answered (`pins.rs`). One thread makes the rest so, for the
//! repositories that are open; those with pins are opened for it at the start. Nothing is lost by a death
//! at any time: what the store has for a path goes when all that replaces it is there, or when the list no
//! longer has the path.

mod standing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, select};
use parking_lot::{Mutex, MutexGuard};

use self::standing::Standing;
use super::control::{PinAnswer, PinState};
use super::failure::in_a_line;
use super::pins::Pins;
use super::repositories::OpenRepositories;
use super::repository::Repository;
use super::{Error, at_rest, known};
use crate::fuse::Repositories;
use crate::lower::{self, Progress, Store};
use crate::tree::TreePath;

/// Between two looks at what repositories show: as long may a repository that was opened wait.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long what is about to be closed is left alone.
const LET_GO: Duration = Duration::from_secs(15);

/// What is pinned, and how it stands.
pub(super) struct Pinning {
    /// By repository. Held while a list is read or written, by commands and by the thread; what the
    /// kernel asks takes it never.
    table: Mutex<BTreeMap<String, Entry>>,
    /// Whose turn it is to change what the store has for pins.
    turn: Mutex<()>,
    /// Held while repositories are opened.
    opening: Mutex<()>,
    wake: (Sender<()>, Receiver<()>),
    /// Something was released, which a store over its limit may evict now.
    has_released: AtomicBool,
    /// As [`Store::lost`] was last.
    lost: AtomicU64,
    is_ending: AtomicBool,
    /// Closed once the thread has ended.
    alive: Receiver<()>,
}

/// A repository.
struct Entry {
    pins: Pins,
    /// Whether what the list does not have was released: a death may have come before that.
    is_swept: bool,
    standings: BTreeMap<String, Standing>,
}

/// One path whose turn it is.
struct Job {
    holder: lower::Holder,
    path: String,
    progress: Arc<Progress>,
}

impl Pinning {
    /// Starts the thread, which does not keep the repositories alive.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(super) fn start(repositories: &Arc<OpenRepositories>) -> Result<Arc<Pinning>, Error> {
        let (living, alive) = bounded(0);
        let pinning = Arc::new(Pinning {
            table: Mutex::default(),
            turn: Mutex::default(),
            opening: Mutex::default(),
            wake: bounded(1),
            has_released: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            is_ending: AtomicBool::new(false),
            alive,
        });
        let back = repositories.remote().watch();
        let (own, repositories) = (Arc::clone(&pinning), Arc::downgrade(repositories));
        let thread = thread::Builder::new().name("pins".to_owned());
        let started = thread.spawn(move || {
            let _living: Sender<()> = living;
            own.rounds(&repositories, &back);
        });
        started.map_err(Error::Setup)?;
        Ok(pinning)
    }

    /// Pins a path of a repository; what it needs is fetched afterwards.
    ///
    /// # Errors
    ///
    /// The list cannot be read or written.
    pub(super) fn add(&self, repository: &Repository, path: &str) -> Result<PinAnswer, Error> {
        let name = repository.name().to_string();
        let mut table = self.table.lock();
        let entry = entry(&mut table, &name, repository.folder())?;
        let added = entry.pins.add(path);
        added.map_err(|source| unwritable(&entry.pins, source))?;
        let standing = entry.standings.entry(path.to_owned());
        let standing = standing.or_insert_with(Standing::new);
        if standing.state != PinState::Fetching {
            *standing = Standing::new();
        }
        let pins = vec![standing.shown(&name, path)];
        drop(table);
        self.wake();
        Ok(PinAnswer { pins })
    }

    /// Lets go of what was pinned by a path of a repository, open or not; waits for that.
    ///
    /// # Errors
    ///
    /// Nothing is known of the repository; its list or the store cannot be written.
    pub(super) fn remove(&self, store: &Store, name: &str, path: &str) -> Result<PinAnswer, Error> {
        let mut table = self.table.lock();
        let entry = table.get_mut(name).ok_or_else(|| no_such(name))?;
        let removed = entry.pins.remove(path);
        removed.map_err(|source| unwritable(&entry.pins, source))?;
        let gone = entry.standings.remove(path);
        let (holder, paths) = (entry.pins.holder(), entry.pins.tree_paths());
        // Whatever is under way begins again, but for what was just removed.
        if let Some(gone) = &gone {
            gone.progress.is_stopped.store(true, Ordering::Relaxed);
        }
        stop(&mut table, |_| true, Duration::ZERO);
        drop(table);
        {
            let _turn = self.turn.lock();
            store
                .release_all_but(holder, &paths)
                .map_err(Error::Store)?;
        }
        self.has_released.store(true, Ordering::Release);
        self.wake();
        let pins = gone.iter().map(|gone| gone.shown(name, path)).collect();
        Ok(PinAnswer { pins })
    }

    /// All that is pinned, as far as its repository was opened here.
    pub(super) fn list(&self) -> PinAnswer {
        let mut pins = Vec::new();
        for (name, entry) in self.table.lock().iter() {
            let standings = entry.standings.iter();
            pins.extend(standings.map(|(path, standing)| standing.shown(name, path)));
        }
        PinAnswer { pins }
    }

    /// Leaves repositories alone for a while, which are about to be closed.
    pub(super) fn pause(&self, is_meant: impl Fn(&str) -> bool) {
        stop(&mut self.table.lock(), is_meant, LET_GO);
    }

    /// Has the thread end, with its current request; no repository is opened after this.
    pub(super) fn stop(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.pause(|_| true);
        self.wake();
        drop(self.opening.lock());
    }

    /// Waits until the thread has ended, but not for long.
    pub(super) fn wait(&self, patience: Duration) {
        let _ended_or_late = self.alive.recv_timeout(patience);
    }

    fn wake(&self) {
        // One that has not been heard yet is as good.
        let _full = self.wake.0.try_send(());
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    fn rounds(&self, repositories: &Weak<OpenRepositories>, back: &Receiver<()>) {
        if let Some(repositories) = repositories.upgrade() {
            self.open_pinned(&repositories);
        }
        let mut back = back.clone();
        while !self.is_ending()
            && let Some(repositories) = repositories.upgrade()
        {
            let store = repositories.store();
            let lost = store.lost();
            if self.lost.swap(lost, Ordering::Relaxed) != lost {
                self.again(|state| matches!(state, PinState::Kept | PinState::Absent));
            }
            for repository in repositories.all() {
                self.round(&repository, store);
            }
            if self.has_released.swap(false, Ordering::AcqRel)
                && let Err(error) = store.enforce()
            {
                tracing::warn!(error = %error, "the cache cannot be counted");
            }
            drop(repositories);
            select! {
                recv(self.wake.1) -> _ => {}
                recv(back) -> told => match told {
                    Ok(()) => self.again(|state| state == PinState::Incomplete),
                    // Nobody is left who could tell.
                    Err(_) => back = crossbeam_channel::never(),
                },
                recv(after(LOOK_EVERY)) -> _ => {}
            }
        }
    }

    /// Has everything in such a state looked at again at once.
    fn again(&self, is_meant: impl Fn(PinState) -> bool) {
        for entry in self.table.lock().values_mut() {
            for standing in entry.standings.values_mut() {
                if is_meant(standing.state) {
                    standing.state = PinState::Waiting;
                    standing.not_before = Instant::now();
                }
            }
        }
    }

    /// Opens the repositories that have pins, so that what is new in them is here before somebody looks.
    fn open_pinned(&self, repositories: &OpenRepositories) {
        let folder = at_rest::repositories_folder(&repositories.config().data_folder);
        for organization in repositories.organizations() {
            let folder = folder.join(organization.as_os_str());
            for name in known::opened(&folder).unwrap_or_default() {
                let _opening = self.opening.lock();
                if self.is_ending() {
                    return;
                }
                let folder = folder.join(name.as_os_str());
                let text = format!("{organization}/{name}");
                let has_any = match entry(&mut self.table.lock(), &text, &folder) {
                    Ok(entry) => entry.pins.paths().next().is_some(),
                    Err(error) => {
                        let error = in_a_line(&error);
                        tracing::error!(repository = text, error, "what is pinned is not known");
                        false
                    }
                };
                if has_any
                    && repositories.selection.shows(&organization, &name)
                    && let Err(error) = repositories.open_any(&organization, &name)
                {
                    let error = in_a_line(&error);
                    tracing::warn!(repository = text, error, "its pins wait for its first use");
                }
            }
        }
    }

    /// Does what is due in a repository.
    fn round(&self, repository: &Repository, store: &Store) {
        while !self.is_ending()
            && let Some(job) = self.next(repository, store)
        {
            let _turn = self.turn.lock();
            if job.progress.is_stopped.load(Ordering::Relaxed) {
                self.ended(repository, &job, Ok(true));
                continue;
            }
            let end = match TreePath::try_from(job.path.as_str()) {
                Ok(path) => {
                    let overlay = repository.overlay();
                    let top = overlay.lower_path(&path).unwrap_or_else(|| path.clone());
                    (overlay.lower()).pin_below(&top, (job.holder, &path), &job.progress)
                }
                Err(_) => Ok(false),
            };
            if let Err(error) = &end {
                let (name, path) = (repository.name(), &job.path);
                let error = in_a_line(error);
                tracing::info!(repository = %name, path, error, "not all that is pinned is here");
            }
            self.ended(repository, &job, end);
        }
    }

    fn next(&self, repository: &Repository, store: &Store) -> Option<Job> {
        let tree = repository.overlay().pin().tree;
        let name = repository.name().to_string();
        let mut table = self.table.lock();
        // A list that cannot be read was told of at the start, and is by every command.
        let entry = entry(&mut table, &name, repository.folder()).ok()?;
        let holder = entry.pins.holder();
        if !std::mem::replace(&mut entry.is_swept, true)
            && let Err(error) = store.release_all_but(holder, &entry.pins.tree_paths())
        {
            tracing::warn!(repository = name, %error, "what is no longer pinned stays");
        }
        let is_due = |(path, standing): &(&String, &mut Standing)| {
            standing.is_due(tree, || {
                TreePath::try_from(path.as_str())
                    .is_ok_and(|path| store.is_pinned(holder, &path, tree))
            })
        };
        let (path, standing) = entry.standings.iter_mut().find(is_due)?;
        standing.state = PinState::Fetching;
        standing.tree = Some(tree);
        standing.progress = Arc::default();
        Some(Job {
            holder,
            path: path.clone(),
            progress: Arc::clone(&standing.progress),
        })
    }

    fn ended(&self, repository: &Repository, job: &Job, end: Result<bool, lower::Error>) {
        let mut table = self.table.lock();
        let entry = table.get_mut(&repository.name().to_string());
        let standing = entry.and_then(|entry| entry.standings.get_mut(&job.path));
        if let Some(standing) = standing
            && Arc::ptr_eq(&standing.progress, &job.progress)
        {
            standing.end(end);
        }
    }
}

/// What is pinned in a repository, read at its first use.
fn entry<'a>(
    table: &'a mut MutexGuard<'_, BTreeMap<String, Entry>>,
    name: &str,
    folder: &Path,
) -> Result<&'a mut Entry, Error> {
    if !table.contains_key(name) {
        let pins = Pins::read(folder).map_err(|source| Error::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let standings = pins.paths().map(|path| (path.to_owned(), Standing::new()));
        let standings = standings.collect();
        let entry = Entry {
            pins,
            is_swept: false,
            standings,
        };
        table.insert(name.to_owned(), entry);
    }
    let entry = table.get_mut(name);
    entry.ok_or_else(|| no_such(name))
}

fn no_such(name: &str) -> Error {
    Error::NoSuchRepository {
        name: name.to_owned(),
    }
}

fn unwritable(pins: &Pins, source: std::io::Error) -> Error {
    Error::Folder {
        path: pins.path().to_owned(),
        source,
    }
}

/// Has what is under way end, and not begin again before its time.
fn stop(
    table: &mut MutexGuard<'_, BTreeMap<String, Entry>>,
    is_meant: impl Fn(&str) -> bool,
    pause: Duration,
) {
    for (name, entry) in table.iter_mut() {
        for standing in entry.standings.values_mut().filter(|_| is_meant(name)) {
            standing.not_before = Instant::now() + pause;
            if standing.state == PinState::Fetching {
                standing.progress.is_stopped.store(true, Ordering::Relaxed);
            }
        }
    }
}
