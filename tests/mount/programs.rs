//! Programs that people run in a mount: Git, cargo, SQLite.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::world::World;

#[test]
fn git_works_inside() {
    let mut world = World::with("real", fixture::real());
    // A part of the repository that has everything, as a repository of its own.
    let work = world.repo("real").join("vendor/tokio");
    git_text(&work, &["init", "--quiet"]);
    git_text(&work, &["add", "-A", "-f"]);
    git_text(&work, &["commit", "--quiet", "-m", "inside the mount"]);
    assert_eq!(git_text(&work, &["status", "--porcelain"]), "");
    git_text(&work, &["fsck", "--full", "--strict"]);
    git_text(&work, &["checkout", "--quiet", "-b", "side"]);
    fs::write(work.join("Cargo.toml"), "# edited\n").unwrap();
    assert_eq!(git_text(&work, &["status", "--porcelain"]), " M Cargo.toml");
    git_text(&work, &["commit", "--quiet", "-am", "side"]);
    git_text(&work, &["checkout", "--quiet", "main"]);
    git_text(
        &work,
        &["merge", "--quiet", "--no-ff", "-m", "merge", "side"],
    );
    git_text(&work, &["gc", "--quiet", "--prune=now"]);
    git_text(&work, &["fsck", "--full", "--strict"]);
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(git_text(&work, &["status", "--porcelain"]), "");
    git_text(&work, &["fsck", "--full", "--strict"]);
    assert_eq!(git_text(&work, &["rev-list", "--count", "HEAD"]), "3");
}

#[test]
fn cargo_builds_inside() {
    let world = World::small();
    let app = world.repo("app");
    fs::write(
        app.join("Cargo.toml"),
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
    )
    .unwrap();
    fs::write(
        app.join("src/lib.rs"),
        "pub fn two() -> u32 { 2 }\n#[test]\nfn two_is_two() { assert_eq!(two(), 2); }\n",
    )
    .unwrap();
    let cargo = PathBuf::from(std::env::var_os("CARGO").expect("run by cargo test"));
    let tools = cargo.parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let build = |verb: &str| {
        let mut command = world.command(&cargo);
        command
            .current_dir(&app)
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("CARGO_HOME", world.folder().join("home/cargo"))
            .args([verb, "--offline"]);
        run(&mut command).success()
    };
    build("build");
    let program = app.join("target/debug/small");
    assert_eq!(run(&mut world.command(&program)).success().text(), "hello");
    let again = build("build");
    assert!(!again.errors().contains("Compiling"), "rebuilt: {again}");
    build("test");
}

#[test]
fn sqlite_works_inside() {
    let mut world = World::small();
    let database = world.repo("app").join("data.sqlite");
    for journal in ["delete", "wal"] {
        let mut script = format!(
            "PRAGMA journal_mode={journal};\nPRAGMA synchronous=normal;\n\
             CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, run TEXT, body BLOB);\n"
        );
        for turn in 0..200 {
            script.push_str(&format!(
                "BEGIN;\nINSERT INTO t(run, body) VALUES('{journal}', randomblob({}));\n\
                 UPDATE t SET body = randomblob(100) WHERE id % 7 = {};\nCOMMIT;\n",
                turn * 10,
                turn % 7
            ));
        }
        sqlite(&world, &database, &script);
        world.kill_daemon_hard();
        world.mount();
        let answer = sqlite(
            &world,
            &database,
            &format!("PRAGMA integrity_check;\nSELECT count(*) FROM t WHERE run = '{journal}';\n"),
        );
        assert_eq!(answer, "ok\n200", "journal mode {journal}");
    }
    world.flush_and_compare("app");
}

/// Runs a script of SQL with the command-line tool, or with Python's own SQLite where that is
/// missing.
fn sqlite(world: &World, database: &Path, script: &str) -> String {
    const PYTHON: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.stdin.read().split('\\n'):
    for row in connection.execute(statement):
        print(row[0])
";
    let mut command = world.command("sqlite3");
    let mut command = if run_version(&mut command) {
        let mut command = world.command("sqlite3");
        command.arg("-bail").arg(database);
        command
    } else {
        let mut command = world.command("python3");
        command.args(["-c", PYTHON]).arg(database);
        command
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("neither sqlite3 nor python3 is installed: apt-get install sqlite3");
    let mut input = child.stdin.take().unwrap();
    let script = script.to_owned();
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end().to_owned()
}

fn run_version(command: &mut std::process::Command) -> bool {
    command.arg("-version").output().is_ok()
}

#[test]
fn tools_copy_trees_in_and_out() {
    let world = World::small();
    let app = world.repo("app");
    let cargo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    run(world
        .command("cp")
        .arg("-a")
        .arg(&cargo)
        .arg(app.join("copied")))
    .success();
    run(world
        .command("diff")
        .arg("-r")
        .arg(&cargo)
        .arg(app.join("copied")))
    .success();
    let archive = world.folder().join("copied.tar");
    run(world
        .command("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&app)
        .arg("copied"))
    .success();
    fs::create_dir(app.join("unpacked")).unwrap();
    run(world
        .command("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(app.join("unpacked")))
    .success();
    run(world
        .command("diff")
        .arg("-r")
        .arg(&cargo)
        .arg(app.join("unpacked/copied")))
    .success();
    run(world.command("rm").arg("-rf").arg(app.join("copied"))).success();
    assert!(!app.join("copied").exists());
    world.flush_and_compare("app");
}
