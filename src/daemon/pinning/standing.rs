//! How one pinned path stands, and when it is looked at next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::control::{PinEntry, PinState};
use crate::daemon::failure::in_a_line;
use crate::lower::{self, Progress};
use crate::tree::GitOid;

/// Before what failed is tried again, doubled each time: that a server is back is told, so this is for all
/// else.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How a pinned path stands.
pub(super) struct Standing {
    pub(super) state: PinState,
    pub(super) reason: Option<String>,
    /// The snapshot that this is about.
    pub(super) tree: Option<GitOid>,
    pub(super) progress: Arc<Progress>,
    failures: u32,
    /// Not tried before.
    pub(super) not_before: Instant,
}

impl Standing {
    pub(super) fn new() -> Standing {
        Standing {
            state: PinState::Waiting,
            reason: None,
            tree: None,
            progress: Arc::default(),
            failures: 0,
            not_before: Instant::now(),
        }
    }

    pub(super) fn is_due(&self, tree: GitOid, is_pinned: impl FnOnce() -> bool) -> bool {
        match self.state {
            PinState::Fetching => false,
            PinState::Waiting => self.not_before <= Instant::now(),
            _ if self.tree != Some(tree) => true,
            PinState::Incomplete => self.not_before <= Instant::now(),
            PinState::Kept | PinState::Absent => !is_pinned(),
        }
    }

    pub(super) fn end(&mut self, end: Result<bool, lower::Error>) {
        self.reason = None;
        match end {
            // Somebody else's turn came first.
            Ok(_) if self.progress.is_stopped.load(Ordering::Relaxed) => {
                self.state = PinState::Waiting;
            }
            Ok(is_there) => {
                self.failures = 0;
                self.state = PinState::Kept;
                if !is_there {
                    self.state = PinState::Absent;
                    let why = "the commit that is shown has nothing there; what is only here needs \
                               no pin";
                    self.reason = Some(why.to_owned());
                }
            }
            Err(error) => {
                let pause = PAUSE_MIN * 2_u32.saturating_pow(self.failures.min(8));
                self.failures += 1;
                self.not_before = Instant::now() + pause.min(PAUSE_MAX);
                self.state = PinState::Incomplete;
                self.reason = Some(in_a_line(&error));
            }
        }
    }

    pub(super) fn shown(&self, repo: &str, path: &str) -> PinEntry {
        let progress = &self.progress;
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        PinEntry {
            repo: repo.to_owned(),
            path: path.to_owned(),
            state: self.state,
            reason: self.reason.clone(),
            is_walked: progress.is_walked.load(Ordering::Relaxed),
            files: count(&progress.files),
            bytes: count(&progress.bytes),
            files_here: count(&progress.files_here),
            bytes_here: count(&progress.bytes_here),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::SourceError;

    const ONE: GitOid = GitOid([1; 20]);
    const OTHER: GitOid = GitOid([2; 20]);

    fn ended(end: Result<bool, lower::Error>) -> Standing {
        let mut standing = Standing::new();
        standing.state = PinState::Fetching;
        standing.tree = Some(ONE);
        standing.end(end);
        standing
    }

    #[test]
    fn what_is_here_is_looked_at_again_when_it_is_damaged_or_something_else_is_shown() {
        assert!(Standing::new().is_due(ONE, || false));
        for (is_there, state) in [(true, PinState::Kept), (false, PinState::Absent)] {
            let standing = ended(Ok(is_there));
            assert_eq!(standing.state, state);
            assert!(!standing.is_due(ONE, || true));
            assert!(standing.is_due(ONE, || false) && standing.is_due(OTHER, || true));
        }
    }

    #[test]
    fn what_failed_is_tried_again_later_each_time_or_for_something_else_at_once() {
        let mut standing = ended(Err(SourceError::Offline.into()));
        assert_eq!(standing.state, PinState::Incomplete);
        assert!(!standing.is_due(ONE, || false) && standing.is_due(OTHER, || false));
        for seconds in [4, 8, 16, 32, 60, 60, 60, 60, 60, 60] {
            let (pause, before) = (Duration::from_secs(seconds), Instant::now());
            standing.end(Err(SourceError::Offline.into()));
            assert!(standing.not_before >= before + pause);
            assert!(standing.not_before <= Instant::now() + pause);
        }
        standing.end(Ok(true));
        assert_eq!((standing.reason, standing.failures), (None, 0));
    }

    #[test]
    fn what_was_stopped_waits_for_its_next_turn() {
        let mut standing = ended(Ok(true));
        standing.progress.is_stopped.store(true, Ordering::Relaxed);
        standing.end(Ok(true));
        assert_eq!(standing.state, PinState::Waiting);
    }
}
