//! Without the server: what is here goes on working, and is pushed when the server is back.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// A read that needs the server fails within the promised 5 s, and what a busy machine adds.
const FAILS_WITHIN: Duration = Duration::from_secs(12);

#[test]
fn edits_go_on_while_the_server_is_down() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::read(app.join("README.md")).unwrap();
    world.local_tree("app");
    world.stop_server();

    fs::write(app.join("offline"), "written offline\n").unwrap();
    fs::rename(app.join("docs"), app.join("papers")).unwrap();
    fs::write(app.join("papers/one.md"), "edited offline\n").unwrap();
    fs::remove_file(app.join("bin/tool")).unwrap();
    assert_eq!(
        fs::read(app.join("papers/two.md")).unwrap(),
        b"two\n",
        "what was read before"
    );
    let flush = run(&mut world.mesa(&["journal", "flush", "--timeout", "1s"])).expect(4);
    assert!(flush.errors().contains("local/app"), "{flush}");
    wait_until("status says offline", Duration::from_secs(30), || {
        world.status()["state"] == "offline"
    });
    let pending = world.pending("app");
    assert!(pending > 0);

    world.start_server();
    wait_until("drained by itself", Duration::from_secs(60), || {
        world.pending("app") == 0
    });
    assert_eq!(world.status()["state"], "ready");
    world.flush_and_compare("app");
}

#[test]
fn what_is_not_here_fails_soon_and_says_why() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::read_dir(&app).unwrap().count();
    world.stop_server();
    for path in ["README.md", "bin/tool"] {
        let start = Instant::now();
        let error = fs::read(app.join(path)).unwrap_err();
        assert!(start.elapsed() < FAILS_WITHIN, "{:?}", start.elapsed());
        assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH), "{error}");
    }
    // And works again, without a remount, once the server is back.
    world.start_server();
    wait_until("readable again", Duration::from_secs(30), || {
        fs::read(app.join("README.md")).is_ok()
    });
}

#[test]
fn a_remount_without_the_server_has_everything_local() {
    let mut world = World::small();
    let app = world.repo("app");
    world.local_tree("app");
    fs::write(app.join("pushed"), "pushed\n").unwrap();
    world.flush();
    world.stop_server();
    fs::write(app.join("unpushed"), "unpushed\n").unwrap();
    fs::write(app.join("docs/one.md"), "edited\n").unwrap();
    let before = world.local_tree("app");
    let umount = world.unmount("0s").expect(4);
    assert!(umount.errors().contains("not pushed"), "{umount}");
    assert!(fs::metadata(&app).is_err(), "still mounted");

    world.mount();
    world
        .local_tree("app")
        .assert_equals(&before, "remounted offline, and before");
    fs::write(app.join("more"), "more\n").unwrap();
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(fs::read(app.join("more")).unwrap(), b"more\n");
    world.start_server();
    world.flush_and_compare("app");
}

#[test]
fn a_first_mount_without_the_server_says_so() {
    let mut world = World::small();
    world.unmount("10s").success();
    fs::remove_dir_all(world.data()).unwrap();
    world.stop_server();
    let mount = run(&mut world.mesa(&["mount", "-d"]));
    if mount.code() == 0 {
        // Mounting an empty root and opening repositories later is as good.
        let error = fs::read_dir(world.repo("app")).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::NotFound, "{error}");
        run(&mut world.mesa(&["umount"])).success();
    } else {
        mount.expect(1);
        assert!(crate::support::kernel::mounts_below(world.folder()).is_empty());
    }
}
