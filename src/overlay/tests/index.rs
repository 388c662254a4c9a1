//! The index is never the only copy: whatever becomes of it costs a rebuild and nothing else.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::remote::{Tree, sample};
use super::support::{Fixture, OWNER};
use crate::overlay::{NewNode, Rename};
use crate::tree::Permissions;
use crate::upper::Fault;

/// Ways in which an index is damaged.
#[derive(Clone, Debug)]
enum Damage {
    /// Bits of its files, by a share of their length.
    Flip(Vec<(prop::sample::Index, prop::sample::Index, u8)>),
    Truncate(prop::sample::Index, prop::sample::Index),
    /// A file that sled leaves behind when it dies at a bad moment.
    Stray,
    /// Something else has its name.
    Garbage(Vec<u8>),
    /// One of its files is a folder.
    Folder(prop::sample::Index),
    Missing(prop::sample::Index),
    /// Of an earlier state than the journal's snapshot.
    Older,
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let flip = (index(), index(), 0..8_u8);
    prop_oneof![
        12 => prop::collection::vec(flip, 1..6).prop_map(Damage::Flip),
        6 => (index(), index()).prop_map(|(file, at)| Damage::Truncate(file, at)),
        1 => Just(Damage::Stray),
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Damage::Garbage),
        1 => index().prop_map(Damage::Folder),
        1 => index().prop_map(Damage::Missing),
        1 => Just(Damage::Older),
    ]
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

impl Damage {
    fn inflict(&self, index: &Path, older: &Path) {
        let all = files(index);
        match self {
            Damage::Flip(flips) => {
                for (file, at, bit) in flips {
                    let path = file.get(&all);
                    let length = path.metadata().unwrap().len();
                    if length == 0 {
                        continue;
                    }
                    let mut file = fs::File::options();
                    let file = file.read(true).write(true).open(path).unwrap();
                    // sled fills its file ahead: most of it is zeroes, which are damaged too.
                    let at = at.index(usize::try_from(length).unwrap()) as u64;
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, at).unwrap();
                    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
                }
            }
            Damage::Truncate(file, at) => {
                let path = file.get(&all);
                let length = usize::try_from(path.metadata().unwrap().len()).unwrap();
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_len(at.index(length.max(1)) as u64).unwrap();
            }
            Damage::Stray => {
                fs::write(index.join("snap.0000000000001234.generating"), "half").unwrap();
            }
            Damage::Garbage(bytes) => {
                fs::remove_dir_all(index).unwrap();
                fs::write(index, bytes).unwrap();
            }
            Damage::Folder(file) => {
                let path = file.get(&all);
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }
            Damage::Missing(file) => fs::remove_file(file.get(&all)).unwrap(),
            Damage::Older => {
                fs::remove_dir_all(index).unwrap();
                copy(older, index);
            }
        }
    }
}

/// A repository with some history, and copies of its index at two points of it.
struct Scene {
    fixture: Fixture,
    tree: Tree,
    state: String,
    whole: tempfile::TempDir,
    older: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let mut fixture = Fixture::new(&sample());
        let make = |fixture: &Fixture, path: &str, node: NewNode| {
            let (parent, name) = fixture.place(path).unwrap();
            let permissions = Permissions::of_mode(0o644);
            let made = fixture
                .call(|overlay| overlay.make(parent, &name, node.clone(), permissions, OWNER));
            made.unwrap();
        };
        make(&fixture, "made", NewNode::Directory);
        for number in 0..20 {
            make(&fixture, &format!("made/file-{number}"), NewNode::File);
        }
        fixture.overlay().checkpoint().unwrap();
        fixture.close();
        let older = tempfile::tempdir().unwrap();
        copy(&fixture.folder().join("repo/index"), older.path());
        fixture.reopen();
        for number in 0..20 {
            let path = format!("made/file-{number}");
            fixture.write(&path, 0, path.as_bytes()).unwrap();
        }
        let (parent, name) = fixture.place("a").unwrap();
        let (_, to) = fixture.place("moved").unwrap();
        let mode = Rename::Replace;
        let renamed = fixture.call(|overlay| overlay.rename(parent, &name, parent, &to, mode));
        renamed.unwrap();
        let (parent, name) = fixture.place("README").unwrap();
        fixture
            .call(|overlay| overlay.remove_file(parent, &name))
            .unwrap();
        fixture.overlay().sync_all().unwrap();
        fixture.overlay().compact().unwrap();
        fixture.overlay().checkpoint().unwrap();
        make(&fixture, "after the checkpoint", NewNode::File);
        let (tree, state) = (fixture.tree(), fixture.everything());
        fixture.close();
        let whole = tempfile::tempdir().unwrap();
        copy(&fixture.folder().join("repo/index"), whole.path());
        Scene {
            fixture,
            tree,
            state,
            whole,
            older,
        }
    }
}

/// Where two descriptions part.
fn first_difference(left: &str, right: &str) -> Option<String> {
    let (mut left, mut right) = (left.lines(), right.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => return None,
            (left, right) if left == right => {}
            (left, right) => return Some(format!("line {number}: {left:?} and {right:?}")),
        }
    }
}

#[test]
fn a_damaged_index_costs_a_rebuild_and_nothing_else() {
    let mut scene = Scene::new();
    let folder = scene.fixture.folder().join("repo");
    let (index, aside) = (folder.join("index"), folder.join("index.doubtful"));
    let doubted = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 110,
        failure_persistence: None,
        // Each case takes the place of the one before.
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    });
    let scene = std::cell::RefCell::new(&mut scene);
    let quiet = std::panic::take_hook();
    // sled's own panics are expected here, and are many.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = runner.run(&damage(), |damage| {
        let mut scene = scene.borrow_mut();
        scene.fixture.close();
        drop(fs::remove_dir_all(&index));
        drop(fs::remove_file(&index));
        drop(fs::remove_dir_all(&aside));
        drop(fs::remove_file(&aside));
        copy(scene.whole.path(), &index);
        damage.inflict(&index, scene.older.path());
        scene.fixture.reopen();
        doubted.set(doubted.get() + u32::from(aside.exists()));
        prop_assert_eq!(
            first_difference(&scene.fixture.everything(), &scene.state),
            None
        );
        // And the next checkpoint is good for the next opening.
        let checkpointed = scene.fixture.overlay().checkpoint();
        prop_assert!(checkpointed.is_ok(), "{:?}", checkpointed);
        scene.fixture.reopen();
        prop_assert_eq!(
            first_difference(&scene.fixture.everything(), &scene.state),
            None
        );
        Ok(())
    });
    std::panic::set_hook(quiet);
    outcome.unwrap();
    // Much of the damage is to bytes that nothing reads.
    assert!(doubted.get() > 20, "in doubt {} times", doubted.get());
    let scene = scene.into_inner();
    assert!(scene.fixture.tree() == scene.tree, "the tree");
}

#[test]
fn an_index_that_cannot_be_made_is_made_later() {
    let mut fixture = Fixture::new(&sample());
    let (parent, name) = fixture.place("new").unwrap();
    let permissions = Permissions::of_mode(0o644);
    fixture
        .call(|overlay| overlay.make(parent, &name, NewNode::File, permissions, OWNER))
        .unwrap();
    let state = fixture.everything();
    fixture.close();
    let repo = fixture.folder().join("repo");
    fs::remove_dir_all(repo.join("index")).unwrap();
    // Neither can be put in the other's place.
    fs::write(repo.join("index"), "garbage").unwrap();
    fs::create_dir_all(repo.join("index.doubtful/held")).unwrap();
    let mounted = nix::mount::mount(
        Some("tmpfs"),
        &repo.join("index.doubtful/held"),
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    );
    if mounted.is_err() {
        println!("skipped: only root can mount something in the way");
        return;
    }
    fixture.reopen();
    assert_eq!(fixture.everything(), state);
    let failed = fixture.overlay().checkpoint();
    let again = fixture.overlay().checkpoint();
    nix::mount::umount(&repo.join("index.doubtful/held")).unwrap();
    failed.unwrap_err();
    again.unwrap_err();
    fixture.overlay().checkpoint().unwrap();
    assert!(repo.join("index").is_dir());
    fixture.reopen();
    assert_eq!(fixture.everything(), state);
}

#[test]
fn a_checkpoint_that_fails_half_way_is_made_good_by_the_next() {
    let mut fixture = Fixture::new(&sample());
    let make = |fixture: &Fixture, path: &str| {
        let (parent, name) = fixture.place(path).unwrap();
        let permissions = Permissions::of_mode(0o644);
        fixture
            .call(|overlay| overlay.make(parent, &name, NewNode::File, permissions, OWNER))
            .unwrap();
    };
    make(&fixture, "one");
    fixture.overlay().checkpoint().unwrap();
    for panicking in [false, true] {
        make(&fixture, if panicking { "three" } else { "two" });
        let fault = if panicking {
            Fault::Panic
        } else {
            Fault::Error
        };
        fixture.overlay().index.lock().fault = Some(fault);
        fixture.overlay().checkpoint().unwrap_err();
        make(&fixture, if panicking { "five" } else { "four" });
        fixture.overlay().checkpoint().unwrap();
        let state = fixture.everything();
        fixture.reopen();
        assert_eq!(fixture.everything(), state);
        // The index was believed, or there would be more to read.
        assert_eq!(fixture.overlay().opening().replayed, 0);
    }
}
