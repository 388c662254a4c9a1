//! Reading ahead: once somebody reads one file after the other, the next ones are asked for many at
//! once. What is asked for when; `batches.rs` asks.
//!
//! A run is a few objects that had to be fetched within a moment. From then on the files that come
//! next in a walk of the snapshot are asked for, as long as there is room in a *window*: what was
//! asked for and was not opened yet. Whoever opens half a window has it grow, so the first batches are
//! small, the later ones large, and the next one is on its way while the last one is read. A file that
//! is missed all the same says where the reader really is, and the walk goes on from there. A run that
//! stops has cost about as much as it has read. Whoever wants an object that is on its way waits for
//! it, as long as objects keep coming. Where each object costs a request, one that only waits for its
//! turn is not waited for: the reader asks for it, and it is left out.

mod run;
mod weighed;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::run::Run;
use self::weighed::Weighed;
use super::amount::Amount;
use crate::tree::{GitOid, TreePath};

/// So many fetched objects within [`RUN_TIME`] are a run: who reads two files wants those two.
pub(super) const RUN_OBJECTS: usize = 3;
const RUN_TIME: Duration = Duration::from_secs(10);
/// Doublings of [`RUN_OBJECTS`] at most, after runs that were of no use.
const DOUBTS_MAX: u32 = 5;
/// Larger objects travel alone, when they are wanted.
pub(super) const OBJECT_BYTES_MAX: u64 = 1 << 20;
/// Misses in a row with most of the window unused that end a run: who reads here and there is not
/// helped.
const STRAYS_MAX: u32 = 4;
/// How long whoever waits for an object looks on while nothing arrives, and in all.
const SILENCE_MAX: Duration = Duration::from_millis(300);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How long nothing may be opened before the run is over.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// After a batch that failed, how long objects are fetched one by one.
pub(super) const PAUSE: Duration = Duration::from_secs(30);

/// How asking for a batch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// What the source has came.
    Over,
    /// The source knows no such request.
    Unknown,
    /// The source failed.
    Failed,
    /// There is no room for more.
    Full,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Ask for so much more, from beside a file that was missed, if one was.
    Ask(Amount, Option<TreePath>),
    /// Nothing more.
    Nothing,
}

/// What is read ahead of one snapshot.
pub(super) struct Ahead {
    most: Amount,
    state: Mutex<State>,
    /// Something came that is waited for, or will not come.
    came: Condvar,
    /// There may be more to ask for.
    room: Condvar,
}

#[derive(Default)]
struct State {
    fetched: VecDeque<Instant>,
    run: Option<Run>,
    /// Asked for, and not here yet.
    coming: Weighed<Coming>,
    /// Those that somebody waits for, each as often as somebody does.
    awaited: Vec<GitOid>,
    /// Whether each object costs a request.
    is_one_by_one: bool,
    heard: Option<Instant>,
    doubts: u32,
    not_before: Option<Instant>,
    is_unknown: bool,
    is_closed: bool,
    /// Whether no window is to grow.
    is_pressed: bool,
}

/// An object that is asked for.
struct Coming {
    /// Whether its request waits for its turn.
    is_queued: bool,
}

impl Ahead {
    /// With a window of at most `most`.
    pub(super) fn new(most: Amount) -> Ahead {
        Ahead {
            most,
            state: Mutex::default(),
            came: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// Notes that a file has to be fetched by itself: what is read ahead is not where the reader is.
    pub(super) fn missed(&self, path: &TreePath) {
        if let Some(run) = &mut self.state.lock().run {
            run.missed = Some(path.clone());
            self.room.notify_all();
        }
    }

    /// Notes that a file was fetched by itself; says whether a run has begun. The caller runs ahead
    /// from there.
    pub(super) fn note(&self, path: &TreePath, now: Instant) -> bool {
        let mut state = self.state.lock();
        let is_over = |noted: &Instant| now.saturating_duration_since(*noted) > RUN_TIME;
        while state.fetched.front().is_some_and(is_over) {
            state.fetched.pop_front();
        }
        if state.run.is_some() {
            return false;
        }
        state.fetched.push_back(now);
        if state.fetched.len() < RUN_OBJECTS << state.doubts
            || state.is_unknown
            || state.is_closed
            || state.not_before.is_some_and(|then| now < then)
        {
            return false;
        }
        state.fetched.clear();
        let first = match state.is_one_by_one {
            true => Amount::LEAST,
            false => Amount::FIRST,
        };
        state.run = Some(Run {
            window: first.at_most(self.most),
            unused: Weighed::default(),
            opened: Amount::new(0, 0),
            opened_in_all: 0,
            came_in_all: 0,
            missed: Some(path.clone()),
            strays: 0,
            is_exhausted: false,
            active: now,
            end: End::Over,
        });
        true
    }

    /// Notes what is asked for; with nothing to ask for, that there are no more files.
    pub(super) fn asked(&self, wanted: impl Iterator<Item = (GitOid, u64)>) {
        let mut state = self.state.lock();
        let before = state.coming.amount().objects;
        let is_queued = state.is_one_by_one;
        for (oid, size) in wanted {
            state.coming.insert(oid, size, Coming { is_queued });
        }
        let is_exhausted = state.coming.amount().objects == before;
        state.heard = Some(Instant::now());
        if let Some(run) = &mut state.run {
            run.is_exhausted = is_exhausted;
        }
    }

    /// Notes that from now on each object costs a request.
    pub(super) fn ask_one_by_one(&self) {
        self.state.lock().is_one_by_one = true;
    }

    /// Whether an object was asked for, and is not here yet.
    pub(super) fn is_coming(&self, oid: GitOid) -> bool {
        self.state.lock().coming.contains(oid)
    }

    /// Notes that an object's own request begins; says whether it is still to be made.
    pub(super) fn begins(&self, oid: GitOid) -> bool {
        match self.state.lock().coming.get_mut(oid) {
            Some(coming) => coming.is_queued = false,
            None => return false,
        }
        true
    }

    /// Notes that an object is here; says whether more are wanted.
    pub(super) fn arrived(&self, oid: GitOid) -> bool {
        let mut state = self.state.lock();
        state.heard = Some(Instant::now());
        if let Some(size) = state.coming.remove(oid)
            && let Some(run) = &mut state.run
        {
            run.came_in_all += 1;
            run.unused.insert(oid, size, run.came_in_all);
        }
        // Nobody else has anything to do for each of thousands.
        if state.awaited.contains(&oid) {
            self.came.notify_all();
        }
        !state.is_closed
    }

    /// Notes that asking for a batch is over, after so long.
    pub(super) fn landed(
        &self,
        wanted: impl Iterator<Item = GitOid>,
        (end, took): (End, Duration),
    ) {
        let mut state = self.state.lock();
        for oid in wanted {
            state.coming.remove(oid);
        }
        match end {
            End::Unknown => state.is_unknown = true,
            End::Failed | End::Full => state.not_before = Some(Instant::now() + PAUSE),
            End::Over => {}
        }
        if let Some(run) = &mut state.run {
            run.active = Instant::now();
            if end != End::Over {
                run.end = end;
            }
            if took > Amount::TIME_MAX {
                let less = run.window.times(1, 2).within(Amount::LEAST, self.most);
                run.window = less;
                run.opened = Amount::new(0, 0);
            }
        }
        self.came.notify_all();
        self.room.notify_all();
    }

    /// Notes that an object was opened. Brief: it is called for every opening.
    pub(super) fn used(&self, oid: GitOid) {
        let mut state = self.state.lock();
        let State { run, coming, .. } = &mut *state;
        if let Some(run) = run
            && let Some(size) = run.unused.remove(oid)
        {
            run.was_opened(size);
            if run.has_room(coming.amount()) {
                self.room.notify_all();
            }
        }
    }

    /// Keeps windows as small as a run begins with, or lets them grow: of a store that is nearly full,
    /// what is asked for early drives out what is used.
    pub(super) fn press(&self, is_pressed: bool) {
        self.state.lock().is_pressed = is_pressed;
    }

    /// Waits until there is room in the window; says what is to be asked for. After `Nothing` the run
    /// is over.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state.lock();
        loop {
            let next = state.next(self.most);
            match next {
                Ok(Next::Nothing) => state.finish(),
                Ok(Next::Ask(..)) => {}
                Err(wait) => {
                    self.room.wait_for(&mut state, wait);
                    continue;
                }
            }
            return next.unwrap_or(Next::Nothing);
        }
    }

    /// Ends what runs with its next object.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.came.notify_all();
        self.room.notify_all();
    }

    /// Waits while an object is on its way, as long as others arrive, and not for ever. Says whether it only
    /// waited for its turn: then it is the caller's to ask for, and nobody else will.
    pub(super) fn wait(&self, oid: GitOid) -> bool {
        let begun = Instant::now();
        let mut state = self.state.lock();
        if state.claim(oid) {
            self.room.notify_all();
            return true;
        }
        state.awaited.push(oid);
        while state.coming.contains(oid) {
            let silence = state.heard.map_or(SILENCE_MAX, |heard| heard.elapsed());
            let left = SILENCE_MAX
                .saturating_sub(silence)
                .min(WAIT_MAX.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                break;
            }
            self.came.wait_for(&mut state, left);
        }
        if let Some(at) = state.awaited.iter().position(|awaited| *awaited == oid) {
            state.awaited.swap_remove(at);
        }
        false
    }
}

impl State {
    /// Leaves an object that waits for its turn to whoever wants it; says whether there is such a one.
    fn claim(&mut self, oid: GitOid) -> bool {
        let is_queued = |coming: &mut Coming| coming.is_queued;
        if !self.coming.get_mut(oid).is_some_and(is_queued) {
            return false;
        }
        let size = self.coming.remove(oid).unwrap_or_default();
        if let Some(run) = &mut self.run {
            run.came_in_all += 1;
            run.was_opened(size);
        }
        true
    }
    /// What is to be done now, or how long nothing is, unless something happens.
    fn next(&mut self, most: Amount) -> Result<Next, Duration> {
        let Some(run) = &mut self.run else {
            return Ok(Next::Nothing);
        };
        let most = match self.is_pressed {
            true => Amount::FIRST.within(Amount::new(1, 1), most),
            false => most,
        };
        run.window = run.window.within(Amount::new(1, 1), most);
        if self.is_closed || run.end != End::Over {
            return Ok(Next::Nothing);
        }
        let half = run.window.times(1, 2);
        if run.opened.objects >= half.objects || run.opened.bytes >= half.bytes {
            run.window = run.window.times(4, 1).within(Amount::LEAST, most);
            run.opened = Amount::new(0, 0);
        }
        let missed = run.missed.take();
        if missed.is_some() {
            run.is_exhausted = false;
            if run.unused.amount().objects > run.window.objects / 2 {
                run.strays += 1;
                // What was asked for elsewhere stands in nobody's way.
                let newest = run.came_in_all.saturating_sub(run.window.objects / 4);
                run.unused.retain(|number| *number > newest);
            }
            if run.strays > STRAYS_MAX {
                return Ok(Next::Nothing);
            }
        }
        let half = run.window.times(1, 2);
        if run.has_room(self.coming.amount()) && !run.is_exhausted {
            let amount = half.within(Amount::new(1, 1), most);
            return Ok(Next::Ask(amount, missed));
        }
        run.missed = missed;
        let idle = run.active.elapsed();
        match self.coming.amount().objects == 0 && idle >= IDLE_MAX {
            true => Ok(Next::Nothing),
            false => Err(IDLE_MAX.saturating_sub(idle).max(Duration::from_millis(10))),
        }
    }

    /// Ends the run, and draws the lesson.
    fn finish(&mut self) {
        if let Some(run) = self.run.take() {
            let was_useful = run.opened_in_all * 4 >= run.came_in_all;
            self.doubts = match was_useful {
                true => 0,
                false => (self.doubts + 1).min(DOUBTS_MAX),
            };
        }
    }
}
