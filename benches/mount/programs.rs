//! Workloads that are other people's programs.

use std::process::Command;

use crate::trees::program;
use crate::workloads::Place;

const TRANSACTIONS: usize = 200;

fn git(place: &Place<'_>, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("git");
    // The same commit everywhere, with nobody's settings.
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
        .args([
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@example.com",
        ])
        .args(["-c", "gc.auto=0", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(place.at("tree"));
    program(&mut command).stdout
}

pub fn git_clean(place: &Place<'_>) {
    crate::clear(&place.at("tree/.git"));
}

pub fn git_commit(place: &Place<'_>) -> Vec<u8> {
    git(place, &["init", "--quiet"]);
    git(place, &["add", "."]);
    git(place, &["commit", "--quiet", "--message", "all"]);
    git(place, &["rev-parse", "HEAD"])
}

/// The first one writes the index anew, because files were added in the second that it was made.
pub fn git_warm(place: &Place<'_>) {
    if !place.at("tree/.git").exists() {
        git_commit(place);
    }
    git(place, &["status", "--short"]);
}

pub fn git_status(place: &Place<'_>) -> Vec<u8> {
    let said = git(place, &["status", "--short"]);
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    said
}

/// What was said; the repository goes, so that later workloads see the tree alone.
pub fn git_gone(place: &Place<'_>, said: &[u8]) -> blake3::Hash {
    git_clean(place);
    blake3::hash(said)
}

pub fn sqlite(place: &Place<'_>, mode: &str) -> Vec<u8> {
    let mut script = format!(
        "pragma journal_mode={mode}; pragma synchronous=full; \
         create table notes (id integer primary key, text text);\n"
    );
    for number in 0..TRANSACTIONS {
        script.push_str(&format!(
            "insert into notes (text) values ('note {number}');\n"
        ));
    }
    script.push_str("select count(*), sum(length(text)) from notes; pragma integrity_check;");
    let mut sqlite = Command::new("sqlite3");
    let said = program(sqlite.arg(place.at("database/db")).arg(script)).stdout;
    assert!(
        said.ends_with(b"ok\n"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    said
}

pub fn cargo_build(place: &Place<'_>) -> Vec<u8> {
    let folder = place.at("crate");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--offline", "--quiet"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("CARGO_INCREMENTAL")
        .env_remove("RUSTFLAGS")
        .current_dir(&folder);
    program(&mut cargo);
    program(&mut Command::new(folder.join("target/debug/built"))).stdout
}

pub fn make_clean(place: &Place<'_>) {
    program(Command::new("make").arg("clean").current_dir(place.at("c")));
}

pub fn make(place: &Place<'_>) -> Vec<u8> {
    let folder = place.at("c");
    program(Command::new("make").arg("--silent").current_dir(&folder));
    program(&mut Command::new(folder.join("program"))).stdout
}
