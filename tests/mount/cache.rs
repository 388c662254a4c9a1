//! The cache of fetched content: its limit, and the verbs that look after it, beside a running mount.

use std::fs;
use std::path::Path;

use rand::{RngCore, SeedableRng};

use crate::support::fixture;
use crate::support::git::{commit_all, git_text};
use crate::support::process::run;
use crate::support::world::World;

const FILES: usize = 24;
const FILE_BYTES: usize = 4 << 20;
const LIMIT: u64 = 64 << 20;

fn large_files(folder: &Path) {
    git_text(folder, &["init", "--quiet"]);
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for number in 0..FILES {
        let mut bytes = vec![0; FILE_BYTES];
        random.fill_bytes(&mut bytes);
        fs::write(folder.join(format!("file-{number}")), bytes).unwrap();
    }
    commit_all(folder, "large files");
}

fn stat(world: &World) -> serde_json::Value {
    let stat = run(&mut world.mesa(&["cache", "stat", "--json"])).success();
    serde_json::from_slice(&stat.stdout).unwrap()
}

#[test]
fn a_mount_reads_more_than_its_cache_may_hold() {
    let source = tempfile::tempdir().unwrap();
    large_files(source.path());
    let mut world = World::serve(&[("large", source.path())]);
    world.set("MESA_CACHE_MAX_SIZE", "64MiB");
    world.mount();
    for _ in 0..2 {
        for number in 0..FILES {
            let name = format!("file-{number}");
            let read = fs::read(world.repo("large").join(&name)).unwrap();
            assert!(
                read == fs::read(source.path().join(&name)).unwrap(),
                "{name}"
            );
            let used = stat(&world)["bytes"].as_u64().unwrap();
            assert!(used <= LIMIT / 100 * 105, "{used} bytes after {name}");
        }
    }
    let held = stat(&world);
    assert_eq!(held["limit_bytes"], LIMIT);
    assert!(held["bytes"].as_u64().unwrap() > LIMIT / 2, "{held}");
    let evicted = world.metric("mesa_cache_evicted_total").unwrap();
    assert!(evicted >= FILES as u64 / 3, "{evicted}");
}

#[test]
fn the_cache_is_looked_after_beside_a_mount() {
    let source = tempfile::tempdir().unwrap();
    let repository = fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.mount();
    let tree = world.local_tree("app");
    let cache = world.data().join("cache");
    let verify = |arguments: &[&str]| {
        let mut line = vec!["cache", "verify"];
        line.extend(arguments);
        run(&mut world.mesa(&line))
    };
    verify(&[]).success();

    // A disk that forgets.
    let shelf = fs::read_dir(cache.join("objects"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let object = fs::read_dir(shelf.path()).unwrap().next().unwrap().unwrap();
    fs::remove_file(object.path()).unwrap();
    fs::write(object.path(), "other bytes").unwrap();
    let found = verify(&[]).expect(1);
    assert!(
        found.text().contains(object.path().to_str().unwrap()),
        "{found}"
    );
    assert!(found.errors().contains("--repair"), "{found}");
    let repaired = verify(&["--repair", "--json"]).success();
    assert!(repaired.text().contains("\"removed\": 1"), "{repaired}");
    verify(&[]).success();

    let before = stat(&world)["objects"].as_u64().unwrap();
    assert!(before > 3);
    let gone = run(&mut world.mesa(&["cache", "gc", "--to", "1GiB"])).success();
    assert!(gone.text().starts_with("removed 0 objects"), "{gone}");
    let cleared = run(&mut world.mesa(&["cache", "clear", "--json"])).success();
    let cleared: serde_json::Value = serde_json::from_slice(&cleared.stdout).unwrap();
    assert_eq!(cleared["removed_objects"], before);
    assert_eq!(stat(&world)["objects"], 0);
    // The next mount fetches again what this one has in memory.
    world.unmount("5s").success();
    world.mount();
    world
        .local_tree("app")
        .assert_equals(&tree, "after (left) and before (right) it was cleared");

    world.unmount("5s").success();
    run(&mut world.mesa(&["cache", "clear"])).success();
    world.set("MESA_CACHE_ENABLED", "false");
    world.mount();
    world
        .local_tree("app")
        .assert_equals(&tree, "without a cache (left) and with one (right)");
    world.unmount("5s").success();
    assert_eq!(stat(&world)["objects"], 0, "nothing outlives the mount");
    assert_eq!(fs::read_dir(cache.join("tmp")).unwrap().count(), 0);
}
