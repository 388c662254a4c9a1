//! Random operations on the overlay and on a map of paths: results, tree and remote must agree, also
//! after reopening (with and without the index), checkpoints and compaction, and after every push
//! the remote must show the tree exactly.

use std::collections::BTreeSet;

use journal::Sequence;
use proptest::prelude::*;
use proptest::sample::Index;

use super::map::{Model, Node};
use super::operation::{Operation, RULES, operation};
use super::remote::{Tree, apply, children, join, sample};
use super::support::{Fixture, OWNER};
use super::writers::Writer;
use crate::overlay::ignore::Rules;
use crate::overlay::{AttributeChange, Error, NewNode, Rename, Scope};
use crate::tree::{Ino, Name, Permissions, TreePath};

pub(super) struct Run {
    pub(super) fixture: Fixture,
    pub(super) model: Model,
    base: Tree,
    remote: Tree,
    /// A push whose answer was lost with the process: what it covers, and whether it was accepted.
    unsettled: Option<(Sequence, bool)>,
    /// The rules of the last capture, and what they do not undo.
    rules: String,
    pushed: BTreeSet<TreePath>,
    pub(super) writers: Vec<Writer>,
}

fn told(result: Result<(), Error>) -> Result<(), String> {
    result.map_err(|error| {
        format!("{error:?}")
            .split(['(', ' '])
            .next()
            .unwrap()
            .to_owned()
    })
}

impl Run {
    fn compare(&self, real: Result<(), Error>, model: Result<(), &str>, what: &str) {
        assert_eq!(told(real), model.map_err(str::to_owned), "{what}");
    }

    /// Makes something in the overlay, and says whether the model must make it too.
    fn make(&mut self, at: &Index, name: u8, node: NewNode) -> Option<String> {
        let path = join(&self.model.directory(at), &format!("n{name}"));
        let taken = self.model.paths.contains_key(&path);
        let (parent, name) = self.fixture.place(&path).unwrap();
        let permissions = Permissions::of_mode(0o644);
        let made = self
            .fixture
            .call(|overlay| overlay.make(parent, &name, node.clone(), permissions, OWNER));
        let expected = if taken { Err("Exists") } else { Ok(()) };
        self.compare(made.map(|_| ()), expected, &path);
        (!taken).then_some(path)
    }

    /// Writes the file of rules, made anew, since it may have become anything.
    fn write_rules(&mut self, rules: &str) {
        let path = ".mesaignore";
        let name = Name::try_from(path).unwrap();
        match self.model.paths.get(path) {
            Some(Node::Directory) => return,
            Some(_) => self
                .fixture
                .call(|overlay| overlay.remove_file(Ino::ROOT, &name))
                .unwrap(),
            None => {}
        }
        let permissions = Permissions::of_mode(0o644);
        self.fixture
            .call(|overlay| overlay.make(Ino::ROOT, &name, NewNode::File, permissions, OWNER))
            .unwrap();
        self.fixture.write(path, 0, rules.as_bytes()).unwrap();
        self.model.files.push((rules.as_bytes().to_vec(), false));
        let number = self.model.files.len() - 1;
        self.model.paths.insert(path.to_owned(), Node::File(number));
    }

    fn rename(&mut self, from: &str, to: &str, mode: Rename) {
        let (parent, name) = self.fixture.place(from).unwrap();
        let (new_parent, new_name) = self.fixture.place(to).unwrap();
        let real = self
            .fixture
            .call(|overlay| overlay.rename(parent, &name, new_parent, &new_name, mode));
        let model = self.model.rename(from, to, mode);
        self.compare(real, model, &format!("{from} to {to} {mode:?}"));
    }

    /// Announces a push and dies before the answer is recorded.
    fn lose_answer(&mut self, accepted: bool) {
        self.settle();
        if self.fixture.overlay().remote().pushed == Sequence::ZERO {
            return;
        }
        self.let_time_pass();
        let capture = self.fixture.call(|overlay| overlay.capture(Scope::Pending));
        let capture = capture.unwrap();
        self.wanted();
        let Some(capture) = capture else {
            return;
        };
        let overlay = self.fixture.overlay();
        overlay
            .record_push_intended(capture.through, [9; 16])
            .unwrap();
        if accepted {
            apply(&mut self.remote, &self.base, &capture.edits);
        }
        self.unsettled = Some((capture.through, accepted));
        drop(capture);
        self.fixture.reopen();
        self.die();
    }

    /// Asks the remote what became of it.
    fn settle(&mut self) {
        let Some((through, accepted)) = self.unsettled.take() else {
            return;
        };
        let overlay = self.fixture.overlay();
        assert_eq!(overlay.remote().intended, Some((through, [9; 16])));
        if accepted {
            let commit = crate::tree::GitOid([2; 20]);
            overlay.record_pushed(through, commit).unwrap();
        } else {
            overlay.abandon_capture();
        }
    }

    /// What the remote is to show: the tree without what is ignored since the last capture. What counts
    /// as pushed before is the overlay's to say; that all which the remote has counts is checked.
    fn wanted(&mut self) -> Tree {
        let state = self.fixture.overlay().state.lock();
        let ignore = &state.ignore;
        let wanted = self.model.wanted(&self.base, &ignore.rules, &ignore.pushed);
        if self.rules != ignore.rules.text() {
            let before = Rules::new(std::mem::take(&mut self.rules));
            let was_wanted = self.model.wanted(&self.base, &before, &self.pushed);
            for path in was_wanted
                .keys()
                .filter(|path| self.remote.contains_key(*path))
            {
                assert!(
                    wanted.contains_key(path),
                    "{path} was pushed and is ignored now"
                );
            }
            self.rules = ignore.rules.text().to_owned();
        }
        self.pushed = ignore.pushed.clone();
        wanted
    }

    fn push(&mut self, scope: Scope, accepted: bool) {
        self.settle();
        // As the replay does: what nothing was pushed of is pushed whole.
        let scope = match self.fixture.overlay().remote().pushed {
            Sequence::ZERO => Scope::Everything,
            _ => scope,
        };
        self.let_time_pass();
        let capture = self.fixture.call(|overlay| overlay.capture(scope)).unwrap();
        let wanted = self.wanted();
        let Some(capture) = capture else {
            let remote = match scope {
                Scope::Everything => &self.base,
                Scope::Pending => &self.remote,
            };
            assert_eq!(*remote, wanted, "nothing to push");
            assert_eq!(self.fixture.overlay().pending().operations, 0);
            return;
        };
        if !accepted {
            self.fixture.overlay().abandon_capture();
            return;
        }
        if scope == Scope::Everything {
            self.remote = self.base.clone();
        }
        let before = self.remote.clone();
        apply(&mut self.remote, &self.base, &capture.edits);
        assert_eq!(
            self.remote, wanted,
            "remote before {before:#?}\nedits {:#?}",
            capture.edits
        );
        let commit = crate::tree::GitOid([1; 20]);
        let overlay = self.fixture.overlay();
        overlay.record_pushed(capture.through, commit).unwrap();
        assert_eq!(overlay.pending().operations, 0);
    }

    fn step(&mut self, operation: &Operation) {
        let file = |node: &Node| matches!(node, Node::File(_));
        match operation {
            Operation::Create(at, name) => {
                if let Some(path) = self.make(at, *name, NewNode::File) {
                    self.model.files.push((Vec::new(), false));
                    let number = self.model.files.len() - 1;
                    self.model.paths.insert(path, Node::File(number));
                }
            }
            Operation::Directory(at, name) => {
                if let Some(path) = self.make(at, *name, NewNode::Directory) {
                    self.model.paths.insert(path, Node::Directory);
                }
            }
            Operation::Symlink(at, name) => {
                let target = b"some/where".to_vec();
                let node = NewNode::Symlink {
                    target: target.clone(),
                };
                if let Some(path) = self.make(at, *name, node) {
                    self.model.paths.insert(path, Node::Symlink(target));
                }
            }
            Operation::Write(at, offset, data) => {
                let Some(path) = self.model.pick(at, file) else {
                    return;
                };
                self.fixture.write(&path, u64::from(*offset), data).unwrap();
                let number = self.number(&path);
                self.note_write(number, *offset, data);
            }
            Operation::WriteThrough(at, offset, data, stays) => {
                if let Some(path) = self.model.pick(at, file) {
                    self.write_through(&path, *offset, data, *stays);
                }
            }
            Operation::WriteUnseen(at, offset, data) => self.write_unseen(at, *offset, data),
            Operation::CloseWriter(at) => self.close_writer(at),
            Operation::Upkeep => self.fixture.overlay().sync_in_background().unwrap(),
            Operation::Truncate(at, size) => {
                let Some(path) = self.model.pick(at, file) else {
                    return;
                };
                let ino = self.fixture.find(&path).unwrap();
                self.fixture
                    .call(|overlay| overlay.truncate(ino, u64::from(*size)))
                    .unwrap();
                let Node::File(number) = self.model.paths[&path] else {
                    unreachable!()
                };
                self.model.files[number].0.resize(usize::from(*size), 0);
            }
            Operation::Executable(at, on) => {
                let Some(path) = self.model.pick(at, file) else {
                    return;
                };
                let ino = self.fixture.find(&path).unwrap();
                let change = AttributeChange {
                    permissions: Some(Permissions::of_mode(if *on { 0o755 } else { 0o644 })),
                    ..AttributeChange::default()
                };
                self.fixture
                    .call(|overlay| overlay.set_attributes(ino, &change))
                    .unwrap();
                let Node::File(number) = self.model.paths[&path] else {
                    unreachable!()
                };
                self.model.files[number].1 = *on;
            }
            Operation::Remove(at) => {
                let Some(path) = self.model.pick(at, |_| true) else {
                    return;
                };
                let (parent, name) = self.fixture.place(&path).unwrap();
                let empty = children(&self.model.tree(), &path).is_empty();
                if self.model.paths[&path] == Node::Directory {
                    let real = self
                        .fixture
                        .call(|overlay| overlay.remove_directory(parent, &name));
                    let expected = if empty { Ok(()) } else { Err("NotEmpty") };
                    self.compare(real, expected, &path);
                } else {
                    let real = self
                        .fixture
                        .call(|overlay| overlay.remove_file(parent, &name));
                    self.compare(real, Ok(()), &path);
                }
                if empty {
                    self.model.remove(&path);
                }
            }
            Operation::Rename(from, to, name, mode) => {
                let Some(from) = self.model.pick(from, |_| true) else {
                    return;
                };
                let to = join(&self.model.directory(to), &format!("n{name}"));
                let mode = [Rename::Replace, Rename::NoReplace][usize::from(*mode)];
                self.rename(&from, &to, mode);
            }
            Operation::RenameOver(from, to, mode) => {
                let Some(from) = self.model.pick(from, |_| true) else {
                    return;
                };
                let Some(to) = self.model.pick(to, |_| true) else {
                    return;
                };
                let modes = [Rename::Replace, Rename::NoReplace, Rename::Exchange];
                self.rename(&from, &to, modes[usize::from(*mode)]);
            }
            Operation::Link(from, to, name) => {
                let Some(from) = self.model.pick(from, file) else {
                    return;
                };
                let to = join(&self.model.directory(to), &format!("n{name}"));
                let ino = self.fixture.find(&from).unwrap();
                let (parent, name) = self.fixture.place(&to).unwrap();
                let real = self
                    .fixture
                    .call(|overlay| overlay.link(ino, parent, &name));
                let taken = self.model.paths.contains_key(&to);
                let expected = if taken { Err("Exists") } else { Ok(()) };
                self.compare(real.map(|_| ()), expected, &to);
                if !taken {
                    let node = self.model.paths[&from].clone();
                    self.model.paths.insert(to, node);
                }
            }
            Operation::Rules(rules) => self.write_rules(RULES[usize::from(*rules)]),
            Operation::Push => self.push(Scope::Pending, true),
            Operation::LosePush => self.push(Scope::Pending, false),
            Operation::LoseAnswer(accepted) => self.lose_answer(*accepted),
            Operation::PushEverything => self.push(Scope::Everything, true),
            Operation::Checkpoint => self.fixture.overlay().checkpoint().unwrap(),
            Operation::Compact => self.fixture.overlay().compact().unwrap(),
            Operation::Reopen => {
                self.fixture.reopen();
                self.die();
                assert_eq!(self.fixture.tree(), self.model.tree());
            }
            Operation::ReopenWithoutIndex => {
                self.fixture.close();
                let index = self.fixture.folder().join("repo/index");
                std::fs::remove_dir_all(index).unwrap();
                self.fixture.reopen();
                self.die();
                assert_eq!(self.fixture.tree(), self.model.tree());
            }
        }
    }
}

/// PROPTEST_CASES asks for more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]
    #[test]
    fn the_overlay_is_a_map_of_paths(operations in prop::collection::vec(operation(), 1..60)) {
        let base = sample();
        let mut run = Run {
            fixture: Fixture::new(&base),
            model: Model::of(&base),
            remote: base.clone(),
            base,
            unsettled: None,
            rules: String::new(),
            pushed: BTreeSet::new(),
            writers: Vec::new(),
        };
        for operation in &operations {
            run.step(operation);
        }
        assert_eq!(run.fixture.tree(), run.model.tree());
        run.push(Scope::Pending, true);
        run.fixture.reopen();
        assert_eq!(run.fixture.tree(), run.model.tree());
    }
}
