//! Git while other things happen: files change under `git status`, and the daemon dies under a commit.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::side::Side;
use crate::support::kept::flush_and_compare;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// How often Git is asked while files change.
const LOOKS: usize = 40;
/// How often the daemon dies under Git.
const DEATHS: usize = 6;
/// Longest time until Git has committed a few times.
const COMMITTED: Duration = Duration::from_secs(60);

fn mounted(files: usize) -> (World, Side) {
    let mut world = World::small();
    world.watch_for(Duration::from_secs(300));
    let mut side = Side::new(world.repo("app").join("git"), &world.bare("app"));
    side.git(&["init", "work"]);
    side.enter("work");
    for number in 0..files {
        side.write(format!("{}/{number}", number % 7), format!("{number}\n"));
    }
    side.commit("first");
    (world, side)
}

#[test]
fn status_while_files_change_tells_of_nothing_that_is_not() {
    let (world, mut side) = mounted(140);
    let done = AtomicBool::new(false);
    let turns = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (done, turns) = (&done, &turns);
        for writer in 0..2 {
            let folder = side.path(format!("{writer}"));
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    change(&folder, turns.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        for _ in 0..LOOKS {
            let status = side.git(&["status", "--porcelain", "--untracked=all"]);
            // Others than those that change are never told of, and neither is what has its old bytes.
            for line in status.lines() {
                let path = &line[3..];
                assert!(path.starts_with("0/") || path.starts_with("1/"), "{status}");
            }
            side.git(&["add", "3"]);
            let staged = side.git(&["diff", "--cached", "--name-only"]);
            assert_eq!(staged, "");
        }
        done.store(true, Ordering::Relaxed);
    });
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns > 10, "hardly anything changed: {turns}");
    println!("git status: {LOOKS} times, while files changed {turns} times");
    // What is there in the end is told, and nothing else.
    let status = side.git(&["status", "--porcelain"]);
    side.git_ends(1, &["update-index", "--really-refresh"]);
    assert_eq!(side.git(&["status", "--porcelain"]), status);
    side.commit("as it is");
    assert_eq!(side.git(&["status", "--porcelain"]), "");
    side.git(&["fsck", "--full", "--strict"]);
    flush_and_compare(&world, "app");
}

/// One turn of work in a folder: bytes of the same length, files that come and go, renames.
fn change(folder: &std::path::Path, turn: usize) {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let path = &paths[turn % paths.len()];
    match turn % 4 {
        0 => fs::write(path, format!("{}\n", turn % 10)).unwrap(),
        1 => fs::write(folder.join(format!("new-{turn}")), "new\n").unwrap(),
        2 if paths.len() > 4 => fs::remove_file(path).unwrap(),
        _ => fs::rename(path, path.with_extension("moved")).unwrap(),
    }
}

#[test]
fn a_kill_under_git_takes_no_commit_and_breaks_no_repository() {
    let (mut world, mut side) = mounted(70);
    let mut committed = Vec::new();
    for death in 0..DEATHS {
        let acknowledged = std::sync::Mutex::new(Vec::new());
        thread::scope(|scope| {
            let (side, acknowledged) = (&side, &acknowledged);
            let committing = scope.spawn(move || {
                for number in 0.. {
                    let text = format!("{death} {number}\n");
                    if fs::write(side.path("3/3"), text).is_err() {
                        return;
                    }
                    let ended = run(side.command().args(["commit", "-q", "-a", "-m", "again"]));
                    if !ended.status.success() {
                        return;
                    }
                    // Which one it was can only be asked where there still is a mount.
                    let named = run(side.command().args(["rev-parse", "HEAD"]));
                    if !named.status.success() {
                        return;
                    }
                    acknowledged.lock().unwrap().push(named.text());
                }
            });
            wait_until("Git commits", COMMITTED, || {
                acknowledged.lock().unwrap().len() > death
            });
            // Not always between two of its commands.
            thread::sleep(Duration::from_millis(7 * death as u64));
            world.kill_daemon_hard();
            committing.join().unwrap();
        });
        world.mount();
        // As after any death of Git itself, its locks are in the way, and nothing else is.
        for lock in ["index.lock", "HEAD.lock", "refs/heads/main.lock"] {
            let _none = fs::remove_file(side.path(".git").join(lock));
        }
        side.git(&["fsck", "--full", "--strict"]);
        committed.extend(acknowledged.into_inner().unwrap());
        let log = side.git(&["log", "--format=%H"]);
        for commit in &committed {
            assert!(log.contains(commit), "{commit} is gone after death {death}");
        }
        let log = log.lines().count();
        assert!(
            log <= committed.len() + 1 + 2 * (death + 1),
            "made up: {log}"
        );
        side.git(&["status", "--porcelain"]);
        side.git(&["reset", "-q", "--hard"]);
    }
    println!(
        "git: {} commits, {DEATHS} deaths under it, none lost",
        committed.len()
    );
    flush_and_compare(&world, "app");
    run(&mut world.mesa(&["journal", "verify"])).success();
}
