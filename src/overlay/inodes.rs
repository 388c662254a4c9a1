//! Inode numbers and references: which nodes the kernel knows, where they are, and when to forget.
//!
//! A lower node's number is a hash of its path in the pinned commit, so it is the same after a
//! forget, a remount, or a rename of a directory above it, and nothing needs to be stored for it. A
//! hash that another live path has already taken (2^-8 for a million files that are all live at
//! once) moves to the next free number; only then does the order of lookups matter. New nodes count
//! up from 2, and adoption keeps the number.

use super::error::Error;
use super::state::{Held, Live, LowerNode, State};
use crate::lower::{EntryKind, Listing, ListingEntry, Want};
use crate::tree::{GitOid, Ino, Kind, Name, TreePath};
use crate::upper::{ADOPTED_BIT, Node, Origin};

/// Inodes for which the table always has room.
const LIVE_MIN: usize = 1024;

/// What is known of an inode.
pub(super) enum Known<'a> {
    /// It has a node in the upper layer.
    Upper(&'a Node),
    /// It is the lower layer's alone.
    Lower(&'a LowerNode),
}

/// What stands at a name.
pub(super) enum Found<'a> {
    /// A node of the upper layer.
    Upper(Ino),
    /// An entry of the lower directory.
    Lower(&'a ListingEntry),
    /// Nothing that anyone can see.
    Nothing,
}

impl Live {
    pub(super) fn holding(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }
}

impl State {
    pub(super) fn known(&self, ino: Ino) -> Result<Known<'_>, Error> {
        if let Some(node) = self.upper.node(ino) {
            return Ok(Known::Upper(node));
        }
        let live = self.live.get(&ino).ok_or(Error::Stale)?;
        live.lower.as_deref().map(Known::Lower).ok_or(Error::Stale)
    }

    pub(super) fn kind(&self, ino: Ino) -> Result<Kind, Error> {
        Ok(match self.known(ino)? {
            Known::Upper(node) => node.kind,
            Known::Lower(node) => kind_of_entry(node.kind),
        })
    }

    /// The lower directory that shows through a directory: its path and its tree.
    pub(super) fn lower_directory(&self, ino: Ino) -> Result<Option<(TreePath, GitOid)>, Error> {
        match self.known(ino)? {
            Known::Upper(node) if node.kind != Kind::Directory => Err(Error::NotDirectory),
            Known::Upper(node) => Ok(node
                .origin
                .as_ref()
                .map(|origin| (origin.path.clone(), origin.oid))),
            Known::Lower(node) => match node.kind {
                EntryKind::Directory => Ok(Some((node.path.clone(), node.oid))),
                EntryKind::Submodule => Ok(None),
                EntryKind::File | EntryKind::Executable | EntryKind::Symlink => {
                    Err(Error::NotDirectory)
                }
            },
        }
    }

    /// The lower object whose bytes a file or a symbolic link shows, unless it has its own.
    pub(super) fn lower_object(&self, ino: Ino) -> Result<Option<Want>, Error> {
        Ok(match self.known(ino)? {
            Known::Upper(node) if node.body => None,
            Known::Upper(node) => node.origin.as_ref().map(want_of_origin),
            Known::Lower(node) => Some(Want::Object {
                path: node.path.clone(),
                oid: node.oid,
                size: node.size,
            }),
        })
    }

    /// Whether a directory was removed while somebody is still in it.
    pub(super) fn is_removed(&self, ino: Ino) -> bool {
        match self.known(ino) {
            Ok(Known::Upper(node)) => ino != Ino::ROOT && node.names.is_empty(),
            Ok(Known::Lower(node)) => node.removed,
            Err(_) => true,
        }
    }

    /// The path that a node is seen at now.
    pub(super) fn path(&self, ino: Ino) -> Result<TreePath, Error> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut current = ino;
        while current != Ino::ROOT {
            let (parent, name) = match self.known(current)? {
                Known::Upper(node) => {
                    let (parent, name) = node.names.first().ok_or(Error::NotFound)?;
                    (*parent, name.as_bytes())
                }
                Known::Lower(node) if node.removed => return Err(Error::NotFound),
                Known::Lower(node) => (node.parent, node.path.last_bytes()),
            };
            names.push(name);
            current = parent;
        }
        names.reverse();
        Ok(TreePath::try_from(names.join(&b'/').as_slice())?)
    }

    /// All paths of a node that is not a directory.
    pub(super) fn paths(&self, ino: Ino) -> Result<Vec<TreePath>, Error> {
        match self.known(ino)? {
            Known::Upper(node) if ino != Ino::ROOT => node
                .names
                .iter()
                .map(|(parent, name)| Ok(self.path(*parent)?.join(name)?))
                .collect(),
            Known::Upper(_) | Known::Lower(_) => Ok(vec![self.path(ino)?]),
        }
    }

    /// What stands at a name, given the lower listing of the directory, if it has one.
    pub(super) fn find<'a>(
        &self,
        directory: Ino,
        name: &Name,
        listing: Option<&'a Listing>,
    ) -> Found<'a> {
        match self.upper.entry(directory, name) {
            Some(entry) => entry.node.map_or(Found::Nothing, Found::Upper),
            None => listing
                .and_then(|listing| listing.find(name))
                .map_or(Found::Nothing, Found::Lower),
        }
    }

    /// The path in the pinned commit of a name in a directory that shows the lower layer through.
    pub(super) fn lower_child_path(&self, directory: Ino, name: &Name) -> Result<TreePath, Error> {
        let (path, _) = self.lower_directory(directory)?.ok_or(Error::Stale)?;
        Ok(path.join(name)?)
    }

    /// The number of a lower node.
    pub(super) fn lower_ino(&self, path: &TreePath) -> Ino {
        let hash = blake3::hash(path.as_bytes());
        let (first, _) = hash.as_bytes().split_at(8);
        let mut number = first
            .iter()
            .fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
            % ADOPTED_BIT;
        loop {
            let ino = Ino(ADOPTED_BIT | number);
            if self.is_free_for(ino, path) {
                return ino;
            }
            number = (number + 1) % ADOPTED_BIT;
        }
    }

    fn is_free_for(&self, ino: Ino, path: &TreePath) -> bool {
        if let Some(node) = self.upper.node(ino) {
            let origin = node.origin.as_ref();
            return origin.is_some_and(|origin| origin.path == *path) && !node.names.is_empty();
        }
        match self.live.get(&ino).and_then(|live| live.lower.as_deref()) {
            Some(other) => other.path == *path && !other.removed,
            None => !self.live.contains_key(&ino),
        }
    }

    /// Makes a lower entry live, without a reference yet.
    pub(super) fn intern(&mut self, directory: Ino, entry: &ListingEntry) -> Result<Ino, Error> {
        let path = self.lower_child_path(directory, &entry.name)?;
        let ino = self.lower_ino(&path);
        if self.live.contains_key(&ino) {
            return Ok(ino);
        }
        self.live.entry(directory).or_default().children += 1;
        let lower = LowerNode {
            path,
            parent: directory,
            kind: entry.kind,
            size: entry.size,
            oid: entry.oid,
            removed: false,
        };
        self.lower_nodes += 1;
        self.live.insert(
            ino,
            Live {
                lower: Some(Box::new(lower)),
                ..Live::default()
            },
        );
        Ok(ino)
    }

    pub(super) fn add_lookup(&mut self, ino: Ino) {
        self.live.entry(ino).or_default().lookups += 1;
    }

    /// Lets go of a node that nobody refers to any more, and of its lower ancestors. Returns the
    /// node if it also has no name, so that its body can be buried.
    pub(super) fn let_go(&mut self, ino: Ino) -> Option<Ino> {
        let mut current = ino;
        while let Some(live) = self.live.get(&current) {
            if live.lookups > 0 || live.opens > 0 || live.children > 0 {
                break;
            }
            let parent = self.live.remove(&current).and_then(|live| live.lower);
            let Some(parent) = parent.map(|lower| lower.parent) else {
                break;
            };
            self.lower_nodes = self.lower_nodes.saturating_sub(1);
            if let Some(live) = self.live.get_mut(&parent) {
                live.children = live.children.saturating_sub(1);
            }
            current = parent;
        }
        // As after a walk over everything, which the kernel has forgotten since.
        if self.live.capacity() / 8 > self.live.len().max(LIVE_MIN) {
            self.live.shrink_to(self.live.len() * 2);
        }
        let had_body = self.upper.node(ino).is_some_and(|node| node.body);
        let gone = !self.live.contains_key(&ino) && self.upper.drop_nameless(ino);
        (gone && had_body).then_some(ino)
    }

    /// So many nodes of the lower layer that nobody is known to have open, or fewer; others each time, until
    /// all had their turn.
    pub(super) fn idle(&mut self, count: usize) -> Vec<Ino> {
        let from = self.hand % self.live.len().max(1);
        let mut met = 0;
        let round = self
            .live
            .iter()
            .skip(from)
            .chain(self.live.iter().take(from));
        let idle = round
            .inspect(|_| met += 1)
            .filter(|(_, live)| live.opens == 0 && live.children == 0 && live.lower.is_some())
            .map(|(ino, _)| *ino)
            .take(count)
            .collect();
        self.hand = from + met;
        idle
    }

    /// Ends a lower node's own life because it was adopted: the references stay, the place in the
    /// lower tree goes.
    pub(super) fn detach_lower(&mut self, ino: Ino) {
        let Some(lower) = self.live.get_mut(&ino).and_then(|live| live.lower.take()) else {
            return;
        };
        self.lower_nodes = self.lower_nodes.saturating_sub(1);
        if let Some(live) = self.live.get_mut(&lower.parent) {
            live.children = live.children.saturating_sub(1);
        }
        self.let_go(lower.parent);
    }

    /// Marks a live lower node as removed: whoever has it open keeps it.
    pub(super) fn mark_removed(&mut self, path: &TreePath) {
        let ino = self.lower_ino(path);
        if let Some(lower) = self.live.get_mut(&ino).and_then(|live| live.lower.as_mut()) {
            lower.removed = true;
        }
    }
}

/// The object that an adopted file or symbolic link shows through.
pub(super) fn want_of_origin(origin: &Origin) -> Want {
    Want::Object {
        path: origin.path.clone(),
        oid: origin.oid,
        size: origin.size,
    }
}

pub(super) fn kind_of_entry(kind: EntryKind) -> Kind {
    match kind {
        EntryKind::File | EntryKind::Executable => Kind::File,
        EntryKind::Symlink => Kind::Symlink,
        EntryKind::Directory | EntryKind::Submodule => Kind::Directory,
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Owner;
    use super::*;
    use crate::upper::Upper;

    /// A state whose kernel refers to so many files of the lower layer's root.
    fn walked(files: usize) -> (State, Vec<Ino>) {
        let mut upper = Upper::default();
        let root = upper.node(Ino::ROOT).unwrap().clone();
        let origin = Origin {
            path: TreePath::ROOT,
            oid: GitOid::EMPTY_TREE,
            size: 0,
        };
        let shown = Node {
            origin: Some(origin),
            ..root
        };
        upper.insert_nameless(Ino::ROOT, shown);
        let mut state = State::new(upper, Owner { uid: 0, gid: 0 });
        let inodes = (0..files).map(|number| {
            let entry = ListingEntry {
                name: Name::try_from(format!("file-{number}").as_str()).unwrap(),
                kind: EntryKind::File,
                size: 1,
                oid: GitOid([7; 20]),
            };
            let ino = state.intern(Ino::ROOT, &entry).unwrap();
            state.add_lookup(ino);
            ino
        });
        let inodes = inodes.collect();
        (state, inodes)
    }

    #[test]
    fn what_a_walk_has_met_costs_little_and_nothing_once_it_is_forgotten() {
        assert!(size_of::<Live>() <= 32, "{}", size_of::<Live>());
        assert!(size_of::<LowerNode>() <= 72, "{}", size_of::<LowerNode>());
        let (mut state, inodes) = walked(50_000);
        assert_eq!(state.lower_nodes, 50_000);
        for ino in &inodes {
            state.live.get_mut(ino).unwrap().lookups = 0;
            state.let_go(*ino);
        }
        assert_eq!((state.lower_nodes, state.live.len()), (0, 0));
        assert!(state.live.capacity() < 20_000, "{}", state.live.capacity());
    }

    #[test]
    fn every_idle_node_has_its_turn_and_what_is_open_has_none() {
        let (mut state, inodes) = walked(100);
        state.live.get_mut(&inodes[0]).unwrap().opens = 1;
        let turns: Vec<Ino> = (0..4).flat_map(|_| state.idle(30)).collect();
        let met: std::collections::HashSet<_> = turns.iter().collect();
        assert_eq!((turns.len(), met.len()), (120, 99));
        assert!(!met.contains(&inodes[0]) && !met.contains(&Ino::ROOT));
        assert_eq!(
            State::new(Upper::default(), Owner { uid: 0, gid: 0 }).idle(5),
            []
        );
    }
}
