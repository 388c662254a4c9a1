//! Conflicts, and what a caller says about them.

use std::collections::HashMap;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::text::{Piece, Span};
use crate::server::git::error::Error;

/// One of the two bookmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Side {
    Target,
    Source,
}

/// What a caller wants in place of a conflict, or of one of its hunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Choice {
    Take(Side),
    Content(Vec<u8>),
}

/// What a caller says about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Resolution {
    Whole(Choice),
    /// By the ids of its hunks, all of which must be there.
    Hunks(HashMap<String, Choice>),
}

/// What a caller says, by path; what the merge has used is taken out.
pub(in crate::server) type Resolutions = HashMap<String, Resolution>;

/// Why a conflict is reported without its hunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Omitted {
    Binary,
    TooLarge,
}

/// Lines on which the sides disagree; line numbers count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Hunk {
    /// A hash of the path and everything below, so that an answer meets the question it was given to.
    pub(in crate::server) id: String,
    pub(in crate::server) base_lines: Range<usize>,
    pub(in crate::server) target_lines: Range<usize>,
    pub(in crate::server) base: Vec<u8>,
    pub(in crate::server) target: Vec<u8>,
    pub(in crate::server) source: Vec<u8>,
}

impl Hunk {
    pub(super) fn new(path: &str, base: &Span<'_>, target: &Span<'_>, source: &Span<'_>) -> Hunk {
        Hunk {
            id: hunk_id(path, [base, target, source]),
            base_lines: base.lines.clone(),
            target_lines: target.lines.clone(),
            base: base.bytes.to_vec(),
            target: target.bytes.to_vec(),
            source: source.bytes.to_vec(),
        }
    }

    /// What it takes in an answer, about: many short hunks are as much as a few long ones.
    fn bytes(&self) -> usize {
        HUNK_FRAME_BYTES + self.base.len() + self.target.len() + self.source.len()
    }
}

fn hunk_id(path: &str, spans: [&Span<'_>; 3]) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(path.as_bytes());
    for span in spans {
        add(&(span.lines.start as u64).to_le_bytes());
        add(span.bytes);
    }
    let half = hash.finalize().into_iter().take(16);
    half.map(|byte| format!("{byte:02x}")).collect()
}

/// A path on which the sides disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Conflict {
    pub(in crate::server) path: String,
    pub(in crate::server) hunks: Vec<Hunk>,
    pub(in crate::server) omitted: Option<Omitted>,
}

/// Most conflicts that one answer reports. Whoever resolves them learns of the next ones.
const CONFLICTS_MAX: usize = 1_000;
/// Most bytes of paths in one answer: 500 bytes each, which few projects reach.
const PATH_BYTES_MAX: usize = 500 * CONFLICTS_MAX;
/// Most bytes of lines in one answer: far more than a person resolves by hand.
const HUNK_BYTES_MAX: usize = 512 << 10;

/// Names and numbers of one hunk, in JSON.
const HUNK_FRAME_BYTES: usize = 256;

/// Conflicts of one merge, by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Conflicts {
    pub(in crate::server) found: Vec<Conflict>,
    /// There may be more than were kept.
    pub(in crate::server) is_cut: bool,
    path_bytes: usize,
    hunk_bytes: usize,
}

impl Conflicts {
    pub(super) fn push(&mut self, path: String, hunks: Vec<Hunk>, omitted: Option<Omitted>) {
        let path_bytes = self.path_bytes.saturating_add(path.len());
        if self.found.len() >= CONFLICTS_MAX || path_bytes > PATH_BYTES_MAX {
            self.is_cut = true;
            return;
        }
        self.path_bytes = path_bytes;
        let hunk_bytes = hunks.iter().map(Hunk::bytes).sum::<usize>();
        let mut conflict = Conflict {
            path,
            hunks,
            omitted,
        };
        if self.hunk_bytes.saturating_add(hunk_bytes) > HUNK_BYTES_MAX {
            conflict.hunks = Vec::new();
            conflict.omitted = Some(Omitted::TooLarge);
        } else {
            self.hunk_bytes += hunk_bytes;
        }
        self.found.push(conflict);
    }
}

/// The text that choices make of the pieces, if there is one for every clash and none besides.
pub(super) fn assemble(
    path: &str,
    pieces: &[Piece<'_>],
    choices: &HashMap<String, Choice>,
) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut used = 0;
    for piece in pieces {
        let bytes = match piece {
            Piece::Settled(bytes) => bytes,
            Piece::Clash {
                base,
                target,
                source,
            } => {
                used += 1;
                match choices.get(&hunk_id(path, [base, target, source]))? {
                    Choice::Take(Side::Target) => target.bytes,
                    Choice::Take(Side::Source) => source.bytes,
                    Choice::Content(bytes) => bytes,
                }
            }
        };
        text.extend_from_slice(bytes);
    }
    (used == choices.len()).then_some(text)
}

/// Refuses resolutions of what is in no conflict: their content would go nowhere.
pub(super) fn check_used(resolutions: &Resolutions) -> Result<(), Error> {
    match resolutions.keys().min() {
        Some(path) => Err(Error::NoConflict { path: path.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::git::merge::text;

    #[test]
    fn every_hunk_needs_its_own_answer() {
        let pieces = text::merge(b"a\nb\nc\n", b"A\nb\nC\n", b"1\nb\n3\n");
        let ids: Vec<String> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Clash {
                    base,
                    target,
                    source,
                } => Some(hunk_id("f", [base, target, source])),
                Piece::Settled(_) => None,
            })
            .collect();
        let [first, second] = &ids[..] else {
            panic!("{ids:?}");
        };
        let mut choices = HashMap::from([(first.clone(), Choice::Take(Side::Source))]);
        assert_eq!(assemble("f", &pieces, &choices), None);
        choices.insert(second.clone(), Choice::Content(b"x\n".to_vec()));
        assert_eq!(
            assemble("f", &pieces, &choices).as_deref(),
            Some(&b"1\nb\nx\n"[..])
        );
        // The same lines in another file are another question.
        assert_eq!(assemble("g", &pieces, &choices), None);
        choices.insert("more".to_owned(), Choice::Take(Side::Target));
        assert_eq!(assemble("f", &pieces, &choices), None);
    }

    #[test]
    fn a_report_is_bounded() {
        let mut conflicts = Conflicts::default();
        let hunk = |bytes: usize| Hunk {
            id: String::new(),
            base_lines: 0..0,
            target_lines: 0..0,
            base: vec![0; bytes],
            target: Vec::new(),
            source: Vec::new(),
        };
        conflicts.push(
            "a".into(),
            vec![hunk(HUNK_BYTES_MAX - HUNK_FRAME_BYTES)],
            None,
        );
        conflicts.push("b".into(), vec![hunk(1)], None);
        assert_eq!(conflicts.found[0].hunks.len(), 1);
        assert_eq!(conflicts.found[1].omitted, Some(Omitted::TooLarge));
        assert!(conflicts.found[1].hunks.is_empty() && !conflicts.is_cut);
        for number in 2..=CONFLICTS_MAX {
            conflicts.push(number.to_string(), Vec::new(), None);
        }
        assert!(conflicts.is_cut && conflicts.found.len() == CONFLICTS_MAX);
        let mut conflicts = Conflicts::default();
        conflicts.push("p".repeat(PATH_BYTES_MAX + 1), Vec::new(), None);
        assert!(conflicts.is_cut && conflicts.found.is_empty());
    }
}
