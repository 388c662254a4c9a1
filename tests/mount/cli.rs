//! The command line: exit codes, messages, JSON, mounts that meet, and nothing left behind.

use std::fs;
use std::io;

use crate::support::kernel::mounts_below;
use crate::support::process::{Finished, run};
use crate::support::syscall::is_dead;
use crate::support::world::World;

/// Checks the promised shape of an error: what happened, to what, and nothing on stdout.
#[track_caller]
fn assert_error(finished: Finished, code: i32) -> Finished {
    let finished = finished.expect(code);
    assert!(finished.errors().starts_with("error: "), "{finished}");
    assert_eq!(finished.text(), "", "errors are talk, not data");
    finished
}

#[test]
fn wrong_command_lines_are_usage_errors() {
    let world = World::serve(&[]);
    for arguments in [
        &["frobnicate"][..],
        &["mount", "--frobnicate"],
        &["journal"],
        &["journal", "flush", "--timeout", "soon"],
        &[
            "token",
            "create",
            "--scope",
            "everything",
            "--repo",
            "local/x",
            "--ttl",
            "1h",
        ],
        &["serve"],
        &["umount", "--timeout", "-1s"],
    ] {
        let finished = run(&mut world.mesa(arguments)).expect(2);
        assert!(!finished.errors().is_empty(), "{finished}");
    }
    for arguments in [
        &["--help"][..],
        &["mount", "--help"],
        &["version"],
        &["--version"],
    ] {
        assert_ne!(run(&mut world.mesa(arguments)).success().text(), "");
    }
    let version = run(&mut world.mesa(&["version"])).success().text();
    assert_eq!(version, format!("mesa {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_daemon_the_verbs_say_so() {
    let world = World::serve(&[]);
    assert_error(run(&mut world.mesa(&["journal", "flush"])), 1);
    assert_error(run(&mut world.mesa(&["journal", "hold"])), 1);
    assert_error(run(&mut world.mesa(&["umount"])), 1);
    // What is pending can be looked at all the same.
    let listed = run(&mut world.mesa(&["journal", "list"])).success();
    assert_eq!(listed.text(), "");
    assert_eq!(world.status()["state"], "stopped");
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let world = World::serve(&[]);
    let mut command = world.mesa(&["mount", "-d", "--no-supervisor"]);
    command.env("MESA_API_URL", "not a url");
    let finished = assert_error(run(&mut command), 1);
    assert!(finished.errors().contains("MESA_API_URL"), "{finished}");

    let file = world.folder().join("a-file");
    fs::write(&file, "").unwrap();
    let mut command = world.mesa(&["mount", "-d", "--no-supervisor"]);
    command.env("MESA_MOUNT_POINT", &file);
    let finished = assert_error(run(&mut command), 1);
    assert!(finished.errors().contains("a-file"), "{finished}");
    assert!(mounts_below(world.folder()).is_empty());
    assert!(
        world.processes().is_empty(),
        "a daemon that failed lives on"
    );
}

#[test]
fn status_keeps_its_promise() {
    let world = World::small();
    let app = world.repo("app");
    fs::write(app.join("edit"), "edit\n").unwrap();
    world.flush();
    let status = world.status();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let has = |value: &serde_json::Value, promised: &[&str]| {
        for key in promised {
            assert!(
                keys(value).iter().any(|found| found == key),
                "{key} in {value}"
            );
        }
    };
    has(&status, &["state", "credential", "repos"]);
    has(&status["credential"], &["state", "expires_at"]);
    let repo = &status["repos"][0];
    has(repo, &["org", "name", "state", "base", "change", "pending"]);
    has(&repo["base"], &["bookmark", "change_id", "commit_oid"]);
    has(&repo["change"], &["id", "commit_oid"]);
    has(
        &repo["pending"],
        &["operations", "bytes", "oldest_age_seconds"],
    );
    assert_eq!(status["state"], "ready");
    assert_eq!(repo["change"]["id"].as_str().unwrap().len(), 32);
    assert_eq!(repo["change"]["commit_oid"].as_str().unwrap().len(), 40);
    let plain = run(&mut world.mesa(&["status"])).success();
    assert!(plain.text().contains("local/app"), "{plain}");
    assert!(!plain.text().contains(&world.token), "the token is shown");
}

#[test]
fn the_journal_lists_what_is_pending() {
    let mut world = World::small();
    let app = world.repo("app");
    world.local_tree("app");
    world.stop_server();
    fs::write(app.join("docs/one.md"), "edited\n").unwrap();
    fs::remove_file(app.join("empty")).unwrap();
    let plain = run(&mut world.mesa(&["journal", "list"])).success().text();
    assert!(
        plain.contains("docs/one.md") && plain.contains("empty"),
        "{plain}"
    );
    let json = run(&mut world.mesa(&["journal", "list", "--json"])).success();
    let listed: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(listed.to_string().contains("docs/one.md"), "{listed}");
    assert!(world.pending("app") >= 2);
    world.start_server();
    world.flush();
    assert_eq!(
        run(&mut world.mesa(&["journal", "list"])).success().text(),
        ""
    );
    let flush = run(&mut world.mesa(&["journal", "flush", "--json"])).success();
    serde_json::from_slice::<serde_json::Value>(&flush.stdout).unwrap();
}

#[test]
fn umount_says_what_remains_and_the_next_mount_goes_on() {
    let mut world = World::small();
    let app = world.repo("app");
    world.local_tree("app");
    world.stop_server();
    fs::write(app.join("unpushed"), "unpushed\n").unwrap();
    let umount = world.unmount("1s").expect(4);
    assert!(umount.errors().contains("local/app"), "{umount}");
    assert!(mounts_below(world.folder()).is_empty());
    world.start_server();
    world.mount();
    world.flush_and_compare("app");
    world.unmount("10s").success();
}

#[test]
fn umount_of_a_busy_mount_needs_force() {
    let mut world = World::small();
    let held = fs::File::open(world.repo("app").join("README.md")).unwrap();
    assert_error(run(&mut world.mesa(&["umount", "--timeout", "1s"])), 1);
    assert!(world.repo("app").join("README.md").exists(), "it is gone");
    drop(held);
    world.unmount("10s").success();
}

#[test]
fn one_data_directory_has_one_daemon() {
    let world = World::small();
    // The same again is no error, and changes nothing.
    let again = run(&mut world.mesa(&["mount", "-d", "--no-supervisor"]));
    assert!([0, 1].contains(&again.code()), "{again}");
    // Another mount point with the same data is refused.
    let other = world.folder().join("other");
    fs::create_dir(&other).unwrap();
    let mut command = world.mesa(&["mount", "-d", "--no-supervisor"]);
    command
        .env("MESA_MOUNT_POINT", &other)
        .env("MESA_RUNTIME_DIR", world.folder().join("run-2"));
    assert_error(run(&mut command), 1);
    assert!(mounts_below(&other).is_empty());
    // A daemon hides what it runs from everyone but root.
    if nix::unistd::geteuid().is_root() {
        assert_eq!(world.processes().len(), 1);
    }
    assert!(world.repo("app").join("README.md").exists());
}

#[test]
fn a_dead_mount_is_cleared_by_the_next() {
    let mut world = World::small();
    world.kill_daemon_hard();
    let dead = fs::metadata(world.repo("app")).unwrap_err();
    assert!(is_dead(&dead), "{dead}");
    assert_eq!(world.status()["state"], "stopped");
    world.mount();
    assert_eq!(mounts_below(world.folder()).len(), 1, "mounts are stacked");
    assert!(world.repo("app").join("README.md").exists());
}

#[test]
fn a_signal_drains_and_leaves_nothing_behind() {
    let mut world = World::small();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.with_daemon(|daemon| {
        daemon.signal(libc::SIGTERM);
        assert!(daemon.ends_within(std::time::Duration::from_secs(60)));
    });
    assert!(mounts_below(world.folder()).is_empty());
    assert!(world.processes().is_empty());
    let error = fs::metadata(world.repo("app")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    world.mount();
    assert_eq!(world.pending("app"), 0, "SIGTERM did not drain");
    world.flush_and_compare("app");
}

#[test]
fn state_is_private_and_nothing_else_is_written() {
    use std::os::unix::fs::MetadataExt;
    let mut world = World::small();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush();
    for folder in [
        world.data(),
        world.folder().join("run"),
        world.folder().join("server"),
    ] {
        let mode = fs::metadata(&folder).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700, "{folder:?}");
    }
    let socket = fs::metadata(world.folder().join("run/control.sock")).unwrap();
    assert_eq!(socket.mode() & 0o077, 0, "the control socket");
    world.unmount("10s").success();
    assert!(world.processes().is_empty());
    assert!(mounts_below(world.folder()).is_empty());
    assert_eq!(fs::read_dir(world.mount_point()).unwrap().count(), 0);
    assert_eq!(
        fs::read_dir(world.folder().join("home")).unwrap().count(),
        0
    );
    assert!(!world.folder().join("run/control.sock").exists());
}

#[test]
fn repositories_are_created_and_listed() {
    let mut world = World::small();
    world.unmount("10s").success();
    let key = fs::read_to_string(world.folder().join("server/admin.key")).unwrap();
    key.trim().clone_into(&mut world.token);
    run(&mut world.mesa(&["repo", "create", "fresh"])).success();
    let list = run(&mut world.mesa(&["repo", "list"])).success().text();
    assert!(list.contains("app") && list.contains("fresh"), "{list}");
    assert_error(run(&mut world.mesa(&["repo", "create", "fresh"])), 1);
    // A new, empty repository is mounted and written like any other.
    world.token = world.mint("1h", &["app", "fresh"]);
    world.mount();
    let fresh = world.repo("fresh");
    assert_eq!(fs::read_dir(&fresh).unwrap().count(), 0);
    fs::create_dir(fresh.join("folder")).unwrap();
    fs::write(fresh.join("folder/first"), "first\n").unwrap();
    world.flush_and_compare("fresh");
}

#[test]
fn tokens_are_printed_alone() {
    let world = World::serve(&[]);
    let token = world.mint("5m", &["app"]);
    assert!(!token.contains(char::is_whitespace), "{token:?}");
    assert!(token.len() > 40);
    let mut command = world.mesa(&[
        "token", "create", "--scope", "read", "--repo", "local/x", "--ttl", "1h",
    ]);
    command.env_remove("MESA_API_KEY");
    assert_error(run(&mut command), 5);
}
