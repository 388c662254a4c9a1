//! How long requests took, in buckets: bounded, and without a lock.
//!
//! A bucket counts what took at most its bound and more than the one before. Counts are read one by
//! one while others go on counting, so that a snapshot may miss what ends meanwhile, and never shows
//! more than there was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of the buckets in microseconds; what took longer has a bucket of its own. From a
/// request that the memory answers (some 10 us) to one that waits for the network's deadline (5 s).
pub const BOUNDS_MICROSECONDS: [u64; 12] = [
    10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000,
];

const BUCKETS: usize = BOUNDS_MICROSECONDS.len() + 1;

/// The times of one kind of request.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

/// What a histogram had at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latency {
    /// Requests in each bucket, in the order of [`BOUNDS_MICROSECONDS`]; the last has no bound.
    pub buckets: [u64; BUCKETS],
    /// All of them together.
    pub total: Duration,
}

impl Histogram {
    /// Counts a request that took this long.
    pub(super) fn record(&self, took: Duration) {
        let microseconds = took.as_micros();
        let bucket = BOUNDS_MICROSECONDS.partition_point(|bound| u128::from(*bound) < microseconds);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn snapshot(&self) -> Latency {
        let mut latency = Latency {
            total: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
            ..Latency::default()
        };
        for (count, bucket) in latency.buckets.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Ordering::Relaxed);
        }
        latency
    }
}

impl Latency {
    /// How many requests were timed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for microseconds in [0, 10, 11, 50, 5_000_000, 5_000_001] {
            histogram.record(Duration::from_micros(microseconds));
        }
        let latency = histogram.snapshot();
        assert_eq!(latency.buckets[..2], [2, 2]);
        assert_eq!(latency.buckets[BUCKETS - 2..], [1, 1]);
        assert_eq!(latency.count(), 6);
        assert_eq!(latency.total, Duration::from_micros(10_000_072));
    }
}
