//! Many listings of a server that tells those below a directory only so and so deep: some levels with each
//! request, several requests at once.
//!
//! How much there is below a directory is not known before it is told. So the first answers are shallow, and
//! what is below them is asked for the deeper the less they told: directory by directory, or once more from
//! above where these are many. Nothing is believed that does not hash to its tree: a server may tell less
//! than it was asked for. That, such as a directory with submodules, of which this contract says nothing, and
//! a directory that is too long by itself, is left to whoever wants it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::batches::Take;
use super::client::Client;
use super::concurrency::Place;
use super::failure::Violation;
use super::listing::{Told, told};
use super::source::{moved, moved_if_gone};
use super::{At, Failure, RepositoryName, RepositorySource};
use crate::lower::{EntryKind, Listing, ListingEntry, Pin, SWEEP_ENTRIES_MAX, SourceError};
use crate::tree::{GitOid, TreePath};

/// Levels of the first answer: of a small repository half of what there is, of a large one not too much.
const LEVELS_FIRST: u8 = 3;
/// The contract's most.
const LEVELS_MAX: u8 = 10;
/// The longest answer of several levels, some 30,000 entries: what is longer is asked for in parts.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// After answers of so many entries at most, the next ones are deeper; after one with more than these,
/// shallower. A thousand entries are a quarter of a megabyte.
const ENTRIES_FEW: usize = 1_000;
const ENTRIES_MANY: usize = 10_000;
/// So many directories below a short answer are asked for one by one: of more, the answer may as well come
/// again with them.
const BELOW_FEW: usize = 4;

/// A directory that is asked for, with so many levels below it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ask {
    path: TreePath,
    tree: GitOid,
    levels: u8,
    /// Of one that is asked for again, what a shorter answer told nothing of.
    below: Vec<(TreePath, GitOid)>,
}

/// What an answer tells.
#[derive(PartialEq, Eq, Debug)]
struct Layers {
    /// Trees and their entries, parents before children.
    listings: Vec<(GitOid, Vec<ListingEntry>)>,
    /// Directories that it tells nothing of.
    below: Vec<(TreePath, GitOid)>,
    /// Entries of all.
    entries: usize,
}

/// An answer; `None` is one that was too long.
type Answered = (Ask, Result<Option<Layers>, SourceError>);

impl RepositorySource {
    /// Hands the tree at a path and those below it to `take`, until it wants no more.
    pub(super) async fn layers(
        &self,
        pin: &Pin,
        (path, tree): (&TreePath, GitOid),
        take: Take<'_>,
    ) -> Result<(), SourceError> {
        let at = self.at(self.remote.patience(), pin).await?;
        let concurrency = self.remote.concurrency();
        let mut left = VecDeque::from([Ask {
            path: path.clone(),
            tree,
            levels: LEVELS_FIRST,
            below: Vec::new(),
        }]);
        let mut running = FuturesUnordered::new();
        let mut known = HashSet::new();
        let mut entries = 0;
        loop {
            tokio::select! {
                biased;
                Some(answered) = running.next(), if !running.is_empty() => {
                    let (ask, answer): Answered = answered;
                    let Some(layers) = answer? else {
                        left.extend(ask.shorter());
                        continue;
                    };
                    entries += layers.entries;
                    for (tree, listing) in layers.listings {
                        if known.insert(tree) && !take(tree, listing) {
                            return Ok(());
                        }
                    }
                    if entries > SWEEP_ENTRIES_MAX {
                        return Ok(());
                    }
                    let mut below = layers.below;
                    below.retain(|(_, tree)| !known.contains(tree));
                    left.extend(ask.next(layers.entries, below));
                },
                place = concurrency.enter(self.requests_max), if !left.is_empty() => {
                    running.extend(left.pop_front().map(|ask| self.ask_layers(place, at, ask)));
                },
                else => return Ok(()),
            }
        }
    }

    async fn ask_layers(&self, place: Place<'_>, at: At, ask: Ask) -> Answered {
        let client = self.remote.client();
        let patience = self.remote.patience();
        let read = self
            .remote
            .read_within(patience, async |left| {
                client.layers(&self.repository, at, &ask, left).await
            })
            .await;
        let answer = match read {
            Ok((tree, _)) if tree != ask.tree => Err(moved(at)),
            Ok((_, layers)) => Ok(Some(layers)),
            Err(Failure::Protocol(Violation::TooLarge)) => Ok(None),
            Err(failure) => Err(moved_if_gone(at, failure)),
        };
        // A long answer takes its time, so nothing is learned from that.
        drop(place);
        (ask, answer)
    }
}

impl Client {
    /// A directory with some levels below it, and the tree that it is.
    async fn layers(
        &self,
        repository: &RepositoryName,
        at: At,
        ask: &Ask,
        patience: Duration,
    ) -> Result<(GitOid, Layers), Failure> {
        let what = (at, &ask.path, ask.levels);
        let bytes = self
            .listing_bytes(repository, what, ANSWER_BYTES_MAX, patience)
            .await?;
        let told = told(&bytes)?;
        Ok((told.tree, layered(&ask.path, ask.levels, told)))
    }
}

impl Ask {
    /// What is asked for instead of an answer that was too long.
    fn shorter(self) -> Vec<Ask> {
        let levels = self.levels / 2;
        match self.below.is_empty() {
            _ if levels == 0 => Vec::new(),
            true => vec![Ask { levels, ..self }],
            false => asks(self.below, levels),
        }
    }

    /// What is asked for after an answer of so many entries, which told nothing of what is `below`.
    fn next(self, entries: usize, below: Vec<(TreePath, GitOid)>) -> Vec<Ask> {
        let levels = levels_after(self.levels, entries);
        let is_again = entries <= ENTRIES_FEW && levels > self.levels && below.len() > BELOW_FEW;
        match is_again {
            true => vec![Ask {
                levels,
                below,
                ..self
            }],
            false => asks(below, levels),
        }
    }
}

fn asks(below: Vec<(TreePath, GitOid)>, levels: u8) -> Vec<Ask> {
    let ask = |(path, tree)| Ask {
        path,
        tree,
        levels,
        below: Vec::new(),
    };
    below.into_iter().map(ask).collect()
}

/// How deep is asked for what is below a directory that was asked for so deep, and told so much.
fn levels_after(levels: u8, entries: usize) -> u8 {
    if entries <= ENTRIES_FEW {
        (levels * 2).min(LEVELS_MAX)
    } else if entries <= ENTRIES_MANY {
        levels
    } else {
        (levels / 2).max(1)
    }
}

/// Takes an answer of some levels apart.
fn layered(top: &TreePath, levels: u8, told: Told) -> Layers {
    let mut layers = Layers {
        listings: Vec::new(),
        below: Vec::new(),
        entries: told.entries.len(),
    };
    let mut groups: HashMap<String, Vec<ListingEntry>> = HashMap::new();
    for (entry, path) in told.entries {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match groups.get_mut(folder) {
            Some(group) => group.push(entry),
            None => drop(groups.insert(folder.to_owned(), vec![entry])),
        }
    }
    let mut queue = VecDeque::from([(top.clone(), told.tree, 0)]);
    while let Some((path, tree, level)) = queue.pop_front() {
        // A path that is no text cannot be told.
        let group = path.as_str().and_then(|path| groups.remove(path));
        let Some(group) = group else {
            if level > 0 {
                layers.below.push((path, tree));
            }
            continue;
        };
        let Ok(listing) = Listing::new(group) else {
            continue;
        };
        for entry in listing.entries() {
            if entry.kind == EntryKind::Directory
                && let Ok(path) = path.join(&entry.name)
            {
                match level + 1 < levels {
                    true => queue.push_back((path, entry.oid, level + 1)),
                    false => layers.below.push((path, entry.oid)),
                }
            }
        }
        if listing.tree_oid() == tree {
            layers.listings.push((tree, listing.entries().to_vec()));
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Name;

    fn entry(name: &str, kind: EntryKind, oid: GitOid) -> ListingEntry {
        ListingEntry {
            name: Name::try_from(name).unwrap(),
            kind,
            size: 1,
            oid,
        }
    }

    fn file(name: &str) -> ListingEntry {
        entry(name, EntryKind::File, GitOid([7; 20]))
    }

    /// The tree of some entries.
    fn tree(entries: &[ListingEntry]) -> GitOid {
        Listing::new(entries.to_vec()).unwrap().tree_oid()
    }

    /// `a` with a file and `b`, which has a file; all as a server tells them from the root.
    fn sample() -> (Vec<(&'static str, Vec<ListingEntry>)>, Told) {
        let deepest = vec![file("f")];
        let folder = |name, below: &[ListingEntry]| entry(name, EntryKind::Directory, tree(below));
        let middle = vec![file("e"), folder("b", &deepest)];
        let top = vec![folder("a", &middle)];
        let root = tree(&top);
        let listings = vec![("", top), ("a", middle), ("a/b", deepest)];
        let told = listings.iter().flat_map(|(path, entries)| {
            let path_of = move |entry: &ListingEntry| match *path {
                "" => entry.name.to_string(),
                path => format!("{path}/{}", entry.name),
            };
            entries
                .iter()
                .map(move |entry| (entry.clone(), path_of(entry)))
        });
        let told = Told {
            tree: root,
            entries: told.collect(),
        };
        (listings, told)
    }

    #[test]
    fn an_answer_is_its_listings_and_what_is_below_them() {
        let (listings, told) = sample();
        let layers = layered(&TreePath::ROOT, 3, told);
        let trees: Vec<_> = layers.listings.iter().map(|(tree, _)| *tree).collect();
        let expected: Vec<_> = listings.iter().map(|(_, entries)| tree(entries)).collect();
        assert_eq!(trees, expected);
        assert_eq!((layers.below, layers.entries), (vec![], 4));

        let (listings, mut told) = sample();
        told.entries.retain(|(_, path)| path != "a/b/f");
        let layers = layered(&TreePath::ROOT, 2, told);
        assert_eq!(layers.listings.len(), 2);
        let below = TreePath::try_from("a/b").unwrap();
        assert_eq!(layers.below, [(below, tree(&listings[2].1))]);
    }

    #[test]
    fn a_server_that_tells_less_or_something_else_is_not_believed() {
        let a = TreePath::try_from("a").unwrap();
        // Not as deep as it was asked for.
        let (listings, mut told) = sample();
        told.entries.retain(|(_, path)| !path.contains('/'));
        let layers = layered(&TreePath::ROOT, 3, told);
        assert_eq!(layers.listings.len(), 1);
        assert_eq!(layers.below, [(a, tree(&listings[1].1))]);
        // A part of a directory.
        let (_, mut told) = sample();
        told.entries.retain(|(_, path)| path != "a/e");
        let layers = layered(&TreePath::ROOT, 3, told);
        let trees: Vec<_> = layers.listings.iter().map(|(tree, _)| *tree).collect();
        assert_eq!(trees, [tree(&listings[0].1), tree(&listings[2].1)]);
        // Twice the same.
        let (_, mut told) = sample();
        let double = told.entries[1].clone();
        told.entries.push(double);
        assert_eq!(layered(&TreePath::ROOT, 3, told).listings.len(), 1);
        // Elsewhere.
        let (_, mut told) = sample();
        for (_, path) in &mut told.entries {
            path.insert_str(0, "../");
        }
        let layers = layered(&TreePath::ROOT, 3, told);
        assert_eq!((layers.listings, layers.below), (vec![], vec![]));
    }

    #[test]
    fn many_directories_below_a_short_answer_come_with_it_or_one_by_one_if_that_is_too_long() {
        let path = TreePath::ROOT;
        let below = |count: u8| {
            let numbers = (0..count).map(|number| GitOid([number; 20]));
            numbers.map(|tree| (path.clone(), tree)).collect::<Vec<_>>()
        };
        let first = Ask {
            path: path.clone(),
            tree: GitOid([99; 20]),
            levels: 3,
            below: Vec::new(),
        };
        let few = first.clone().next(10, below(4));
        assert_eq!(few, asks(below(4), 6));
        let many = first.clone().next(10, below(5));
        let again = Ask {
            levels: 6,
            below: below(5),
            ..first.clone()
        };
        assert_eq!(many, std::slice::from_ref(&again));
        assert_eq!(again.shorter(), asks(below(5), 3));
        let long = first.clone().next(ENTRIES_FEW + 1, below(5));
        assert_eq!(long, asks(below(5), 3));
        let shorter = Ask {
            levels: 1,
            ..first.clone()
        };
        assert_eq!(first.shorter(), std::slice::from_ref(&shorter));
        assert_eq!(shorter.shorter(), []);
    }

    #[test]
    fn the_next_answers_are_deeper_after_short_ones_and_shallower_after_long_ones() {
        assert_eq!(levels_after(LEVELS_FIRST, 10), 6);
        assert_eq!(levels_after(6, 10), LEVELS_MAX);
        assert_eq!(levels_after(6, ENTRIES_MANY), 6);
        assert_eq!(levels_after(3, ENTRIES_MANY + 1), 1);
        assert_eq!(levels_after(1, usize::MAX), 1);
    }
}
