//! The daemon's log: where it goes, how much of it there is, and that nothing ever waits for it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::support::process::{Held, run};
use crate::support::world::World;
use crate::{DEADLINE, LOOK_AGAIN, until};

/// What all files of a log may have together.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// At which size a file of a log is moved aside.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A world that logs to a file of its own, not mounted yet.
fn logging_to(target: &str) -> World {
    let source = tempfile::tempdir().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    let target = match target.starts_with('/') {
        true => target.into(),
        false => world.folder().join(target),
    };
    world.set("MESA_DAEMON_LOG_FILE", target.to_str().unwrap());
    world
}

#[track_caller]
fn level(world: &World, arguments: &[&str]) -> Value {
    let mut command = world.mesa(&["log-level", "--json"]);
    let finished = run(command.args(arguments)).success();
    serde_json::from_slice(&finished.stdout).unwrap()
}

/// Files of a log, with their sizes.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<(String, u64)> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().len())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_configured_file_has_all_that_daemon_and_supervisor_log_and_nothing_secret() {
    let mut world = logging_to("logs/mesa.log");
    let path = world.folder().join("logs/mesa.log");
    world.set("MESA_LOG_LEVEL", "trace");
    world.mount_supervised(&[]);
    let app = world.repo("app");
    fs::write(app.join("edit"), "edit\n").unwrap();
    world.flush();
    let logged = || fs::read_to_string(&path).unwrap();
    until("the supervisor logs", || logged().contains("supervised"));
    until("the daemon logs", || logged().contains(" mounted "));
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!world.data().join("daemon.log").exists());
    // A daemon that is started again finds the same file, and its death is told there.
    world.with_daemon(Held::kill);
    until("it is started again", || {
        logged().contains("the daemon is started again")
            && logged().matches(" mounted ").count() == 2
    });
    world.adopt();
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "again\n").unwrap();
    until("what fails is logged", || logged().contains("not pushed"));
    world.start_server();
    world.flush_and_compare("app");
    let secret = world.token.rsplit('.').next().unwrap().to_owned();
    world.unmount("30s").success();
    let logged = logged();
    assert!(logged.contains("unmounted"), "the last lines: {logged}");
    assert!(secret.len() > 20 && !logged.contains(&secret), "the token");
    assert!(!logged.contains('\x1b'), "colors in a file");
}

#[test]
fn the_level_changes_while_the_daemon_runs() {
    let mut world = logging_to("mesa.log");
    let path = world.folder().join("mesa.log");
    world.set("MESA_LOG_LEVEL", "warn");
    world.mount();
    assert_eq!(level(&world, &[])["level"], "warn");
    let logged = || fs::read_to_string(&path).unwrap();
    let has = |level: &str| logged().lines().any(|line| line.contains(level));
    world.local_tree("app");
    let provoke = |world: &mut World| {
        world.stop_server();
        fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
        run(&mut world.mesa(&["journal", "flush", "--timeout", "1s"]));
        world.start_server();
        world.flush();
    };
    provoke(&mut world);
    until("a warning", || has(" WARN "));
    assert!(!has(" INFO ") && !has(" DEBUG "), "{}", logged());
    let report = level(&world, &["trace"]);
    assert_eq!(report["level"], "trace");
    assert_eq!(report["destination"], path.to_str().unwrap());
    assert_eq!(report["lost"], 0);
    until("the change", || has("the log's level is raised"));
    provoke(&mut world);
    until("more than warnings", || {
        let lines = logged();
        let mut lines = lines
            .lines()
            .filter(|line| !line.contains("the log's level"));
        lines.any(|line| line.contains(" INFO ") || line.contains(" DEBUG "))
    });
    let shown = run(&mut world.mesa(&["log-level", "error"])).success();
    assert_eq!(shown.text(), format!("error to {}", path.display()));
    until("the change", || has("the log's level is lowered"));
    let before = logged();
    provoke(&mut world);
    assert_eq!(level(&world, &[])["level"], "error");
    assert_eq!(logged(), before, "more than errors");
    let refused = run(&mut world.mesa(&["log-level", "loud"])).expect(2);
    assert!(refused.errors().contains("warn"), "{refused}");
}

#[test]
fn a_log_is_bounded_while_the_daemon_runs_and_loses_only_its_oldest_lines() {
    let mut world = logging_to("logs/mesa.log");
    let folder = world.folder().join("logs");
    let path = folder.join("mesa.log");
    world.mount_supervised(&[]);
    for round in 1..=6_usize {
        // Full but for a few bytes; the rest of it is a hole.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(FILE_BYTES_MAX - 8)
            .unwrap();
        level(&world, &[if round % 2 == 0 { "info" } else { "debug" }]);
        until("it is moved aside", || {
            path.metadata()
                .is_ok_and(|log| (1..FILE_BYTES_MAX / 2).contains(&log.len()))
        });
        let files = files(&folder);
        assert_eq!(files.len(), (round + 1).min(4), "{files:?}");
        let total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        assert!(total <= LOG_BYTES_MAX, "{files:?}");
    }
    // What a panic would say, and the supervisor's lines, are in the current file.
    let daemon = world.with_daemon(|daemon| daemon.pid);
    if nix::unistd::geteuid().is_root() {
        for stream in [1, 2] {
            let file = fs::read_link(format!("/proc/{daemon}/fd/{stream}")).unwrap();
            assert_eq!(file, path);
        }
    }
    world.with_daemon(Held::kill);
    until("the supervisor's line", || {
        fs::read_to_string(&path)
            .unwrap()
            .contains("the daemon is gone")
    });
    until("it is back", || world.status()["state"] == "ready");
    world.adopt();
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let mut world = logging_to("/dev/full");
    world.set("MESA_LOG_LEVEL", "trace");
    world.mount_supervised(&[]);
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush_and_compare("app");
    let lost = level(&world, &[])["lost"].as_u64().unwrap();
    assert!(lost > 0);
    let shown = run(&mut world.mesa(&["log-level"])).success();
    assert!(shown.text().ends_with("lines were lost)"), "{shown}");
    world.with_daemon(Held::kill);
    until("it is started again", || {
        world.status()["supervisor"]["restarts"] == 1 && world.status()["state"] == "ready"
    });
    world.adopt();
    world.flush_and_compare("app");
}

#[test]
fn a_pipe_that_nobody_reads_stops_nothing() {
    let mut world = logging_to("mesa.log");
    world.set("MESA_DAEMON_LOG_FILE", "stderr");
    world.set("MESA_LOG_LEVEL", "trace");
    let (mut reader, writer) = io::pipe().unwrap();
    // One page, filled up: the daemon's first line already finds no room.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    io::Write::write_all(&mut writer.try_clone().unwrap(), &[b'\n'; 4096]).unwrap();
    let mut mount = world
        .mesa(&["mount", "--daemonize"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    // The command itself has a word to say to whoever started it, and waits for that.
    let begun = Instant::now();
    while !world.runtime().join("control.sock").exists() {
        assert!(begun.elapsed() < DEADLINE, "not mounted");
        thread::sleep(LOOK_AGAIN);
    }
    until("it is ready", || world.status()["state"] == "ready");
    world.adopt();
    for number in 0..50 {
        fs::write(world.repo("app").join(format!("edit-{number}")), "edit\n").unwrap();
    }
    world.flush_and_compare("app");
    assert_eq!(level(&world, &["debug"])["destination"], "standard error");
    // The reader comes back, and so do the lines.
    let read = thread::spawn(move || {
        let mut text = String::new();
        let mut piece = [0; 4096];
        while !text.contains("the log's level is") {
            let count = reader.read(&mut piece).unwrap();
            assert!(count > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        (text, reader)
    });
    until("the lines come", || read.is_finished());
    let (text, reader) = read.join().unwrap();
    assert!(!text.contains(world.token.rsplit('.').next().unwrap()));
    assert!(mount.wait().unwrap().success());
    drop(reader);
    // Nobody will ever read again, and it is no reason to die.
    fs::write(world.repo("app").join("edit-last"), "edit\n").unwrap();
    world.flush_and_compare("app");
    world.unmount("30s").success();
}

#[test]
fn a_log_in_the_mount_or_where_none_can_be_is_refused() {
    let mut world = logging_to("mnt/local/mesa.log");
    for arguments in [&["mount", "--daemonize"][..], &["mount"]] {
        let refused = run(&mut world.mesa(arguments)).expect(1);
        let said = refused.errors();
        assert!(said.contains("the log cannot be in the mount"), "{refused}");
        assert!(said.contains("hint: daemon.log.target"), "{refused}");
    }
    let target = world.folder().join("server.log/mesa.log");
    world.set("MESA_DAEMON_LOG_FILE", target.to_str().unwrap());
    let refused = run(&mut world.mesa(&["mount", "--daemonize"])).expect(1);
    assert!(
        refused.errors().contains("server.log/mesa.log"),
        "{refused}"
    );
}

#[test]
fn a_mount_in_the_foreground_logs_to_its_terminal_or_its_file() {
    let mut world = logging_to("mesa.log");
    world.set("MESA_DAEMON_LOG_COLOR", "always");
    let mut mount = world
        .mesa(&["mount", "--log-level", "info"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let path = world.folder().join("mesa.log");
    until("it is mounted", || {
        fs::read_to_string(&path).is_ok_and(|text| text.contains("mounted"))
    });
    until("it answers", || world.status()["state"] == "ready");
    world.adopt();
    world.unmount("10s").success();
    let ended = mount.wait().unwrap();
    assert!(ended.success());
    assert!(fs::read_to_string(&path).unwrap().contains("\x1b["));
    let mut said = String::new();
    mount.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(
        said.contains("mounted at") && !said.contains("INFO"),
        "{said}"
    );
}
