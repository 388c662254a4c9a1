//! The gauge of what would be lost, and its exit code.

use std::fs;

use crate::support::process::run;
use crate::support::world::World;
use crate::until;

fn check(world: &World, what: &[&str]) -> i32 {
    let mut arguments = vec!["status"];
    arguments.extend(what);
    run(&mut world.mesa(&arguments)).code()
}

#[test]
fn a_check_fails_until_the_remote_has_everything() {
    let mut world = World::small();
    let app = world.repo("app");
    world.local_tree("app");
    assert_eq!(check(&world, &["--check"]), 0);
    world.stop_server();
    fs::write(app.join("one"), "12345\n").unwrap();
    fs::create_dir(app.join("two")).unwrap();
    assert_eq!(check(&world, &["--check"]), 4);
    let quiet = run(&mut world.mesa(&["status", "--check=pushed", "--quiet"])).expect(4);
    assert_eq!((quiet.text().as_str(), quiet.errors().as_str()), ("", ""));

    until("the push is blocked", || {
        let waiting = &world.status()["totals"]["waiting"][0];
        waiting["state"] == "blocked" && waiting["reason"].is_string()
    });
    let status = world.status();
    let totals = &status["totals"];
    let pending = &status["repos"][0]["pending"];
    assert_eq!(totals["operations"], pending["operations"]);
    assert!(totals["operations"].as_u64().unwrap() >= 2, "{totals}");
    assert_eq!(totals["bytes"], 6);
    assert!(totals["oldest_age_seconds"].is_u64());
    let waiting = &totals["waiting"][0];
    assert_eq!(waiting["cause"], "network");
    assert!(waiting["age_seconds"].is_u64(), "{waiting}");
    assert_eq!(status["repos"][0]["waiting"][0]["state"], "blocked");
    let text = run(&mut world.mesa(&["status"])).success().text();
    assert!(
        text.contains("would be lost if this machine vanished now: "),
        "{text}"
    );
    assert!(text.contains("blocked (network): "), "{text}");

    world.start_server();
    world.flush();
    assert_eq!(check(&world, &["--check"]), 0);
    let text = run(&mut world.mesa(&["status"])).success().text();
    assert!(text.contains("nothing would be lost"), "{text}");
}

#[test]
fn what_a_power_cut_would_take_is_told_until_it_is_synced() {
    let source = tempfile::TempDir::new().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.set("MESA_COMMIT_INTERVAL", "60m");
    world.mount();
    world.local_tree("app");
    world.stop_server();
    let file = fs::File::create(world.repo("app").join("file")).unwrap();
    let status = world.status();
    assert_eq!(status["totals"]["durable"], false, "{status}");
    assert!(status["totals"]["operations_not_durable"].as_u64().unwrap() > 0);
    assert_eq!(check(&world, &["--check=durable"]), 4);
    file.sync_all().unwrap();
    assert_eq!(check(&world, &["--check=durable"]), 0);
    assert_eq!(check(&world, &["--check"]), 4);
    // Bytes of a file that has its record already are no less at risk.
    std::io::Write::write_all(&mut &file, b"first").unwrap();
    file.sync_all().unwrap();
    std::io::Write::write_all(&mut &file, b"second").unwrap();
    assert_eq!(check(&world, &["--check=durable"]), 4);
    file.sync_all().unwrap();
    assert_eq!(check(&world, &["--check=durable"]), 0);
}

#[test]
fn a_dead_credential_has_a_code_of_its_own_and_a_dead_daemon_is_judged_by_its_disk() {
    let mut world = World::small();
    world.local_tree("app");
    assert_eq!(check(&world, &["--check"]), 0);
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.kill_daemon_hard();
    assert_eq!(check(&world, &["--check"]), 4);
    assert_eq!(check(&world, &["--check=durable"]), 4, "nobody knows");
    let status = world.status();
    assert!(status["totals"]["durable"].is_null(), "{status}");
    assert_eq!(status["totals"]["waiting"][0]["cause"], "unmounted");
    // Without a check, no daemon is a failure as it ever was.
    run(&mut world.mesa(&["status"])).expect(1);

    world.start_server();
    world.token = world.mint("1s", &["app"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    world.mount();
    until("the credential is refused", || {
        check(&world, &["--check", "--quiet"]) == 5
    });
    let status = world.status();
    let waiting = &status["totals"]["waiting"][0];
    assert_eq!(waiting["state"], "blocked", "{status}");
    assert_eq!(waiting["cause"], "auth", "{status}");
}

#[test]
fn held_work_is_told_apart_from_blocked() {
    let world = World::small();
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    until("it is held", || {
        world.status()["totals"]["waiting"][0]["state"] == "held"
    });
    assert_eq!(check(&world, &["--check", "--quiet"]), 4);
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush();
    assert_eq!(check(&world, &["--check", "--quiet"]), 0);
}

#[test]
fn what_stays_here_is_listed_for_as_long_as_it_is_here() {
    let mut world = World::small();
    let app = world.repo("app");
    run(world.command("mkfifo").arg(app.join("docs/pipe"))).success();
    fs::create_dir_all(app.join("docs/.git/objects")).unwrap();
    world.flush();
    let kept = ["docs/.git (Git's own folder)", "docs/pipe (a special file)"];
    assert_eq!(
        world.repo_status("app")["kept_local"],
        serde_json::json!(kept)
    );
    assert_eq!(check(&world, &["--check"]), 4);
    world.kill_daemon_hard();
    assert_eq!(
        world.repo_status("app")["kept_local"],
        serde_json::json!(kept)
    );
    world.mount();
    world.local_tree("app");
    assert_eq!(
        world.repo_status("app")["kept_local"],
        serde_json::json!(kept)
    );
    fs::remove_file(app.join("docs/pipe")).unwrap();
    fs::remove_dir_all(app.join("docs/.git")).unwrap();
    world.flush();
    assert_eq!(
        world.repo_status("app")["kept_local"],
        serde_json::json!([])
    );
    assert_eq!(check(&world, &["--check"]), 0);
}
