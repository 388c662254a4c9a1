//! The lines in which two texts differ, with three lines around them as Git shows.

use std::ops::Range;

use imara_diff::InternedInput;
use imara_diff::sources::byte_lines;

use crate::server::git::lines;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// What a line takes in an answer besides its text, about.
const LINE_FRAME_BYTES: usize = 40;

/// How a line got where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum LineKind {
    Context,
    Added,
    Deleted,
}

/// Two texts and the places in which they differ.
#[derive(Debug, Default)]
pub(in crate::server) struct Hunks {
    old: Vec<u8>,
    new: Vec<u8>,
    places: Vec<Place>,
}

/// Changes that are near each other; lines count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    old: Range<usize>,
    new: Range<usize>,
    changes: Vec<(Range<usize>, Range<usize>)>,
}

/// One hunk. Lines count from 1; a side without lines is told by the line before it.
pub(in crate::server) struct Hunk<'a> {
    pub(in crate::server) old_start: usize,
    pub(in crate::server) old_lines: usize,
    pub(in crate::server) new_start: usize,
    pub(in crate::server) new_lines: usize,
    /// With their newlines, which the last one may lack.
    pub(in crate::server) lines: Vec<(LineKind, &'a [u8])>,
}

impl Hunks {
    /// Compares two texts.
    pub(super) fn between(old: Vec<u8>, new: Vec<u8>) -> Hunks {
        let input = InternedInput::new(byte_lines(&old), byte_lines(&new));
        let counts = (input.before.len(), input.after.len());
        let mut places: Vec<Place> = Vec::new();
        for hunk in lines::changes(&input) {
            let change = (as_lines(hunk.before), as_lines(hunk.after));
            let (before, after) = (
                change.0.start.saturating_sub(CONTEXT),
                change.1.start.saturating_sub(CONTEXT),
            );
            match places.last_mut() {
                Some(place) if before <= place.old.end => {
                    place.changes.push(change.clone());
                }
                _ => places.push(Place {
                    old: before..before,
                    new: after..after,
                    changes: vec![change.clone()],
                }),
            }
            if let Some(place) = places.last_mut() {
                place.old.end = (change.0.end + CONTEXT).min(counts.0);
                place.new.end = (change.1.end + CONTEXT).min(counts.1);
            }
        }
        drop(input);
        Hunks { old, new, places }
    }

    /// How many lines were added, and how many removed.
    pub(in crate::server) fn counts(&self) -> (usize, usize) {
        let changes = || self.places.iter().flat_map(|place| &place.changes);
        let added = changes().map(|(_, new)| new.len()).sum();
        let removed = changes().map(|(old, _)| old.len()).sum();
        (added, removed)
    }

    /// What they take in an answer, about.
    pub(super) fn bytes(&self) -> usize {
        let lines = self.all().into_iter().flat_map(|hunk| hunk.lines);
        lines.map(|(_, line)| LINE_FRAME_BYTES + line.len()).sum()
    }

    /// Every hunk.
    pub(in crate::server) fn all(&self) -> Vec<Hunk<'_>> {
        let old: Vec<&[u8]> = byte_lines(&self.old).collect();
        let new: Vec<&[u8]> = byte_lines(&self.new).collect();
        self.places
            .iter()
            .map(|place| self.hunk(place, &old, &new))
            .collect()
    }

    fn hunk<'a>(&'a self, place: &Place, old: &[&'a [u8]], new: &[&'a [u8]]) -> Hunk<'a> {
        let mut lines: Vec<(LineKind, &'a [u8])> = Vec::new();
        let mut put = |kind, side: &[&'a [u8]], range: Range<usize>| {
            let shown = side.get(range).unwrap_or_default();
            lines.extend(shown.iter().map(|line| (kind, *line)));
        };
        let mut at = place.old.start;
        for (removed, added) in &place.changes {
            put(LineKind::Context, old, at..removed.start);
            put(LineKind::Deleted, old, removed.clone());
            put(LineKind::Added, new, added.clone());
            at = removed.end;
        }
        put(LineKind::Context, old, at..place.old.end);
        let start = |range: &Range<usize>| range.start + usize::from(!range.is_empty());
        Hunk {
            old_start: start(&place.old),
            old_lines: place.old.len(),
            new_start: start(&place.new),
            new_lines: place.new.len(),
            lines,
        }
    }
}

fn as_lines(range: Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let hunks = Hunks::between(old.into(), new.into());
        let shown = |hunk: Hunk<'_>| {
            let lines = hunk.lines.iter().map(|(kind, line)| {
                let mark = match kind {
                    LineKind::Context => ' ',
                    LineKind::Added => '+',
                    LineKind::Deleted => '-',
                };
                format!("{mark}{}", String::from_utf8_lossy(line).trim_end())
            });
            let lines: Vec<String> = lines.collect();
            format!(
                "{},{} {},{}:{}",
                hunk.old_start,
                hunk.old_lines,
                hunk.new_start,
                hunk.new_lines,
                lines.concat()
            )
        };
        hunks.all().into_iter().map(shown).collect()
    }

    #[test]
    fn near_changes_share_their_context_and_far_ones_do_not() {
        let old: String = (0..20).map(|n| format!("{n}\n")).collect();
        let near = old.replace("3\n4", "x\n4").replace("\n10\n", "\n");
        assert_eq!(
            shown(&old, &near),
            ["1,14 1,13: 0 1 2-3+x 4 5 6 7 8 9-10 11 12 13"]
        );
        let far = old.replace("3\n4", "x\n4").replace("\n11\n", "\n");
        assert_eq!(
            shown(&old, &far),
            ["1,7 1,7: 0 1 2-3+x 4 5 6", "9,7 9,6: 8 9 10-11 12 13 14"]
        );
    }

    #[test]
    fn an_empty_side_is_told_by_the_line_before_it() {
        assert_eq!(shown("", "a\nb"), ["0,0 1,2:+a+b"]);
        assert_eq!(shown("a\n", ""), ["1,1 0,0:-a"]);
        assert_eq!(shown("a\n", "a\n"), [""; 0]);
        assert_eq!(shown("a", "a\n"), ["1,1 1,1:-a+a"]);
    }
}
