//! Somebody else's edits of the change that takes ours: nobody's are lost.

use std::fs;

use crate::support::git::git_text;
use crate::support::world::World;

/// Edits a change as another client would: the newest commit of it, without asking anybody.
fn edit_as_a_stranger(world: &World, change: &str, path: &str, content_base64: &str) {
    let url = format!("{}/local/app/changes/{change}", world.url());
    let body = serde_json::json!({
        "message": "a stranger was here",
        "author": {"name": "Stranger", "email": "stranger@example.com"},
        "files": [{"path": path, "content": content_base64, "mode": "100644"}],
    });
    let request = reqwest::Client::new()
        .patch(url)
        .bearer_auth(world.mint("1h", &["app"]))
        .json(&body);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = runtime.block_on(async { request.send().await.unwrap().status() });
    assert!(status.is_success(), "{status}");
}

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
    edit_as_a_stranger(&world, &first, "ours", "c3RyYW5nZXIK");

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
