//! What was asked to be fetched beforehand, and how far it is: a thread for each, which ends with the
//! daemon at the latest. Nothing of it outlives the daemon but what was fetched.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::Error;
use super::control::{PrefetchAnswer, PrefetchJob, PrefetchState};
use super::failure::in_a_line;
use super::repository::Repository;
use crate::lower::Progress;
use crate::tree::TreePath;

/// Ended jobs that are remembered.
const JOBS_MAX: usize = 256;
/// Jobs that run at the same time, each with a few requests under way; the others wait for their turn.
const RUNNING_MAX: usize = 4;

/// What was asked for.
pub(super) struct Prefetching {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    next: AtomicU64,
    /// Holds a word for each job that runs.
    running: (Sender<()>, Receiver<()>),
}

impl Default for Prefetching {
    fn default() -> Prefetching {
        Prefetching {
            jobs: Mutex::default(),
            next: AtomicU64::new(0),
            running: bounded(RUNNING_MAX),
        }
    }
}

struct Job {
    id: u64,
    repo: String,
    path: String,
    progress: Progress,
    /// Once it has ended: why it failed, if it did.
    end: Mutex<Option<Result<(), String>>>,
}

impl Job {
    fn shown(&self) -> PrefetchJob {
        let end = self.end.lock().clone();
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let progress = &self.progress;
        PrefetchJob {
            id: self.id,
            repo: self.repo.clone(),
            path: self.path.clone(),
            state: match &end {
                None => PrefetchState::Running,
                Some(Err(_)) => PrefetchState::Failed,
                Some(Ok(())) if progress.is_stopped.load(Ordering::Relaxed) => {
                    PrefetchState::Stopped
                }
                Some(Ok(())) => PrefetchState::Done,
            },
            reason: end.and_then(Result::err),
            is_walked: progress.is_walked.load(Ordering::Relaxed),
            files: count(&progress.files),
            bytes: count(&progress.bytes),
            files_here: count(&progress.files_here),
            bytes_here: count(&progress.bytes_here),
        }
    }

    fn run(&self, repository: &Repository) {
        let fetched = match TreePath::try_from(self.path.as_str()) {
            Ok(path) => {
                let lower = repository.overlay().lower();
                lower.fetch_below(&path, &self.progress)
            }
            Err(_) => Ok(false),
        };
        let end = match fetched {
            Ok(true) => Ok(()),
            Ok(false) => Err(
                "the snapshot has nothing there; what is only here needs no fetching".to_owned(),
            ),
            Err(error) => Err(in_a_line(&error)),
        };
        *self.end.lock() = Some(end);
    }
}

impl Prefetching {
    /// Begins to fetch what a repository's snapshot has at a path and below.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub(super) fn start(
        &self,
        repository: Arc<Repository>,
        path: &str,
    ) -> Result<PrefetchAnswer, Error> {
        let job = Arc::new(Job {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            repo: repository.name().to_string(),
            path: path.to_owned(),
            progress: Progress::default(),
            end: Mutex::new(None),
        });
        let (began, ended) = self.running.clone();
        let running = Arc::clone(&job);
        let thread = thread::Builder::new().name("prefetch".to_owned());
        let started = thread.spawn(move || {
            // Both ends are here, so neither can be closed.
            let _turn = began.send(());
            running.run(&repository);
            let _given_on = ended.recv();
        });
        started.map_err(Error::Setup)?;
        let mut jobs = self.jobs.lock();
        if jobs.len() >= JOBS_MAX
            && let Some(ended) = jobs.iter().position(|job| job.end.lock().is_some())
        {
            jobs.remove(ended);
        }
        jobs.push_back(Arc::clone(&job));
        Ok(PrefetchAnswer {
            jobs: vec![job.shown()],
        })
    }

    /// How far each is.
    pub(super) fn list(&self) -> PrefetchAnswer {
        PrefetchAnswer {
            jobs: self.jobs.lock().iter().map(|job| job.shown()).collect(),
        }
    }

    /// Has all end that a test chooses by the repository's name; each does with its current request.
    pub(super) fn stop(&self, mut is_meant: impl FnMut(&str) -> bool) {
        for job in self.jobs.lock().iter() {
            if is_meant(&job.repo) && job.end.lock().is_none() {
                job.progress.is_stopped.store(true, Ordering::Relaxed);
            }
        }
    }
}
