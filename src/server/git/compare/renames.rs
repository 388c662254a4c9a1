//! Which removed path became which added one: the same bytes first, then at least half of them.
//!
//! Comparing every removed file with every added one is a product, so both its size and the bytes that
//! are read for it are bounded; past that, what is not found is shown as removed and added.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::{Entry, bytes, size};
use crate::server::git::diff::Leaf;
use crate::server::git::error::Error;

/// Least part of the larger file that must be in both, in percent, as Git has it.
const SIMILARITY_MIN: usize = 50;
/// Most pairs of files that are compared.
const PAIRS_MAX: usize = 10_000;
/// Largest file that is compared, and the most that is read of all.
const FILE_BYTES_MAX: u64 = 256 << 10;
const READ_BYTES_MAX: u64 = 16 << 20;

/// Joins what was removed in one place and added in another.
pub(super) fn join(repo: &gix::Repository, entries: Vec<Entry>) -> Result<Vec<Entry>, Error> {
    let (mut lone, mut rest): (Vec<Entry>, Vec<Entry>) = entries
        .into_iter()
        .partition(|entry| entry.old.is_some() != entry.new.is_some());
    let mut pairs = same(&lone);
    pairs.extend(alike(repo, &lone, &pairs)?);
    let mut partners: HashMap<usize, (usize, u8)> = HashMap::new();
    for (removed, added, similarity) in pairs {
        partners.insert(added, (removed, similarity));
    }
    let gone: Vec<Option<(Vec<u8>, Option<Leaf>)>> = (0..lone.len())
        .map(|index| {
            let (from, _) = partners.get(&index)?;
            let from = lone.get(*from)?;
            Some((from.path.clone(), from.old))
        })
        .collect();
    for (index, (entry, from)) in lone.iter_mut().zip(gone).enumerate() {
        if let (Some((path, old)), Some((_, similarity))) = (from, partners.get(&index)) {
            entry.old_path = Some(path);
            entry.old = old;
            entry.similarity = *similarity;
        }
    }
    let is_used = |index: usize| partners.values().any(|(removed, _)| *removed == index);
    let used: Vec<bool> = (0..lone.len()).map(is_used).collect();
    rest.extend(
        lone.into_iter()
            .zip(used)
            .filter_map(|(entry, is_used)| (!is_used).then_some(entry)),
    );
    rest.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    Ok(rest)
}

/// Removed and added paths by position, and their similarity.
type Pairs = Vec<(usize, usize, u8)>;

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether a path can have been renamed: a submodule is not moved so, and an empty file is like any
/// other.
fn can_move(leaf: Option<Leaf>) -> Option<Leaf> {
    let empty = gix::ObjectId::empty_blob(crate::server::git::HASH);
    leaf.filter(|(mode, oid)| mode.is_blob_or_symlink() && *oid != empty)
}

/// Pairs of the same bytes; a path of the same name is taken first.
fn same(lone: &[Entry]) -> Pairs {
    let mut removed: HashMap<(gix::ObjectId, bool), Vec<usize>> = HashMap::new();
    for (index, entry) in lone.iter().enumerate() {
        if let Some((mode, oid)) = can_move(entry.old) {
            removed
                .entry((oid, mode.is_link()))
                .or_default()
                .push(index);
        }
    }
    let mut pairs = Vec::new();
    for by_name in [true, false] {
        for (index, entry) in lone.iter().enumerate() {
            let Some((mode, oid)) = can_move(entry.new) else {
                continue;
            };
            let Some(candidates) = removed.get_mut(&(oid, mode.is_link())) else {
                continue;
            };
            if pairs.iter().any(|(_, added, _)| *added == index) {
                continue;
            }
            let is_match = |candidate: &usize| {
                let old = lone.get(*candidate).map(|entry| name(&entry.path));
                !by_name || old == Some(name(&entry.path))
            };
            if let Some(place) = candidates.iter().position(is_match) {
                pairs.push((candidates.remove(place), index, 100));
            }
        }
    }
    pairs
}

/// Pairs of files that are alike, the most alike first.
fn alike(repo: &gix::Repository, lone: &[Entry], taken: &Pairs) -> Result<Pairs, Error> {
    let is_free = |index: usize| {
        !taken
            .iter()
            .any(|(removed, added, _)| *removed == index || *added == index)
    };
    let free = |side: fn(&Entry) -> Option<Leaf>| -> Vec<(usize, Leaf)> {
        let leaves = lone.iter().enumerate().filter(|(index, _)| is_free(*index));
        leaves
            .filter_map(|(index, entry)| Some((index, can_move(side(entry))?)))
            .filter(|(_, (mode, _))| mode.is_blob())
            .collect()
    };
    let (removed, added) = (free(|entry| entry.old), free(|entry| entry.new));
    if removed.len().saturating_mul(added.len()) > PAIRS_MAX {
        return Ok(Vec::new());
    }
    let mut left = READ_BYTES_MAX;
    let hasher = RandomState::new();
    let (removed, added) = if removed.is_empty() || added.is_empty() {
        return Ok(Vec::new());
    } else {
        (
            prints(repo, &hasher, &removed, &mut left)?,
            prints(repo, &hasher, &added, &mut left)?,
        )
    };
    let mut scores = Vec::new();
    for (from, old) in &removed {
        for (to, new) in &added {
            let score = old.similarity(new);
            if score >= SIMILARITY_MIN {
                scores.push((score, *from, *to));
            }
        }
    }
    scores.sort_unstable_by_key(|(score, from, to)| (std::cmp::Reverse(*score), *to, *from));
    let mut pairs: Pairs = Vec::new();
    for (score, from, to) in scores {
        let is_taken = pairs
            .iter()
            .any(|(one, other, _)| *one == from || *other == to);
        if !is_taken {
            // Files that are one in bytes were found before.
            pairs.push((from, to, u8::try_from(score.min(99)).unwrap_or(99)));
        }
    }
    Ok(pairs)
}

/// The lines of a file without their order: bytes by a hash of the line.
struct Print {
    lines: HashMap<u64, usize>,
    bytes: usize,
}

impl Print {
    fn of(hasher: &RandomState, text: &[u8]) -> Print {
        let mut lines = HashMap::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            *lines.entry(hasher.hash_one(line)).or_default() += line.len();
        }
        Print {
            lines,
            bytes: text.len(),
        }
    }

    /// The part of the larger one that is in both, in percent.
    fn similarity(&self, other: &Print) -> usize {
        let larger = self.bytes.max(other.bytes).max(1);
        let smaller = self.bytes.min(other.bytes);
        if smaller * 100 / larger < SIMILARITY_MIN {
            return 0;
        }
        let shared = self.lines.iter().map(|(line, bytes)| {
            let others = other.lines.get(line).copied().unwrap_or(0);
            others.min(*bytes)
        });
        shared.sum::<usize>() * 100 / larger
    }
}

fn prints(
    repo: &gix::Repository,
    hasher: &RandomState,
    leaves: &[(usize, Leaf)],
    left: &mut u64,
) -> Result<Vec<(usize, Print)>, Error> {
    let mut prints = Vec::new();
    for (index, leaf) in leaves {
        let size = size(repo, Some(*leaf))?.unwrap_or(u64::MAX);
        let Some(rest) = left.checked_sub(size).filter(|_| size <= FILE_BYTES_MAX) else {
            continue;
        };
        *left = rest;
        let text = bytes(repo, Some(*leaf))?;
        prints.push((*index, Print::of(hasher, &text)));
    }
    Ok(prints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_is_of_the_larger_file() {
        let hasher = RandomState::new();
        let print = |text: &str| Print::of(&hasher, text.as_bytes());
        let old = print("a\nb\nc\nd\n");
        assert_eq!(old.similarity(&print("d\nc\nb\na\n")), 100);
        assert_eq!(old.similarity(&print("a\nb\nx\ny\n")), 50);
        assert_eq!(old.similarity(&print("a\n")), 0);
        assert_eq!(old.similarity(&print("w\nx\ny\nz\n")), 0);
        // A line that is there twice counts as often as both have it.
        assert_eq!(print("a\na\n").similarity(&print("a\nb\n")), 50);
    }
}
