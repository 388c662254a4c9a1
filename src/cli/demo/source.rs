//! What the demo imports: the path that was given, the Git repository around the current
//! directory, or a small tree that it makes.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

/// Longest repository name that the service takes.
const NAME_BYTES_MAX: usize = 100;

/// What to import, and under which name.
pub(super) struct Source {
    /// A Git repository or a plain directory.
    pub(super) path: PathBuf,
    /// The repository's name.
    pub(super) name: String,
}

/// Chooses what to import; `made` is where a small tree may be made.
///
/// # Errors
///
/// The path does not exist, or the small tree cannot be written.
pub(super) fn choose(given: Option<&Path>, made: &Path) -> Result<Source, Error> {
    if let Some(path) = given {
        let path = path.canonicalize().map_err(Error::file(path))?;
        return Ok(named(path));
    }
    if let Some(path) = repository_here() {
        return Ok(named(path));
    }
    fs::create_dir_all(made)
        .and_then(|()| write_small_tree(made))
        .map_err(Error::file(made))?;
    Ok(Source {
        path: made.to_owned(),
        name: "small-tree".to_owned(),
    })
}

/// The Git repository around the current directory, if it has a commit that can be imported.
fn repository_here() -> Option<PathBuf> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then_some(output.stdout)
    };
    git(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let top = String::from_utf8(top).ok()?;
    Some(PathBuf::from(top.trim_end_matches('\n')))
}

fn named(path: PathBuf) -> Source {
    let name = path
        .file_name()
        .map(|name| clean(&name.to_string_lossy()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "repository".to_owned());
    Source { path, name }
}

/// Keeps of a directory's name what every server takes in a repository's name.
fn clean(name: &str) -> String {
    let name = name.trim_end_matches(".git");
    name.chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
        .take(NAME_BYTES_MAX)
        .collect()
}

/// Writes a tree that has one of everything.
///
/// # Errors
///
/// What the disk says.
pub(super) fn write_small_tree(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("source/deep/er"))?;
    fs::write(
        root.join("README.md"),
        "# A small tree\n\nFor a demonstration.\n",
    )?;
    fs::write(root.join("empty"), "")?;
    fs::write(root.join("source/main.txt"), "the main file\n".repeat(100))?;
    fs::write(root.join("source/other.txt"), "another file\n")?;
    fs::write(
        root.join("source/deep/er/ünïcödé 名前"),
        "a name beyond ASCII\n",
    )?;
    fs::write(root.join("source/binary"), (0..=255).collect::<Vec<u8>>())?;
    fs::write(root.join("build.sh"), "#!/bin/sh\necho built\n")?;
    fs::set_permissions(root.join("build.sh"), fs::Permissions::from_mode(0o755))?;
    symlink("source/main.txt", root.join("main"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_every_server_takes() {
        assert_eq!(clean("my repo.git"), "myrepo");
        assert_eq!(clean("a_b-c.d"), "a_b-cd");
        assert_eq!(clean("名前"), "");
        assert_eq!(named(PathBuf::from("/")).name, "repository");
    }
}
