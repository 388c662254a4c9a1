//! The map of paths that the overlay is compared with.

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

use super::remote::{Item, Tree, join};
use crate::overlay::Rename;
use crate::overlay::ignore::{Rules, Said};
use crate::tree::TreePath;

/// The map of paths: files by number, since two names may be one file.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) paths: BTreeMap<String, Node>,
    pub(super) files: Vec<(Vec<u8>, bool)>,
    /// What of the base each directory shows through.
    origins: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    File(usize),
    Symlink(Vec<u8>),
    Directory,
}

impl Model {
    pub(super) fn of(tree: &Tree) -> Model {
        let mut model = Model {
            paths: BTreeMap::new(),
            files: Vec::new(),
            origins: BTreeMap::new(),
        };
        for (path, item) in tree {
            let node = match item {
                Item::Directory => {
                    model.origins.insert(path.clone(), path.clone());
                    Node::Directory
                }
                Item::Symlink(target) => Node::Symlink(target.clone()),
                Item::File { bytes, executable } => {
                    model.files.push((bytes.clone(), *executable));
                    Node::File(model.files.len() - 1)
                }
            };
            model.paths.insert(path.clone(), node);
        }
        model
    }

    pub(super) fn tree(&self) -> Tree {
        let item = |node: &Node| match node {
            Node::Directory => Item::Directory,
            Node::Symlink(target) => Item::Symlink(target.clone()),
            Node::File(number) => {
                let (bytes, executable) = self.files[*number].clone();
                Item::File { bytes, executable }
            }
        };
        self.paths
            .iter()
            .map(|(path, node)| (path.clone(), item(node)))
            .collect()
    }

    pub(super) fn pick(&self, index: &Index, fits: impl Fn(&Node) -> bool) -> Option<String> {
        let fitting: Vec<&String> = self
            .paths
            .iter()
            .filter(|(_, node)| fits(node))
            .map(|(path, _)| path)
            .collect();
        (!fitting.is_empty()).then(|| fitting[index.index(fitting.len())].clone())
    }

    /// A directory, the root among them.
    pub(super) fn directory(&self, index: &Index) -> String {
        let mut all = vec![String::new()];
        all.extend(
            self.paths
                .iter()
                .filter(|(_, node)| **node == Node::Directory)
                .map(|(path, _)| path.clone()),
        );
        all[index.index(all.len())].clone()
    }

    /// The tree without what is ignored: a path that some rule is against, or a directory above it,
    /// and that neither the base nor `pushed` has.
    pub(super) fn wanted(&self, base: &Tree, rules: &Rules, pushed: &BTreeSet<TreePath>) -> Tree {
        let mut tree = self.tree();
        tree.retain(|path, _| !self.is_ignored(path, base, rules, pushed));
        tree
    }

    fn is_ignored(
        &self,
        path: &str,
        base: &Tree,
        rules: &Rules,
        pushed: &BTreeSet<TreePath>,
    ) -> bool {
        let mut is_against = false;
        let ends = path.match_indices('/').map(|(slash, _)| slash);
        for end in ends.chain([path.len()]) {
            let prefix = &path[..end];
            let (parent, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
            let is_directory = self.paths[prefix] == Node::Directory;
            let tree_path = TreePath::try_from(prefix).unwrap();
            is_against |= rules.say(&tree_path, is_directory) == Said::Ignored;
            let shown = self.origins.get(parent).map(|origin| join(origin, name));
            let is_there = shown.is_some_and(|shown| base.contains_key(&shown))
                || base.contains_key(prefix)
                || pushed.contains(&tree_path);
            if is_against && !is_there && prefix != ".mesaignore" {
                return true;
            }
        }
        false
    }

    /// A directory that is gone shows nothing.
    pub(super) fn remove(&mut self, path: &str) {
        self.paths.remove(path);
        self.origins.remove(path);
    }

    fn move_below(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .paths
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        let mut origins = Vec::new();
        let taken: Vec<(String, Node)> = moved
            .into_iter()
            .map(|path| {
                let node = self.paths.remove(&path).unwrap();
                let moved = format!("{to}{}", &path[from.len()..]);
                if let Some(origin) = self.origins.remove(&path) {
                    origins.push((moved.clone(), origin));
                }
                (moved, node)
            })
            .collect();
        self.paths.extend(taken);
        self.origins.extend(origins);
    }

    pub(super) fn rename(
        &mut self,
        from: &str,
        to: &str,
        mode: Rename,
    ) -> Result<(), &'static str> {
        let source = self.paths[from].clone();
        let target = self.paths.get(to).cloned();
        let inside =
            |path: &str, above: &str| path == above || path.starts_with(&format!("{above}/"));
        let same_file =
            matches!((&source, &target), (Node::File(a), Some(Node::File(b))) if a == b);
        if from == to || same_file && mode != Rename::NoReplace {
            return Ok(());
        }
        match (mode, &target) {
            (Rename::Exchange, None) => return Err("NotFound"),
            (Rename::NoReplace, Some(_)) => return Err("Exists"),
            (Rename::Replace, Some(target)) => {
                let source = source == Node::Directory;
                let directory = *target == Node::Directory;
                if source && !directory {
                    return Err("NotDirectory");
                } else if !source && directory {
                    return Err("IsDirectory");
                } else if directory
                    && self
                        .paths
                        .keys()
                        .any(|key| key.starts_with(&format!("{to}/")))
                {
                    return Err("NotEmpty");
                }
            }
            _ => {}
        }
        if source == Node::Directory && inside(to, from) {
            return Err("Loop");
        }
        if mode == Rename::Exchange && target == Some(Node::Directory) && inside(from, to) {
            return Err("Loop");
        }
        if mode == Rename::Exchange {
            self.move_below(to, "\u{1}aside");
            self.move_below(from, to);
            self.move_below("\u{1}aside", from);
        } else {
            self.remove(to);
            self.move_below(from, to);
        }
        Ok(())
    }
}
