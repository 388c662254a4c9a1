//! `.mesa/` in the mount: what an agent finds out with `cat`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::run;
use crate::support::world::World;
use crate::{DEADLINE, until};

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.mount_point().join(".mesa").join(name)).unwrap()
}

fn lines(world: &World, name: &str) -> Vec<Value> {
    let text = read(world, name);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn the_reports_tell_what_the_commands_tell_also_when_the_server_is_gone() {
    let mut world = World::small();
    let app = world.repo("app");
    assert!(fs::read(app.join("README.md")).is_ok());
    assert_eq!(lines(&world, "journal.ndjson"), Vec::<Value>::new());
    world.stop_server();
    fs::write(app.join("edit"), "edit\n").unwrap();
    let begun = Instant::now();
    let status: Value = serde_json::from_str(&read(&world, "status.json")).unwrap();
    assert_eq!(status["pid"], world.status()["pid"]);
    assert_eq!(status["mount_point"], world.status()["mount_point"]);
    assert!(
        status["totals"]["operations"].as_u64().unwrap() > 0,
        "{status}"
    );
    let journal = lines(&world, "journal.ndjson");
    assert_eq!(journal[0]["path"], "edit");
    assert!(journal[0]["state"].is_string(), "{journal:?}");
    assert!(read(&world, "README").contains("status.json"));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "they wait for the network"
    );
    for name in ["status.json", "journal.ndjson", "errors.ndjson", "README"] {
        assert!(
            !read(&world, name).contains(&world.token),
            "the token is in {name}"
        );
    }
    world.start_server();
    world.flush();
    assert_eq!(lines(&world, "journal.ndjson"), Vec::<Value>::new());
}

#[test]
fn a_read_that_fails_is_explained() {
    let mut world = World::small();
    let app = world.repo("app");
    world.local_tree("app");
    world.stop_server();
    // Without its cache, nothing of it can be read.
    world.kill_daemon_hard();
    fs::remove_dir_all(world.data().join("cache")).unwrap();
    world.mount();
    let error = fs::read(app.join("docs/one.md")).unwrap_err();
    let errors = lines(&world, "errors.ndjson");
    let found = errors.iter().rev().find(|line| line["level"] == "request");
    let found = found.unwrap_or_else(|| panic!("{errors:?} after {error}"));
    let number = error.raw_os_error().unwrap();
    let name = format!("{:?}", nix::errno::Errno::from_raw(number));
    assert_eq!(found["errno"], name.as_str(), "{found}");
    assert_eq!(found["repository"], "local/app", "{found}");
    for key in ["time", "what", "reason", "hint"] {
        assert!(found[key].is_string(), "{key} in {found}");
    }
}

#[test]
fn a_push_that_fails_is_followed_by_tail() {
    let mut world = World::small();
    world.local_tree("app");
    let mut tail = Command::new("tail")
        .args(["-n", "+1", "-s", "0.1", "-f"])
        .arg(world.mount_point().join(".mesa/errors.ndjson"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(tail.stdout.take().unwrap());
    let (sender, followed) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    // Others may be told before it: that the server cannot be reached, for one.
    let line = loop {
        let line: Value = serde_json::from_str(&followed.recv_timeout(DEADLINE).unwrap()).unwrap();
        if line["what"] == "not pushed" {
            break line;
        }
    };
    assert_eq!(line["level"], "warning");
    assert_eq!(line["repository"], "local/app");
    assert!(line["reason"].is_string(), "{line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

/// Appends what there is to read now.
fn follow(file: &mut File, text: &mut String) {
    file.read_to_string(text).unwrap();
}

#[test]
fn whoever_has_one_open_reads_its_moment_whole_and_a_follower_reads_what_all_read() {
    let mut world = World::small();
    world.local_tree("app");
    let path = |name| world.mount_point().join(".mesa").join(name);
    let (status, errors) = (path("status.json"), path("errors.ndjson"));
    let mut before = File::open(&status).unwrap();
    let size = before.metadata().unwrap().len();
    let mut follower = File::open(&errors).unwrap();
    let mut followed = String::new();
    follow(&mut follower, &mut followed);
    world.stop_server();
    let mut incidents = 0;
    for round in 0..3 {
        let edited = world.repo("app").join(format!("edit-{round}"));
        fs::write(edited, "edit\n").unwrap();
        // Each is told at once, and comes in the middle of a page that the follower has read.
        let missing = world
            .mount_point()
            .join("local")
            .join(format!("none-{round}"));
        assert!(fs::read_dir(missing).is_err());
        until("there is news", || {
            let mut lookup = String::new();
            follow(&mut File::open(&errors).unwrap(), &mut lookup);
            let count = lookup.lines().count();
            let is_more = count > incidents;
            incidents = count;
            is_more || round > 0
        });
        follow(&mut follower, &mut followed);
    }
    until("the follower has all", || {
        follow(&mut follower, &mut followed);
        followed == read(&world, "errors.ndjson")
    });
    assert!(incidents > 0);
    assert_eq!(follower.metadata().unwrap().len(), followed.len() as u64);
    // The tree has changed since, and with it what is told of it.
    let mut text = String::new();
    follow(&mut before, &mut text);
    assert_eq!(text.len() as u64, size);
    let then: Value = serde_json::from_str(&text).unwrap();
    let now: Value = serde_json::from_str(&read(&world, "status.json")).unwrap();
    assert_eq!(then["totals"]["operations"], 0, "{then}");
    assert!(now["totals"]["operations"].as_u64() > Some(0), "{now}");
    // A hundred moments held open, one after another, are not kept when they are closed.
    for _ in 0..100 {
        assert!(!read(&world, "errors.ndjson").is_empty());
        fs::metadata(&status).unwrap();
    }
}

#[test]
fn nobody_writes_into_one() {
    let world = World::small();
    let path = world.mount_point().join(".mesa/status.json");
    let tried = |options: &mut OpenOptions| {
        let written = options.open(&path).and_then(|mut file| file.write(b"x"));
        written.unwrap_err().raw_os_error()
    };
    let refused = Some(nix::libc::EROFS);
    assert_eq!(tried(OpenOptions::new().write(true)), refused);
    assert_eq!(tried(OpenOptions::new().append(true)), refused);
    assert_eq!(
        tried(OpenOptions::new().write(true).truncate(true)),
        refused
    );
}

#[test]
fn programs_read_them_as_any_file() {
    let world = World::small();
    world.local_tree("app");
    until("it is ready", || world.status()["state"] == "ready");
    let script = "set -e; cd .mesa; cat status.json > ../../copy; test -s ../../copy
        test \"$(wc -c < README)\" -eq \"$(cat README | wc -c)\"
        test \"$(stat -c %s README)\" -eq \"$(cat README | wc -c)\"
        grep -q '\"state\": \"ready\"' status.json
        cp README ../../README; cmp README ../../README
        tail -n 1 README > /dev/null; head -c 10 status.json > /dev/null
        ls -la . | grep -q status.json; test -r status.json; ls -a .. | grep -qx .mesa
        if echo x 2>/dev/null > status.json; then exit 1; fi";
    let mut command = world.command("sh");
    run(command
        .arg("-c")
        .arg(script)
        .current_dir(world.mount_point()))
    .success();
}
