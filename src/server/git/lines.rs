//! The lines in which two texts differ, in bounded time however they were made.
//!
//! Good line comparisons take time that grows with the product of the lines on both sides once those
//! repeat, or differ everywhere: minutes for a megabyte that was written for the purpose. So where the
//! product is large, lines that are there once on both sides are taken as fixed points first, which
//! takes no longer than reading does, and what lies between two of them is compared by itself. What
//! then is still too much is one change: true, and no more than that.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput, Token};

/// The largest product that is compared as it is: 32,000 lines with as many, for about a second.
const WORK_MAX: usize = 1 << 30;

/// The differences between the two texts of `input`, in order.
pub(super) fn changes(input: &InternedInput<&[u8]>) -> Vec<Hunk> {
    let (before, after) = (&*input.before, &*input.after);
    let middle = middle(before, after);
    if work(&middle) <= WORK_MAX {
        let mut diff = Diff::compute(Algorithm::Histogram, input);
        diff.postprocess_lines(input);
        return diff.hunks().collect();
    }
    let tokens = input.interner.num_tokens();
    let mut parts = Parts {
        before,
        after,
        tokens,
        left: WORK_MAX,
        found: Vec::new(),
    };
    let mut at = (middle.0.start, middle.1.start);
    for (old, new) in fixed(before, after, &middle, tokens) {
        parts.add((at.0..old, at.1..new));
        at = (old + 1, new + 1);
    }
    parts.add((at.0..middle.0.end, at.1..middle.1.end));
    parts.found
}

/// Lines on both sides.
type Pair = (Range<usize>, Range<usize>);

fn work(pair: &Pair) -> usize {
    pair.0.len().saturating_mul(pair.1.len())
}

/// What lies between the first and the last difference.
fn middle(before: &[Token], after: &[Token]) -> Pair {
    let same = |pair: &(&Token, &Token)| pair.0 == pair.1;
    let start = before.iter().zip(after).take_while(same).count();
    let rest = |side: &[Token]| side.len() - start;
    let end = before.iter().rev().zip(after.iter().rev());
    let end = end
        .take(rest(before).min(rest(after)))
        .take_while(same)
        .count();
    (start..before.len() - end, start..after.len() - end)
}

/// Lines that each side has once, as the longest list that goes down both sides.
fn fixed(before: &[Token], after: &[Token], middle: &Pair, tokens: u32) -> Vec<(usize, usize)> {
    /// Where a line is, unless it is there more than once.
    #[derive(Clone, Copy)]
    enum Place {
        Nowhere,
        Once(usize),
        Often,
    }
    let places = |side: &[Token], range: &Range<usize>| {
        let mut places = vec![Place::Nowhere; tokens as usize];
        for (line, token) in side.iter().enumerate().take(range.end).skip(range.start) {
            if let Some(place) = places.get_mut(token.0 as usize) {
                *place = match place {
                    Place::Nowhere => Place::Once(line),
                    _ => Place::Often,
                };
            }
        }
        places
    };
    let (old, new) = (places(before, &middle.0), places(after, &middle.1));
    let mut pairs: Vec<(usize, usize)> = old
        .iter()
        .zip(&new)
        .filter_map(|places| match places {
            (Place::Once(old), Place::Once(new)) => Some((*old, *new)),
            _ => None,
        })
        .collect();
    pairs.sort_unstable();
    rising(&pairs)
}

/// The longest list of pairs whose second numbers rise, too.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length, the list that ends lowest; and for each pair, the one before it in its list.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let second = |index: &usize| pairs.get(*index).map(|pair| pair.1);
    for (index, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| second(end) < Some(pair.1));
        let before = length.checked_sub(1).and_then(|length| ends.get(length));
        previous.push(before.copied());
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut list = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(index) = at {
        list.extend(pairs.get(index));
        at = previous.get(index).copied().flatten();
    }
    list.reverse();
    list
}

/// Differences as they are found.
struct Parts<'a> {
    before: &'a [Token],
    after: &'a [Token],
    tokens: u32,
    /// How much more work there may be.
    left: usize,
    found: Vec<Hunk>,
}

impl Parts<'_> {
    fn add(&mut self, part: Pair) {
        if part.0.is_empty() && part.1.is_empty() {
            return;
        }
        let as_numbers = |range: Range<usize>| range.start as u32..range.end as u32;
        match self.left.checked_sub(work(&part)) {
            Some(left) if work(&part) > 0 => {
                self.left = left;
                let old = self.before.get(part.0.clone()).unwrap_or_default();
                let new = self.after.get(part.1.clone()).unwrap_or_default();
                let mut diff = Diff::default();
                diff.compute_with(Algorithm::Myers, old, new, self.tokens);
                let moved = |range: Range<u32>, start: usize| {
                    range.start + start as u32..range.end + start as u32
                };
                self.found.extend(diff.hunks().map(|hunk| Hunk {
                    before: moved(hunk.before, part.0.start),
                    after: moved(hunk.after, part.1.start),
                }));
            }
            _ => self.found.push(Hunk {
                before: as_numbers(part.0),
                after: as_numbers(part.1),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use imara_diff::sources::byte_lines;

    use super::*;

    fn text(lines: impl Iterator<Item = usize>) -> Vec<u8> {
        lines
            .flat_map(|line| format!("{line}\n").into_bytes())
            .collect()
    }

    /// Compares, checks that the differences are all there is, and counts the lines in them.
    fn compared(before: &[u8], after: &[u8]) -> usize {
        let input = InternedInput::new(byte_lines(before), byte_lines(after));
        let begun = Instant::now();
        let found = changes(&input);
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
        let mut at = (0, 0);
        let mut count = 0;
        for hunk in &found {
            let (old, new) = (hunk.before.start as usize, hunk.after.start as usize);
            assert_eq!(input.before[at.0..old], input.after[at.1..new]);
            at = (hunk.before.end as usize, hunk.after.end as usize);
            count += hunk.before.len() + hunk.after.len();
        }
        assert_eq!(input.before[at.0..], input.after[at.1..]);
        count
    }

    #[test]
    fn large_texts_with_few_differences_are_compared_exactly() {
        let old = text(0..200_000);
        let edit = |line| match line {
            5 | 100_000 | 199_990 => line + 1_000_000,
            line => line,
        };
        assert_eq!(compared(&old, &text((0..200_000).map(edit))), 6);
        let without = (0..200_000).filter(|line| line % 20_000 != 7);
        assert_eq!(compared(&old, &text(without)), 10);
    }

    #[test]
    fn texts_made_to_be_slow_are_not() {
        let random = |seed: u64, kinds: u64, count: usize| {
            let mut state = seed;
            text((0..count).map(move |_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 33) % kinds) as usize
            }))
        };
        for kinds in [2, 4, 100] {
            compared(&random(1, kinds, 500_000), &random(2, kinds, 500_000));
        }
        // Every other line is the same.
        let mixed = |from: usize| {
            text((0..200_000).map(move |line| if line % 2 == 0 { line } else { line + from }))
        };
        compared(&mixed(1_000_000), &mixed(2_000_000));
        compared(&text(0..200_000), &text((0..200_000).rev()));
    }

    #[test]
    fn the_longest_rising_list_is_found() {
        assert_eq!(rising(&[]), []);
        let pairs = [(0, 5), (1, 1), (2, 2), (3, 9), (4, 3), (5, 0), (6, 4)];
        assert_eq!(rising(&pairs), [(1, 1), (2, 2), (4, 3), (6, 4)]);
    }
}
