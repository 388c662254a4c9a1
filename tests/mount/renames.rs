//! Renames: files and directories, of the repository and new, over something, and exchanged.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, symlink};

use crate::support::fixture;
use crate::support::syscall::{exchange, refused, rename_no_replace};
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;

#[test]
fn renames_fail_as_they_do_elsewhere() {
    let source = tempfile::tempdir().unwrap();
    let small = fixture::small(source.path());
    let mut world = World::serve(&[("app", &small), ("other", &small)]);
    world.mount();
    let app = world.repo("app");
    let rename = |from: &str, to: &str| fs::rename(app.join(from), app.join(to));
    fs::create_dir(app.join("new")).unwrap();
    refused(rename("missing", "x"), libc::ENOENT);
    refused(rename("README.md", "missing/x"), libc::ENOENT);
    refused(rename("README.md", "src"), libc::EISDIR);
    refused(rename("src", "README.md"), libc::ENOTDIR);
    refused(rename("new", "src"), libc::ENOTEMPTY);
    refused(rename("src", "src/deep/src"), libc::EINVAL);
    refused(
        rename_no_replace(&app.join("README.md"), &app.join("empty")),
        libc::EEXIST,
    );
    refused(
        exchange(&app.join("README.md"), &app.join("missing")),
        libc::ENOENT,
    );
    refused(
        fs::rename(app.join("README.md"), world.repo("other").join("x")),
        libc::EXDEV,
    );
    let before = fs::metadata(app.join("README.md")).unwrap().ino();
    rename("README.md", "README.md").unwrap();
    assert_eq!(fs::metadata(app.join("README.md")).unwrap().ino(), before);
    fs::remove_dir(app.join("new")).unwrap();
    let original = Tree::walk(&small, GitFolder::LeftOut);
    world
        .local_tree("app")
        .assert_equals(&original, "mount after refused renames, and the source");
}

#[test]
fn files_move_and_replace() {
    let world = World::small();
    let app = world.repo("app");
    let inode = fs::metadata(app.join("README.md")).unwrap().ino();
    fs::rename(app.join("README.md"), app.join("docs/README.md")).unwrap();
    refused(fs::metadata(app.join("README.md")), libc::ENOENT);
    assert_eq!(
        fs::metadata(app.join("docs/README.md")).unwrap().ino(),
        inode
    );
    // Over a file of the repository, over a new one, and of a new one over one of the repository.
    fs::rename(app.join("docs/README.md"), app.join("docs/one.md")).unwrap();
    fs::write(app.join("new"), "new\n").unwrap();
    fs::write(app.join("newer"), "newer\n").unwrap();
    fs::rename(app.join("newer"), app.join("new")).unwrap();
    fs::rename(app.join("new"), app.join("docs/two.md")).unwrap();
    assert_eq!(fs::read(app.join("docs/two.md")).unwrap(), b"newer\n");
    rename_no_replace(&app.join("empty"), &app.join("nothing")).unwrap();
    fs::rename(app.join("bin/tool"), app.join("bin/renamed")).unwrap();
    fs::rename(app.join("src/link"), app.join("src/renamed-link")).unwrap();
    let tree = world.flush_and_compare("app");
    let names: Vec<_> = tree.0.keys().filter_map(|path| path.to_str()).collect();
    assert_eq!(
        names.iter().filter(|name| name.starts_with("docs")).count(),
        3,
        "{names:?}"
    );
}

#[test]
fn directories_of_the_repository_move_with_everything_below() {
    let world = World::small();
    let app = world.repo("app");
    fs::write(app.join("src/deep/edited"), "before the move\n").unwrap();
    fs::rename(app.join("src"), app.join("code")).unwrap();
    refused(fs::metadata(app.join("src")), libc::ENOENT);
    assert_eq!(
        fs::read(app.join("code/deep/a/b/c/leaf.txt")).unwrap(),
        b"leaf\n"
    );
    // Edits inside what has moved, and moves inside that.
    fs::write(app.join("code/deep/a/b/c/leaf.txt"), "edited after\n").unwrap();
    fs::write(app.join("code/deep/a/new.txt"), "new after\n").unwrap();
    fs::remove_file(app.join("code/main.rs")).unwrap();
    fs::rename(app.join("code/deep/a"), app.join("docs/a")).unwrap();
    fs::rename(app.join("docs"), app.join("code/docs")).unwrap();
    // The old name is free for something else.
    fs::create_dir(app.join("src")).unwrap();
    fs::write(app.join("src/main.rs"), "another\n").unwrap();
    assert_eq!(
        fs::read(app.join("code/docs/a/b/c/leaf.txt")).unwrap(),
        b"edited after\n"
    );
    world.flush_and_compare("app");
    // And once more, after the push: what was pushed is below the edits now, or is still above.
    fs::rename(app.join("code/docs"), app.join("papers")).unwrap();
    fs::remove_dir_all(app.join("code")).unwrap();
    world.flush_and_compare("app");
}

#[test]
fn a_directory_replaces_an_empty_one() {
    let world = World::small();
    let app = world.repo("app");
    fs::create_dir(app.join("hollow")).unwrap();
    fs::rename(app.join("docs"), app.join("hollow")).unwrap();
    assert_eq!(fs::read(app.join("hollow/one.md")).unwrap(), b"one\n");
    fs::remove_dir_all(app.join("bin")).unwrap();
    fs::create_dir(app.join("bin")).unwrap();
    fs::rename(app.join("src/deep"), app.join("bin")).unwrap();
    assert!(app.join("bin/a/other.txt").exists());
    refused(fs::metadata(app.join("bin/tool")), libc::ENOENT);
    world.flush_and_compare("app");
}

#[test]
fn exchange_swaps_whatever_there_is() {
    let world = World::small();
    let app = world.repo("app");
    fs::write(app.join("new"), "new\n").unwrap();
    symlink("nowhere", app.join("pointer")).unwrap();
    // File and file, directory and file, directory and directory, link and directory.
    for (left, right) in [
        ("README.md", "new"),
        ("docs", "empty"),
        ("src/deep", "bin"),
        ("pointer", "src"),
    ] {
        let number = |name: &str| fs::symlink_metadata(app.join(name)).unwrap().ino();
        let before = (number(left), number(right));
        exchange(&app.join(left), &app.join(right)).unwrap();
        assert_eq!((number(right), number(left)), before, "{left} and {right}");
    }
    assert_eq!(fs::read(app.join("README.md")).unwrap(), b"new\n");
    assert_eq!(fs::read(app.join("empty/two.md")).unwrap(), b"two\n");
    assert!(app.join("bin/a/b/c/leaf.txt").exists() || app.join("pointer/deep/tool").exists());
    world.flush_and_compare("app");
}

#[test]
fn a_file_that_is_open_moves_along() {
    let world = World::small();
    let app = world.repo("app");
    let mut victim = File::open(app.join("docs/two.md")).unwrap();
    let mut writer = File::create(app.join("draft")).unwrap();
    writer.write_all(b"first ").unwrap();
    fs::rename(app.join("draft"), app.join("docs/two.md")).unwrap();
    writer.write_all(b"second").unwrap();
    drop(writer);
    assert_eq!(fs::read(app.join("docs/two.md")).unwrap(), b"first second");
    // Who had the replaced file open still reads it.
    let mut text = String::new();
    victim.read_to_string(&mut text).unwrap();
    assert_eq!(text, "two\n");
    let mut moving = File::options()
        .read(true)
        .append(true)
        .open(app.join("src/main.rs"))
        .unwrap();
    fs::rename(app.join("src"), app.join("moved")).unwrap();
    moving.write_all(b"// end\n").unwrap();
    moving.rewind().unwrap();
    text.clear();
    moving.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("}\n// end\n"), "{text}");
    assert_eq!(fs::read_to_string(app.join("moved/main.rs")).unwrap(), text);
    world.flush_and_compare("app");
}

#[test]
fn an_editor_saves_by_renaming() {
    let world = World::small();
    let app = world.repo("app");
    for turn in 0..20 {
        let draft = app.join(format!(".README.md.{turn}"));
        let mut file = File::create(&draft).unwrap();
        writeln!(file, "version {turn}").unwrap();
        file.sync_all().unwrap();
        fs::rename(&draft, app.join("README.md")).unwrap();
    }
    let names = fs::read_dir(&app).unwrap();
    let hidden = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".README")
    });
    assert_eq!(hidden.count(), 0);
    assert_eq!(fs::read(app.join("README.md")).unwrap(), b"version 19\n");
    world.flush_and_compare("app");
}
