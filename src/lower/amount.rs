//! How much is asked for, and how much of it is used, where objects are fetched ahead of their readers.

use std::time::Duration;

/// Objects and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Amount {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

impl Amount {
    /// The first window: what a run that stops at once has cost.
    pub(super) const FIRST: Amount = Amount::new(64, 1 << 20);
    /// The least, in a slow network, and the first where each object costs a request.
    pub(super) const LEAST: Amount = Amount::new(16, 128 << 10);
    /// A batch that takes longer keeps the last of its objects waiting.
    pub(super) const TIME_MAX: Duration = Duration::from_secs(1);

    pub(super) const fn new(objects: u64, bytes: u64) -> Amount {
        Amount { objects, bytes }
    }

    /// Part of a window, or some windows.
    pub(super) fn times(self, factor: u64, divisor: u64) -> Amount {
        Amount::new(
            self.objects * factor / divisor,
            self.bytes * factor / divisor,
        )
    }

    /// What is left of it.
    pub(super) fn less(self, other: Amount) -> Amount {
        Amount::new(
            self.objects.saturating_sub(other.objects),
            self.bytes.saturating_sub(other.bytes),
        )
    }

    /// Whether nothing is left of it.
    pub(super) fn is_none(self) -> bool {
        self.objects == 0 || self.bytes == 0
    }

    pub(super) fn at_most(self, most: Amount) -> Amount {
        self.within(Amount::new(0, 0), most)
    }

    pub(super) fn within(self, least: Amount, most: Amount) -> Amount {
        let limit = |value: u64, least: u64, most: u64| value.max(least).min(most);
        Amount::new(
            limit(self.objects, least.objects, most.objects),
            limit(self.bytes, least.bytes, most.bytes),
        )
    }
}
