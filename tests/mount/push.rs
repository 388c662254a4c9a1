//! Edits reach the server as a change on the bookmark, and the change's tree is the mounted tree.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fixture::{self, NESTED_LEVELS, noise};
use crate::support::git::{git, git_text};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::syscall::{exchange, hard_link};
use crate::support::world::World;

#[test]
fn every_kind_of_edit_of_a_real_repository_is_pushed() {
    let mut world = World::with("real", fixture::real());
    let real = world.repo("real");
    // New: files, empty ones, large ones, directories, empty ones, links of both kinds.
    fs::create_dir_all(real.join("new/deep/er")).unwrap();
    fs::create_dir_all(real.join("new/empty/directories")).unwrap();
    fs::write(real.join("new/file"), "new\n").unwrap();
    fs::write(real.join("new/nothing"), "").unwrap();
    fs::write(real.join("new/large"), noise("new", 9_000_000)).unwrap();
    fs::write(real.join("new/日本語 ü.txt"), "unicode\n").unwrap();
    fs::write(real.join("new").join("w".repeat(255)), "wide\n").unwrap();
    symlink("file", real.join("new/link")).unwrap();
    hard_link(&real.join("new/file"), &real.join("new/deep/er/same")).unwrap();
    // Of the repository: edited, cut, made executable, removed, renamed, replaced, exchanged.
    fs::write(real.join("data/crlf.txt"), "edited\n").unwrap();
    let large = fs::File::options()
        .write(true)
        .open(real.join("data/large.bin"))
        .unwrap();
    large.set_len(20_000_000).unwrap();
    drop(large);
    fs::set_permissions(real.join("tools/plain"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(real.join("tools/run"), Permissions::from_mode(0o644)).unwrap();
    fs::remove_dir_all(real.join("vendor/rustix")).unwrap();
    fs::rename(real.join("vendor/tokio"), real.join("runtime")).unwrap();
    fs::write(real.join("runtime/README.md"), "inside what moved\n").unwrap();
    fs::remove_file(real.join("runtime/LICENSE")).unwrap();
    fs::rename(real.join("links/relative"), real.join("data/noise.bin")).unwrap();
    exchange(&real.join("vendor/libc"), &real.join("vendor/gix")).unwrap();
    let mut bottom = real.join("nested");
    for level in 1..=NESTED_LEVELS {
        bottom.push(format!("level-{level}"));
    }
    fs::write(bottom.join("second.txt"), "deep\n").unwrap();
    // Removed and made again as another kind.
    fs::remove_file(real.join("data/empty")).unwrap();
    fs::create_dir(real.join("data/empty")).unwrap();
    fs::remove_dir_all(real.join("wide")).unwrap();
    fs::write(real.join("wide"), "a file now\n").unwrap();

    let tree = world.flush_and_compare("real");
    assert!(
        tree.0
            .contains_key(std::path::Path::new("new/empty/directories"))
    );
    run(git(&world.bare("real")).args(["fsck", "--strict"])).success();

    world.unmount("30s").success();
    world.mount();
    world
        .local_tree("real")
        .assert_equals(&tree, "after and before the remount");
}

#[test]
fn the_first_write_forks_a_change_and_later_ones_amend_it() {
    let mut world = World::small();
    let app = world.repo("app");
    let bare = world.bare("app");
    fs::read(app.join("README.md")).unwrap();
    let bookmark = git_text(&bare, &["rev-parse", "main"]);
    let before = world.repo_status("app");
    assert!(before["change"].is_null());
    assert_eq!(before["base"]["bookmark"], "main");
    assert_eq!(before["base"]["commit_oid"], bookmark.as_str());

    fs::write(app.join("one"), "1").unwrap();
    world.flush_and_compare("app");
    let first = world.repo_status("app");
    fs::write(app.join("two"), "2").unwrap();
    world.flush_and_compare("app");
    let second = world.repo_status("app");
    world.unmount("30s").success();
    world.mount();
    fs::write(app.join("three"), "3").unwrap();
    world.flush_and_compare("app");
    let third = world.repo_status("app");

    for later in [&second, &third] {
        assert_eq!(later["change"]["id"], first["change"]["id"], "one change");
    }
    assert_ne!(first["change"]["commit_oid"], third["change"]["commit_oid"]);
    assert_ne!(first["change"]["id"], first["base"]["change_id"]);
    let commit = third["change"]["commit_oid"].as_str().unwrap();
    assert_eq!(
        git_text(&bare, &["rev-parse", &format!("{commit}^")]),
        bookmark,
        "a change on the bookmark"
    );
    assert_eq!(
        git_text(&bare, &["rev-parse", "main"]),
        bookmark,
        "the bookmark itself is not written"
    );
    let head = git_text(&bare, &["cat-file", "commit", commit]);
    let id = third["change"]["id"].as_str().unwrap();
    assert!(head.contains(&format!("\nchange-id {id}\n")), "{head}");
}

#[test]
fn edits_are_pushed_by_themselves() {
    let world = World::small();
    fs::write(world.repo("app").join("by-itself"), "pushed\n").unwrap();
    wait_until("pushed without a flush", Duration::from_secs(30), || {
        let status = world.repo_status("app");
        status["pending"]["operations"] == 0 && !status["change"].is_null()
    });
    world
        .remote_tree("app")
        .assert_equals(&world.local_tree("app"), "remote and mount");
}

/// So long nothing must have been written before a push, and this is well below it.
const PAUSE_MAX: Duration = Duration::from_millis(150);

#[test]
fn a_file_is_not_pushed_while_it_is_being_written() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    for attempt in 0..10 {
        world.flush();
        world.proxy().take();
        let (begun, mut last, mut pause) = (Instant::now(), Instant::now(), Duration::ZERO);
        let mut file = fs::File::create(app.join(format!("slow-{attempt}"))).unwrap();
        // Below the age at which it is pushed all the same.
        while begun.elapsed() < Duration::from_secs(1) {
            file.write_all(&[b'x'; 4096]).unwrap();
            pause = pause.max(last.elapsed());
            last = Instant::now();
            thread::sleep(Duration::from_millis(5));
        }
        let sent = world.proxy().take();
        let sent = sent.iter().filter(|it| !it.starts_with("GET ")).count();
        world.flush_and_compare("app");
        // A machine that stops for longer than that is no writer.
        if pause < PAUSE_MAX {
            assert_eq!(sent, 0, "while it was written");
            return;
        }
    }
    panic!("this machine cannot write for a second without a pause");
}

#[test]
fn what_comes_to_nothing_is_not_pushed_as_something() {
    let mut world = World::small();
    let app = world.repo("app");
    let before = world.local_tree("app");
    world.stop_server();
    fs::write(app.join("temporary"), noise("temporary", 1 << 20)).unwrap();
    for turn in 0..50 {
        fs::write(app.join("temporary"), format!("{turn}")).unwrap();
    }
    fs::rename(app.join("temporary"), app.join("renamed")).unwrap();
    fs::remove_file(app.join("renamed")).unwrap();
    fs::rename(app.join("src"), app.join("code")).unwrap();
    fs::rename(app.join("code"), app.join("src")).unwrap();
    let list = run(&mut world.mesa(&["journal", "list"])).success().text();
    assert!(!list.contains("temporary"), "{list}");
    world.start_server();
    world.flush();
    world
        .local_tree("app")
        .assert_equals(&before, "after and before");
    if !world.repo_status("app")["change"].is_null() {
        world.flush_and_compare("app");
    }
}

#[test]
fn an_edit_in_one_repository_leaves_the_other_alone() {
    let source = tempfile::tempdir().unwrap();
    let small = fixture::small(source.path());
    let mut world = World::serve(&[("one", &small), ("two", &small)]);
    world.mount();
    fs::write(world.repo("one").join("edit"), "edit\n").unwrap();
    fs::read(world.repo("two").join("README.md")).unwrap();
    world.flush_and_compare("one");
    assert!(world.repo_status("two")["change"].is_null());
    assert!(!world.repo("two").join("edit").exists());
}

#[test]
fn a_flush_beside_writers_pushes_what_it_found_and_says_what_came_since() {
    let world = World::small();
    let app = world.repo("app");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                fs::write(
                    app.join(format!("beside-{}", turn % 50)),
                    format!("{turn}\n"),
                )
                .unwrap();
            }
        });
        let mut left = 0;
        for turn in 0..20 {
            let found = format!("found-{turn}");
            fs::write(app.join(&found), "found\n").unwrap();
            let ended = run(&mut world.mesa(&["journal", "flush", "--timeout", "60s"]));
            assert!(
                world.remote_tree("app").0.contains_key(Path::new(&found)),
                "{ended}"
            );
            match ended.code() {
                0 => {}
                4 => {
                    assert!(
                        ended.errors().contains("(written since it began)"),
                        "{ended}"
                    );
                    left += 1;
                }
                _ => panic!("{ended}"),
            }
            if left == 3 {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        assert!(left > 0, "nothing was ever written meanwhile");
    });
    world.flush_and_compare("app");
}
