//! A tree small enough to be obviously right: paths to nodes. It performs random operations, tells
//! the records that a file system would journal for them, and evaluates effects over an old tree.

use std::collections::BTreeMap;

use journal::{AttributeChange, Effect, Node, NodeKind, Path, Record, RenameMode, Time};
use proptest::prelude::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Thing {
    pub(crate) kind: NodeKind,
    pub(crate) inode: u64,
    /// Goes up with every change of content or permissions.
    pub(crate) version: u64,
}

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tree {
    pub(crate) things: BTreeMap<Vec<u8>, Thing>,
    pub(crate) inodes: u64,
}

/// An operation names its operands by index, modulo what there is, so that failures shrink.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create {
        directory: usize,
        name: u8,
        kind: NodeKind,
    },
    Link {
        node: usize,
        directory: usize,
        name: u8,
    },
    Write {
        node: usize,
    },
    Chmod {
        node: usize,
    },
    Remove {
        node: usize,
    },
    RemoveAll {
        node: usize,
    },
    Rename {
        node: usize,
        directory: usize,
        name: u8,
    },
    Replace {
        node: usize,
        other: usize,
    },
    Exchange {
        node: usize,
        other: usize,
    },
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let kind = prop_oneof![
        3 => Just(NodeKind::File),
        3 => Just(NodeKind::Directory),
        1 => Just(NodeKind::Symlink)
    ];
    let (any_index, name) = (0..64_usize, 0..4_u8);
    prop_oneof![
        4 => (any_index.clone(), name.clone(), kind)
            .prop_map(|(directory, name, kind)| Operation::Create { directory, name, kind }),
        1 => (any_index.clone(), any_index.clone(), name.clone())
            .prop_map(|(node, directory, name)| Operation::Link { node, directory, name }),
        2 => any_index.clone().prop_map(|node| Operation::Write { node }),
        2 => any_index.clone().prop_map(|node| Operation::Chmod { node }),
        2 => any_index.clone().prop_map(|node| Operation::Remove { node }),
        1 => any_index.clone().prop_map(|node| Operation::RemoveAll { node }),
        4 => (any_index.clone(), any_index.clone(), name)
            .prop_map(|(node, directory, name)| Operation::Rename { node, directory, name }),
        3 => (any_index.clone(), any_index.clone())
            .prop_map(|(node, other)| Operation::Replace { node, other }),
        2 => (any_index.clone(), any_index)
            .prop_map(|(node, other)| Operation::Exchange { node, other }),
    ]
}

pub(crate) fn path(bytes: &[u8]) -> Path {
    Path(bytes.to_vec())
}

pub(crate) fn node(kind: NodeKind) -> Node {
    Node {
        kind,
        permissions: 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        target: Vec::new(),
        atime: Time::default(),
        mtime: Time::default(),
        ctime: Time::default(),
    }
}

fn is_below(ancestor: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

/// The names are such that `-` sorts before `/` and `0` after it.
fn child(directory: &[u8], name: u8) -> Vec<u8> {
    let name: &[u8] = [b"a".as_slice(), b"a-", b"a0", b"b"][usize::from(name) % 4];
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}

impl Tree {
    fn pick(&self, index: usize) -> Option<(Vec<u8>, Thing)> {
        let count = self.things.len().max(1);
        self.things
            .iter()
            .nth(index % count)
            .map(|(path, thing)| (path.clone(), *thing))
    }

    fn pick_directory(&self, index: usize) -> Vec<u8> {
        let directories: Vec<&Vec<u8>> = self
            .things
            .iter()
            .filter(|(_, thing)| thing.kind == NodeKind::Directory)
            .map(|(path, _)| path)
            .collect();
        match index % (directories.len() + 1) {
            0 => Vec::new(),
            index => directories[index - 1].clone(),
        }
    }

    fn is_empty_below(&self, path: &[u8]) -> bool {
        !self.things.keys().any(|other| is_below(path, other))
    }

    fn names_of(&self, inode: u64) -> Vec<Vec<u8>> {
        let names = self.things.iter().filter(|(_, thing)| thing.inode == inode);
        names.map(|(path, _)| path.clone()).collect()
    }

    /// Takes the node at `path` and all below it, by the rest of their paths.
    fn take(&mut self, path: &[u8]) -> Vec<(Vec<u8>, Thing)> {
        let paths: Vec<Vec<u8>> = self
            .things
            .keys()
            .filter(|other| *other == path || is_below(path, other))
            .cloned()
            .collect();
        let take = |full: Vec<u8>| {
            (
                full[path.len()..].to_vec(),
                self.things.remove(&full).unwrap(),
            )
        };
        paths.into_iter().map(take).collect()
    }

    fn place(&mut self, path: &[u8], things: Vec<(Vec<u8>, Thing)>) {
        let full = |(rest, thing): (Vec<u8>, Thing)| ([path, &rest].concat(), thing);
        self.things.extend(things.into_iter().map(full));
    }

    /// Performs the operation if it is possible, and returns its records.
    pub(crate) fn perform(&mut self, operation: &Operation) -> Vec<Record> {
        let time = Time::default();
        match operation {
            Operation::Create {
                directory,
                name,
                kind,
            } => {
                let at = child(&self.pick_directory(*directory), *name);
                if self.things.contains_key(&at) {
                    return Vec::new();
                }
                self.inodes += 1;
                let inode = self.inodes;
                self.things.insert(
                    at.clone(),
                    Thing {
                        kind: *kind,
                        inode,
                        version: 0,
                    },
                );
                vec![Record::Create {
                    path: path(&at),
                    inode,
                    node: node(*kind),
                }]
            }
            Operation::Link {
                node,
                directory,
                name,
            } => {
                let to = child(&self.pick_directory(*directory), *name);
                match self.pick(*node) {
                    Some((from, thing))
                        if thing.kind != NodeKind::Directory && !self.things.contains_key(&to) =>
                    {
                        self.things.insert(to.clone(), thing);
                        let (from, to) = (path(&from), path(&to));
                        vec![Record::Link {
                            from,
                            to,
                            inode: thing.inode,
                            time,
                        }]
                    }
                    _ => Vec::new(),
                }
            }
            Operation::Write { node } => match self.pick(*node) {
                Some((_, thing)) if thing.kind == NodeKind::File => {
                    self.touch(thing.inode, |path, inode| Record::Write {
                        path,
                        inode,
                        time: Time::default(),
                    })
                }
                _ => Vec::new(),
            },
            Operation::Chmod { node } => match self.pick(*node) {
                Some((_, thing)) => self.touch(thing.inode, |path, inode| {
                    let permissions = Some(0o755);
                    let change = AttributeChange {
                        permissions,
                        ..AttributeChange::default()
                    };
                    Record::SetAttributes {
                        path,
                        inode,
                        change,
                    }
                }),
                None => Vec::new(),
            },
            Operation::Remove { node } => match self.pick(*node) {
                Some((at, thing)) if self.is_empty_below(&at) => {
                    self.things.remove(&at);
                    vec![Record::Remove {
                        path: path(&at),
                        kind: thing.kind,
                        time,
                    }]
                }
                _ => Vec::new(),
            },
            Operation::RemoveAll { node } => match self.pick(*node) {
                Some((at, _)) => {
                    let record = |(rest, thing): (Vec<u8>, Thing)| Record::Remove {
                        path: Path([at.as_slice(), &rest].concat()),
                        kind: thing.kind,
                        time,
                    };
                    self.take(&at).into_iter().rev().map(record).collect()
                }
                None => Vec::new(),
            },
            Operation::Rename {
                node,
                directory,
                name,
            } => {
                let to = child(&self.pick_directory(*directory), *name);
                self.pick(*node)
                    .map_or(Vec::new(), |(from, thing)| self.rename(&from, thing, &to))
            }
            Operation::Replace { node, other } => match (self.pick(*node), self.pick(*other)) {
                (Some((from, thing)), Some((to, _))) => self.rename(&from, thing, &to),
                _ => Vec::new(),
            },
            Operation::Exchange { node, other } => match (self.pick(*node), self.pick(*other)) {
                (Some((from, thing)), Some((to, other)))
                    if from != to && !is_below(&from, &to) && !is_below(&to, &from) =>
                {
                    let (one, two) = (self.take(&from), self.take(&to));
                    self.place(&to, one);
                    self.place(&from, two);
                    let mode = RenameMode::Exchange { other: other.kind };
                    let (from, to) = (path(&from), path(&to));
                    vec![Record::Rename {
                        from,
                        to,
                        kind: thing.kind,
                        mode,
                        time,
                    }]
                }
                _ => Vec::new(),
            },
        }
    }

    fn touch(&mut self, inode: u64, record: impl Fn(Path, u64) -> Record) -> Vec<Record> {
        let names = self.names_of(inode);
        for name in &names {
            self.things.get_mut(name).unwrap().version += 1;
        }
        names.iter().map(|name| record(path(name), inode)).collect()
    }

    fn rename(&mut self, from: &[u8], thing: Thing, to: &[u8]) -> Vec<Record> {
        let replaced = self.things.get(to).copied();
        let directory = |thing: Thing| thing.kind == NodeKind::Directory;
        let possible = match replaced {
            None => true,
            // Two names of one file: POSIX says that nothing happens.
            Some(other) if other.inode == thing.inode => false,
            Some(other) => directory(other) == directory(thing) && self.is_empty_below(to),
        };
        if !possible || from == to || is_below(from, to) {
            return Vec::new();
        }
        self.things.remove(to);
        let moved = self.take(from);
        self.place(to, moved);
        let mode = RenameMode::Replace {
            replaced: replaced.map(|thing| thing.kind),
        };
        let (from, to, time) = (path(from), path(to), Time::default());
        vec![Record::Rename {
            from,
            to,
            kind: thing.kind,
            mode,
            time,
        }]
    }

    /// Evaluates effects over this tree as the remote would; `last` has the nodes that are put.
    /// Panics if the effects break the rules of `Effect`.
    pub(crate) fn evaluate(&self, effects: &[Effect], last: &Tree, knowledge: Knowledge) -> Tree {
        let mut tree = self.clone();
        for effect in effects {
            match effect {
                Effect::Remove { path } => {
                    let removed = tree.take(&path.0);
                    assert!(
                        knowledge == Knowledge::Stored || !removed.is_empty(),
                        "{effect:?} of nothing"
                    );
                }
                Effect::Copy { from, to } => {
                    let copied = self.clone().take(&from.0);
                    match copied.first() {
                        Some((_, root)) => tree.make_way(&to.0, root.kind, effect),
                        None => assert!(knowledge == Knowledge::Stored, "{effect:?} of nothing"),
                    }
                    tree.take(&to.0);
                    tree.place(&to.0, copied);
                }
                Effect::Put { path, inode } => {
                    let thing = last.things[&path.0];
                    assert_eq!(thing.inode, *inode, "{effect:?} of another node");
                    tree.make_way(&path.0, thing.kind, effect);
                    tree.things.insert(path.0.clone(), thing);
                }
            }
        }
        tree.inodes = last.inodes;
        tree
    }

    /// A remote does not turn a directory into a file or back without being told.
    fn make_way(&self, at: &[u8], kind: NodeKind, effect: &Effect) {
        if let Some(slash) = at.iter().rposition(|byte| *byte == b'/') {
            let parent = self.things.get(&at[..slash]).expect("a parent");
            assert_eq!(parent.kind, NodeKind::Directory, "{effect:?} below a file");
        }
        if let Some(there) = self.things.get(at) {
            let directory = |kind| kind == NodeKind::Directory;
            assert_eq!(
                directory(there.kind),
                directory(kind),
                "{effect:?} over {there:?}"
            );
        }
    }
}

/// Whether a `Remove` or `Copy` may find nothing: a plan that was stored knows less of the base.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knowledge {
    Full,
    Stored,
}
