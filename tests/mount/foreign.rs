//! Somebody else's edits of the change that takes ours: nobody's are lost.

use std::fs;

use crate::support::git::git_text;
use crate::support::stranger;
use crate::support::world::World;

fn change_id(world: &World) -> String {
    let status = world.repo_status("app");
    status["change"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_strangers_edit_stays_and_ours_go_on_in_a_sibling() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::write(app.join("ours"), "first\n").unwrap();
    world.flush();
    let first = change_id(&world);
    stranger::edit(
        &world,
        "app",
        &first,
        &[stranger::file("ours", "stranger\n")],
    );

    fs::write(app.join("ours"), "second\n").unwrap();
    fs::create_dir(app.join("folder")).unwrap();
    let tree = world.flush_and_compare("app");
    let second = change_id(&world);
    assert_ne!(first, second, "the stranger's edit was overwritten");
    let shown = |change: &str, path: &str| {
        let object = format!("refs/mesa/changes/{change}:{path}");
        git_text(&world.bare("app"), &["show", &object])
    };
    assert_eq!(shown(&first, "ours").trim(), "stranger");
    assert_eq!(shown(&second, "ours").trim(), "second");

    // Both survive a restart, and the sibling is amended from then on.
    world.kill_daemon_hard();
    world.mount();
    fs::write(app.join("ours"), "third\n").unwrap();
    let later = world.flush_and_compare("app");
    assert_eq!(change_id(&world), second);
    assert_eq!(tree.files(), later.files());
    git_text(&world.bare("app"), &["fsck", "--strict"]);
}
