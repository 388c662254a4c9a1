//! A writer that notes what was acknowledged: random operations on a mount, one system call each,
//! and the tree that they must have left.
//!
//! The note is made after the call returned, so when the daemon dies there is at most one call
//! whose effect is unknown: it happened whole, or not at all; or, since the kernel hands a write on
//! page by page, as a first part of it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::syscall::unlink;
use crate::support::tree::{Entry, GitFolder, Tree};

/// One system call that changes something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Truncate(PathBuf, u64),
    Executable(PathBuf, bool),
    MakeDirectory(PathBuf),
    Link(PathBuf, PathBuf),
    Unlink(PathBuf),
    RemoveDirectory(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[allow(dead_code, reason = "each test binary uses its own part")]
impl Operation {
    /// Performs it below a root.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn perform(&self, root: &Path) -> io::Result<()> {
        let write = |path: &PathBuf| OpenOptions::new().write(true).open(root.join(path));
        match self {
            Operation::Create(path) => File::create_new(root.join(path)).map(drop),
            Operation::Write(path, offset, bytes) => write(path)?.write_all_at(bytes, *offset),
            Operation::Truncate(path, size) => write(path)?.set_len(*size),
            Operation::Executable(path, executable) => {
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(root.join(path), Permissions::from_mode(mode))
            }
            Operation::MakeDirectory(path) => fs::create_dir(root.join(path)),
            Operation::Link(target, path) => symlink(target, root.join(path)),
            Operation::Unlink(path) => unlink(&root.join(path)),
            Operation::RemoveDirectory(path) => fs::remove_dir(root.join(path)),
            Operation::Rename(from, to) => fs::rename(root.join(from), root.join(to)),
        }
    }
}

/// What is at a path, with its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Directory,
    File {
        bytes: Vec<u8>,
        executable: bool,
        /// The path that it was made at, by which it is known wherever it is now.
        born: PathBuf,
    },
    Link(PathBuf),
}

/// The tree that the operations lead to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model(BTreeMap<PathBuf, Node>);

#[allow(dead_code, reason = "each test binary uses its own part")]
impl Model {
    /// Applies an operation that was made for this model.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(path) => {
                let node = Node::File {
                    bytes: Vec::new(),
                    executable: false,
                    born: path.clone(),
                };
                self.0.insert(path.clone(), node);
            }
            Operation::Write(path, offset, data) => {
                let bytes = self.bytes(path);
                let start = usize::try_from(*offset).unwrap();
                bytes.resize(bytes.len().max(start + data.len()), 0);
                bytes[start..start + data.len()].copy_from_slice(data);
            }
            Operation::Truncate(path, size) => {
                self.bytes(path).resize(usize::try_from(*size).unwrap(), 0);
            }
            Operation::Executable(path, now) => match self.0.get_mut(path) {
                Some(Node::File { executable, .. }) => *executable = *now,
                other => panic!("{path:?} is {other:?}"),
            },
            Operation::MakeDirectory(path) => {
                self.0.insert(path.clone(), Node::Directory);
            }
            Operation::Link(target, path) => {
                self.0.insert(path.clone(), Node::Link(target.clone()));
            }
            Operation::Unlink(path) | Operation::RemoveDirectory(path) => {
                self.0.remove(path);
            }
            Operation::Rename(from, to) => self.rename(from, to),
        }
    }

    /// What a kill left of an operation: of a write the part that `root` shows.
    pub fn cut(&self, operation: &Operation, root: &Path) -> Operation {
        let Operation::Write(path, offset, data) = operation else {
            return operation.clone();
        };
        let shown = fs::read(root.join(path)).unwrap_or_default();
        let part = |length: usize| {
            let part = Operation::Write(path.clone(), *offset, data[..length].to_vec());
            let mut model = self.clone();
            model.apply(&part);
            (*model.bytes(path) == shown).then_some(part)
        };
        let parts = (1..=data.len()).rev();
        parts
            .into_iter()
            .find_map(part)
            .unwrap_or(operation.clone())
    }

    /// The same as a tree that compares with a walked one.
    pub fn tree(&self) -> Tree {
        let entry = |node: &Node| match node {
            Node::Directory => Entry::Directory,
            Node::File {
                bytes, executable, ..
            } => Entry::file(bytes, *executable),
            Node::Link(target) => Entry::Symlink {
                target: target.clone().into_os_string(),
            },
        };
        let entries = self.0.iter();
        Tree(
            entries
                .map(|(path, node)| (path.clone(), entry(node)))
                .collect(),
        )
    }

    /// What is below a root, every file at the path that it was made at.
    pub fn read(root: &Path) -> Model {
        let mut model = Model::default();
        for (path, entry) in Tree::walk(root, GitFolder::Walked).0 {
            let node = match entry {
                Entry::Directory => Node::Directory,
                Entry::Symlink { target } => Node::Link(target.into()),
                Entry::File { executable, .. } => Node::File {
                    bytes: fs::read(root.join(&path)).unwrap(),
                    executable,
                    born: path.clone(),
                },
                Entry::Other => panic!("{path:?} is of no kind that is made here"),
            };
            model.0.insert(path, node);
        }
        model
    }

    /// Names, kinds, targets and permissions: all but the bytes.
    pub fn shape(&self) -> Tree {
        let hollow = |node: &Node| match node {
            Node::Directory => Entry::Directory,
            Node::File { executable, .. } => Entry::file(&[], *executable),
            Node::Link(target) => Entry::Symlink {
                target: target.clone().into_os_string(),
            },
        };
        let entries = self.0.iter();
        Tree(
            entries
                .map(|(path, node)| (path.clone(), hollow(node)))
                .collect(),
        )
    }

    /// Files: where each is, where it was made, and its bytes.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &Path, &Vec<u8>)> {
        self.0.iter().filter_map(|(path, node)| match node {
            Node::File { bytes, born, .. } => Some((path.as_path(), born.as_path(), bytes)),
            Node::Directory | Node::Link(_) => None,
        })
    }

    fn bytes(&mut self, path: &Path) -> &mut Vec<u8> {
        match self.0.get_mut(path) {
            Some(Node::File { bytes, .. }) => bytes,
            other => panic!("{path:?} is {other:?}"),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let below: Vec<PathBuf> = self
            .0
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in below {
            let node = self.0.remove(&path).unwrap();
            let rest = path.strip_prefix(from).unwrap();
            let target = if rest.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(rest)
            };
            self.0.insert(target, node);
        }
    }

    fn is_hollow(&self, folder: &Path) -> bool {
        !self
            .0
            .keys()
            .any(|path| path != folder && path.starts_with(folder))
    }

    fn pick(&self, dice: &mut Dice, wanted: impl Fn(&Path, &Node) -> bool) -> Option<PathBuf> {
        let fitting: Vec<&PathBuf> = self
            .0
            .iter()
            .filter(|(path, node)| wanted(path, node))
            .map(|(path, _)| path)
            .collect();
        let index = dice.below(fitting.len().max(1) as u64);
        fitting
            .get(usize::try_from(index).unwrap())
            .map(|path| (*path).clone())
    }

    fn folder(&self, dice: &mut Dice) -> PathBuf {
        if dice.below(4) == 0 {
            return PathBuf::new();
        }
        self.pick(dice, |_, node| *node == Node::Directory)
            .filter(|path| path.iter().count() < 6)
            .unwrap_or_default()
    }

    /// An operation that succeeds on this tree, and one that makes it smaller once it has so many
    /// paths.
    pub fn next_within(&self, paths_max: usize, dice: &mut Dice) -> Operation {
        if self.0.len() < paths_max {
            return self.next(dice);
        }
        let gone = self.pick(dice, |path, node| {
            *node != Node::Directory || self.is_hollow(path)
        });
        match gone {
            Some(path) if self.0[&path] == Node::Directory => Operation::RemoveDirectory(path),
            Some(path) => Operation::Unlink(path),
            None => self.next(dice),
        }
    }

    /// An operation that succeeds on this tree.
    pub fn next(&self, dice: &mut Dice) -> Operation {
        let fresh = |dice: &mut Dice| self.folder(dice).join(format!("n{}", dice.below(1 << 40)));
        let file = |dice: &mut Dice| self.pick(dice, |_, node| matches!(node, Node::File { .. }));
        let choice = dice.below(20);
        let made = match choice {
            0..=2 => Some(Operation::MakeDirectory(fresh(dice))),
            3 => Some(Operation::Link(fresh(dice), fresh(dice))),
            4..=9 => file(dice).map(|path| {
                let bytes = vec![b'a' + dice.letter(); 1 + dice.index(5_000)];
                Operation::Write(path, dice.below(6_000), bytes)
            }),
            10 => file(dice).map(|path| Operation::Truncate(path, dice.below(8_000))),
            11 => file(dice).map(|path| Operation::Executable(path, dice.below(2) == 0)),
            12 => self
                .pick(dice, |_, node| *node != Node::Directory)
                .map(Operation::Unlink),
            13 => self
                .pick(dice, |path, node| {
                    *node == Node::Directory && self.is_hollow(path)
                })
                .map(Operation::RemoveDirectory),
            14..=15 => self.pick(dice, |_, _| true).and_then(|from| {
                let to = fresh(dice);
                (!to.starts_with(&from)).then_some(Operation::Rename(from, to))
            }),
            16 => file(dice).and_then(|from| {
                let to = self.pick(dice, |path, node| path != from && *node != Node::Directory)?;
                Some(Operation::Rename(from, to))
            }),
            _ => None,
        };
        made.unwrap_or_else(|| Operation::Create(fresh(dice)))
    }
}

/// Numbers that are the same in every run of the same seed.
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn index(&mut self, limit: u64) -> usize {
        usize::try_from(self.below(limit)).unwrap()
    }

    fn letter(&mut self) -> u8 {
        u8::try_from(self.below(26)).unwrap()
    }
}
