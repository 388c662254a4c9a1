//! What was read in one mount is here in the next one before it is asked for, in a few requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::prefetch::fetched;
use crate::support::fixture;
use crate::support::git::commit_all;
use crate::support::process::{Finished, run};
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

const FILES: usize = 2_500;
/// What is waited for is written every 10 s.
const KEPT_WITHIN: Duration = Duration::from_secs(60);
const FETCHED_WITHIN: Duration = Duration::from_secs(30);

fn profile(world: &World, arguments: &[&str]) -> Finished {
    let mut line = vec!["profile"];
    line.extend(arguments);
    run(&mut world.mesa(&line))
}

fn exported(world: &World) -> Vec<String> {
    let text = profile(world, &["export", "local/many"]).success().text();
    let paths = text.lines().filter(|line| !line.starts_with('#'));
    paths.map(str::to_owned).collect()
}

/// Some files of many directories, in an order of their own.
fn working_set() -> Vec<String> {
    let middle = (0..40).rev().flat_map(|middle| {
        (0..3).map(move |file| {
            let number = middle * 50 + file * 7;
            format!("top-000/middle-{middle:02}/file-{number}.txt")
        })
    });
    std::iter::once("README.md".to_owned())
        .chain(middle)
        .collect()
}

fn read_all(world: &World, paths: &[String]) {
    for path in paths {
        fs::read(world.repo("many").join(path)).unwrap();
    }
}

/// How many contents of files are on this machine.
fn contents(world: &World) -> usize {
    let shelves = fs::read_dir(world.data().join("cache/index"))
        .into_iter()
        .flatten();
    shelves
        .map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap().count())
        .sum()
}

fn clear_cache(world: &World) {
    run(&mut world.mesa(&["cache", "clear"])).success();
    assert_eq!(contents(world), 0);
}

/// Looks into the repository, as whoever is about to work in it.
fn look(world: &World) {
    fs::symlink_metadata(world.repo("many").join("README.md")).unwrap();
}

fn wait_for(world: &World, count: usize) {
    wait_until("what was read is here", FETCHED_WITHIN, || {
        contents(world) >= count
    });
}

fn place(world: &World) -> PathBuf {
    world.data().join("repos/local/many/profile")
}

/// A world whose first mount has read the working set, with nothing mounted and an empty cache.
fn world_that_has_read(repository: &Path) -> World {
    let mut world = World::serve(&[("many", repository)]);
    world.count_requests();
    world.mount();
    read_all(&world, &working_set());
    world.unmount("10s").success();
    clear_cache(&world);
    world.proxy().take();
    world
}

#[test]
fn the_last_working_set_comes_first_in_a_few_requests() {
    let mut world = world_that_has_read(&fixture::many(FILES));
    let wanted = working_set();
    // Nothing of what came along with it in batches: only what was read.
    assert_eq!(exported(&world), wanted);
    world.mount();
    fs::metadata(world.repo("many")).unwrap();
    world.proxy().take();
    look(&world);
    wait_for(&world, wanted.len());
    let requests = world.proxy().take();
    let of = |what: &str| requests.iter().filter(|one| one.contains(what)).count();
    assert!((1..=2).contains(&of("/ext/objects")), "{requests:?}");
    assert!(requests.len() <= 6, "{requests:?}");
    world.stop_server();
    read_all(&world, &wanted);
    assert_eq!(contents(&world), wanted.len(), "and nothing else came");
    world.start_server();
    // With all of it here, nobody is asked.
    world.unmount("10s").success();
    world.mount();
    fs::metadata(world.repo("many")).unwrap();
    world.proxy().take();
    look(&world);
    read_all(&world, &wanted);
    world.unmount("10s").success();
    assert_eq!(fetched(&world), 0);
    assert_eq!(exported(&world), wanted);
}

#[test]
fn what_is_gone_is_passed_over_and_what_is_new_comes() {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("many");
    let copied = run(std::process::Command::new("cp")
        .arg("-a")
        .args([&fixture::many(FILES), &root]));
    copied.success();
    let mut world = world_that_has_read(&root);
    let wanted = working_set();
    fs::remove_dir_all(root.join("top-000/middle-00")).unwrap();
    fs::write(root.join(&wanted[1]), "another text\n").unwrap();
    commit_all(&root, "less");
    let bare = world.bare("many");
    let push = ["push", "--quiet", bare.to_str().unwrap(), "HEAD"];
    run(std::process::Command::new("git")
        .arg("-C")
        .arg(&root)
        .args(push))
    .success();
    world.mount();
    look(&world);
    wait_for(&world, wanted.len() - 3);
    world.stop_server();
    let many = world.repo("many");
    let there = wanted.iter().filter(|path| root.join(path).exists());
    for path in there {
        assert_eq!(
            fs::read(many.join(path)).unwrap(),
            fs::read(root.join(path)).unwrap()
        );
    }
}

#[test]
fn a_killed_daemon_has_lost_the_last_seconds_at_most() {
    let mut world = World::serve(&[("many", &fixture::many(FILES))]);
    world.mount();
    let wanted = working_set();
    read_all(&world, &wanted);
    let last = wanted.last().unwrap();
    wait_until("it is written", KEPT_WITHIN, || {
        let text = fs::read_to_string(place(&world)).unwrap_or_default();
        text.lines().any(|line| line == last)
    });
    world.kill_daemon_hard();
    clear_cache(&world);
    world.mount();
    look(&world);
    wait_for(&world, wanted.len());
    world.stop_server();
    read_all(&world, &wanted);
}

#[test]
fn without_a_server_it_costs_nothing() {
    let mut world = world_that_has_read(&fixture::many(FILES));
    let wanted = working_set();
    world.mount();
    look(&world);
    wait_for(&world, wanted.len());
    world.unmount("10s").success();
    world.stop_server();
    world.mount();
    look(&world);
    read_all(&world, &wanted);
    world.unmount("10s").success();
    // Some of it gone: what is not here is said to who reads it, and nothing else happens.
    clear_cache(&world);
    world.mount();
    fs::symlink_metadata(world.repo("many").join("README.md")).unwrap_err();
    assert_eq!(contents(&world), 0);
    assert_eq!(world.repo_status("many")["state"], "clean");
    world.unmount("10s").success();
    assert_eq!(exported(&world), wanted);
}

#[test]
fn a_profile_goes_to_another_machine_and_a_list_by_hand_does_too() {
    let first = world_that_has_read(&fixture::many(FILES));
    let carried = first.folder().join("carried");
    let output = [
        "export",
        "local/many",
        "--output",
        carried.to_str().unwrap(),
    ];
    profile(&first, &output).success();
    let mut second = World::serve(&[("many", &fixture::many(FILES))]);
    let wanted = working_set();
    // Nothing was ever mounted there.
    let imported = profile(
        &second,
        &["import", "local/many", carried.to_str().unwrap()],
    );
    assert!(imported.success().text().contains("121 paths"));
    second.mount();
    look(&second);
    wait_for(&second, wanted.len());
    assert_eq!(exported(&second), wanted);
    // A directory of 50 files, three of which are here, into the running mount.
    let list = second.folder().join("list");
    fs::write(&list, "# by hand\n./top-000/middle-03/\nno/such\n").unwrap();
    profile(
        &second,
        &["import", "local/many", list.to_str().unwrap(), "--json"],
    )
    .success();
    wait_for(&second, wanted.len() + 47);
    second.stop_server();
    let folder = second.repo("many").join("top-000/middle-03");
    for entry in fs::read_dir(folder).unwrap() {
        fs::read(entry.unwrap().path()).unwrap();
    }
    let shown = profile(&second, &["show", "--json"]).success();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["profiles"][0]["repo"], "local/many");
    assert_eq!(shown["profiles"][0]["sessions"], 3);
    profile(&second, &["clear", "--all"]).success();
    let nothing = profile(&second, &["export", "local/many"]).expect(1);
    assert!(nothing.errors().contains("nothing was read"), "{nothing}");
    second.unmount("10s").success();
    assert!(!place(&second).exists());
}

#[test]
fn what_is_no_profile_is_refused_and_changes_nothing() {
    let world = world_that_has_read(&fixture::many(FILES));
    let before = exported(&world);
    let list = world.folder().join("list");
    for (text, why) in [
        ("README.md\n../../etc/passwd\n", "line 2"),
        ("\"broken\n", "line 1 has quotes"),
        ("# mesa profile, version 9\n", "version 9"),
        ("# nothing\n", "no path in it"),
    ] {
        fs::write(&list, text).unwrap();
        let refused = profile(&world, &["import", "local/many", list.to_str().unwrap()]);
        let refused = refused.expect(1);
        assert!(refused.errors().contains(why), "{refused}");
        assert!(refused.errors().contains("hint: a path"), "{refused}");
    }
    profile(&world, &["import", "local/many", "/no/such"]).expect(1);
    profile(&world, &["import", "many", list.to_str().unwrap()]).expect(2);
    assert_eq!(exported(&world), before);
}

#[test]
fn nothing_is_remembered_or_fetched_where_that_is_off() {
    let mut world = World::serve(&[("many", &fixture::many(FILES))]);
    world.set("MESA_PREFETCH_PROFILE", "false");
    world.mount();
    read_all(&world, &working_set());
    world.unmount("10s").success();
    assert!(!place(&world).exists());
    let mut metered = world_that_has_read(&fixture::many(FILES));
    metered.set("MESA_PREFETCH_METERED", "true");
    metered.mount();
    look(&metered);
    fs::read(metered.repo("many").join("README.md")).unwrap();
    // What runs in the background has ended with it.
    metered.unmount("10s").success();
    assert_eq!(contents(&metered), 1);
}
