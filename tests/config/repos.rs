//! Explicit mounts: what they show, live and after the next mount, and that closing loses nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::fixture;
use crate::support::git::initialise;
use crate::support::process::run;
use crate::support::world::{ORG, World};
use crate::support::{stopwatch, stranger, syscall};

/// Two repositories on the server, of which `app` is in the configuration, and `lib` has two bookmarks.
fn world(source: &Path) -> World {
    let app = fixture::small(source);
    let lib = source.join("lib");
    fs::create_dir(&lib).unwrap();
    fs::write(lib.join("old"), "old\n").unwrap();
    initialise(&lib);
    let mut world = World::serve(&[("app", &app), ("lib", &lib)]);
    world.set("MESA_REPO_REVS", &format!("{ORG}/app=bookmark:main"));
    let send = |method, path: &str, body| stranger::send(&world, method, path, &body);
    let (_, main) = send(Method::GET, "lib/bookmarks/main", json!({}));
    let dev = json!({"name": "dev", "change_id": main["change_id"]});
    assert_eq!(send(Method::POST, "lib/bookmarks", dev).0, 201);
    let files = [("new", "new\n"), ("old", "old on dev\n")];
    let files = files.map(|(path, text)| stranger::file(path, text));
    stranger::advance(&world, "lib", "dev", &files);
    world.mount();
    world
}

fn shown(world: &World) -> Vec<String> {
    let names = fs::read_dir(world.mount_point().join(ORG)).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn listed(world: &World, arguments: &[&str]) -> String {
    let words = [&["repo", "list"], arguments].concat();
    run(&mut world.mesa(&words)).success().text()
}

#[test]
fn what_is_opened_and_closed_shows_at_once_and_after_the_next_mount() {
    let source = tempfile::tempdir().unwrap();
    let mut world = world(source.path());
    let lib = world.mount_point().join(ORG).join("lib");
    assert_eq!(shown(&world), ["app"]);
    assert!(!lib.exists(), "looked at, what is not listed is there");
    let open = run(&mut world.mesa(&["repo", "open", "lib", "--rev", "bookmark:dev"]));
    assert_eq!(open.success().text(), lib.display().to_string());
    assert!(lib.join("new").exists());
    assert_eq!(shown(&world), ["app", "lib"]);
    run(&mut world.mesa(&["repo", "close", "app"])).success();
    assert_eq!(shown(&world), ["lib"]);
    assert!(!world.mount_point().join(ORG).join("app").exists());
    assert_eq!(listed(&world, &[]), format!("{ORG}/lib"));
    assert_eq!(
        listed(&world, &["--all"]),
        format!("{ORG}/app (not shown)\n{ORG}/lib")
    );

    world.kill_daemon_hard();
    world.mount();
    assert_eq!(shown(&world), ["lib"]);
    assert!(lib.join("new").exists());
    // At another revision it is another tree, with nothing of the old one in the kernel's cache.
    let again = ["repo", "open", "lib", "--rev", "bookmark:main"];
    let refused = run(&mut world.mesa(&again)).expect(1);
    assert!(
        refused.errors().contains("hint: close it first"),
        "{refused}"
    );
    // Who stands in it keeps nothing of it: neither inodes nor cached pages.
    let held = fs::File::open(&lib).unwrap();
    assert_eq!(fs::read_to_string(lib.join("old")).unwrap(), "old on dev\n");
    run(&mut world.mesa(&["repo", "close", "lib"])).success();
    run(&mut world.mesa(&again)).success();
    assert!(lib.join("old").exists() && !lib.join("new").exists());
    assert_eq!(fs::read_to_string(lib.join("old")).unwrap(), "old\n");
    let inside = format!("/proc/self/fd/{}/old", held.as_raw_fd());
    syscall::refused(fs::read(&inside), libc::ESTALE);
    drop(held);
    run(&mut world.mesa(&["repo", "open", "app"])).success();
    assert_eq!(shown(&world), ["app", "lib"]);
    // What the server does not have is not kept, either.
    run(&mut world.mesa(&["repo", "open", "nowhere"])).expect(1);
    assert_eq!(shown(&world), ["app", "lib"]);
    // Without a daemon, it is what the next mount shows.
    world.unmount("10s").success();
    assert_eq!(listed(&world, &[]), format!("{ORG}/app\n{ORG}/lib"));
    let listed: serde_json::Value = serde_json::from_str(&listed(&world, &["--json"])).unwrap();
    assert_eq!(listed[1]["name"], "lib");
    assert_eq!(listed[1]["rev"], "bookmark:main");
    assert_eq!(listed[1]["shown"], true);
}

#[test]
fn a_revision_is_shown_or_refused_and_local_edits_stay_on_theirs() {
    let source = tempfile::tempdir().unwrap();
    let mut world = world(source.path());
    let lib = world.mount_point().join(ORG).join("lib");
    let open = |rev: &str| ["repo", "open", "lib", "--rev", rev].map(str::to_owned);
    let mesa = |rev: &str| {
        let words = open(rev);
        run(&mut world.mesa(&words.each_ref().map(String::as_str)))
    };
    for wrong in ["dev", "bookmark:", "change-id:abc"] {
        mesa(wrong).expect(1);
    }
    mesa("bookmark:nowhere").expect(1);
    assert_eq!(shown(&world), ["app"]);
    mesa("bookmark:main").success();
    fs::write(lib.join("edit"), "edit\n").unwrap();
    run(&mut world.mesa(&["repo", "close", "lib"])).success();
    for other in ["bookmark:dev", "bookmark:nowhere"] {
        let refused = mesa(other).expect(1);
        assert!(
            refused.errors().contains("still shows bookmark:main"),
            "{refused}"
        );
        assert_eq!(shown(&world), ["app"], "refused, and shown all the same");
        assert!(!lib.exists());
    }
    run(&mut world.mesa(&["repo", "open", "lib"])).success();
    assert_eq!(fs::read_to_string(lib.join("edit")).unwrap(), "edit\n");
    world.flush_and_compare("lib");
    world.unmount("10s").success();
}

#[test]
fn closing_pushes_first_and_never_loses_what_it_cannot_push() {
    let source = tempfile::tempdir().unwrap();
    let mut world = world(source.path());
    let app = world.repo("app");
    fs::write(app.join("pushed"), "pushed\n").unwrap();
    run(&mut world.mesa(&["repo", "close", "app"])).success();
    assert_eq!(world.repo_status("app")["pending"]["operations"], 0);
    run(&mut world.mesa(&["repo", "open", "app"])).success();
    assert_eq!(fs::read_to_string(app.join("pushed")).unwrap(), "pushed\n");

    world.stop_server();
    fs::write(app.join("kept"), "kept\n").unwrap();
    let close = ["repo", "close", "app", "--timeout", "200ms"];
    let refused = run(&mut world.mesa(&close)).expect(4);
    assert!(
        refused.errors().contains("not pushed: local/app"),
        "{refused}"
    );
    assert!(
        app.join("kept").exists(),
        "refused, and hidden all the same"
    );
    run(&mut world.mesa(&[&close[..], &["--force"]].concat())).expect(4);
    assert_eq!(shown(&world), Vec::<String>::new());
    assert_ne!(world.repo_status("app")["pending"]["operations"], 0);

    // Hidden, it is pushed all the same: also by the next daemon.
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(shown(&world), Vec::<String>::new());
    assert_ne!(world.repo_status("app")["pending"]["operations"], 0);
    world.start_server();
    world.flush();
    assert_eq!(world.repo_status("app")["pending"]["operations"], 0);
    run(&mut world.mesa(&["repo", "open", "app"])).success();
    world.flush_and_compare("app");
    assert_eq!(fs::read_to_string(app.join("kept")).unwrap(), "kept\n");
    world.unmount("10s").success();
}

#[test]
fn a_repository_in_use_stays_unless_insisted_on_and_open_files_stay_usable() {
    let source = tempfile::tempdir().unwrap();
    let mut world = world(source.path());
    let app = world.repo("app");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(app.join("log"))
        .unwrap();
    let refused = run(&mut world.mesa(&["repo", "close", "app"])).expect(1);
    assert!(
        refused.errors().contains("1 file is open in local/app"),
        "{refused}"
    );
    assert_eq!(shown(&world), ["app"]);
    run(&mut world.mesa(&["repo", "close", "app", "--force"])).success();
    assert!(!app.exists());
    file.write_all(b"written after\n").unwrap();
    file.sync_all().unwrap();
    drop(file);
    world.flush();
    run(&mut world.mesa(&["repo", "open", "app"])).success();
    assert_eq!(
        fs::read_to_string(app.join("log")).unwrap(),
        "written after\n"
    );
    world.flush_and_compare("app");
    world.unmount("10s").success();
}

#[test]
fn a_damaged_selection_is_told_of_and_counts_as_none() {
    let source = tempfile::tempdir().unwrap();
    let mut world = world(source.path());
    run(&mut world.mesa(&["repo", "close", "app"])).success();
    world.unmount("10s").success();
    let kept = world.data().join("repos").join(ORG).join("selection.json");
    let text = fs::read(&kept).unwrap();
    fs::write(&kept, &text[..text.len() / 2]).unwrap();
    world.mount();
    assert_eq!(shown(&world), ["app"]);
    let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
    assert!(log.contains("the selection is not read"), "{log}");
    run(&mut world.mesa(&["repo", "open", "lib"])).success();
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(shown(&world), ["app", "lib"]);
    world.unmount("10s").success();
}

#[test]
fn a_mount_of_everything_has_nothing_to_open() {
    let mut world = World::small();
    let refused = run(&mut world.mesa(&["repo", "close", "app"])).expect(1);
    assert!(
        refused.errors().contains("mount = \"explicit\""),
        "{refused}"
    );
    assert!(world.repo("app").exists());
    world.unmount("10s").success();
}

/// A program that keeps a directory open writes through it at the very moment that the repository is
/// hidden: what it was told is written must come through, whether the repository still came to rest.
#[test]
fn what_is_acknowledged_while_it_closes_is_never_lost() {
    const ROUNDS: usize = 25;
    const BURST: usize = 20;
    let source = tempfile::tempdir().unwrap();
    let mut world = world(source.path());
    let app = world.repo("app");
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let folder = fs::File::open(&app).unwrap();
        let (app, held) = (&app, format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let burst = thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let write = |name: &String| fs::write(Path::new(&held).join(name), name).is_ok();
                // Now and then until it is hidden, which may take it away at once, then in a burst.
                let mut names = Vec::new();
                stopwatch::wait_until("it is hidden", Duration::from_secs(30), || {
                    let name = format!("before-{round}-{}", names.len());
                    if write(&name) {
                        names.push(name);
                    }
                    !app.exists()
                });
                let burst = (0..BURST).map(|number| format!("file-{round}-{number}"));
                names.extend(burst.take_while(write));
                names
            });
            let closed = run(&mut world.mesa(&["repo", "close", "app", "--force"]));
            assert!([0, 4].contains(&closed.code()), "{closed}");
            writer.join().unwrap()
        });
        acknowledged.extend(burst);
        run(&mut world.mesa(&["repo", "open", "app"])).success();
    }
    assert!(acknowledged.len() >= ROUNDS, "nobody was writing");
    for name in &acknowledged {
        assert_eq!(&fs::read_to_string(app.join(name)).unwrap(), name);
    }
    world.flush_and_compare("app");
    world.unmount("10s").success();
}
