//! How much of a large object is asked for at once, by how fast it comes: whoever waits for one chunk waits
//! for the request that brings it, and what is fetched ahead shares the line with what is waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Chunks of one request: 2 MiB, beside which a round trip of 50 ms is short on a fast line.
pub(super) const REQUEST_CHUNKS_MAX: u64 = 8;
/// What a fast line brings a request in.
const FAST: Duration = Duration::from_millis(400);
/// Longer than this nobody should wait for what he did not ask for.
const SLOW: Duration = Duration::from_millis(1_500);
/// How many requests are ahead of a reader from front to back: 8 MiB at most, which is 160 MB/s over a round
/// trip of 50 ms.
const REQUESTS_AHEAD: u64 = 4;

/// The chunks of a request; none is one for whoever waits, and nothing ahead.
#[derive(Debug)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// Before anything is known of the line.
    pub(super) fn new() -> Pace {
        Pace(AtomicU64::new(REQUEST_CHUNKS_MAX / 2))
    }

    /// Chunks of one request: at least one.
    pub(super) fn request(&self) -> u64 {
        self.0.load(Ordering::Relaxed).max(1)
    }

    /// Chunks ahead of a reader.
    pub(super) fn window(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * REQUESTS_AHEAD
    }

    /// Learns from a request that came.
    pub(super) fn came(&self, chunks: u64, took: Duration) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(after(now, chunks, took), Ordering::Relaxed);
    }
}

fn after(now: u64, chunks: u64, took: Duration) -> u64 {
    if took > SLOW {
        now / 2
    } else if took < FAST && chunks >= now {
        (now * 2).clamp(1, REQUEST_CHUNKS_MAX)
    } else {
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of it on a line of so many chunks a second that all requests share.
    fn settled(chunks_per_second: f64) -> Pace {
        let pace = Pace::new();
        for _ in 0..50 {
            let chunks = pace.request();
            let on_the_line = chunks.max(pace.window()) as f64;
            let took = Duration::from_secs_f64(0.05 + on_the_line / chunks_per_second);
            pace.came(chunks, took);
        }
        pace
    }

    #[test]
    fn a_fast_line_is_filled_and_a_slow_one_left_to_who_waits() {
        for (mbit_per_second, window) in [(0.2, 0), (1.0, 0), (1_000.0, 32)] {
            let pace = settled(mbit_per_second / 8.0 / 0.262_144);
            assert_eq!(pace.window(), window, "{mbit_per_second} Mbit/s");
        }
        let pace = settled(10.0 / 8.0 / 0.262_144);
        assert!((4..=8).contains(&pace.window()), "{pace:?}");
    }

    #[test]
    fn small_requests_tell_nothing_of_large_ones() {
        assert_eq!(after(4, 1, Duration::ZERO), 4);
        assert_eq!(after(4, 1, Duration::from_secs(2)), 2);
        assert_eq!(after(0, 1, Duration::ZERO), 1);
    }
}
