//! Git, as the judge: hermetic, and never our own code.

use std::path::Path;
use std::process::Command;

use super::process::run;

/// A `git` that knows no configuration but its own defaults.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
        .args(["-c", "core.autocrlf=false", "-c", "gc.auto=0"])
        .args(["-c", "init.defaultBranch=main", "-c", "safe.directory=*"]);
    command
}

/// Runs Git and gives its output.
///
/// # Panics
///
/// It fails.
#[track_caller]
pub fn git_text(folder: &Path, arguments: &[&str]) -> String {
    run(git(folder).args(arguments)).success().text()
}

/// Makes a repository of a folder, with everything in it as one commit.
#[track_caller]
pub fn initialise(folder: &Path) {
    git_text(folder, &["init", "--quiet"]);
    commit_all(folder, "first");
}

/// Commits everything in a folder. Compression is off: it is the slow part, and nothing is learnt.
#[track_caller]
pub fn commit_all(folder: &Path, message: &str) {
    git_text(
        folder,
        &["-c", "core.looseCompression=0", "add", "-A", "-f"],
    );
    git_text(folder, &["commit", "--quiet", "-m", message]);
}
