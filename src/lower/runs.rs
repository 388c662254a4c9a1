//! Who reads a large object from front to back, and how far ahead of them it is fetched: a pure function
//! of the chunks that were read.
//!
//! Whoever reads here and there is given what they ask for and nothing else. Whoever goes on where they
//! were is given the next ones before they ask, twice as many with each chunk: so who reads
//! a little more than the beginning costs a little more than that.

use std::collections::VecDeque;
use std::ops::Range;

/// Readers of one object that are told apart.
const RUNS_MAX: usize = 4;
/// How far from where a run is its next chunk may be: the kernel asks for some requests of 1 MiB at once,
/// and they come in any order.
const REACH: u64 = 4;
/// What a run begins with, in chunks: it keeps one request under way beside the reader.
const WINDOW_FIRST: u64 = 4;

/// The readers of one object, those that read last at the end.
#[derive(Debug, Default)]
pub(super) struct Runs(VecDeque<Run>);

#[derive(Debug)]
struct Run {
    /// The chunk after the last one that was read.
    next: u64,
    /// The chunk after the last one that was asked for ahead.
    asked: u64,
    window: u64,
}

impl Runs {
    /// Notes that some chunks are read, of so many that there are; gives those to ask for now, so far ahead
    /// at most.
    pub(super) fn note(
        &mut self,
        read: &Range<u64>,
        chunks: u64,
        window_max: u64,
    ) -> Option<Range<u64>> {
        let goes_on = |run: &Run| read.start.abs_diff(run.next) <= REACH;
        let Some(at) = self.0.iter().position(goes_on) else {
            if self.0.len() == RUNS_MAX {
                self.0.pop_front();
            }
            self.0.push_back(Run {
                next: read.end,
                asked: read.end,
                window: 0,
            });
            return None;
        };
        let mut run = self.0.remove(at)?;
        let ahead = run.advance(read.end, chunks, window_max);
        self.0.push_back(run);
        ahead
    }
}

impl Run {
    fn advance(&mut self, end: u64, chunks: u64, window_max: u64) -> Option<Range<u64>> {
        if end <= self.next {
            return None;
        }
        self.next = end;
        self.window = (self.window * 2).max(WINDOW_FIRST).min(window_max);
        let from = self.asked.max(end);
        let to = (end + self.window).min(chunks);
        // In large pieces: not before half of what was asked for is used up.
        if from >= to || (to < chunks && to - from < self.window / 2) {
            return None;
        }
        self.asked = to;
        Some(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MAX: u64 = 32;

    #[test]
    fn reading_from_front_to_back_asks_once_for_every_chunk() {
        let mut runs = Runs::default();
        let mut asked = vec![false; 1_000];
        asked[0] = true;
        let mut largest = 0;
        for chunk in 0..1_000 {
            // Requests of the kernel end within chunks, and begin there.
            for _ in 0..2 {
                if let Some(ahead) = runs.note(&(chunk..chunk + 1), 1_000, WINDOW_MAX) {
                    assert!(ahead.start > chunk);
                    largest = largest.max(ahead.end - chunk);
                    for one in ahead {
                        assert!(!std::mem::replace(&mut asked[one as usize], true));
                    }
                }
            }
        }
        // It is the second chunk that tells of a run.
        assert_eq!(asked.iter().filter(|asked| !**asked).count(), 1);
        assert_eq!(largest, WINDOW_MAX + 1);
    }

    #[test]
    fn reading_here_and_there_asks_for_nothing() {
        let mut runs = Runs::default();
        for step in 0..1_000_u64 {
            let chunk = step * 389 % 1_000;
            assert_eq!(
                runs.note(&(chunk..chunk + 1), 1_000, WINDOW_MAX),
                None,
                "{chunk}"
            );
        }
        // Nor does reading one place again and again, or from back to front.
        for chunk in (0..1_000).rev() {
            assert_eq!(
                runs.note(&(chunk..chunk + 1), 1_000, WINDOW_MAX),
                None,
                "{chunk}"
            );
            assert_eq!(
                runs.note(&(chunk..chunk + 1), 1_000, WINDOW_MAX),
                None,
                "{chunk}"
            );
        }
    }

    #[test]
    fn on_a_slow_line_nothing_is_asked_for_ahead() {
        let mut runs = Runs::default();
        for chunk in 0..100 {
            assert_eq!(runs.note(&(chunk..chunk + 1), 1_000, 0), None);
        }
        assert!(runs.note(&(100..101), 1_000, WINDOW_MAX).is_some());
    }

    #[test]
    fn two_readers_at_once_are_two_runs() {
        let mut runs = Runs::default();
        let mut ahead = 0;
        for chunk in 0..100 {
            for start in [0, 500] {
                let read = start + chunk..start + chunk + 1;
                ahead += runs
                    .note(&read, 1_000, WINDOW_MAX)
                    .map_or(0, |it| it.end - it.start);
            }
        }
        assert!(ahead >= 2 * 99, "{ahead}");
    }
}
