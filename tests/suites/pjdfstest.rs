//! pjdfstest: 398 tests of what POSIX says of a file system, in directories of every layer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::judge::Judge;
use crate::support::fixture::noise;
use crate::support::git::initialise;
use crate::support::process::{run, run_within};
use crate::support::world::World;
use crate::tools::{PJDFSTEST, let_others_through};

/// How many of its tests pass on a file system that hands everything on to ext4.
const PASSED: usize = 384;
/// What it skips there: a read-only file system, and a maximum of links that can be reached.
const SKIPPED: [&str; 14] = [
    "chmod::erofs_named",
    "chown::erofs_named",
    "chown::lchown::erofs_named",
    "link::erofs_named",
    "link::link_count_max",
    "mkdir::erofs_new_file",
    "mkfifo::erofs_new_file",
    "open::erofs_named",
    "open::erofs_new_file",
    "rename::erofs_named",
    "rmdir::erofs_named",
    "symlink::erofs_new_file",
    "truncate::erofs_named",
    "unlink::erofs_named",
];
/// Where the suite sees its directory: it binds sockets, and a socket's path has 107 bytes at most,
/// of which the directory's own takes more than half. It is no shorter than the directory is below its
/// repository, or the longest path that the kernel takes would be too long for the repository.
const SHORT: &str = "/var/local";
/// It takes seconds; this is for a machine on which everything else runs as well.
const DEADLINE: Duration = Duration::from_secs(170);
/// What the platform can do, and two users that Debian has.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}

[settings]
naptime = 0.01
allow_remount = false
expected_failures = []

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// A repository with two directories for the suite to work in.
fn repository(folder: &Path) -> PathBuf {
    let root = folder.join("app");
    for name in ["lower", "mixed"] {
        for path in ["one", "two", "deep/a/leaf", "deep/b/leaf", "old/file"] {
            let path = root.join(name).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, noise(&path.to_string_lossy(), 10_000)).unwrap();
        }
        symlink("one", root.join(name).join("link")).unwrap();
    }
    initialise(&root);
    root
}

#[test]
fn in_a_directory_that_was_made_here() {
    suite("upper", |app| {
        let folder = app.join("upper");
        fs::create_dir(&folder).unwrap();
        folder
    });
}

#[test]
fn in_a_directory_of_the_remote() {
    suite("lower", |app| app.join("lower"));
}

#[test]
fn in_a_directory_of_both() {
    suite("mixed", |app| {
        let from = app.join("mixed");
        fs::write(from.join("one"), "edited\n").unwrap();
        fs::rename(from.join("two"), from.join("deep/two")).unwrap();
        fs::remove_dir_all(from.join("old")).unwrap();
        fs::create_dir(from.join("old")).unwrap();
        fs::write(from.join("old/new"), "made again\n").unwrap();
        let folder = app.join("renamed");
        fs::rename(from, &folder).unwrap();
        fs::rename(folder.join("deep"), folder.join("deeper")).unwrap();
        fs::remove_file(folder.join("deeper/a/leaf")).unwrap();
        folder
    });
}

/// Runs the suite in a directory, and judges.
fn suite(place: &str, prepare: impl FnOnce(&Path) -> PathBuf) {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &repository(source.path()))]);
    world.watch_for(DEADLINE * 2);
    world.set("MESA_ALLOW_OTHER", "true");
    let_others_through(world.folder());
    let mut pjdfstest = PJDFSTEST.command_at(&world, SHORT);
    world.mount();
    let app = world.repo("app");
    let folder = prepare(&app);
    run(world.command("mkfifo").arg(folder.join("fifo"))).success();
    let configuration = world.folder().join("pjdfstest.toml");
    fs::write(&configuration, CONFIGURATION).unwrap();
    let other = world.folder().join("other");
    fs::create_dir(&other).unwrap();
    let judge = Judge::before(&world);

    pjdfstest.arg(&folder).arg("pjdfstest");
    pjdfstest.arg("-c").arg(&configuration);
    pjdfstest.arg("-p").arg(SHORT).arg("-s").arg(&other);
    let finished = run_within(&mut pjdfstest, DEADLINE);
    let text = finished.text();
    let named = |word: &str| -> Vec<&str> {
        let lines = text.lines().filter(|line| line.trim_end().ends_with(word));
        lines
            .filter_map(|line| line.split_whitespace().next())
            .collect()
    };
    let failed = named(" FAILED");
    assert!(failed.is_empty(), "{failed:?} failed: {finished}");
    let mut skipped = named(" skipped");
    skipped.sort_unstable();
    assert_eq!(skipped, SKIPPED, "{finished}");
    assert_eq!(named(" ok").len(), PASSED, "{finished}");
    let summary = text.lines().last().unwrap_or_default();
    println!("pjdfstest 0.2.2, {place} directory: {summary}");
    assert!(finished.status.success(), "{finished}");
    judge.judge(&world, &format!("pjdfstest in the {place} directory"));
}
