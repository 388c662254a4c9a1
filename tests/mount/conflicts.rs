//! What contradicts, what does not, and what becomes of it: both sides are always there.

use std::fs;
use std::time::Duration;

use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
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
    fs::write(app.join("src/both"), "ours once more\n").unwrap();
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

/// The conflicts that are listed.
fn listed(world: &World) -> Vec<serde_json::Value> {
    let list = run(&mut world.mesa(&["conflicts", "list", "--json"])).success();
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    list["conflicts"].as_array().unwrap().clone()
}

/// A world where both sides wrote `docs/one.md`, `shared/dir/file` and `tool`, and its two changes.
fn with_conflict() -> (World, String, String) {
    let (world, change) = with_change();
    let app = world.repo("app");
    let mut tool = file("bin/tool", "their tool\n");
    tool["mode"] = "100755".into();
    let theirs = [
        file("docs/one.md", "theirs\n"),
        file("shared/dir/file", "theirs\n"),
        file("quiet", "theirs alone\n"),
        gone("README.md"),
        tool,
    ];
    stranger::edit(&world, "app", &change, &theirs);
    fs::write(app.join("docs/one.md"), "ours\n").unwrap();
    fs::create_dir(app.join("shared")).unwrap();
    fs::write(app.join("shared/dir"), "ours is a file\n").unwrap();
    fs::write(app.join("README.md"), "ours\n").unwrap();
    fs::remove_file(app.join("bin/tool")).unwrap();
    world.flush_and_compare("app");
    let sibling = change_id(&world);
    assert_ne!(sibling, change);
    (world, change, sibling)
}

#[test]
fn a_conflict_is_listed_and_shown_also_after_a_crash_and_without_a_daemon() {
    let (mut world, change, sibling) = with_conflict();
    let before = listed(&world);
    let [conflict] = &before[..] else {
        panic!("one conflict, not {before:?}")
    };
    assert_eq!(conflict["kind"], "edit");
    assert_eq!(conflict["our_change"], sibling.as_str());
    assert_eq!(conflict["their_change"], change.as_str());
    assert_eq!(conflict["paths"], 4);
    let id = conflict["id"].as_str().unwrap().to_owned();

    let show = ["conflicts", "show", &id[..6]];
    let text = run(&mut world.mesa(&show)).success().text();
    for word in [
        "docs/one.md",
        "shared/dir",
        "README.md",
        "bin/tool",
        "git diff",
        "--take ours",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    let shown = run(world.mesa(&show).arg("--json")).success();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let paths = shown["conflicting"].as_array().unwrap();
    let of = |path: &str| paths.iter().find(|one| one["path"] == path).unwrap();
    let blob = |text: &str| {
        let file = world.folder().join("blob");
        fs::write(&file, text).unwrap();
        git_text(world.folder(), &["hash-object", file.to_str().unwrap()])
    };
    assert_eq!(of("docs/one.md")["base"]["oid"], blob("one\n").as_str());
    assert_eq!(
        of("docs/one.md")["theirs"]["oid"],
        blob("theirs\n").as_str()
    );
    assert_eq!(of("docs/one.md")["ours"]["oid"], blob("ours\n").as_str());
    assert!(of("README.md")["theirs"].is_null());
    assert_eq!(of("bin/tool")["theirs"]["kind"], "executable");
    assert!(of("bin/tool")["ours"].is_null());
    assert_eq!(of("shared/dir")["theirs"]["kind"], "directory");

    // What is written there before it is settled is marked in the journal.
    world.stop_server();
    fs::write(world.repo("app").join("docs/one.md"), "ours again\n").unwrap();
    fs::write(world.repo("app").join("elsewhere"), "ours\n").unwrap();
    let journal = run(&mut world.mesa(&["journal", "list", "--json"])).success();
    let journal: serde_json::Value = serde_json::from_slice(&journal.stdout).unwrap();
    let entries = journal["entries"].as_array().unwrap();
    let of = |path: &str| entries.iter().find(|entry| entry["path"] == path).unwrap();
    assert_eq!(of("docs/one.md")["state"], "conflicted");
    assert_ne!(of("elsewhere")["state"], "conflicted");
    world.start_server();

    world.kill_daemon_hard();
    let at_rest = listed(&world);
    assert_eq!(at_rest[0]["id"], id.as_str());
    run(&mut world.mesa(&show)).success();
    world.mount();
    assert_eq!(listed(&world)[0]["id"], id.as_str());
    assert_eq!(conflicts(&world), 1);
    let unknown = run(&mut world.mesa(&["conflicts", "show", "zz"])).expect(1);
    assert!(unknown.errors().contains("hint:"), "{unknown}");
}

#[test]
fn ours_or_theirs_is_taken_and_nothing_is_deleted() {
    let (mut world, change, sibling) = with_conflict();
    let app = world.repo("app");
    let id = listed(&world)[0]["id"].as_str().unwrap().to_owned();

    // One path first: the rest stays listed.
    let resolve = ["conflicts", "resolve", &id, "--take", "ours", "README.md"];
    run(&mut world.mesa(&resolve)).success();
    let left = listed(&world);
    assert_eq!((left.len(), &left[0]["paths"]), (1, &3.into()));
    let id = left[0]["id"].as_str().unwrap().to_owned();
    let stray = ["conflicts", "resolve", &id, "--take", "ours", "no/such"];
    run(&mut world.mesa(&stray)).expect(1);

    // A link to the outside is no way for their files.
    let outside = world.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(app.join("bin")).unwrap();
    std::os::unix::fs::symlink(&outside, app.join("bin")).unwrap();
    run(&mut world.mesa(&["conflicts", "resolve", &id, "--take", "theirs"])).success();
    assert!(listed(&world).is_empty());
    assert_eq!(conflicts(&world), 0);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(
        fs::read_to_string(app.join("docs/one.md")).unwrap(),
        "theirs\n"
    );
    assert_eq!(
        fs::read_to_string(app.join("shared/dir/file")).unwrap(),
        "theirs\n"
    );
    assert_eq!(
        fs::read_to_string(app.join("bin/tool")).unwrap(),
        "their tool\n"
    );
    assert_eq!(fs::read_to_string(app.join("README.md")).unwrap(), "ours\n");
    assert!(!app.join("quiet").exists(), "nobody asked for it");
    let mode = fs::metadata(app.join("bin/tool")).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o100,
        0o100
    );

    // It is pushed to our change, and theirs is as it was.
    world.flush_and_compare("app");
    assert_eq!(change_id(&world), sibling);
    assert_eq!(shown(&world, &sibling, "docs/one.md"), "theirs");
    assert_eq!(shown(&world, &change, "docs/one.md"), "theirs");
    assert_eq!(shown(&world, &change, "quiet"), "theirs alone");
    world.kill_daemon_hard();
    world.mount();
    assert!(listed(&world).is_empty());
    git_text(&world.bare("app"), &["fsck", "--strict"]);
}

#[test]
fn a_crash_between_finding_and_forking_lists_it_once() {
    let source = tempfile::tempdir().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    fs::write(app.join("ours"), "first\n").unwrap();
    world.flush();
    let change = change_id(&world);
    stranger::edit(&world, "app", &change, &[file("ours", "theirs\n")]);
    // The fork is made, and nobody learns it.
    world.proxy().lose_answers_to("POST /v1/local/app/changes");
    fs::write(app.join("ours"), "second\n").unwrap();
    wait_until("the fork is sent", Duration::from_secs(60), || {
        world.proxy().lost() > 0
    });
    let before = listed(&world);
    world.kill_daemon_hard();
    world.proxy().pass_answers();
    world.mount();
    world.flush_and_compare("app");
    let after = listed(&world);
    assert_eq!((before.len(), after.len()), (1, 1), "{before:?} {after:?}");
    assert_eq!(before[0]["id"], after[0]["id"]);
    assert!(before[0]["our_change"].is_null());
    assert_eq!(after[0]["our_change"], change_id(&world).as_str());
    assert_eq!(shown(&world, &change, "ours"), "theirs");
    let changes = ["for-each-ref", "--format=%(refname)", "refs/mesa/changes"];
    let changes = git_text(&world.bare("app"), &changes);
    assert_eq!(
        changes.lines().count(),
        3,
        "base, ours and its sibling: {changes}"
    );
}
