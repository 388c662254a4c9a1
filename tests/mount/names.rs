//! Names: lookup, create, mkdir, unlink, rmdir, symlink, readlink, hard links, and every errno.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;

use crate::support::syscall::{hard_link, refused, space, unlink};
use crate::support::world::World;

#[test]
fn lookups_fail_as_they_do_elsewhere() {
    let world = World::small();
    let app = world.repo("app");
    refused(fs::metadata(app.join("missing")), libc::ENOENT);
    refused(fs::metadata(app.join("missing/below")), libc::ENOENT);
    refused(fs::metadata(app.join("README.md/below")), libc::ENOTDIR);
    refused(fs::metadata(app.join("n".repeat(256))), libc::ENAMETOOLONG);
    refused(File::create(app.join("n".repeat(256))), libc::ENAMETOOLONG);
    refused(fs::create_dir(app.join("missing/new")), libc::ENOENT);
    refused(fs::read_dir(app.join("README.md")), libc::ENOTDIR);
    refused(fs::read_link(app.join("README.md")), libc::EINVAL);
    // A name that was missing is found once it is there: no stale negative entry.
    fs::write(app.join("missing"), "now").unwrap();
    assert_eq!(fs::read(app.join("missing")).unwrap(), b"now");
    unlink(&app.join("missing")).unwrap();
    refused(fs::metadata(app.join("missing")), libc::ENOENT);
}

#[test]
fn open_flags_mean_what_they_say() {
    let world = World::small();
    let app = world.repo("app");
    let open = |path: &str, flags: i32| {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(app.join(path))
    };
    refused(open("README.md", libc::O_DIRECTORY), libc::ENOTDIR);
    refused(open("src/link", libc::O_NOFOLLOW), libc::ELOOP);
    refused(
        OpenOptions::new().write(true).open(app.join("src")),
        libc::EISDIR,
    );
    refused(
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(app.join("README.md")),
        libc::EEXIST,
    );
    refused(
        OpenOptions::new().write(true).open(app.join("missing")),
        libc::ENOENT,
    );
    assert_eq!(fs::read(app.join("src/link")).unwrap(), b"one\n");
    File::create(app.join("README.md")).unwrap();
    assert_eq!(fs::metadata(app.join("README.md")).unwrap().len(), 0);
}

#[test]
fn directories_come_and_go() {
    let world = World::small();
    let app = world.repo("app");
    refused(fs::create_dir(app.join("src")), libc::EEXIST);
    refused(fs::create_dir(app.join("README.md")), libc::EEXIST);
    refused(fs::remove_dir(app.join("src")), libc::ENOTEMPTY);
    refused(fs::remove_dir(app.join("README.md")), libc::ENOTDIR);
    refused(fs::remove_dir(app.join("missing")), libc::ENOENT);
    refused(unlink(&app.join("src")), libc::EISDIR);
    refused(unlink(&app.join("missing")), libc::ENOENT);

    let links = |path: &Path| fs::metadata(path).unwrap().nlink();
    // Once it is listed, the directories in it are counted.
    assert!(fs::read_dir(&app).unwrap().count() > 3);
    let before = links(&app);
    fs::create_dir(app.join("new")).unwrap();
    assert_eq!((before, links(&app)), (5, 6));
    fs::create_dir(app.join("new/inner")).unwrap();
    refused(fs::remove_dir(app.join("new")), libc::ENOTEMPTY);
    fs::remove_dir(app.join("new/inner")).unwrap();
    fs::remove_dir(app.join("new")).unwrap();
    assert_eq!(links(&app), before);

    // Removed and made again, a directory of the repository is empty.
    fs::remove_dir_all(app.join("src")).unwrap();
    fs::create_dir(app.join("src")).unwrap();
    assert_eq!(fs::read_dir(app.join("src")).unwrap().count(), 0);
    refused(fs::metadata(app.join("src/main.rs")), libc::ENOENT);
    world.flush_and_compare("app");
}

#[test]
fn a_name_may_become_another_kind() {
    let world = World::small();
    let app = world.repo("app");
    // File to directory, directory to link, link to file.
    fs::remove_file(app.join("README.md")).unwrap();
    fs::create_dir(app.join("README.md")).unwrap();
    fs::write(app.join("README.md/inner"), "inner").unwrap();
    fs::remove_dir_all(app.join("docs")).unwrap();
    symlink("src", app.join("docs")).unwrap();
    fs::remove_file(app.join("src/link")).unwrap();
    fs::write(app.join("src/link"), "a file now").unwrap();
    assert!(app.join("docs/main.rs").exists());
    let tree = world.flush_and_compare("app");
    // And back.
    fs::remove_dir_all(app.join("README.md")).unwrap();
    fs::write(app.join("README.md"), "a file again").unwrap();
    fs::remove_file(app.join("docs")).unwrap();
    fs::create_dir(app.join("docs")).unwrap();
    assert_ne!(world.flush_and_compare("app"), tree);
}

#[test]
fn symbolic_links_keep_their_target() {
    let world = World::small();
    let app = world.repo("app");
    let long = "x".repeat(4_000);
    for (name, target) in [
        ("relative", "README.md"),
        ("absolute", "/etc/hostname"),
        ("dangling", "not/there"),
        ("unicode", "日本語/ü"),
        ("long", &long),
    ] {
        symlink(target, app.join(name)).unwrap();
        assert_eq!(fs::read_link(app.join(name)).unwrap(), Path::new(target));
        let metadata = fs::symlink_metadata(app.join(name)).unwrap();
        assert!(metadata.is_symlink());
        assert_eq!(metadata.len(), target.len() as u64);
    }
    refused(symlink("x", app.join("relative")), libc::EEXIST);
    refused(fs::read(app.join("dangling")), libc::ENOENT);
    symlink("loop", app.join("loop")).unwrap();
    refused(fs::read(app.join("loop")), libc::ELOOP);
    world.flush_and_compare("app");
}

#[test]
fn hard_links_share_one_file() {
    let world = World::small();
    let app = world.repo("app");
    refused(
        hard_link(&app.join("src"), &app.join("linked")),
        libc::EPERM,
    );
    refused(
        hard_link(&app.join("README.md"), &app.join("empty")),
        libc::EEXIST,
    );
    refused(
        hard_link(&app.join("missing"), &app.join("linked")),
        libc::ENOENT,
    );
    fs::write(app.join("own"), "own\n").unwrap();
    for (name, linked) in [("own", "own-2"), ("docs/one.md", "src/deep/one-2.md")] {
        let (first, second) = (app.join(name), app.join(linked));
        hard_link(&first, &second).unwrap();
        let (a, b) = (
            fs::metadata(&first).unwrap(),
            fs::metadata(&second).unwrap(),
        );
        assert_eq!(a.ino(), b.ino(), "{name}");
        assert_eq!((a.nlink(), b.nlink()), (2, 2), "{name}");
        fs::write(&second, "through the second name\n").unwrap();
        assert_eq!(fs::read(&first).unwrap(), b"through the second name\n");
        unlink(&first).unwrap();
        assert_eq!(fs::metadata(&second).unwrap().nlink(), 1, "{name}");
        assert_eq!(fs::read(&second).unwrap(), b"through the second name\n");
        hard_link(&second, &first).unwrap();
    }
    world.flush_and_compare("app");
}

#[test]
fn a_file_system_says_how_much_it_holds() {
    let world = World::small();
    let answer = space(&world.repo("app"));
    assert_eq!(answer.f_namelen, 255);
    assert!(answer.f_bsize > 0 && answer.f_blocks > 0);
    assert!(answer.f_bavail <= answer.f_bfree && answer.f_bfree <= answer.f_blocks);
}

#[test]
fn listings_tell_kind_and_number() {
    let world = World::small();
    let app = world.repo("app");
    fs::write(app.join("src/new"), "").unwrap();
    fs::remove_file(app.join("src/main.rs")).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(app.join("src")).unwrap() {
        let entry = entry.unwrap();
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        assert_eq!(
            entry.file_type().unwrap(),
            metadata.file_type(),
            "{entry:?}"
        );
        assert_eq!(
            std::os::unix::fs::DirEntryExt::ino(&entry),
            metadata.ino(),
            "{entry:?}"
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["deep", "link", "new"]);
}
