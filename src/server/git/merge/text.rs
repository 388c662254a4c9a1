//! Three versions of a text made one, line by line.
//!
//! Each side is compared with the base. Where only one side differs from it, that side is taken;
//! where both do, in lines that overlap or touch, they must agree or they clash. Touching counts, as
//! in Git: whoever edits the line next to an edit has usually not seen it.

use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

use imara_diff::sources::byte_lines;
use imara_diff::{Hunk, InternedInput};

use crate::server::git::lines::changes;

/// Git looks for a NUL in so many bytes to tell data from text.
const BINARY_PREFIX_BYTES: usize = 8000;

/// Some lines of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub(super) lines: Range<usize>,
    pub(super) bytes: &'a [u8],
}

impl Span<'_> {
    /// A whole text.
    pub(super) fn whole(bytes: &[u8]) -> Span<'_> {
        Span {
            lines: 0..byte_lines(bytes).count(),
            bytes,
        }
    }
}

/// A piece of the result, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Settled(&'a [u8]),
    Clash {
        base: Span<'a>,
        target: Span<'a>,
        source: Span<'a>,
    },
}

/// Whether some bytes are data, not text.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .take(BINARY_PREFIX_BYTES)
        .any(|byte| *byte == 0)
}

/// Merges two versions of `base`.
pub(super) fn merge<'a>(base: &'a [u8], target: &'a [u8], source: &'a [u8]) -> Vec<Piece<'a>> {
    let mut input = InternedInput::new(byte_lines(base), byte_lines(target));
    let mut target = Side::new(target, &input);
    input.update_after(byte_lines(source));
    let mut source = Side::new(source, &input);
    let base = Lines::of(base);
    let mut pieces = Vec::new();
    let mut done = 0;
    while let Some(start) = [target.next(), source.next()].into_iter().flatten().min() {
        pieces.push(Piece::Settled(base.span(done..start).bytes));
        let begun = (target.at(start), source.at(start));
        let (mut end, mut is_target, mut is_source) = (start, false, false);
        loop {
            let absorbed = (target.absorb(&mut end), source.absorb(&mut end));
            if absorbed == (false, false) {
                break;
            }
            is_target |= absorbed.0;
            is_source |= absorbed.1;
        }
        let ours = target.lines.span(begun.0..target.at(end));
        let theirs = source.lines.span(begun.1..source.at(end));
        pieces.push(match (is_target, is_source) {
            (true, false) => Piece::Settled(ours.bytes),
            (false, _) => Piece::Settled(theirs.bytes),
            _ if ours.bytes == theirs.bytes => Piece::Settled(ours.bytes),
            _ => Piece::Clash {
                base: base.span(start..end),
                target: ours,
                source: theirs,
            },
        });
        done = end;
    }
    pieces.push(Piece::Settled(base.span(done..base.count()).bytes));
    pieces
}

/// A text and where its lines end.
struct Lines<'a> {
    text: &'a [u8],
    ends: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Lines<'a> {
        let ends = byte_lines(text)
            .scan(0, |end, line| {
                *end += line.len();
                Some(*end)
            })
            .collect();
        Lines { text, ends }
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    /// Where a line begins.
    fn start(&self, line: usize) -> usize {
        let before = line.checked_sub(1).and_then(|before| self.ends.get(before));
        before.copied().unwrap_or(0)
    }

    fn span(&self, lines: Range<usize>) -> Span<'a> {
        let bytes = self.start(lines.start)..self.start(lines.end);
        Span {
            lines,
            bytes: self.text.get(bytes).unwrap_or_default(),
        }
    }
}

/// One of the two versions, and what of its differences to the base is still ahead.
struct Side<'a> {
    lines: Lines<'a>,
    hunks: Peekable<IntoIter<Hunk>>,
    /// The ends of the last difference that was absorbed, in the base and in this version.
    passed: (usize, usize),
}

impl<'a> Side<'a> {
    fn new(text: &'a [u8], input: &InternedInput<&[u8]>) -> Side<'a> {
        Side {
            lines: Lines::of(text),
            hunks: changes(input).into_iter().peekable(),
            passed: (0, 0),
        }
    }

    /// The base's line at which the next difference begins.
    fn next(&mut self) -> Option<usize> {
        self.hunks.peek().map(|hunk| hunk.before.start as usize)
    }

    /// The line that stands for a line of the base behind the last absorbed difference.
    fn at(&self, line: usize) -> usize {
        self.passed.1 + line.saturating_sub(self.passed.0)
    }

    /// Passes the next difference if it begins at or before the base's line `end`, which moves on
    /// to where the difference ends.
    fn absorb(&mut self, end: &mut usize) -> bool {
        let limit = *end;
        let Some(hunk) = self
            .hunks
            .next_if(|hunk| hunk.before.start as usize <= limit)
        else {
            return false;
        };
        self.passed = (hunk.before.end as usize, hunk.after.end as usize);
        *end = limit.max(hunk.before.end as usize);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The result with clashes as `<target|base|source>`.
    fn shown(base: &str, target: &str, source: &str) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        merge(base.as_bytes(), target.as_bytes(), source.as_bytes())
            .iter()
            .map(|piece| match piece {
                Piece::Settled(bytes) => text(bytes),
                Piece::Clash {
                    base,
                    target,
                    source,
                } => format!(
                    "<{}|{}|{}>",
                    text(target.bytes),
                    text(base.bytes),
                    text(source.bytes)
                ),
            })
            .collect()
    }

    #[test]
    fn edits_apart_are_both_kept() {
        let base = "a\nb\nc\nd\ne\n";
        assert_eq!(
            shown(base, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\nf\n"),
            "A\nb\nc\nd\nE\nf\n"
        );
        assert_eq!(shown(base, "b\nc\nd\ne\n", "a\nb\nc\nd\n"), "b\nc\nd\n");
        assert_eq!(
            shown(base, "a\nb\nx\nc\nd\ne\n", "a\nb\nc\nd\n"),
            "a\nb\nx\nc\nd\n"
        );
    }

    #[test]
    fn the_same_edit_twice_is_one_edit() {
        let base = "a\nb\nc\nd\ne\n";
        assert_eq!(
            shown(base, "a\nB\nc\nd\ne\n", "a\nB\nc\nd\nE\n"),
            "a\nB\nc\nd\nE\n"
        );
        assert_eq!(shown("", "new\n", "new\n"), "new\n");
    }

    #[test]
    fn overlapping_and_touching_edits_clash() {
        let base = "a\nb\nc\nd\n";
        assert_eq!(
            shown(base, "a\nX\nc\nd\n", "a\nY\nc\nd\n"),
            "a\n<X\n|b\n|Y\n>c\nd\n"
        );
        assert_eq!(
            shown(base, "a\nX\nc\nd\n", "a\nb\nY\nd\n"),
            "a\n<X\nc\n|b\nc\n|b\nY\n>d\n"
        );
        assert_eq!(
            shown(base, "a\nX\nY\nc\nd\n", "a\nd\n"),
            "a\n<X\nY\nc\n|b\nc\n|>d\n"
        );
        assert_eq!(shown("", "x\n", "y\n"), "<x\n||y\n>");
        // A missing newline at the end is a difference like any other.
        assert_eq!(shown("a\n", "a", "a\nb\n"), "<a|a\n|a\nb\n>");
    }

    #[test]
    fn a_clash_says_where_it_is() {
        let pieces = merge(b"0\na\nb\n", b"new\n0\na\nX\n", b"0\na\nY\nZ\n");
        let clash = pieces
            .iter()
            .find(|piece| matches!(piece, Piece::Clash { .. }));
        let Some(Piece::Clash {
            base,
            target,
            source,
        }) = clash
        else {
            panic!("{pieces:?}");
        };
        assert_eq!(
            (&base.lines, &target.lines, &source.lines),
            (&(2..3), &(3..4), &(2..4))
        );
    }

    fn lines() -> impl Strategy<Value = String> {
        proptest::collection::vec("[a-d]\n", 0..12).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn merging_with_the_base_is_the_other_side(base in lines(), other in lines()) {
            prop_assert_eq!(&shown(&base, &base, &other), &other);
            prop_assert_eq!(&shown(&base, &other, &base), &other);
            prop_assert_eq!(&shown(&base, &other, &other), &other);
        }

        /// Whatever the pieces are, each side can be read off them: nothing of it is lost.
        #[test]
        fn taking_one_side_of_every_clash_keeps_its_lines(base in lines(), target in lines(), source in lines()) {
            let pieces = merge(base.as_bytes(), target.as_bytes(), source.as_bytes());
            let is_clean = pieces.iter().all(|piece| matches!(piece, Piece::Settled(_)));
            let swapped = merge(base.as_bytes(), source.as_bytes(), target.as_bytes());
            prop_assert_eq!(pieces.len(), swapped.len());
            if is_clean {
                let bytes = |pieces: &[Piece<'_>]| -> Vec<u8> {
                    pieces.iter().flat_map(|piece| match piece {
                        Piece::Settled(bytes) => bytes.to_vec(),
                        Piece::Clash { .. } => Vec::new(),
                    }).collect()
                };
                prop_assert_eq!(bytes(&pieces), bytes(&swapped));
            }
            // The clashes and the settled text between them cover the target from start to end.
            let mut at = 0;
            for piece in &pieces {
                if let Piece::Clash { target, .. } = piece {
                    prop_assert!(target.lines.start >= at);
                    at = target.lines.end;
                }
            }
            prop_assert!(at <= target.lines().count());
        }
    }
}
