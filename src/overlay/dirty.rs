//! What of a body no sync has covered: a few ranges, or everything.

use std::ops::Range;

/// More ranges than these, and the body counts as dirty throughout. A transaction of SQLite touches a
/// handful of pages.
const RANGES_MAX: usize = 16;

/// How bytes of a body changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Touch {
    /// The body was made, empty.
    Made,
    /// So many bytes were written.
    Written {
        /// From here on.
        offset: u64,
        /// So many.
        bytes: u64,
    },
    /// It was cut or extended to this size.
    Sized(u64),
    /// In a way that is not followed.
    Anyhow,
}

/// What of a body is not durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Dirty {
    /// How much of what was durable still counts: it was never cut shorter since.
    kept: u64,
    /// In order, apart from each other; `None` is everything.
    ranges: Option<Vec<Range<u64>>>,
}

impl Default for Dirty {
    /// Nothing was touched.
    fn default() -> Dirty {
        Dirty {
            kept: u64::MAX,
            ranges: Some(Vec::new()),
        }
    }
}

impl Dirty {
    /// Everything.
    pub(super) fn whole() -> Dirty {
        let (kept, ranges) = (0, None);
        Dirty { kept, ranges }
    }

    /// Adds what happened.
    pub(super) fn add(&mut self, touch: Touch) {
        match touch {
            Touch::Made => {
                let ranges = Some(Vec::new());
                *self = Dirty { kept: 0, ranges };
            }
            Touch::Sized(size) => self.cut(size),
            Touch::Written { offset, bytes } => self.extend(offset..offset.saturating_add(bytes)),
            Touch::Anyhow => self.ranges = None,
        }
    }

    /// Adds what came after this, in one body.
    pub(super) fn merge(&mut self, later: Dirty) {
        self.cut(later.kept);
        match later.ranges {
            Some(ranges) => ranges.into_iter().for_each(|range| self.extend(range)),
            None => self.ranges = None,
        }
    }

    /// How much of what was durable still counts.
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// The ranges; `None` is everything.
    pub(super) fn ranges(&self) -> Option<&[Range<u64>]> {
        self.ranges.as_deref()
    }

    /// Bytes in the ranges; `None` if they are not followed.
    pub(super) fn bytes(&self) -> Option<u64> {
        let ranges = self.ranges()?.iter();
        Some(ranges.map(|range| range.end - range.start).sum())
    }

    fn cut(&mut self, size: u64) {
        self.kept = self.kept.min(size);
        if let Some(ranges) = &mut self.ranges {
            ranges.retain(|range| range.start < size);
            if let Some(last) = ranges.last_mut() {
                last.end = last.end.min(size);
            }
        }
    }

    fn extend(&mut self, mut new: Range<u64>) {
        let Some(ranges) = self.ranges.as_mut().filter(|_| !new.is_empty()) else {
            return;
        };
        // Those that overlap it, or touch it, become one with it.
        let from = ranges.partition_point(|range| range.end < new.start);
        let to = ranges.partition_point(|range| range.start <= new.end);
        for range in ranges.drain(from..to) {
            new = new.start.min(range.start)..new.end.max(range.end);
        }
        ranges.insert(from, new);
        if ranges.len() > RANGES_MAX {
            self.ranges = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 64;

    fn touch() -> impl Strategy<Value = Touch> {
        prop_oneof![
            8 => (0..SIZE, 0..8_u64).prop_map(|(offset, bytes)| Touch::Written { offset, bytes }),
            2 => (0..SIZE).prop_map(Touch::Sized),
            1 => Just(Touch::Made),
            1 => Just(Touch::Anyhow),
        ]
    }

    /// A body in memory; every write has a value of its own.
    fn perform(body: &mut Vec<u8>, touch: Touch, value: u8) {
        match touch {
            Touch::Made => body.clear(),
            Touch::Sized(size) => body.resize(size as usize, 0),
            Touch::Written { offset, bytes } => {
                let end = (offset + bytes) as usize;
                if bytes > 0 {
                    body.resize(body.len().max(end), 0);
                    body[offset as usize..end].fill(value);
                }
            }
            Touch::Anyhow => body.reverse(),
        }
    }

    /// As a power cut and [`crate::upper::Bodies::restore`] leave it.
    fn restored(durable: &[u8], dirty: &Dirty, body: &[u8]) -> Option<Vec<u8>> {
        let mut restored = durable.to_vec();
        restored.truncate(usize::try_from(dirty.kept()).unwrap_or(usize::MAX));
        for range in dirty.ranges()? {
            let range = range.start as usize..range.end as usize;
            restored.resize(restored.len().max(range.end), 0);
            restored[range.clone()].copy_from_slice(&body[range]);
        }
        restored.resize(body.len(), 0);
        Some(restored)
    }

    proptest! {
        #[test]
        fn what_is_dirty_over_what_was_durable_is_the_body(
            durable in prop::collection::vec(1..=250_u8, 0..SIZE as usize),
            earlier in prop::collection::vec(touch(), 0..12),
            later in prop::collection::vec(touch(), 0..12),
        ) {
            let mut body = durable.clone();
            let (mut dirty, mut after) = (Dirty::default(), Dirty::default());
            for (number, touch) in earlier.iter().enumerate() {
                perform(&mut body, *touch, 100 + number as u8);
                dirty.add(*touch);
            }
            for (number, touch) in later.iter().enumerate() {
                perform(&mut body, *touch, 200 + number as u8);
                after.add(*touch);
            }
            // Put back what a sync that came to nothing had taken.
            dirty.merge(after);
            if let Some(restored) = restored(&durable, &dirty, &body) {
                prop_assert_eq!(restored, body);
            }
            if let Some(ranges) = dirty.ranges() {
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }

    #[test]
    fn many_ranges_are_everything() {
        let mut dirty = Dirty::default();
        for number in 0..RANGES_MAX as u64 {
            dirty.add(Touch::Written {
                offset: number * 10,
                bytes: 1,
            });
        }
        assert_eq!(dirty.bytes(), Some(RANGES_MAX as u64));
        dirty.add(Touch::Written {
            offset: 5,
            bytes: 1,
        });
        assert_eq!(dirty.bytes(), None);
    }
}
