//! A `git` client of the server, as people have one.

use crate::harness::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// What `git` did.
pub struct Ran {
    pub is_done: bool,
    pub said: String,
    pub printed: String,
}

impl Ran {
    #[track_caller]
    pub fn done(self) -> String {
        assert!(self.is_done, "{}{}", self.printed, self.said);
        self.printed
    }

    /// Checks that it failed, and said some words.
    #[track_caller]
    pub fn refused(self, words: &[&str]) {
        assert!(!self.is_done, "{}{}", self.printed, self.said);
        for word in words {
            assert!(
                self.said.contains(word),
                "{word:?} is not in: {}",
                self.said
            );
        }
    }
}

/// A command that reads no configuration and asks nobody.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Bob")
        .env("GIT_AUTHOR_EMAIL", "bob@example.com")
        .env("GIT_COMMITTER_NAME", "Bob")
        .env("GIT_COMMITTER_EMAIL", "bob@example.com");
    command
}

pub fn ran(output: Output) -> Ran {
    Ran {
        is_done: output.status.success(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        printed: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    ran(command(folder, arguments).output().unwrap())
}

/// The address of a repository for a credential.
pub fn url(server: &Server, credential: &str, name: &str) -> String {
    let host = server.base.strip_prefix("http://").unwrap();
    let host = host.strip_suffix("/v1").unwrap();
    format!("http://anyone:{credential}@{host}/local/{name}.git")
}

/// A clone in a temporary folder, with the whole history and a branch for each bookmark.
pub struct Clone {
    _folder: TempDir,
    pub at: PathBuf,
}

impl Clone {
    pub fn of(server: &Server, more: &[&str]) -> Clone {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("clone");
        let url = url(server, &server.key, "app");
        let mut arguments = vec!["clone", "-q"];
        arguments.extend(more);
        arguments.extend([url.as_str(), at.to_str().unwrap()]);
        run(folder.path(), &arguments).done();
        Clone {
            _folder: folder,
            at,
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(&self.at, arguments)
    }

    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.run(arguments).done().trim().to_owned()
    }

    /// Writes a file, commits it and returns the commit.
    #[track_caller]
    pub fn commit(&self, path: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.at.join(path), bytes).unwrap();
        self.git(&["add", path]);
        self.git(&["commit", "-q", "-m", path]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes a commit of a tree with headers that only other programs write.
    #[track_caller]
    pub fn raw_commit(&self, tree: &str, parents: &[&str], change: &str, message: &str) -> String {
        use std::io::Write;
        let mut text = format!("tree {tree}\n");
        for parent in parents {
            text.push_str(&format!("parent {parent}\n"));
        }
        for role in ["author", "committer"] {
            text.push_str(&format!("{role} Bob <bob@example.com> 1750000000 +0000\n"));
        }
        text.push_str(&format!("change-id {change}\n\n{message}\n"));
        let mut child = command(&self.at, &["hash-object", "-t", "commit", "-w", "--stdin"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        ran(child.wait_with_output().unwrap())
            .done()
            .trim()
            .to_owned()
    }
}

/// Checks a bare repository as a stranger would.
#[track_caller]
pub fn sound(bare: &Path) {
    let said = git(
        bare,
        &[
            "fsck",
            "--strict",
            "--full",
            "--no-dangling",
            "--no-progress",
        ],
    );
    assert_eq!(said, "");
}

/// Checks a repository of the server, which has nothing on its way in.
#[track_caller]
pub fn fsck(server: &Server, name: &str) {
    let bare = server.bare(name);
    sound(&bare);
    let incoming = std::fs::read_dir(bare.join("incoming")).unwrap().count();
    assert_eq!(incoming, 0, "something is left on its way in");
}
