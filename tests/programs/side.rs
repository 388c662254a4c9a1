//! One of the two places where the same is done, and what was said there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::git::git;
use crate::support::process::{Finished, run};
use crate::support::tree::{GitFolder, Tree};

/// A folder in which repositories are made, and everything that Git said there.
pub struct Side {
    root: PathBuf,
    /// Where the commands run from now on.
    repository: PathBuf,
    /// A repository elsewhere, without a work tree.
    served: PathBuf,
    said: Vec<String>,
    commands: usize,
}

impl Side {
    /// Works in this folder, which is made.
    pub fn new(root: PathBuf, served: &Path) -> Side {
        fs::create_dir(&root).unwrap();
        Side::at(root, served)
    }

    /// Works in a folder that is there.
    pub fn at(root: PathBuf, served: &Path) -> Side {
        Side {
            repository: root.clone(),
            root,
            served: served.to_owned(),
            said: Vec::new(),
            commands: 0,
        }
    }

    /// What was said since the last call of this.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// How many commands ran.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Where the repository elsewhere is.
    pub fn served(&self) -> String {
        self.served.to_str().unwrap().to_owned()
    }

    /// Runs everything in this folder from now on.
    pub fn enter(&mut self, folder: &str) {
        self.repository = self.root.join(folder);
    }

    /// A path of the folder that was entered.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.repository.join(path)
    }

    /// Runs Git, which has to succeed, and gives its output.
    #[track_caller]
    pub fn git(&mut self, arguments: &[&str]) -> String {
        self.git_ends(0, arguments)
    }

    /// Runs Git, which has to end with this code, and gives its output.
    #[track_caller]
    pub fn git_ends(&mut self, code: i32, arguments: &[&str]) -> String {
        let finished = run(self.command().args(arguments)).expect(code);
        self.note(&arguments.join(" "), &finished);
        String::from_utf8_lossy(&finished.stdout).into_owned()
    }

    /// Git, asking nobody anything.
    pub fn command(&self) -> std::process::Command {
        let mut command = git(&self.repository);
        for (name, value) in [
            ("GIT_EDITOR", "true"),
            ("GIT_SEQUENCE_EDITOR", "true"),
            ("GIT_ADVICE", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ] {
            command.env(name, value);
        }
        command
    }

    /// Keeps what was said, without the place where it was said. The order of what `fsck` finds is that
    /// of a table of its own.
    fn note(&mut self, command: &str, finished: &Finished) {
        let text = format!("{}\n{}", lossy(&finished.stdout), lossy(&finished.stderr));
        let text = text.replace(self.root.to_str().unwrap(), "ROOT");
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        if command.starts_with("fsck") {
            lines.sort_unstable();
        }
        self.commands += 1;
        self.said
            .push(format!("git {command}\n{}", lines.join("\n")));
    }

    /// Writes a file, with the folders that it needs.
    pub fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets the bits of a file's mode.
    pub fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Adds everything and commits it.
    #[track_caller]
    pub fn commit(&mut self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-m", message]);
    }

    /// What Git shows of where a repository stands.
    pub fn stand(&mut self) {
        for arguments in [
            &["status", "--porcelain=v2", "--branch", "--untracked=all"][..],
            &["ls-files", "--stage"],
            &["log", "--all", "--graph", "--format=%H %T %s"],
            &["for-each-ref"],
            &["stash", "list"],
        ] {
            self.git(arguments);
        }
    }

    /// The files, without what is Git's own.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::walk(&self.root, GitFolder::Walked);
        tree.0.retain(|path, _| !is_gits_own(path));
        tree
    }

    /// What Git's index knows files by, of everything that is not Git's own.
    pub fn stats(&self) -> Vec<(PathBuf, [i64; 9])> {
        let paths = self.tree().0.into_keys();
        paths
            .map(|path| {
                let found = fs::symlink_metadata(self.root.join(&path)).unwrap();
                let kept = [
                    i64::try_from(found.ino()).unwrap(),
                    found.mtime(),
                    found.mtime_nsec(),
                    found.ctime(),
                    found.ctime_nsec(),
                    i64::from(found.mode()),
                    i64::try_from(found.size()).unwrap(),
                    i64::from(found.uid()),
                    i64::from(found.gid()),
                ];
                (path, kept)
            })
            .collect()
    }

    /// Files that Git would have to read again before it knows whether they changed.
    pub fn doubtful(&self) -> String {
        let mut found = String::new();
        let below = fs::read_dir(&self.root).unwrap();
        let below = below.map(|entry| entry.unwrap().path());
        for folder in below.chain([self.root.clone()]) {
            if folder.join(".git").exists() {
                let finished = run(git(&folder).args(["diff-files"])).success();
                found.push_str(&finished.text());
            }
        }
        found
    }
}

/// Whether a path is in a `.git`, or in a repository without a work tree.
pub fn is_gits_own(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str();
        name == ".git" || Path::new(name).extension() == Some(OsStr::new("git"))
    })
}

/// A name that is no text.
pub fn not_text(name: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(name.to_vec())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines with numbers, some of them other than they were.
pub fn numbered(count: usize, other: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let found = other.iter().find(|(line, _)| *line == number);
        found.map_or_else(
            || format!("line {number}\n"),
            |(_, text)| format!("{text}\n"),
        )
    };
    (1..=count).map(line).collect()
}
