//! What contradicts, what does not, and what becomes of it: both sides are always there.

use std::fs;

use crate::support::git::git_text;
use crate::support::stranger::{self, file, gone};
use crate::support::world::World;

fn change_id(world: &World) -> String {
    let status = world.repo_status("app");
    status["change"]["id"].as_str().unwrap().to_owned()
}

fn conflicts(world: &World) -> u64 {
    world.repo_status("app")["conflicts"].as_u64().unwrap()
}

/// A file of what a change is now, as Git reads it.
fn shown(world: &World, change: &str, path: &str) -> String {
    let object = format!("refs/mesa/changes/{change}:{path}");
    git_text(&world.bare("app"), &["show", &object])
}

/// A mounted world with a change of ours, and its id.
fn with_change() -> (World, String) {
    let world = World::small();
    fs::write(world.repo("app").join("ours"), "first\n").unwrap();
    world.flush();
    let change = change_id(&world);
    (world, change)
}

#[test]
fn edits_of_other_paths_and_equal_edits_stand_beside_ours() {
    let (mut world, change) = with_change();
    let app = world.repo("app");
    stranger::edit(
        &world,
        "app",
        &change,
        &[
            file("docs/one.md", "theirs\n"),
            file("src/both", "same\n"),
            gone("empty"),
        ],
    );
    fs::write(app.join("README.md"), "ours\n").unwrap();
    fs::write(app.join("src/both"), "same\n").unwrap();
    fs::remove_file(app.join("empty")).unwrap();
    world.flush();
    assert_eq!(change_id(&world), change, "no sibling");
    assert_eq!(conflicts(&world), 0);
    for (path, text) in [
        ("docs/one.md", "theirs"),
        ("src/both", "same"),
        ("README.md", "ours"),
        ("ours", "first"),
    ] {
        assert_eq!(shown(&world, &change, path), text, "{path}");
    }

    // What was the same is ours; what is theirs alone is not gone over, also by a later process.
    fs::write(app.join("src/both"), "ours again\n").unwrap();
    world.flush();
    assert_eq!((change_id(&world), conflicts(&world)), (change.clone(), 0));
    world.kill_daemon_hard();
    world.mount();
    fs::write(app.join("docs/two.md"), "ours\n").unwrap();
    world.flush();
    assert_eq!((change_id(&world), conflicts(&world)), (change.clone(), 0));
    fs::write(app.join("docs/one.md"), "ours, not knowing theirs\n").unwrap();
    world.flush_and_compare("app");
    assert_ne!(change_id(&world), change);
    assert_eq!(conflicts(&world), 1);
    assert_eq!(shown(&world, &change, "docs/one.md"), "theirs");
}

#[test]
fn a_removal_contradicts_an_edit_both_ways() {
    for ours_removes in [true, false] {
        let (world, change) = with_change();
        let app = world.repo("app");
        if ours_removes {
            stranger::edit(&world, "app", &change, &[file("docs/one.md", "theirs\n")]);
            fs::remove_dir_all(app.join("docs")).unwrap();
        } else {
            stranger::edit(&world, "app", &change, &[gone("docs")]);
            fs::write(app.join("docs/one.md"), "ours\n").unwrap();
        }
        world.flush_and_compare("app");
        let sibling = change_id(&world);
        assert_ne!(sibling, change);
        assert_eq!(conflicts(&world), 1);
        if ours_removes {
            assert_eq!(shown(&world, &change, "docs/one.md"), "theirs");
        } else {
            assert_eq!(shown(&world, &sibling, "docs/one.md"), "ours");
        }
    }
}

#[test]
fn rapid_rewrites_never_contradict_ourselves() {
    let (world, change) = with_change();
    let app = world.repo("app");
    for turn in 0..200 {
        fs::write(app.join("ours"), format!("turn {turn}\n")).unwrap();
        let temporary = app.join("README.md.tmp");
        fs::write(&temporary, format!("turn {turn}\n")).unwrap();
        fs::rename(&temporary, app.join("README.md")).unwrap();
        if turn % 50 == 0 {
            world.flush();
        }
    }
    world.flush_and_compare("app");
    assert_eq!((change_id(&world), conflicts(&world)), (change, 0));
}
