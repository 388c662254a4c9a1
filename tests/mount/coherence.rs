//! What the kernel remembers of a mount is true: after the mount's own edits at once, in another mount not
//! before it takes the new snapshot, and then all of it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use crate::support::git;
use crate::support::process::run;
use crate::support::second::Second;
use crate::support::syscall::exchange;
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;

fn source(folder: &Path) {
    for (path, text) in [
        ("same", "same\n"),
        ("edited", "old\n"),
        ("removed", "removed\n"),
        ("again", "first life\n"),
        ("from", "moved\n"),
        ("folder/one", "1\n"),
        ("folder/two", "2\n"),
        ("turned/file", "below a folder\n"),
        ("swapped-a", "a\n"),
        ("swapped-b", "b\n"),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    symlink("same", folder.join("link")).unwrap();
    git::initialise(folder);
}

/// Has the kernel learn all that it can remember: names, attributes, listings, links, bytes, and which
/// names are none.
fn learn(app: &Path) -> Tree {
    for name in ["to", "new", "folder/three", "turned/deeper", "nowhere"] {
        assert!(app.join(name).symlink_metadata().is_err(), "{name}");
    }
    Tree::walk(app, GitFolder::LeftOut);
    // Twice: now from what it remembers.
    Tree::walk(app, GitFolder::LeftOut)
}

/// Changes everything that there is to remember, and looks at each at once.
fn edit(app: &Path) {
    let read = |name: &str| fs::read_to_string(app.join(name)).unwrap();
    let number = |name: &str| app.join(name).symlink_metadata().unwrap().ino();
    let is_none = |name: &str| app.join(name).symlink_metadata().is_err();

    File::options()
        .write(true)
        .open(app.join("edited"))
        .unwrap()
        .write_all_at(b"now", 0)
        .unwrap();
    assert_eq!(read("edited"), "now\n");
    fs::remove_file(app.join("removed")).unwrap();
    assert!(is_none("removed"));
    let earlier = number("again");
    fs::remove_file(app.join("again")).unwrap();
    fs::write(app.join("again"), "second life\n").unwrap();
    assert_eq!(read("again"), "second life\n");
    assert_ne!(number("again"), earlier);
    let moved = number("from");
    fs::rename(app.join("from"), app.join("to")).unwrap();
    assert!(is_none("from"));
    assert_eq!((read("to").as_str(), number("to")), ("moved\n", moved));
    // A name that leads to something else in every way.
    fs::rename(app.join("folder"), app.join("new")).unwrap();
    fs::create_dir(app.join("folder")).unwrap();
    fs::write(app.join("folder/three"), "3\n").unwrap();
    assert!(is_none("folder/one"));
    assert_eq!(
        (read("new/one"), read("folder/three")),
        ("1\n".into(), "3\n".into())
    );
    fs::remove_dir_all(app.join("turned")).unwrap();
    fs::write(app.join("turned"), "a file\n").unwrap();
    assert_eq!(read("turned"), "a file\n");
    fs::remove_file(app.join("link")).unwrap();
    symlink("edited", app.join("link")).unwrap();
    assert_eq!(read("link"), "now\n");
    let (a, b) = (number("swapped-a"), number("swapped-b"));
    exchange(&app.join("swapped-a"), &app.join("swapped-b")).unwrap();
    assert_eq!((number("swapped-a"), number("swapped-b")), (b, a));
    assert_eq!(
        (read("swapped-a"), read("swapped-b")),
        ("b\n".into(), "a\n".into())
    );
}

#[test]
fn two_mounts_of_one_cache_show_what_each_may_show() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("app");
    source(&root);
    let mut world = World::serve(&[("app", &root)]);
    let cache = folder.path().join("cache");
    world.set("MESA_CACHE_PATH", cache.to_str().unwrap());
    world.mount();
    let mut second = Second::new(&world, "second");
    second.set("MESA_CACHE_PATH", cache.to_str().unwrap());
    second.mount(&[]);
    let (app, other) = (world.repo("app"), second.repo("app"));
    let before = learn(&app);
    learn(&other).assert_equals(&before, "two mounts of one commit");
    let same = other.join("same").metadata().unwrap();
    // Open all the time, over everything.
    let open = File::open(other.join("edited")).unwrap();

    edit(&app);
    let after = Tree::walk(&app, GitFolder::LeftOut);
    run(&mut world.mesa(&["publish"])).success();
    world
        .remote_tree("app")
        .assert_equals(&after, "what was published");
    // The other mount shows its snapshot, whatever the kernel has to ask for again.
    learn(&other).assert_equals(&before, "a snapshot that others went on from");
    run(&mut second.mesa(&["prefetch", "--all", "--wait"])).success();
    learn(&other).assert_equals(&before, "the same once more");
    let mut bytes = [0; 4];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old\n");
    drop(open);

    // And all of the new one once it is taken, with the numbers and times of what did not change.
    second.unmount().success();
    second.mount(&[]);
    Tree::walk(&other, GitFolder::LeftOut).assert_equals(&after, "the new snapshot");
    let now = other.join("same").metadata().unwrap();
    assert_eq!(now.ino(), same.ino());
    // Both go on, and neither sees what the other has not published.
    fs::write(other.join("edited"), "the second\n").unwrap();
    fs::write(app.join("same"), "the first\n").unwrap();
    assert_eq!(fs::read_to_string(app.join("edited")).unwrap(), "now\n");
    assert_eq!(fs::read_to_string(other.join("same")).unwrap(), "same\n");
    second.flush();
    world.flush_and_compare("app");
    assert_eq!(second.repo_status("app")["pending"]["operations"], 0);
    second.unmount().success();
}
