//! kill -9: whatever was acknowledged is there after the next mount, and reaches the remote.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::stopwatch::wait_until;
use crate::support::syscall::{exchange, is_dead, is_gone};
use crate::support::tree::Tree;
use crate::support::world::World;
use crate::workload::{Dice, Model, Operation};

#[test]
fn unpushed_edits_survive_a_kill() {
    let mut world = World::with("real", fixture::real());
    let real = world.repo("real");
    fs::write(real.join("data/crlf.txt"), "edited\n").unwrap();
    fs::rename(real.join("vendor/tokio"), real.join("runtime")).unwrap();
    fs::write(real.join("runtime/src/lib.rs"), "inside\n").unwrap();
    fs::read_dir(real.join("tools")).unwrap().count();
    world.stop_server();
    fs::create_dir_all(real.join("new/empty")).unwrap();
    fs::write(real.join("new/file"), fixture::noise("kill", 3_000_000)).unwrap();
    fs::remove_file(real.join("tools/plain")).unwrap();
    exchange(&real.join("runtime"), &real.join("new")).unwrap();
    // A descriptor that is still open when the daemon dies: what was written counts.
    let open = fs::File::create(real.join("open")).unwrap();
    open.write_all_at(b"written, not closed", 0).unwrap();
    world.kill_daemon_hard();
    let dead = fs::metadata(&real).unwrap_err();
    assert!(is_dead(&dead), "{dead}");
    drop(open);

    world.mount();
    assert_eq!(fs::read(real.join("open")).unwrap(), b"written, not closed");
    assert_eq!(fs::read(real.join("new/src/lib.rs")).unwrap(), b"inside\n");
    assert!(world.pending("real") > 0, "there was nothing to lose");
    world.start_server();
    let tree = world.flush_and_compare("real");

    world.kill_daemon_hard();
    world.mount();
    world
        .local_tree("real")
        .assert_equals(&tree, "after and before a kill with nothing pending");
    world.flush_and_compare("real");
}

#[test]
fn every_acknowledged_operation_survives_a_kill_at_any_moment() {
    let mut world = World::small();
    let root = world.repo("app").join("work");
    fs::create_dir(&root).unwrap();
    let mut model = Model::default();
    for round in 0..6 {
        // Pushes go on beneath in even rounds; in odd ones the server is away.
        if round % 2 == 1 {
            world.stop_server();
        }
        let goal = 100 + 150 * usize::try_from(round).unwrap();
        let (acknowledged, unknown) =
            kill_while_writing(&mut world, &root, model.clone(), round, goal);
        world.mount();
        let mounted = tree_of(&root);
        let mut other = acknowledged.clone();
        let unknown = acknowledged.cut(&unknown, &root);
        other.apply(&unknown);
        model = if mounted == other.tree() {
            other
        } else {
            mounted.assert_equals(
                &acknowledged.tree(),
                &format!("round {round}: mount (left), what was acknowledged (right), besides {unknown:?}"),
            );
            acknowledged
        };
        if round % 2 == 1 {
            assert!(world.pending("app") > 0, "there was nothing to lose");
            world.start_server();
        }
    }
    world.flush_and_compare("app");
    tree_of(&root).assert_equals(&model.tree(), "in the end");
}

/// Writes until the daemon is killed, which happens once so many operations were acknowledged.
/// Gives the acknowledged tree, and the one operation whose effect is unknown.
fn kill_while_writing(
    world: &mut World,
    root: &Path,
    mut model: Model,
    seed: u64,
    goal: usize,
) -> (Model, Operation) {
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut dice = Dice::new(seed + 1);
            loop {
                let operation = model.next(&mut dice);
                if let Err(error) = operation.perform(root) {
                    assert!(is_gone(&error), "{operation:?}: {error}");
                    return (model, operation);
                }
                model.apply(&operation);
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
        wait_until("enough operations", Duration::from_secs(60), || {
            writer.is_finished() || acknowledged.load(Ordering::SeqCst) >= goal
        });
        assert!(!writer.is_finished(), "the writer failed before the kill");
        world.kill_daemon_hard();
        writer.join().unwrap()
    })
}

fn tree_of(root: &Path) -> Tree {
    Tree::walk(root, crate::support::tree::GitFolder::Walked)
}

#[test]
fn a_kill_after_a_lost_answer_neither_loses_nor_doubles() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    world.local_tree("app");
    // The first round loses the answer to the fork, the later ones that to a push.
    for round in 0..4 {
        let name = |word: &str| app.join(format!("{word}-{round}"));
        world.proxy().take();
        world.proxy().lose_answers();
        let lost = world.proxy().lost();
        fs::write(name("file"), fixture::noise("push", 200_000)).unwrap();
        fs::rename(name("file"), name("moved")).unwrap();
        fs::write(app.join("again"), format!("{round}\n")).unwrap();
        wait_until("an answer is lost", Duration::from_secs(60), || {
            world.proxy().lost() > lost
        });
        world.kill_daemon_hard();
        world.proxy().pass_answers();
        world.mount();
        wait_until("pushed by itself", Duration::from_secs(60), || {
            world.pending("app") == 0
        });
    }
    let tree = world.flush_and_compare("app");
    assert!(tree.0.contains_key(Path::new("moved-3")));
    let change = world.repo_status("app")["change"].clone();
    let commit = change["commit_oid"].as_str().unwrap();
    let bare = world.bare("app");
    assert_eq!(
        git_text(&bare, &["rev-parse", &format!("{commit}^")]),
        git_text(&bare, &["rev-parse", "main"]),
        "one change, on the bookmark"
    );
}

#[test]
fn a_lost_answer_is_resolved_without_a_kill() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    world.local_tree("app");
    for round in 0..3 {
        let lost = world.proxy().lost();
        world.proxy().lose_answers();
        fs::write(app.join("again"), format!("{round}\n")).unwrap();
        wait_until("an answer is lost", Duration::from_secs(60), || {
            world.proxy().lost() > lost
        });
        fs::write(app.join(format!("meanwhile-{round}")), "meanwhile\n").unwrap();
        world.proxy().pass_answers();
        world.flush_and_compare("app");
    }
}

#[test]
fn the_index_can_be_deleted_while_nothing_runs() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::rename(app.join("src"), app.join("code")).unwrap();
    fs::write(app.join("code/main.rs"), "edited\n").unwrap();
    world.flush();
    world.local_tree("app");
    world.stop_server();
    fs::write(app.join("unpushed"), "unpushed\n").unwrap();
    let before = world.local_tree("app");
    world.unmount("0s").expect(4);
    let index = world.data().join("repos/local/app/index");
    if index.exists() {
        fs::remove_dir_all(index).unwrap();
    }
    world.start_server();
    world.mount();
    world
        .local_tree("app")
        .assert_equals(&before, "after and before the index was deleted");
    world.flush_and_compare("app");
}
