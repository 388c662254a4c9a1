//! Sweeps: once somebody walks the snapshot, the rest of the walk is asked for in one request.
//!
//! A walk is a few listings that had to be fetched within a moment, not all of them on the way down to one
//! directory: that is how a file is opened. The sweep begins at the deepest
//! directory above all of them, on a thread of its own, and keeps each listing as it arrives; whoever
//! wants one that is on its way waits for it as long as listings keep coming, and then asks for it
//! by itself. A source that cannot tell many listings at once is asked for one after the other.
//!
//! What is told ahead of anybody's walk ([`Sweeps::begin_ahead`]) is not waited for, since asking for the one
//! listing is as fast, until somebody walks: then it is as good as his sweep.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::tree::TreePath;

/// So many fetched listings within [`WALK_TIME`] are a walk: more than opening a file by its path takes
/// where each brings some of those below it, and few enough that a slow network is not asked often.
const WALK_LISTINGS: usize = 3;
const WALK_TIME: Duration = Duration::from_secs(10);
/// Most entries that one sweep takes, whatever the server tells: 100 MB on the disk.
pub const SWEEP_ENTRIES_MAX: usize = 1_000_000;
/// How long whoever waits for a listing looks on while nothing arrives, and in all: it may be the
/// last one of a large tree.
const SILENCE_MAX: Duration = Duration::from_millis(300);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// After a sweep that failed, how long listings are fetched one by one.
const PAUSE: Duration = Duration::from_secs(30);

/// How a sweep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Everything came, or as much as is taken.
    Done,
    /// As much came as was asked for, or less: it was not for somebody who walks.
    Part,
    /// The source knows no such request.
    Unknown,
    /// The source failed.
    Failed,
}

/// The sweeps of one snapshot.
#[derive(Default)]
pub(super) struct Sweeps {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    fetched: VecDeque<(Instant, TreePath)>,
    running: Option<Running>,
    /// Where sweeps were done: what is below was told, or is too much.
    done: Vec<TreePath>,
    not_before: Option<Instant>,
    is_unknown: bool,
    is_closed: bool,
}

struct Running {
    top: TreePath,
    /// When a listing arrived last.
    heard: Instant,
    /// How long one of its listings is waited for.
    wait_max: Duration,
}

impl Sweeps {
    /// Notes that a listing had to be fetched; says where a sweep is to begin, if one is. The
    /// caller begins it, and tells its end.
    pub(super) fn note(&self, path: &TreePath, now: Instant) -> Option<TreePath> {
        let mut state = self.state.lock();
        let is_over = |noted: &Instant| now.saturating_duration_since(*noted) > WALK_TIME;
        while state
            .fetched
            .front()
            .is_some_and(|(noted, _)| is_over(noted))
        {
            state.fetched.pop_front();
        }
        state.fetched.push_back((now, path.clone()));
        if state.fetched.len() < WALK_LISTINGS {
            return None;
        }
        let mut paths = state.fetched.iter().map(|(_, path)| path);
        let deepest = paths.clone().max_by_key(|path| path.names().count())?;
        if paths.clone().all(|path| path.covers(deepest)) {
            return None;
        }
        let first = paths.next()?.clone();
        let top = paths.fold(first, |above, path| above.common(path));
        if let Some(running) = state.running.as_mut().filter(|at| at.top.covers(&top)) {
            running.wait_max = WAIT_MAX;
        }
        if !state.begin(&top, now, WAIT_MAX) {
            return None;
        }
        state.fetched.clear();
        // Whoever leaves what was swept at once walks what is above it.
        state
            .fetched
            .extend((1..WALK_LISTINGS).map(|_| (now, top.clone())));
        Some(top)
    }

    /// Begins what is told ahead of anybody's walk, from the root down, if it may begin.
    pub(super) fn begin_ahead(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.begin(&TreePath::ROOT, now, Duration::ZERO)
    }

    /// Notes that a listing has arrived; says whether more are wanted.
    pub(super) fn arrived(&self) -> bool {
        let mut state = self.state.lock();
        if let Some(running) = &mut state.running {
            running.heard = Instant::now();
        }
        self.arrived.notify_all();
        !state.is_closed
    }

    /// Notes the end of a sweep.
    pub(super) fn ended(&self, end: End) {
        let mut state = self.state.lock();
        if let Some(running) = state.running.take() {
            match end {
                End::Done => state.done.push(running.top),
                End::Part => {}
                End::Unknown => state.is_unknown = true,
                End::Failed => state.not_before = Some(Instant::now() + PAUSE),
            }
        }
        self.arrived.notify_all();
    }

    /// Ends what runs with its next listing.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
    }

    /// Whether nothing more is to be guessed.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Waits while a sweep is at work above `path`, as long as listings arrive and `is_here` does
    /// not find the one that is wanted, and not for ever.
    pub(super) fn wait(&self, path: &TreePath, mut is_here: impl FnMut() -> bool) {
        let begun = Instant::now();
        loop {
            {
                let mut state = self.state.lock();
                let Some(running) = &state.running else {
                    return;
                };
                let silence = running.heard.elapsed();
                let left = SILENCE_MAX
                    .saturating_sub(silence)
                    .min(running.wait_max.saturating_sub(begun.elapsed()));
                if !running.top.covers(path) || left.is_zero() {
                    return;
                }
                self.arrived.wait_for(&mut state, left);
            }
            if is_here() {
                return;
            }
        }
    }
}

impl State {
    /// Begins a sweep, if one may begin there.
    fn begin(&mut self, top: &TreePath, now: Instant, wait_max: Duration) -> bool {
        let may = self.running.is_none()
            && !self.is_unknown
            && !self.is_closed
            && self.not_before.is_none_or(|then| now >= then)
            && !self.done.iter().any(|done| done.covers(top));
        if may {
            self.running = Some(Running {
                top: top.clone(),
                heard: now,
                wait_max,
            });
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::try_from(text).unwrap()
    }

    fn walked(sweeps: &Sweeps, folder: &str, now: Instant) -> Option<TreePath> {
        let mut top = None;
        for number in 0..WALK_LISTINGS {
            top = sweeps.note(&path(&format!("{folder}/{number}")), now);
        }
        top
    }

    #[test]
    fn a_walk_is_swept_once_from_the_directory_above_it() {
        let sweeps = Sweeps::default();
        let now = Instant::now();
        assert_eq!(walked(&sweeps, "a/b", now), Some(path("a/b")));
        // One at a time.
        assert_eq!(walked(&sweeps, "c", now), None);
        sweeps.ended(End::Done);
        assert_eq!(walked(&sweeps, "a/b/c", now), None);
        sweeps.ended(End::Done);
        let other = Sweeps::default();
        for (number, folder) in ["x", "y"]
            .iter()
            .cycle()
            .take(WALK_LISTINGS - 1)
            .enumerate()
        {
            assert_eq!(other.note(&path(&format!("{folder}/{number}")), now), None);
        }
        assert_eq!(other.note(&path("x/last"), now), Some(TreePath::default()));
    }

    #[test]
    fn whoever_leaves_what_was_swept_walks_what_is_above() {
        let sweeps = Sweeps::default();
        let now = Instant::now();
        assert_eq!(walked(&sweeps, "a/b", now), Some(path("a/b")));
        sweeps.ended(End::Done);
        assert_eq!(sweeps.note(&path("a/c"), now), Some(path("a")));
        sweeps.ended(End::Done);
        assert_eq!(sweeps.note(&path("d"), now + WALK_TIME * 2), None);
    }

    #[test]
    fn the_way_down_to_a_file_is_no_walk() {
        let sweeps = Sweeps::default();
        let now = Instant::now();
        let mut down = TreePath::ROOT;
        for _ in 0..10 {
            assert_eq!(sweeps.note(&down, now), None);
            down = down.join(&"d".try_into().unwrap()).unwrap();
        }
        assert_eq!(sweeps.note(&path("d/e"), now), Some(TreePath::ROOT));
    }

    #[test]
    fn a_few_listings_now_and_then_are_no_walk() {
        let sweeps = Sweeps::default();
        let mut now = Instant::now();
        for number in 0..50 {
            assert_eq!(sweeps.note(&path(&format!("d/{number}")), now), None);
            now += WALK_TIME * 2 / 3;
        }
    }

    #[test]
    fn what_fails_is_left_alone_for_a_while_and_what_is_unknown_for_good() {
        let sweeps = Sweeps::default();
        let now = Instant::now();
        assert!(walked(&sweeps, "a", now).is_some());
        sweeps.ended(End::Failed);
        assert_eq!(walked(&sweeps, "a", now), None);
        let later = now + PAUSE + Duration::from_secs(1);
        assert!(walked(&sweeps, "a", later).is_some());
        sweeps.ended(End::Unknown);
        assert_eq!(walked(&sweeps, "b", later + PAUSE * 2), None);
    }

    #[test]
    fn what_is_told_ahead_is_a_sweep_once_somebody_walks() {
        let sweeps = Sweeps::default();
        let now = Instant::now();
        let wait_max = || sweeps.state.lock().running.as_ref().unwrap().wait_max;
        assert!(sweeps.begin_ahead(now) && !sweeps.begin_ahead(now));
        sweeps.wait(&path("a"), || panic!("it is not waited for"));
        assert!(sweeps.arrived());
        assert_eq!(walked(&sweeps, "a", now), None);
        assert_eq!(wait_max(), WAIT_MAX);
        // What did not come with it is walked on its own, from the next look on.
        sweeps.ended(End::Part);
        assert_eq!(sweeps.note(&path("a/last"), now), Some(path("a")));
    }

    #[test]
    fn nobody_waits_for_a_sweep_that_is_silent_or_elsewhere() {
        let sweeps = Sweeps::default();
        assert!(walked(&sweeps, "a", Instant::now()).is_some());
        let begun = Instant::now();
        sweeps.wait(&path("b/c"), || panic!("it is not looked for"));
        assert!(begun.elapsed() < SILENCE_MAX);
        sweeps.wait(&path("a/c"), || false);
        assert!(begun.elapsed() >= SILENCE_MAX);
        std::thread::scope(|scope| {
            scope.spawn(|| sweeps.arrived());
            sweeps.wait(&path("a/c"), || true);
        });
    }
}
