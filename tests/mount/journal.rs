//! The verbs of `mesa journal`: what they show, what they hold, and the one that gives work up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::{Finished, run};
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

fn journal(world: &World, arguments: &[&str]) -> Finished {
    run(&mut world.mesa(&[&["journal"], arguments].concat()))
}

fn listing(world: &World) -> Vec<Value> {
    let listed = journal(world, &["list", "--json"]).success();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["entries"].as_array().unwrap().clone()
}

fn entry(world: &World, path: &str) -> Value {
    let entries = listing(world);
    let found = entries.iter().find(|entry| entry["path"] == path);
    found
        .unwrap_or_else(|| panic!("no {path} in {entries:?}"))
        .clone()
}

#[test]
fn a_hold_outlives_the_daemon_and_a_release_pushes() {
    let mut world = World::small();
    let app = world.repo("app");
    // Nothing is open yet, and nobody must believe that it is held.
    let early = journal(&world, &["hold"]).expect(1);
    assert!(early.errors().contains("nothing is held"), "{early}");
    fs::read_dir(&app).unwrap().count();
    journal(&world, &["hold"]).success();
    fs::write(app.join("held"), "held\n").unwrap();
    let flush = journal(&world, &["flush", "--timeout", "20s"]).expect(4);
    assert!(flush.errors().contains("release"), "{flush}");
    assert_eq!(world.repo_status("app")["state"], "held");

    world.kill_daemon_hard();
    world.mount();
    assert_eq!(world.repo_status("app")["state"], "held");
    assert_eq!(entry(&world, "held")["state"], "held");
    // Retrying does not end a hold.
    journal(&world, &["retry"]).success();
    journal(&world, &["flush", "--timeout", "20s"]).expect(4);
    assert!(world.pending("app") > 0);

    journal(&world, &["release", "--repo", "local/app"]).success();
    wait_until("pushed by itself", Duration::from_secs(30), || {
        world.pending("app") == 0
    });
    let tree = world.flush_and_compare("app");
    assert!(tree.0.contains_key(Path::new("held")));
}

#[test]
fn what_is_dropped_stays_here_and_never_gets_there() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::read_dir(&app).unwrap().count();
    journal(&world, &["hold"]).success();
    fs::create_dir(app.join("build")).unwrap();
    for name in ["build/one", "build/two", "kept"] {
        fs::write(app.join(name), name).unwrap();
    }
    fs::remove_file(app.join("README.md")).unwrap();

    // Nobody to ask, and nothing of that name: nothing happens.
    let refused = journal(&world, &["drop", "build"]).expect(1);
    assert!(refused.errors().contains("--yes"), "{refused}");
    journal(&world, &["drop", "--yes", "nothing/there"]).expect(1);
    journal(&world, &["drop"]).expect(2);
    assert!(listing(&world).iter().any(|one| one["path"] == "build/two"));

    journal(&world, &["drop", "--yes", "build", "README.md"]).success();
    let paths: Vec<_> = listing(&world)
        .iter()
        .map(|one| one["path"].clone())
        .collect();
    assert_eq!(paths, ["kept"]);
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(listing(&world).len(), 1, "dropped again after a kill");
    journal(&world, &["release"]).success();
    world.flush();
    let remote = world.remote_tree("app");
    assert!(remote.0.contains_key(Path::new("kept")));
    assert!(remote.0.contains_key(Path::new("README.md")));
    assert!(!remote.0.contains_key(Path::new("build")));
    assert_eq!(fs::read(app.join("build/one")).unwrap(), b"build/one");
    assert!(fs::metadata(app.join("README.md")).is_err());

    // What changes later is pushed again.
    fs::write(app.join("build/one"), "again").unwrap();
    world.flush();
    let remote = world.remote_tree("app");
    assert!(remote.0.contains_key(Path::new("build/one")));
    assert!(!remote.0.contains_key(Path::new("build/two")));

    journal(&world, &["hold"]).success();
    fs::write(app.join("last"), "last").unwrap();
    journal(&world, &["drop", "--yes", "--all"]).success();
    assert_eq!(world.pending("app"), 0);
}

#[test]
fn the_listing_says_state_reason_size_and_age_with_a_daemon_and_without() {
    let mut world = World::small();
    let app = world.repo("app");
    world.local_tree("app");
    world.stop_server();
    fs::write(app.join("new"), "12345").unwrap();
    fs::rename(app.join("docs"), app.join("papers")).unwrap();
    wait_until("blocked", Duration::from_secs(30), || {
        entry(&world, "new")["state"] == "blocked"
    });
    let new = entry(&world, "new");
    assert_eq!(new["bytes"], 5);
    assert!(
        new["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    assert_eq!(entry(&world, "papers")["from"], "docs");

    let shown = journal(&world, &["show", "--json", "new"]).success();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let what = |record: &Value| record["what"].as_str().unwrap().to_owned();
    let records = shown["records"].as_array().unwrap();
    assert_eq!(
        records.iter().map(what).collect::<Vec<_>>(),
        ["create", "write"]
    );
    let unknown = journal(&world, &["show", "--repo", "local/none"]).expect(1);
    assert!(unknown.errors().contains("local/none"), "{unknown}");

    // The age survives a remount: records carry their time.
    let old = |world: &World| entry(world, "new")["age_seconds"].as_u64().unwrap() >= 2;
    wait_until("two seconds old", Duration::from_secs(30), || old(&world));
    world.unmount("0s").expect(4);
    assert!(old(&world), "at rest");
    world.mount();
    assert!(old(&world), "after a remount");
    world.start_server();
    journal(&world, &["retry"]).success();
    wait_until("pushed", Duration::from_secs(60), || {
        world.pending("app") == 0
    });
    world.flush_and_compare("app");
    assert!(listing(&world).is_empty());
}

#[test]
fn a_damaged_journal_is_named_refused_and_repaired() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::read_dir(&app).unwrap().count();
    journal(&world, &["hold"]).success();
    for name in ["first", "victim", "last"] {
        fs::write(app.join(name), name).unwrap();
        fs::File::open(app.join(name)).unwrap().sync_all().unwrap();
    }
    let sound = journal(&world, &["verify"]).success();
    assert!(sound.text().starts_with("local/app: sound"), "{sound}");
    world.unmount("0s").expect(4);
    journal(&world, &["verify"]).success();

    let folder = world.data().join("repos/local/app/journal");
    let log = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let log = log
        .filter(|file| file.extension().is_some_and(|it| it == "log"))
        .max()
        .unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes
        .windows(6)
        .position(|window| window == b"victim")
        .unwrap();
    bytes[at] ^= 0x20;
    fs::write(&log, bytes).unwrap();

    let damaged = journal(&world, &["verify", "--json"]).expect(1);
    let damaged: Value = serde_json::from_slice(&damaged.stdout).unwrap();
    let finding = &damaged["repos"][0]["findings"][0];
    assert_eq!(finding["verdict"], "refused");
    assert_eq!(finding["file"], log.display().to_string());
    // The other repositories would be there; of this one the status says what is wrong.
    world.mount();
    let status = world.repo_status("app");
    assert!(
        status["reason"].as_str().unwrap().contains("damaged"),
        "{status}"
    );
    fs::read_dir(&app).unwrap_err();
    journal(&world, &["verify", "--repo", "app"]).expect(1);
    let flush = journal(&world, &["flush", "--timeout", "5s"]).expect(4);
    assert!(flush.errors().contains("damaged"), "{flush}");
    let refused = journal(&world, &["verify", "--repair"]).expect(1);
    assert!(refused.errors().contains("mesa umount"), "{refused}");
    world.unmount("0s").expect(4);

    let repaired = journal(&world, &["verify", "--repair"]).success();
    assert!(repaired.text().contains("lost: records"), "{repaired}");
    journal(&world, &["verify"]).success();
    world.mount();
    for name in ["first", "last"] {
        assert_eq!(fs::read(app.join(name)).unwrap(), name.as_bytes());
    }
    fs::read(app.join("victim")).unwrap_err();
    journal(&world, &["release"]).success();
    world.flush_and_compare("app");
}
