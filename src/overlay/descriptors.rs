//! Which bodies stay open between two requests though nobody says that the files are open.
//!
//! Where the kernel opens files by itself, it tells nobody: so that a large file which is read in many
//! requests, or one that is written again and again, is not opened for each, its descriptor is kept for
//! some time. It is only a saving: whatever is closed here is opened anew when it is needed. Objects of the
//! lower layer are not kept, since one that is open is not evicted from the cache.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use super::state::State;
use crate::tree::Ino;

/// Files of one repository: more than programs read or write in turns, and few enough that a thousand
/// repositories that are read at the same time have room.
const KEPT_MAX: usize = 16;

/// Files whose descriptors are kept, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    kept: VecDeque<Ino>,
    /// How many of them were kept at the last [`State::close_idle`].
    aged: usize,
}

/// Descriptors that are to be closed, without the state's lock.
pub(super) type Closed = Vec<Arc<File>>;

impl State {
    /// Keeps a descriptor of a live file: as long as it is open, or for some time. What has to give way is
    /// returned.
    pub(super) fn keep_open(&mut self, ino: Ino, body: &Arc<File>) -> Closed {
        let Some(live) = self.live.get_mut(&ino) else {
            return Closed::new();
        };
        // Whether others have a body that the kernel may write by itself could not be found out.
        if live.opens == 0 && self.standing.contains_key(&ino) {
            return Closed::new();
        }
        let opens = live.opens;
        let held = live.holding();
        held.body = Some(Arc::clone(body));
        if opens > 0 || held.is_kept_open {
            return Closed::new();
        }
        held.is_kept_open = true;
        self.descriptors.kept.push_back(ino);
        match self.descriptors.kept.len() > KEPT_MAX {
            true => self.close_oldest(1),
            false => Closed::new(),
        }
    }

    /// Lets go of what has been kept since the last call but one. Call it once an interval.
    pub(super) fn close_idle(&mut self) -> Closed {
        let closed = self.close_oldest(self.descriptors.aged);
        self.descriptors.aged = self.descriptors.kept.len();
        closed
    }

    fn close_oldest(&mut self, count: usize) -> Closed {
        let Descriptors { kept, aged } = &mut self.descriptors;
        *aged = aged.saturating_sub(count);
        let count = count.min(kept.len());
        let mut closed = Closed::new();
        for ino in kept.drain(..count) {
            let Some(live) = self.live.get_mut(&ino) else {
                continue;
            };
            let opens = live.opens;
            let held = live.holding();
            if std::mem::take(&mut held.is_kept_open) && opens == 0 {
                closed.extend(held.body.take());
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Live;
    use super::super::types::Owner;
    use super::*;
    use crate::upper::Upper;

    fn state(files: u64) -> State {
        let mut state = State::new(Upper::default(), Owner { uid: 0, gid: 0 });
        for number in 0..files {
            state.add_lookup(Ino(number));
        }
        state
    }

    fn keep(state: &mut State, number: u64) -> usize {
        let file = Arc::new(File::open("/dev/null").unwrap());
        state.keep_open(Ino(number), &file).len()
    }

    fn has_body(live: &Live) -> bool {
        live.held.as_ref().is_some_and(|held| held.body.is_some())
    }

    fn open(state: &State) -> usize {
        let live = state.live.values();
        live.filter(|live| has_body(live)).count()
    }

    #[test]
    fn the_oldest_gives_way_and_what_is_open_stays() {
        let files = KEPT_MAX as u64 + 2;
        let mut state = state(files);
        state.live.get_mut(&Ino(0)).unwrap().opens = 1;
        let closed: usize = (0..files).map(|number| keep(&mut state, number)).sum();
        assert_eq!((closed, open(&state)), (1, KEPT_MAX + 1));
        assert!(has_body(&state.live[&Ino(0)]) && !has_body(&state.live[&Ino(1)]));
        assert_eq!(keep(&mut state, 2), 0, "it is kept already");
    }

    #[test]
    fn what_is_not_used_is_closed_after_an_interval_and_forgotten_files_are_no_hindrance() {
        let mut state = state(3);
        keep(&mut state, 0);
        keep(&mut state, 1);
        assert_eq!(state.close_idle().len(), 0);
        keep(&mut state, 2);
        state.live.remove(&Ino(1));
        assert_eq!(state.close_idle().len(), 1);
        assert_eq!(open(&state), 1, "the younger stays");
        assert_eq!(state.close_idle().len(), 1);
        assert_eq!(keep(&mut state, 0), 0);
        assert_eq!(open(&state), 1, "and is kept again");
    }
}
