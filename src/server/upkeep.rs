//! Upkeep of the repositories that are ours: those that have become heaps of small files are packed, in
//! the background, one at a time.
//!
//! Whoever has written says so, which costs him nothing: the repository is looked at later, once for all
//! that was written meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::git;
use super::repositories::Hosted;

/// A repository that could not be packed is left alone for so long: a damaged object or a full disk stays
/// what it is for a while, and each attempt would cost as much as the last.
const RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Packs repositories while this value lives.
#[derive(Debug)]
pub(super) struct Upkeep {
    waiting: Arc<Waiting>,
    _worker: JoinSet<()>,
}

/// Repositories to look at, by id.
#[derive(Debug, Default)]
struct Waiting {
    repositories: Mutex<BTreeMap<String, Arc<Hosted>>>,
    more: Notify,
}

impl Upkeep {
    /// Begins; each use of the `git` program takes one of `programs`. Its task runs on the caller's runtime.
    pub(super) fn start(programs: Arc<Semaphore>) -> Upkeep {
        let waiting = Arc::new(Waiting::default());
        let mut worker = JoinSet::new();
        worker.spawn(work(waiting.clone(), programs));
        Upkeep {
            waiting,
            _worker: worker,
        }
    }

    /// Has a repository looked at, since somebody wrote to it.
    pub(super) fn look_at(&self, hosted: &Arc<Hosted>) {
        if hosted.check_ours().is_ok() {
            let mut repositories = self.waiting.repositories.lock();
            repositories.insert(hosted.id.clone(), hosted.clone());
            self.waiting.more.notify_one();
        }
    }
}

async fn work(waiting: Arc<Waiting>, programs: Arc<Semaphore>) {
    let mut failed: HashMap<String, Instant> = HashMap::new();
    loop {
        let next = waiting.repositories.lock().pop_first();
        let Some((id, hosted)) = next else {
            waiting.more.notified().await;
            continue;
        };
        failed.retain(|_, at| at.elapsed() < RETRY_AFTER);
        if failed.contains_key(&id) {
            continue;
        }
        match look_after(&hosted, &programs).await {
            Ok(None) => {}
            Ok(Some(git::Repacked { loose, packs })) => {
                tracing::info!(repository = hosted.name, loose, packs, "repacked");
            }
            Err(error) => {
                git::tell_unpacked(&hosted.name, &error);
                failed.insert(id, Instant::now());
            }
        }
    }
}

async fn look_after(
    hosted: &Hosted,
    programs: &Semaphore,
) -> Result<Option<git::Repacked>, git::Error> {
    if !hosted.git.is_heap().await? {
        return Ok(None);
    }
    // Never closed.
    let _program = programs.acquire().await;
    hosted.git.repack().await.map(Some)
}
