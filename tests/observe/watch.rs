//! `mesa status --watch`: a line for each change, across the death of a daemon, to an orderly end.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::DEADLINE;
use crate::support::process::Held;
use crate::support::world::World;

/// A watch that runs, killed when dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(command: &mut Command) -> Watch {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || forward(lines, &sender));
        Watch {
            child,
            lines: receiver,
        }
    }

    /// The next line that is as wanted; others before it are passed over.
    #[track_caller]
    fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).expect("no such line");
            if wanted(&line) {
                return line;
            }
        }
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) {
        let held = Held::of(self.child.id()).unwrap();
        assert!(held.ends_within(DEADLINE), "the watch goes on");
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn forward(lines: Lines<BufReader<ChildStdout>>, sender: &mpsc::Sender<String>) {
    for line in lines {
        if line.is_err() || sender.send(line.unwrap()).is_err() {
            return;
        }
    }
}

#[test]
fn each_change_is_one_line_of_json_and_a_new_daemon_goes_on() {
    let mut world = World::small();
    world.local_tree("app");
    let watch = Watch::start(&mut world.mesa(&["status", "--json", "--watch=100ms"]));
    let state = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let first = watch.line(|_| true);
    assert_eq!(state(&first)["state"], "ready");
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    watch.line(|line| state(line)["totals"]["waiting"][0]["state"] == "blocked");
    world.kill_daemon_hard();
    let dead = watch.line(|line| state(line)["state"] == "stopped");
    assert!(state(&dead)["totals"]["operations"].as_u64().unwrap() > 0);
    world.start_server();
    world.mount();
    watch.line(|line| {
        let status = state(line);
        status["pid"].is_u64() && status["totals"]["operations"] == 0
    });
    Held::of(watch.child.id()).unwrap().signal(libc::SIGINT);
    watch.ends_with(0);
}

#[test]
fn a_watch_with_a_check_waits_for_safety() {
    let mut world = World::small();
    world.local_tree("app");
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    let watch = Watch::start(&mut world.mesa(&["status", "--watch=100ms", "--check"]));
    watch.line(|line| line.contains("would be lost if this machine vanished now: "));
    let impatient = Watch::start(&mut world.mesa(&["status", "--watch", "--check", "--quiet"]));
    // It has looked once it answers no more to the default action of the signal: ask until it ends.
    let held = Held::of(impatient.child.id()).unwrap();
    crate::until("it blocks the signal", || blocks_sigint(held.pid));
    held.signal(libc::SIGINT);
    impatient.ends_with(4);
    world.start_server();
    watch.line(|line| line.contains("nothing would be lost"));
    watch.ends_with(0);
}

/// Whether a process keeps SIGINT for itself.
fn blocks_sigint(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (libc::SIGINT - 1)) != 0)
}

#[test]
fn a_reader_that_goes_away_ends_it_though_nothing_changes() {
    let world = World::small();
    let mut child = world
        .mesa(&["status", "--watch=100ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("nothing would be lost"), "{line}");
    drop(lines);
    let held = Held::of(child.id()).unwrap();
    assert!(held.ends_within(DEADLINE), "the watch goes on");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
