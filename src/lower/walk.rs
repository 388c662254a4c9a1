//! Which files a reader is likely to want next: those around the last one.
//!
//! A walk begins at a file and widens: first the other files of its directory, from there on and round
//! again, then all below the other directories beside it, and so on up to the root; so it meets every
//! file once, the nearest first. Programs go through the files of a directory in the order in which it
//! is shown, but through directories in either direction (who keeps a stack of them, backwards), so
//! the direction is that of the reader's last move from one to another.

use std::sync::Arc;

use super::{EntryKind, Listing, Located};
use crate::tree::{GitOid, TreePath};

/// What a walk meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// A file or a link.
    File(Located),
    /// A directory whose listing is not here; the walk stays before it.
    Unlisted,
    /// Everything was met.
    Over,
}

/// The way from one directory to the next.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Direction {
    #[default]
    Forwards,
    Backwards,
}

/// A walk; the default one is over.
#[derive(Default, Debug)]
pub(super) struct Walk {
    frames: Vec<Frame>,
    direction: Direction,
    /// Places of the directories that lead to the file where it began, each in the one above.
    way: Vec<usize>,
}

#[derive(Debug)]
struct Frame {
    folder: TreePath,
    tree: GitOid,
    /// Its listing, and the places of entries that are still to be met, the last one first.
    listed: Option<(Arc<Listing>, Vec<usize>)>,
    /// What was met on the way here.
    from: Option<usize>,
}

impl Walk {
    /// The walk around another file. What is not listed ends the way to it.
    pub(super) fn moved(
        self,
        path: &TreePath,
        (root, listing): (GitOid, impl Fn(GitOid) -> Option<Arc<Listing>>),
    ) -> Walk {
        let mut walk = Walk {
            frames: Vec::new(),
            direction: self.direction,
            way: Vec::new(),
        };
        let (mut tree, mut folder) = (root, TreePath::ROOT);
        for name in path.names() {
            let listed = listing(tree);
            let place = listed.as_ref().and_then(|listed| {
                let mut entries = listed.entries().iter();
                entries.position(|entry| entry.name == name)
            });
            let entry = place.zip(listed.as_ref());
            let entry = entry.and_then(|(place, listed)| listed.entries().get(place));
            let below = folder.join(&name);
            walk.frames.push(Frame {
                folder,
                tree,
                listed: None,
                from: place,
            });
            match (place, entry, below) {
                (Some(place), Some(entry), Ok(below)) if entry.kind == EntryKind::Directory => {
                    walk.way.push(place);
                    (folder, tree) = (below, entry.oid);
                }
                _ => break,
            }
        }
        let mut ways = self.way.iter().zip(&walk.way);
        if let Some((before, now)) = ways.find(|(before, now)| before != now) {
            walk.direction = match before < now {
                true => Direction::Forwards,
                false => Direction::Backwards,
            };
        }
        walk
    }

    /// What comes next.
    pub(super) fn step(
        &mut self,
        mut listing: impl FnMut(&TreePath, GitOid) -> Option<Arc<Listing>>,
    ) -> Step {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                return Step::Over;
            };
            if frame.listed.is_none() {
                let Some(listed) = listing(&frame.folder, frame.tree) else {
                    return Step::Unlisted;
                };
                let order = order(&listed, frame.from, self.direction);
                frame.listed = Some((listed, order));
            }
            let next = frame.listed.as_mut().and_then(|(listed, left)| {
                let place = left.pop()?;
                listed.entries().get(place).cloned()
            });
            match next {
                None => drop(self.frames.pop()),
                Some(entry) if entry.kind == EntryKind::Directory => {
                    if let Ok(folder) = frame.folder.join(&entry.name) {
                        self.frames.push(Frame {
                            folder,
                            tree: entry.oid,
                            listed: None,
                            from: None,
                        });
                    }
                }
                Some(entry) if entry.kind == EntryKind::Submodule => {}
                Some(entry) => {
                    if let Ok(path) = frame.folder.join(&entry.name) {
                        return Step::File((path, entry.oid, entry.size));
                    }
                }
            }
        }
    }

    /// Leaves a directory out that is not listed.
    pub(super) fn pass(&mut self) {
        self.frames.pop();
    }
}

/// The places of a directory's entries, the last one first: files before directories, those behind
/// `from` before those that it came behind.
fn order(listed: &Listing, from: Option<usize>, direction: Direction) -> Vec<usize> {
    let count = listed.entries().len();
    let behind = from.map_or(0, |from| from + 1);
    let is_folder = |place: &usize| {
        let entry = listed.entries().get(*place);
        entry.is_some_and(|entry| entry.kind == EntryKind::Directory)
    };
    let others = |place: &usize| Some(*place) != from;
    let round = (behind..count).chain(0..behind).filter(others);
    let (mut folders, files): (Vec<usize>, Vec<usize>) = round.partition(is_folder);
    if direction == Direction::Forwards {
        folders.reverse();
    }
    folders.extend(files.into_iter().rev());
    folders
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::ListingEntry;
    use super::*;
    use crate::tree::Name;

    /// Three directories of three files each, and a file beside them.
    struct Sample {
        listings: HashMap<GitOid, Arc<Listing>>,
        names: HashMap<GitOid, String>,
    }

    impl Sample {
        fn new() -> Sample {
            let (mut listings, mut names) = (HashMap::new(), HashMap::new());
            let entry = |name: &str, kind, oid| ListingEntry {
                name: Name::try_from(name).unwrap(),
                kind,
                size: 1,
                oid,
            };
            let mut top = vec![entry("file", EntryKind::File, GitOid([99; 20]))];
            names.insert(GitOid([99; 20]), "file".to_owned());
            for (folder, name) in (1..).zip(["a", "b", "c"]) {
                top.push(entry(name, EntryKind::Directory, GitOid([folder; 20])));
                let files = (1..=3).map(|file| {
                    let oid = GitOid([folder * 10 + file; 20]);
                    names.insert(oid, format!("{name}/{file}"));
                    entry(&file.to_string(), EntryKind::File, oid)
                });
                let listing = Listing::new(files.collect()).unwrap();
                listings.insert(GitOid([folder; 20]), Arc::new(listing));
            }
            listings.insert(GitOid([0; 20]), Arc::new(Listing::new(top).unwrap()));
            Sample { listings, names }
        }

        fn moved(&self, walk: Walk, path: &str) -> Walk {
            let path = TreePath::try_from(path).unwrap();
            walk.moved(
                &path,
                (GitOid([0; 20]), |tree| self.listings.get(&tree).cloned()),
            )
        }

        fn met(&self, walk: &mut Walk) -> Vec<String> {
            let mut met = Vec::new();
            while let Step::File((path, oid, _)) =
                walk.step(|_, tree| self.listings.get(&tree).cloned())
            {
                assert_eq!(path.to_string(), self.names[&oid]);
                met.push(path.to_string());
            }
            met
        }

        /// Directories as they are shown.
        fn folders(&self) -> Vec<String> {
            let entries = self.listings[&GitOid([0; 20])].entries();
            let folders = entries
                .iter()
                .filter(|entry| entry.kind == EntryKind::Directory);
            folders
                .map(|entry| String::from_utf8(entry.name.as_bytes().to_vec()).unwrap())
                .collect()
        }
    }

    #[test]
    fn everything_is_met_once_the_nearest_first() {
        let sample = Sample::new();
        let mut walk = sample.moved(Walk::default(), "b/2");
        let met = sample.met(&mut walk);
        assert_eq!(met.len(), 9);
        assert!(
            met[..2].iter().all(|name| name.starts_with("b/")),
            "{met:?}"
        );
        assert_eq!(met[2], "file");
        let mut sorted = met.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 9);
        assert!(!sorted.contains(&"b/2".to_owned()));
        assert_eq!(walk.step(|_, _| None), Step::Over);
    }

    #[test]
    fn directories_are_met_in_the_direction_in_which_the_reader_goes() {
        let sample = Sample::new();
        let folders = sample.folders();
        for (first, second, third) in [(0, 1, 2), (2, 1, 0)] {
            let walk = sample.moved(Walk::default(), &format!("{}/1", folders[first]));
            let mut walk = sample.moved(walk, &format!("{}/1", folders[second]));
            let met = sample.met(&mut walk);
            assert!(met[3].starts_with(&folders[third]), "{folders:?} {met:?}");
            assert!(met[6].starts_with(&folders[first]), "{folders:?} {met:?}");
        }
    }

    #[test]
    fn what_is_not_listed_is_asked_for_or_left_out() {
        let mut sample = Sample::new();
        let hidden = sample.listings.remove(&GitOid([3; 20])).unwrap();
        let mut walk = sample.moved(Walk::default(), "a/1");
        let met = sample.met(&mut walk);
        let listing = |sample: &Sample, tree: GitOid| sample.listings.get(&tree).cloned();
        assert_eq!(walk.step(|_, tree| listing(&sample, tree)), Step::Unlisted);
        sample.listings.insert(GitOid([3; 20]), hidden);
        assert_eq!(met.len() + sample.met(&mut walk).len(), 9);
        sample.listings.remove(&GitOid([3; 20]));
        let mut walk = sample.moved(Walk::default(), "a/1");
        let first = sample.met(&mut walk).len();
        walk.pass();
        assert_eq!(first + sample.met(&mut walk).len(), 6);
    }
}
