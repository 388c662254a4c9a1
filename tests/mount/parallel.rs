//! Many at once: writers in folders of their own, beside readers of everything.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;
use crate::workload::{Dice, Model};

#[test]
fn writers_and_readers_do_not_disturb_each_other() {
    const WRITERS: u64 = 4;
    const OPERATIONS: usize = 400;
    let mut world = World::small();
    let app = world.repo("app");
    let done = AtomicBool::new(false);
    let models: Vec<(std::path::PathBuf, Model)> = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut walks = 0;
            while !done.load(Ordering::Relaxed) || walks == 0 {
                for name in ["src", "docs", "bin"] {
                    Tree::walk(&app.join(name), GitFolder::Walked);
                }
                walks += 1;
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let root = app.join(format!("writer-{writer}"));
                scope.spawn(move || {
                    fs::create_dir(&root).unwrap();
                    let (mut dice, mut model) = (Dice::new(100 + writer), Model::default());
                    for _ in 0..OPERATIONS {
                        let operation = model.next(&mut dice);
                        operation
                            .perform(&root)
                            .unwrap_or_else(|error| panic!("{operation:?}: {error}"));
                        model.apply(&operation);
                    }
                    (root, model)
                })
            })
            .collect();
        let models = writers.into_iter().map(|writer| writer.join());
        let models: Vec<_> = models.collect();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        models.into_iter().map(Result::unwrap).collect()
    });
    let check = |when: &str| {
        for (root, model) in &models {
            Tree::walk(root, GitFolder::Walked)
                .assert_equals(&model.tree(), &format!("mount and model, {when}"));
        }
    };
    check("at once");
    world.flush_and_compare("app");
    check("after the push");
    world.kill_daemon_hard();
    world.mount();
    check("after a kill");
}

#[test]
fn everybody_may_open_one_repository_at_the_same_time() {
    let world = World::small();
    let app = world.repo("app");
    let trees: Vec<Tree> = thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Tree::walk(&app, GitFolder::Walked)))
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    });
    for tree in &trees {
        tree.assert_equals(&trees[0], "two readers");
    }
}
