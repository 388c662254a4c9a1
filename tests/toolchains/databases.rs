//! SQLite with several writers at once, of which one is killed, and a daemon that is killed as well.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::support::process::{Held, run};
use crate::support::world::World;
use crate::tool::{kill_and_mount, settle, tool};

/// Processes that write, beside one that is killed.
const WRITERS: usize = 3;
/// What each of them writes, one transaction each.
const ROWS: usize = 60;
/// What the other one has said to have written when it is killed.
const ROWS_BEFORE_DEATH: usize = 10;
const WRITER: &str = include_str!("writer.py");

#[test]
fn sqlite_with_a_rollback_journal_keeps_what_writers_committed() {
    writers("delete");
}

#[test]
fn sqlite_with_a_write_ahead_log_keeps_what_writers_committed() {
    writers("wal");
}

fn writers(journal: &str) {
    let mut world = World::small();
    let database = world.repo("app").join("data.sqlite");
    let mode = format!("PRAGMA journal_mode={journal};");
    let create = "CREATE TABLE t(id INTEGER PRIMARY KEY, writer INT, row INT, body BLOB);";
    assert_eq!(sql(&world, &database, &format!("{mode} {create}")), journal);
    for round in 0..2 {
        let first = round * (WRITERS + 1);
        let mut children: Vec<Child> = (first..=first + WRITERS)
            .map(|number| writer(&world, &database, number, ROWS).spawn().unwrap())
            .collect();
        let victim = children.pop().unwrap();
        let said = thread::scope(|scope| {
            let dying = scope.spawn(|| read_and_kill(victim));
            for child in children {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{journal}: a writer failed");
                assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), ROWS + 1);
            }
            dying.join().unwrap()
        });
        kill_and_mount(&mut world);
        assert_eq!(sql(&world, &database, "PRAGMA integrity_check;"), "ok");
        for number in first..first + WRITERS {
            assert_eq!(
                rows(&world, &database, number),
                ROWS,
                "{journal}: of writer {number}"
            );
        }
        let kept = rows(&world, &database, first + WRITERS);
        assert!(
            (said..=said + 1).contains(&kept),
            "{journal}: {kept} kept of {said}"
        );
    }
    assert_eq!(
        sql(&world, &database, "PRAGMA journal_mode=delete;"),
        "delete"
    );
    settle(&world, &format!("sqlite, {journal}"), &[]);
}

/// A process that writes so many rows, and says of each when it is committed.
pub fn writer(world: &World, database: &Path, number: usize, rows: usize) -> Command {
    let mut python = tool(world, "python3", "python3");
    python.args(["-c", WRITER]).arg(database);
    python.args([number.to_string(), rows.to_string()]);
    python.stdin(Stdio::null()).stdout(Stdio::piped());
    python
}

/// Kills a writer in the middle, and gives how many rows it said to have committed.
fn read_and_kill(mut child: Child) -> usize {
    let held = Held::of(child.id()).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = 0;
    for line in lines {
        assert_eq!(line.unwrap(), said.to_string());
        said += 1;
        if said == ROWS_BEFORE_DEATH {
            held.kill();
        }
    }
    assert!(
        !child.wait().unwrap().success(),
        "it was done before it was killed"
    );
    said
}

/// How many rows of a writer there are.
pub fn rows(world: &World, database: &Path, writer: usize) -> usize {
    let count = format!("SELECT count(DISTINCT row) FROM t WHERE writer = {writer};");
    sql(world, database, &count).parse().unwrap()
}

/// Runs SQL, and gives what it says.
pub fn sql(world: &World, database: &Path, script: &str) -> String {
    let mut sqlite = tool(world, "sqlite3", "sqlite3");
    run(sqlite
        .args(["-bail", "-cmd", ".timeout 60000"])
        .arg(database)
        .arg(script))
    .success()
    .text()
}
