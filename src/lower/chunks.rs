//! Which chunks of a large object are here: a bit for each.

use std::ops::Range;

/// The unit in which a large object is here or not, but for its end. Over a round trip of 50 ms and 100
/// Mbit/s, fetching so much for a read of 4 KiB costs 20 ms more than the round trip, and the next reads
/// around it cost none.
pub(super) const CHUNK_BYTES: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Chunks {
    words: Vec<u64>,
    count: u64,
}

impl Chunks {
    /// None, of an object of `size` bytes.
    pub(super) fn new(size: u64) -> Chunks {
        let words = size.div_ceil(CHUNK_BYTES).div_ceil(64);
        Chunks {
            words: vec![0; usize::try_from(words).unwrap_or(0)],
            count: 0,
        }
    }

    /// How many are here.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn has(&self, chunk: u64) -> bool {
        let word = usize::try_from(chunk / 64)
            .ok()
            .and_then(|at| self.words.get(at));
        word.is_some_and(|word| word >> (chunk % 64) & 1 == 1)
    }

    pub(super) fn has_all(&self, chunks: &Range<u64>) -> bool {
        chunks.clone().all(|chunk| self.has(chunk))
    }

    /// How many are here from one on without a gap, as far as the caller looks.
    pub(super) fn run_from(&self, first: u64, most: u64) -> u64 {
        let mut run = 0;
        while run < most && self.has(first + run) {
            run += 1;
        }
        run
    }

    pub(super) fn add(&mut self, chunks: &Range<u64>) {
        for chunk in chunks.clone() {
            let at = usize::try_from(chunk / 64).unwrap_or(usize::MAX);
            if let Some(word) = self.words.get_mut(at)
                && *word >> (chunk % 64) & 1 == 0
            {
                *word |= 1 << (chunk % 64);
                self.count += 1;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_what_was_added() {
        let mut chunks = Chunks::new(200 * CHUNK_BYTES - 1);
        chunks.add(&(60..70));
        chunks.add(&(65..72));
        chunks.add(&(199..200));
        assert_eq!(chunks.count(), 13);
        assert!(chunks.has_all(&(60..72)) && !chunks.has_all(&(59..61)));
        assert_eq!((chunks.run_from(60, 100), chunks.run_from(60, 3)), (12, 3));
        assert_eq!(
            (chunks.run_from(199, 100), chunks.run_from(198, 100)),
            (1, 0)
        );
        chunks.add(&(1_000..1_001));
        assert!(!chunks.has(1_000), "beyond the end there is nothing");
        chunks.clear();
        assert_eq!((chunks.count(), chunks.has(60)), (0, false));
    }
}
