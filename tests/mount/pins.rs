//! `mesa cache pin`: what is pinned is here at any time, whatever happens to cache, daemon and network.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::{RngCore, SeedableRng};

use crate::prefetch::fetched;
use crate::support::fixture;
use crate::support::git::{commit_all, git_text};
use crate::support::process::{Finished, run};
use crate::support::stopwatch::wait_until;
use crate::support::stranger;
use crate::support::world::World;

/// Files of each directory, and their bytes: two directories are more than the smallest limit.
const FILES: usize = 16;
const FILE_BYTES: usize = 3 << 20;
const LIMIT: u64 = 64 << 20;

fn repository(folder: &Path) {
    git_text(folder, &["init", "--quiet"]);
    let mut random = rand::rngs::StdRng::seed_from_u64(11);
    for name in ["kept/deep", "other", "third"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..FILES {
            let mut bytes = vec![0; FILE_BYTES];
            random.fill_bytes(&mut bytes);
            fs::write(folder.join(name).join(number.to_string()), bytes).unwrap();
        }
    }
    fs::write(folder.join("kept/small"), "small\n").unwrap();
    std::os::unix::fs::symlink("small", folder.join("kept/link")).unwrap();
    commit_all(folder, "large files");
}

fn cache(world: &World, arguments: &[&str]) -> Finished {
    let mut line = vec!["cache"];
    line.extend(arguments);
    run(&mut world.mesa(&line))
}

fn json(finished: &Finished) -> serde_json::Value {
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|_| panic!("no JSON: {finished}"))
}

fn pin(world: &World, path: &str) -> Finished {
    let path = world.repo("app").join(path);
    cache(world, &["pin", path.to_str().unwrap()])
}

fn unpin(world: &World, path: &str) -> Finished {
    let path = world.repo("app").join(path);
    cache(world, &["unpin", path.to_str().unwrap()])
}

fn pinned(world: &World) -> u64 {
    let stat = json(&cache(world, &["stat", "--json"]).success());
    stat["pinned_objects"].as_u64().unwrap()
}

/// What each pinned path is like.
fn states(world: &World) -> Vec<(String, String)> {
    let list = json(&cache(world, &["pin", "--json"]).success());
    let pins = list["pins"].as_array().unwrap().iter();
    pins.map(|pin| {
        let word = |key: &str| pin[key].as_str().unwrap().to_owned();
        (word("path"), word("state"))
    })
    .collect()
}

fn wait_until_kept(world: &World) {
    wait_until("all pins are kept", Duration::from_secs(60), || {
        states(world).iter().all(|(_, state)| state == "kept")
    });
}

/// Reads what is pinned, and compares it with what was committed.
fn assert_kept(world: &World, source: &Path) {
    let app = world.repo("app");
    for number in 0..FILES {
        let name = format!("kept/deep/{number}");
        let read = fs::read(app.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(read == fs::read(source.join(&name)).unwrap(), "{name}");
    }
    assert_eq!(fs::read(app.join("kept/link")).unwrap(), b"small\n");
    assert_eq!(fs::read_dir(app.join("kept")).unwrap().count(), 3);
}

#[test]
fn what_is_pinned_reads_without_a_server_after_pressure_a_kill_and_a_clearing() {
    let source = tempfile::tempdir().unwrap();
    let source = source.path();
    repository(source);
    let mut world = World::serve(&[("app", source)]);
    world.set("MESA_CACHE_MAX_SIZE", "64MiB");
    world.mount();
    let said = pin(&world, "kept").success();
    assert!(
        said.text()
            .starts_with("local/app/kept\tkept\t18 of 18 files"),
        "{said}"
    );
    assert!(!said.errors().contains("warning"), "{said}");
    // Root, kept, deep, and the files.
    assert_eq!(pinned(&world), 3 + FILES as u64 + 2);

    // Pressure: more than the limit passes through.
    for name in ["other", "third"] {
        for number in 0..FILES {
            let name = format!("{name}/{number}");
            let read = fs::read(world.repo("app").join(&name)).unwrap();
            assert!(read == fs::read(source.join(&name)).unwrap(), "{name}");
        }
    }
    let held = json(&cache(&world, &["stat", "--json"]).success());
    assert!(
        held["bytes"].as_u64().unwrap() <= LIMIT / 100 * 105,
        "{held}"
    );
    world.kill_daemon_hard();
    cache(&world, &["gc", "--to", "1MiB"]).success();
    let cleared = cache(&world, &["clear"]).success();
    assert!(cleared.errors().contains("are pinned"), "{cleared}");
    assert_eq!(pinned(&world), 3 + FILES as u64 + 2);
    world.stop_server();
    world.mount();
    assert_kept(&world, source);
    wait_until_kept(&world);
    assert!(
        fs::read(world.repo("app").join("other/1")).is_err(),
        "not pinned"
    );
    world.unmount("5s").success();
    world.mount();
    assert_kept(&world, source);

    unpin(&world, "kept").success();
    assert_eq!((states(&world), pinned(&world)), (Vec::new(), 0));
    let again = unpin(&world, "kept").expect(1);
    assert!(again.errors().contains("is not pinned"), "{again}");
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(states(&world), Vec::new(), "it stays unpinned");
    cache(&world, &["clear"]).success();
    assert_eq!(pinned(&world), 0);
}

#[test]
fn more_than_the_limit_is_kept_and_warned_of_and_makes_room_once_unpinned() {
    let source = tempfile::tempdir().unwrap();
    let source = source.path();
    repository(source);
    let mut world = World::serve(&[("app", source)]);
    world.set("MESA_CACHE_MAX_SIZE", "64MiB");
    world.mount();
    pin(&world, "kept").success();
    let said = pin(&world, "other").success();
    assert!(said.errors().contains("cache.max-size is 64"), "{said}");
    fs::read(world.repo("app").join("third/1")).unwrap();
    world.unmount("5s").success();
    world.stop_server();
    world.mount();
    assert_kept(&world, source);
    fs::read(world.repo("app").join("other/15")).unwrap();
    let stat = cache(&world, &["stat"]).success();
    assert!(stat.errors().contains("unpin"), "{stat}");
    cache(&world, &["unpin", "--all"]).success();
    wait_until("the limit holds again", Duration::from_secs(30), || {
        let held = json(&cache(&world, &["stat", "--json"]).success());
        held["bytes"].as_u64().unwrap() <= LIMIT / 100 * 105
    });
}

#[test]
fn what_is_new_is_pinned_and_what_is_gone_is_released() {
    let mut world = World::small();
    let app = world.repo("app");
    pin(&world, "docs").success();
    pin(&world, "README.md").success();
    // An object of both is there until both are unpinned.
    let before = pinned(&world);
    pin(&world, "").success();
    assert!(pinned(&world) > before);
    unpin(&world, "").success();
    assert_eq!(pinned(&world), before);
    stranger::advance(
        &world,
        "app",
        "main",
        &[
            stranger::file("docs/one.md", "one, again\n"),
            stranger::file("docs/new.md", "new\n"),
        ],
    );
    world.unmount("5s").success();
    world.mount();
    // Nobody looks at it.
    wait_until("one more is pinned", Duration::from_secs(60), || {
        pinned(&world) == before + 1
    });
    wait_until_kept(&world);
    assert_eq!(pinned(&world), before + 1, "old versions went");
    cache(&world, &["clear"]).success();
    world.kill_daemon_hard();
    world.stop_server();
    world.mount();
    assert_eq!(fs::read(app.join("docs/one.md")).unwrap(), b"one, again\n");
    assert_eq!(fs::read(app.join("docs/new.md")).unwrap(), b"new\n");
    assert_eq!(fs::read(app.join("docs/two.md")).unwrap(), b"two\n");
    assert!(fs::read(app.join("bin/tool")).is_err(), "it was cleared");
}

#[test]
fn what_cannot_be_fetched_is_said_and_fetched_when_the_server_is_back() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::read_dir(app.join("docs")).unwrap().count();
    world.stop_server();
    let said = pin(&world, "docs").expect(1);
    assert!(said.text().contains("docs\tincomplete\t"), "{said}");
    assert!(said.text().contains("cannot be reached"), "{said}");
    assert!(said.errors().contains("the pins stay"), "{said}");
    world.kill_daemon_hard();
    world.mount();
    wait_until("it was tried again", Duration::from_secs(60), || {
        states(&world) == [("docs".to_owned(), "incomplete".to_owned())]
    });
    world.start_server();
    wait_until_kept(&world);
    world.stop_server();
    cache(&world, &["clear"]).success();
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(fs::read(app.join("docs/two.md")).unwrap(), b"two\n");
}

#[test]
fn what_is_asked_wrongly_is_refused_and_damage_is_mended() {
    let world = World::small();
    let app = world.repo("app");
    let missing = pin(&world, "no/such").expect(1);
    assert!(
        missing.errors().contains("no/such cannot be looked at"),
        "{missing}"
    );
    let elsewhere = cache(&world, &["pin", "/etc/hostname"]).expect(1);
    assert!(
        elsewhere.errors().contains("not in the mount"),
        "{elsewhere}"
    );
    assert_eq!(states(&world), Vec::new());
    let nothing = cache(&world, &["pin"]).success();
    assert!(nothing.errors().contains("nothing is pinned"), "{nothing}");

    fs::write(app.join("only-here"), "new\n").unwrap();
    fs::rename(app.join("docs"), app.join("papers")).unwrap();
    let local = pin(&world, "only-here").success();
    assert!(local.text().contains("absent"), "{local}");
    // What was renamed here is what it was.
    let renamed = pin(&world, "papers").success();
    assert!(
        renamed.text().contains("papers\tkept\t2 of 2 files"),
        "{renamed}"
    );
    let below = unpin(&world, "papers/one.md").expect(1);
    assert!(below.errors().contains("it stays with"), "{below}");
    fs::remove_file(app.join("only-here")).unwrap();
    unpin(&world, "only-here").success();

    let before = pinned(&world);
    let objects = fs::read_dir(world.data().join("cache/objects")).unwrap();
    let object = objects
        .flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap())
        .map(|object| object.unwrap().path())
        .find(|object| fs::read(object).unwrap() == b"two\n")
        .unwrap();
    fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&object, "owt\n").unwrap();
    cache(&world, &["verify", "--repair"]).success();
    wait_until("it is pinned again", Duration::from_secs(60), || {
        pinned(&world) == before
    });
    cache(&world, &["verify"]).success();
    cache(&world, &["unpin", "--all", "--json"]).success();
    assert_eq!(pinned(&world), 0);
}

#[test]
fn what_is_pinned_is_shown_with_nothing_mounted() {
    let mut world = World::small();
    pin(&world, "docs").success();
    world.unmount("10s").success();
    let shown = cache(&world, &["pin"]).success();
    assert_eq!(shown.text(), "local/app/docs\twaiting: not mounted");
    assert_eq!(states(&world), [("docs".into(), "waiting".into())]);
    let docs = world.repo("app").join("docs");
    let refused = cache(&world, &["unpin", docs.to_str().unwrap()]).expect(1);
    assert!(refused.errors().contains("mesa mount"), "{refused}");
    world.mount();
    wait_until_kept(&world);
}

#[test]
fn a_pin_asks_as_little_as_fetching_does_and_nothing_after_a_remount() {
    const FILES: u64 = 2_500;
    let mut world = World::serve(&[("app", &fixture::many(2_500))]);
    world.count_requests();
    world.mount();
    pin(&world, "").success();
    let requests = fetched(&world);
    assert!(requests < 25, "{requests} requests");
    world.unmount("5s").success();
    world.mount();
    wait_until_kept(&world);
    let list = json(&cache(&world, &["pin", "--json"]).success());
    assert_eq!(list["pins"][0]["files_here"], FILES + 1, "{list}");
    let requests = fetched(&world);
    assert!(
        requests <= 1,
        "{requests} requests: more than an opening needs"
    );
}

#[test]
fn a_pin_that_a_kill_cut_short_is_completed_by_the_next_mount() {
    let source = tempfile::tempdir().unwrap();
    let source = source.path();
    repository(source);
    let mut world = World::serve(&[("app", source)]);
    world.set("MESA_CACHE_MAX_SIZE", "64MiB");
    world.mount();
    let path = world.repo("app").join("kept");
    let mut waiting = world.mesa(&["cache", "pin", path.to_str().unwrap()]);
    let waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut waiting = waiting.unwrap();
    wait_until("some are pinned", Duration::from_secs(60), || {
        pinned(&world) > 3
    });
    world.kill_daemon_hard();
    cache(&world, &["clear"]).success();
    // It waits for a daemon that nobody starts again, or has seen the end.
    let _either = waiting.wait();
    world.mount();
    wait_until("the rest is fetched", Duration::from_secs(60), || {
        pinned(&world) == 3 + FILES as u64 + 2
    });
    wait_until_kept(&world);
    world.stop_server();
    cache(&world, &["clear"]).success();
    world.kill_daemon_hard();
    world.mount();
    assert_kept(&world, source);
}
