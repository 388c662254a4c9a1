//! Mounts that meet: the same one again, one with other settings, two of one state, two of one
//! repository, and what a dead daemon left.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::support::fixture;
use crate::support::kernel::mounts_below;
use crate::support::process::{Held, run};
use crate::support::second::Second;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// Whatever is waited for comes within this time, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn world() -> World {
    let source = tempfile::tempdir().unwrap();
    World::serve(&[("app", &fixture::small(source.path()))])
}

#[test]
fn the_same_mount_again_is_no_work_and_another_one_is_refused_by_what_differs() {
    let mut world = world();
    world.mount_supervised(&[]);
    let pid = world.with_daemon(|daemon| daemon.pid);
    for arguments in [&["mount"][..], &["mount", "--daemonize"]] {
        let again = run(&mut world.mesa(arguments)).success();
        let text = format!(
            "already mounted at {} (process {pid})",
            world.mount_point().display()
        );
        assert!(again.errors().contains(&text), "{again}");
    }
    let differing = run(&mut world.mesa(&["mount", "-d", "--publish", "merge"])).expect(1);
    let text = format!(
        "error: the running daemon (process {pid}) was started with other settings\n  \
         caused by: publish is never there, and merge here\n  hint: `mesa umount` and mount again"
    );
    assert!(differing.errors().starts_with(&text), "{differing}");
    let mut command = world.mesa(&["mount", "-d"]);
    command.env("MESA_API_URL", "http://127.0.0.1:1/v1");
    let differing = run(command.env("MESA_COMMIT_INTERVAL", "3s")).expect(1);
    assert!(
        differing.errors().contains("caused by: api-url is"),
        "{differing}"
    );
    assert!(
        differing
            .errors()
            .contains("caused by: commit-interval is 1s there, and 3s here"),
        "{differing}"
    );
    // A new credential is no other mount.
    let mut command = world.mesa(&["mount", "-d"]);
    run(command.env("MESA_API_KEY", world.mint("1h", &["app"]))).success();
    // Another mount point of the same state, found by its socket, and not found by it.
    let other = world.folder().join("other");
    fs::create_dir(&other).unwrap();
    for runtime in ["run", "run-2"] {
        let mut command = world.mesa(&["mount", "-d"]);
        command
            .env("MESA_MOUNT_POINT", &other)
            .env("MESA_RUNTIME_DIR", world.folder().join(runtime));
        let refused = run(&mut command).expect(1);
        assert!(
            refused.errors().contains(&format!("(process {pid})")),
            "{refused}"
        );
        assert!(refused.errors().contains("hint: "), "{refused}");
    }
    assert!(mounts_below(&other).is_empty());
    assert_eq!(world.with_daemon(|daemon| daemon.pid), pid);
    assert!(world.repo("app").join("README.md").exists());
}

#[test]
fn mounts_at_once_become_one() {
    let mut world = world();
    let children: Vec<_> = (0..4)
        .map(|_| world.mesa(&["mount", "--daemonize"]).spawn().unwrap())
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    world.adopt();
    assert_eq!(mounts_below(world.folder()).len(), 1);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(world.processes().len(), 2, "one supervisor, one daemon");
    }
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush_and_compare("app");
}

#[test]
fn a_mount_waits_for_one_that_is_ending() {
    let mut world = world();
    world.mount();
    world.local_tree("app");
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    let mut umount = world.mesa(&["umount", "--timeout", "3s"]);
    let mut umount = umount.spawn().unwrap();
    wait_until("it drains", DEADLINE, || {
        world.status()["state"] == "draining"
    });
    world.mount();
    assert_eq!(umount.wait().unwrap().code(), Some(4));
    assert_eq!(mounts_below(world.folder()).len(), 1);
    world.start_server();
    world.flush_and_compare("app");
}

#[test]
fn what_a_dead_daemon_left_is_no_hindrance() {
    let mut world = world();
    world.mount();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.kill_daemon_hard();
    // Its mount is dead; its lock, pid file and socket name processes and listeners that are others'.
    let mut other = world.command("sleep").arg("600").spawn().unwrap();
    let stale = format!("{} serving\n", other.id());
    for folder in [world.data(), world.runtime()] {
        fs::write(folder.join("lock"), &stale).unwrap();
    }
    fs::write(
        world.runtime().join("mesa.pid"),
        format!("{}\n", other.id()),
    )
    .unwrap();
    let socket = world.runtime().join("control.sock");
    fs::remove_file(&socket).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    let state = format!(
        "{{\"state\":\"restarting\",\"process\":{},\"restarts\":1,\"last_death\":null,\"started_ticks\":1}}",
        other.id()
    );
    fs::write(world.runtime().join("supervisor.json"), state).unwrap();
    world.mount_supervised(&[]);
    assert_eq!(mounts_below(world.folder()).len(), 1);
    assert!(other.try_wait().unwrap().is_none(), "a stranger was ended");
    world.flush_and_compare("app");
    world.kill_and_forget();
    // A file in the place of the socket.
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "").unwrap();
    world.mount();
    world.flush_and_compare("app");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn two_states_of_one_repository_work_side_by_side() {
    let mut world = world();
    world.mount_supervised(&["--publish", "merge"]);
    let second = Second::new(&world, "second");
    second.mount(&["--publish", "merge"]);
    for round in 0..5 {
        for (name, app) in [("one", world.repo("app")), ("two", second.repo("app"))] {
            fs::write(app.join(format!("{name}-{round}")), format!("{name}\n")).unwrap();
            fs::write(app.join(format!("{name}-log")), format!("{round}\n")).unwrap();
        }
        if round == 2 {
            world.with_daemon(Held::kill);
            second.kill_daemon_hard();
            second.mount(&["--publish", "merge"]);
            wait_until("the mount is back", DEADLINE, || {
                world.repo("app").join("one-2").exists()
            });
        }
    }
    world.flush();
    second.flush();
    let published = |status: serde_json::Value| status["publish"]["state"] == "up-to-date";
    wait_until("both are published", DEADLINE, || {
        published(world.repo_status("app")) && published(second.repo_status("app"))
    });
    let tree = crate::support::tree::Tree::of_commit(&world.bare("app"), "main");
    for round in 0..5 {
        for name in ["one", "two"] {
            let path = format!("{name}-{round}");
            assert!(
                tree.0.contains_key(std::path::Path::new(&path)),
                "{path} is lost"
            );
        }
    }
    for name in ["one-log", "two-log"] {
        let text =
            crate::support::git::git_text(&world.bare("app"), &["show", &format!("main:{name}")]);
        assert_eq!(text.trim(), "4");
    }
    second.unmount().success();
}
