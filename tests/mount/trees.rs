//! What is mounted is what `git clone` gives, byte for byte; and it stays so.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::fixture::{self, LARGE_BYTES, NESTED_LEVELS, WIDE_ENTRIES};
use crate::support::git::git;
use crate::support::process::run;
use crate::support::tree::{Entry, GitFolder, Tree};
use crate::support::world::World;

/// A clone, with the bytes that are in the repository.
fn clone(repository: &Path, folder: &Path) -> Tree {
    let target = folder.join("clone");
    run(git(folder)
        .args(["clone", "--quiet", "--no-local"])
        .arg(repository)
        .arg(&target))
    .success();
    Tree::walk(&target, GitFolder::LeftOut)
}

#[test]
fn a_real_repository_equals_its_clone() {
    let world = World::with("real", fixture::real());
    let cloned = clone(fixture::real(), world.folder());
    let files = cloned.files();
    assert!(files > 1_000 + WIDE_ENTRIES, "a fixture of {files} files");

    let mounted = world.local_tree("real");
    mounted.assert_equals(&cloned, "mount (left) and clone (right)");
    // Once more, now from the kernel's cache and the local store.
    world
        .local_tree("real")
        .assert_equals(&cloned, "second walk of the mount (left) and clone (right)");

    let awkward = |path: &str| mounted.0.get(Path::new(path)).cloned();
    assert!(matches!(
        awkward("data/large.bin"),
        Some(Entry::File { size, .. }) if size == LARGE_BYTES as u64
    ));
    assert!(matches!(
        awkward("links/dangling"),
        Some(Entry::Symlink { .. })
    ));
    assert!(matches!(
        awkward("tools/run"),
        Some(Entry::File {
            executable: true,
            ..
        })
    ));
    assert!(
        mounted
            .0
            .keys()
            .any(|path| path.iter().count() == NESTED_LEVELS + 2)
    );
    assert!(
        world.repo_status("real")["change"].is_null(),
        "reading wrote"
    );
}

#[test]
fn the_bare_repository_equals_the_imported_one() {
    let world = World::serve(&[("real", fixture::real())]);
    let imported = Tree::of_commit(fixture::real(), "HEAD");
    Tree::of_commit(&world.bare("real"), "main")
        .assert_equals(&imported, "server (left) and source (right)");
    let count = |repository: &Path, branch: &str| {
        run(git(repository).args(["rev-list", "--count", branch]))
            .success()
            .text()
    };
    assert_eq!(
        count(&world.bare("real"), "main"),
        count(fixture::real(), "HEAD"),
        "history"
    );
    run(git(&world.bare("real")).args(["fsck", "--full", "--strict"])).success();
}

#[test]
fn a_plain_directory_can_be_imported() {
    let source = tempfile::tempdir().unwrap();
    let plain = source.path().join("plain");
    fs::create_dir_all(plain.join("a/b")).unwrap();
    fs::write(plain.join("a/b/file"), "bytes").unwrap();
    std::os::unix::fs::symlink("a/b/file", plain.join("link")).unwrap();
    let world = World::with("plain", &plain);
    world
        .local_tree("plain")
        .assert_equals(&Tree::walk(&plain, GitFolder::Walked), "mount and folder");
}

#[test]
fn organizations_and_repositories_are_directories() {
    let source = tempfile::tempdir().unwrap();
    let small = fixture::small(source.path());
    let mut world = World::serve(&[("one", &small), ("two", &small)]);
    world.mount();
    let list = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(list(&world.mount_point()), [".mesa", "local"]);
    assert_eq!(list(&world.mount_point().join("local")), ["one", "two"]);
    let missing = fs::metadata(world.repo("three")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    let foreign = fs::File::create(world.mount_point().join("file")).unwrap_err();
    assert!(
        [libc::EPERM, libc::EACCES, libc::EROFS].contains(&foreign.raw_os_error().unwrap()),
        "{foreign}"
    );
    assert_eq!(world.local_tree("one"), world.local_tree("two"));
}

#[test]
fn inode_numbers_and_times_survive_a_remount() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::write(app.join("docs/one.md"), "copied up\n").unwrap();
    fs::write(app.join("fresh"), "fresh\n").unwrap();
    let paths = ["README.md", "src", "src/link", "docs/one.md", "fresh"];
    let look = || {
        paths.map(|path| {
            let metadata = fs::symlink_metadata(app.join(path)).unwrap();
            (
                path,
                metadata.ino(),
                metadata.mtime(),
                metadata.mtime_nsec(),
            )
        })
    };
    let before = look();
    let inodes: HashSet<u64> = before.iter().map(|(_, ino, ..)| *ino).collect();
    assert_eq!(
        inodes.len(),
        paths.len(),
        "shared inode numbers: {before:?}"
    );
    world.unmount("30s").success();
    world.mount();
    assert_eq!(look(), before);
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(look(), before);
}

#[test]
fn a_wide_directory_is_listed_whole_while_it_shrinks() {
    let world = World::with("real", fixture::real());
    let wide = world.repo("real").join("wide");
    let mut seen = HashSet::new();
    // Each entry goes as soon as it is listed, as `rm -r` does.
    for entry in fs::read_dir(&wide).unwrap() {
        let entry = entry.unwrap();
        assert!(seen.insert(entry.file_name()), "{entry:?} is listed twice");
        fs::remove_file(entry.path()).unwrap();
    }
    assert_eq!(seen.len(), WIDE_ENTRIES);
    assert_eq!(fs::read_dir(&wide).unwrap().count(), 0);
    fs::remove_dir(&wide).unwrap();
    fs::remove_dir_all(world.repo("real").join("vendor")).unwrap();
    assert!(!world.repo("real").join("vendor").exists());
    world.flush_and_compare("real");
}

#[test]
fn a_deleted_cache_is_fetched_again() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::write(app.join("docs/one.md"), "edited\n").unwrap();
    let before = world.local_tree("app");
    world.unmount("30s").success();
    fs::remove_dir_all(world.data().join("cache")).unwrap();
    world.mount();
    world
        .local_tree("app")
        .assert_equals(&before, "after and before the cache was deleted");
}
