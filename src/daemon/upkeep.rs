//! What has to be done now and then for every open repository: syncing what is older than the
//! commit interval, checkpoints of the index, compaction of the journal, keeping what was read. One
//! thread for all, since they share a disk; it also gives memory back, and holds the cache to its limit.

use std::io;
use std::sync::Weak;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use journal::failpoint::limit;

use super::memory;
use super::repositories::OpenRepositories;
use super::rounds::Rounds;

/// How often the index is brought up to the journal's head, in milliseconds: reopening reads at most
/// what half a minute of edits wrote.
const CHECKPOINT_EVERY_MS: u64 = 30_000;
/// How often what was read is kept: a death costs a few lines of a list that only says what to fetch
/// first, and keeping it costs a sync.
const PROFILE_EVERY: Duration = Duration::from_secs(10);
/// How often the cache is counted, if it has a limit; each publication adds to the count, and what makes
/// it wrong (a killed daemon, files removed by hand) is rare.
const COUNT_EVERY: Duration = Duration::from_secs(600);
/// Shortest pause between two rounds, for a commit interval of zero, which needs no rounds to sync.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Starts the thread. It does not keep the repositories alive.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn start(
    repositories: Weak<OpenRepositories>,
    interval: Duration,
) -> io::Result<Rounds> {
    Rounds::start("upkeep", move |ended| {
        rounds(&repositories, interval.max(PAUSE_MIN), ended);
    })
}

fn rounds(repositories: &Weak<OpenRepositories>, pause: Duration, ended: &Receiver<()>) {
    let every = Duration::from_millis(limit("MESA_TEST_CHECKPOINT_MS", CHECKPOINT_EVERY_MS));
    let mut checkpointed = Instant::now();
    let mut counted: Option<Instant> = None;
    let mut remembered = Instant::now();
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let Some(repositories) = repositories.upgrade() else {
            return;
        };
        let due = checkpointed.elapsed() >= every;
        for repository in repositories.all() {
            let overlay = repository.overlay();
            // Each on its own: on a full disk the last may be what makes room.
            let mut done = vec![overlay.sync_in_background()];
            if due {
                done.push(overlay.checkpoint());
                done.push(overlay.compact_if_large().map(drop));
            }
            for error in done.into_iter().filter_map(Result::err) {
                tracing::error!(repository = %repository.name(), error = %error, "upkeep failed");
            }
        }
        if remembered.elapsed() >= PROFILE_EVERY {
            repositories.all().iter().for_each(|one| one.keep_profile());
            remembered = Instant::now();
        }
        if counted.is_none_or(|counted| counted.elapsed() >= COUNT_EVERY) {
            if let Err(error) = repositories.store().enforce() {
                tracing::warn!(error = %error, "the cache cannot be counted");
            }
            counted = Some(Instant::now());
        }
        if due {
            memory::give_back();
            checkpointed = Instant::now();
        }
    }
}
