//! The bookmark follows what was pushed, and whatever happens on the way both sides stay whole.

use std::fs;
use std::time::Duration;

use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::second::Second;
use crate::support::stopwatch::wait_until;
use crate::support::stranger::{self, file};
use crate::support::world::World;

/// As long as anything here may take on two busy cores.
const DEADLINE: Duration = Duration::from_secs(60);

/// A world that publishes in a mode.
fn publishing(mode: &str) -> World {
    let source = tempfile::tempdir().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    mount(&mut world, mode);
    world
}

fn mount(world: &mut World, mode: &str) {
    run(&mut world.mesa(&["mount", "--daemonize", "--no-supervisor", "--publish", mode])).success();
    world.adopt();
}

fn state(world: &World) -> String {
    let status = world.repo_status("app");
    status["publish"]["state"].as_str().unwrap().to_owned()
}

#[track_caller]
fn wait_for(world: &World, wanted: &str) {
    wait_until(wanted, DEADLINE, || state(world) == wanted);
}

/// A file of the bookmark, as Git reads it.
fn shown(world: &World, bookmark: &str, path: &str) -> String {
    let object = format!("refs/heads/{bookmark}:{path}");
    git_text(&world.bare("app"), &["show", &object])
}

fn main(world: &World) -> String {
    git_text(&world.bare("app"), &["rev-parse", "refs/heads/main"])
}

fn conflicts(world: &World) -> Vec<serde_json::Value> {
    let list = run(&mut world.mesa(&["conflicts", "list", "--json"])).success();
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    list["conflicts"].as_array().unwrap().clone()
}

/// The bookmarks that the server has.
fn bookmarks(world: &World) -> String {
    git_text(
        &world.bare("app"),
        &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
    )
}

#[test]
fn a_later_mount_sees_the_work_and_history_is_linear_and_never_rewritten() {
    let mut world = publishing("fast-forward");
    let app = world.repo("app");
    let mut heads = vec![main(&world)];
    for turn in 1..=3 {
        fs::write(app.join(format!("file-{turn}")), format!("{turn}\n")).unwrap();
        fs::write(app.join("README.md"), format!("turn {turn}\n")).unwrap();
        world.flush_and_compare("app");
        assert_eq!(state(&world), "up-to-date");
        heads.push(main(&world));
        if turn == 2 {
            world.kill_daemon_hard();
            mount(&mut world, "fast-forward");
        }
    }
    for pair in heads.windows(2) {
        let range = format!("{}..{}", pair[0], pair[1]);
        let count = git_text(&world.bare("app"), &["rev-list", "--count", &range]);
        assert_eq!(count, "1", "one commit more each time, on top of the last");
    }
    assert!(git_text(&world.bare("app"), &["rev-list", "--merges", "main"]).is_empty());

    let second = Second::new(&world, "second");
    second.mount(&["--publish", "fast-forward"]);
    let text = fs::read_to_string(second.repo("app").join("README.md")).unwrap();
    assert_eq!(text, "turn 3\n");
    fs::write(second.repo("app").join("from-the-second"), "2\n").unwrap();
    second.flush();
    assert_eq!(second.repo_status("app")["publish"]["state"], "up-to-date");
    assert_eq!(shown(&world, "main", "from-the-second"), "2");
    assert_eq!(shown(&world, "main", "file-1"), "1");

    // Ours does not build on that: told, and pushed all the same.
    fs::write(app.join("late"), "late\n").unwrap();
    world.flush_and_compare("app");
    let status = world.repo_status("app");
    assert_eq!(status["publish"]["state"], "diverged", "{status}");
    assert!(
        status["publish"]["reason"]
            .as_str()
            .unwrap()
            .contains("main")
    );
    assert_eq!(status["pending"]["operations"], 0);
    let refused = ["publish", "--fast-forward-only"];
    run(&mut world.mesa(&refused)).expect(4);
    run(&mut world.mesa(&["publish"])).success();
    assert_eq!(state(&world), "up-to-date");
    assert_eq!(shown(&world, "main", "late"), "late");
    assert_eq!(shown(&world, "main", "from-the-second"), "2");
    assert_eq!(bookmarks(&world), "main");
    second.unmount().success();
    git_text(&world.bare("app"), &["fsck", "--strict"]);
}

#[test]
fn two_mounts_that_merge_lose_nothing() {
    let world = publishing("merge");
    let second = Second::new(&world, "second");
    second.mount(&["--publish", "merge"]);
    fs::read(second.repo("app").join("README.md")).unwrap();
    for turn in 0..3 {
        fs::write(world.repo("app").join(format!("first-{turn}")), "1\n").unwrap();
        fs::write(second.repo("app").join(format!("second-{turn}")), "2\n").unwrap();
        world.flush();
        second.flush();
    }
    for turn in 0..3 {
        assert_eq!(shown(&world, "main", &format!("first-{turn}")), "1");
        assert_eq!(shown(&world, "main", &format!("second-{turn}")), "2");
    }
    assert_eq!(state(&world), "up-to-date");
    assert_eq!(second.repo_status("app")["publish"]["state"], "up-to-date");
    assert_eq!(bookmarks(&world), "main", "no bookmark is left on the way");
    assert!(conflicts(&world).is_empty());
    second.unmount().success();
    git_text(&world.bare("app"), &["fsck", "--strict"]);
}

#[test]
fn a_conflict_with_the_bookmark_is_listed_and_resolved_either_way() {
    for (take, expected) in [("ours", "ours"), ("theirs", "theirs")] {
        let mut world = publishing("merge");
        let app = world.repo("app");
        fs::read(app.join("README.md")).unwrap();
        let theirs = [file("docs/one.md", "theirs\n"), file("quiet", "theirs\n")];
        stranger::advance(&world, "app", "main", &theirs);
        let before = main(&world);
        fs::write(app.join("docs/one.md"), "ours\n").unwrap();
        fs::write(app.join("fine"), "ours\n").unwrap();
        world.flush_and_compare("app");
        assert_eq!(state(&world), "conflicted");
        assert_eq!(main(&world), before, "nothing half merged");
        assert_eq!(bookmarks(&world), "main");
        world.kill_daemon_hard();
        mount(&mut world, "merge");
        let listed = conflicts(&world);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0]["kind"], "publish");
        assert_eq!(listed[0]["bookmark"], "main");
        assert_eq!(listed[0]["paths"], 1);
        let id = listed[0]["id"].as_str().unwrap();
        let text = run(&mut world.mesa(&["conflicts", "show", id])).success();
        assert!(text.text().contains("docs/one.md"), "{text}");
        run(&mut world.mesa(&["publish"])).expect(4);

        run(&mut world.mesa(&["conflicts", "resolve", id, "--take", take])).success();
        assert!(conflicts(&world).is_empty());
        assert_eq!(state(&world), "up-to-date");
        assert_eq!(shown(&world, "main", "docs/one.md"), expected);
        assert_eq!(shown(&world, "main", "quiet"), "theirs");
        assert_eq!(shown(&world, "main", "fine"), "ours");
        assert_eq!(bookmarks(&world), "main");
        // Both sides are in the history.
        let log = git_text(&world.bare("app"), &["log", "--format=%s", "main"]);
        assert!(
            log.contains("a stranger was here") && log.contains("Edits from"),
            "{log}"
        );

        // And it goes on from there.
        fs::write(app.join("later"), "later\n").unwrap();
        world.flush_and_compare("app");
        assert_eq!(state(&world), "up-to-date");
        assert_eq!(shown(&world, "main", "later"), "later");
        assert_eq!(shown(&world, "main", "docs/one.md"), expected);
        git_text(&world.bare("app"), &["fsck", "--strict"]);
    }
}

#[test]
fn a_verb_publishes_to_any_bookmark_of_a_mount_that_never_does() {
    let world = World::small();
    let app = world.repo("app");
    fs::read(app.join("README.md")).unwrap();
    assert!(world.repo_status("app")["publish"].is_null());
    run(&mut world.mesa(&["publish"])).success();
    let before = main(&world);
    fs::write(app.join("edit"), "edit\n").unwrap();
    let made = ["publish", "--bookmark", "review", "--json"];
    let answer = run(&mut world.mesa(&made)).success();
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["repos"][0]["state"], "up-to-date");
    assert_eq!(answer["repos"][0]["bookmark"], "review");
    assert_eq!(shown(&world, "review", "edit"), "edit");
    assert_eq!(main(&world), before);
    let review = git_text(&world.bare("app"), &["rev-parse", "review"]);

    // What comes later is another change, and the published one stays as it was.
    fs::write(app.join("edit"), "again\n").unwrap();
    world.flush_and_compare("app");
    let head = git_text(&world.bare("app"), &["rev-parse", "review"]);
    assert_eq!(head, review, "published history is not rewritten");
    run(&mut world.mesa(&["publish", "--repo", "local/app"])).success();
    assert_eq!(shown(&world, "main", "edit"), "again");
    run(&mut world.mesa(&["publish", "--repo", "local/none"])).expect(1);
}

#[test]
fn an_empty_repository_gets_its_first_bookmark() {
    let mut world = publishing("merge");
    let key = fs::read_to_string(world.folder().join("server/admin.key")).unwrap();
    run(world
        .mesa(&["repo", "create", "fresh"])
        .env("MESA_API_KEY", key.trim()))
    .success();
    world.unmount("30s").success();
    world.token = world.mint("1h", &["app", "fresh"]);
    mount(&mut world, "merge");
    fs::write(world.repo("fresh").join("first"), "first\n").unwrap();
    world.flush();
    let text = git_text(&world.bare("fresh"), &["show", "refs/heads/main:first"]);
    assert_eq!(text, "first");
    fs::write(world.repo("fresh").join("second"), "second\n").unwrap();
    world.flush();
    let count = git_text(&world.bare("fresh"), &["rev-list", "--count", "main"]);
    assert_eq!(count, "2");
}

/// Loses the answer to one kind of request while publishing, perhaps dies then, and checks that the
/// bookmark has everything, once.
fn lose_and_go_on(lost: &str, elsewhere: bool, dies: bool) {
    let source = tempfile::tempdir().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.count_requests();
    mount(&mut world, "merge");
    let app = world.repo("app");
    fs::write(app.join("first"), "1\n").unwrap();
    world.flush();
    if elsewhere {
        stranger::advance(&world, "app", "main", &[file("theirs", "2\n")]);
    }
    world.proxy().lose_answers_to(lost);
    fs::write(app.join("second"), "2\n").unwrap();
    wait_until(lost, DEADLINE, || world.proxy().lost() > 0);
    if dies {
        world.kill_daemon_hard();
    }
    world.proxy().pass_answers();
    if dies {
        mount(&mut world, "merge");
    }
    wait_for(&world, "up-to-date");
    fs::write(app.join("third"), "3\n").unwrap();
    world.flush_and_compare("app");
    wait_for(&world, "up-to-date");
    for (path, text) in [("second", "2"), ("third", "3")] {
        assert_eq!(shown(&world, "main", path), text);
    }
    let count = |what: &str| {
        let count = ["rev-list", what, "--count", "main"];
        git_text(&world.bare("app"), &count)
    };
    let expected = if elsewhere { ("5", "2") } else { ("4", "0") };
    let merges = count("--merges");
    let commits = count("--no-merges");
    assert_eq!((&*commits, &*merges), expected, "{lost} {dies}");
    assert_eq!(bookmarks(&world), "main");
    assert!(conflicts(&world).is_empty());
    git_text(&world.bare("app"), &["fsck", "--strict"]);
}

#[test]
fn a_lost_answer_to_a_move_publishes_once() {
    for dies in [false, true] {
        lose_and_go_on("PATCH /v1/local/app/bookmarks/main", false, dies);
    }
}

#[test]
fn a_lost_answer_on_the_way_of_a_merge_publishes_once() {
    for dies in [false, true] {
        lose_and_go_on("PATCH /v1/local/app/bookmarks/main", true, dies);
        lose_and_go_on("POST /v1/local/app/bookmarks", true, dies);
        lose_and_go_on("POST /v1/local/app/bookmarks/merge", true, dies);
    }
}

#[test]
fn kills_at_any_moment_leave_a_bookmark_with_everything_once() {
    let mut world = publishing("merge");
    let app = world.repo("app");
    let mut pauses = 1_u64;
    for turn in 0..12 {
        fs::write(app.join(format!("turn-{turn}")), format!("{turn}\n")).unwrap();
        if turn % 3 == 0 {
            let theirs = [file(&format!("theirs-{turn}"), "theirs\n")];
            stranger::advance(&world, "app", "main", &theirs);
        }
        // Somewhere between the first byte of the push and the end of publishing.
        pauses = pauses
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let until = std::time::Instant::now() + Duration::from_millis(200 + (pauses >> 33) % 700);
        wait_until("the moment", DEADLINE, || {
            std::time::Instant::now() >= until
        });
        world.kill_daemon_hard();
        mount(&mut world, "merge");
    }
    world.flush();
    wait_for(&world, "up-to-date");
    for turn in 0..12 {
        assert_eq!(
            shown(&world, "main", &format!("turn-{turn}")),
            turn.to_string()
        );
        if turn % 3 == 0 {
            assert_eq!(shown(&world, "main", &format!("theirs-{turn}")), "theirs");
        }
    }
    assert_eq!(bookmarks(&world), "main", "no bookmark is left on the way");
    assert!(conflicts(&world).is_empty());
    git_text(&world.bare("app"), &["fsck", "--strict"]);
}

#[test]
fn a_push_that_is_published_is_a_few_calls() {
    let source = tempfile::tempdir().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.count_requests();
    mount(&mut world, "fast-forward");
    let app = world.repo("app");
    fs::write(app.join("first"), "1\n").unwrap();
    world.flush();
    world.proxy().take();
    fs::write(app.join("second"), "2\n").unwrap();
    world.flush();
    let sent = world.proxy().take();
    let kinds: Vec<String> = sent
        .iter()
        .map(|request| {
            let mut parts = request.split('/');
            let method = parts.next().unwrap().trim().to_owned();
            format!("{method} {}", parts.nth(3).unwrap_or(""))
        })
        .collect();
    let expected = [
        "GET changes",
        "POST changes",
        "PATCH changes",
        "GET bookmarks",
        "PATCH bookmarks",
    ];
    assert_eq!(kinds, expected, "{sent:?}");

    // Held work is neither pushed nor published; released, it is both.
    run(&mut world.mesa(&["journal", "hold"])).success();
    fs::write(app.join("third"), "3\n").unwrap();
    run(&mut world.mesa(&["publish", "--timeout", "1s"])).expect(4);
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush();
    assert_eq!(state(&world), "up-to-date");
    assert_eq!(shown(&world, "main", "third"), "3");
}
