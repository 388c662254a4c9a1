//! Trees that go in and out as archives, and copies that need not be made again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::run;
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;
use crate::tool::{kill_and_mount, settle, tool};

/// Sources of ours, as a tree of some hundred files.
fn copied(world: &World) -> PathBuf {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let copy = world.repo("app").join("sources");
    run(world.command("cp").arg("-a").arg(sources).arg(&copy)).success();
    assert!(Tree::walk(&copy, GitFolder::Walked).files() > 100);
    copy
}

#[track_caller]
fn same(left: &Path, right: &Path) {
    let [left, right] = [left, right].map(|path| Tree::walk(path, GitFolder::Walked));
    left.assert_equals(&right, "what was packed (left), and unpacked (right)");
}

#[test]
fn archives_hold_what_was_put_in() {
    let mut world = World::small();
    let sources = copied(&world);
    let app = world.repo("app");
    let shell = |world: &World, script: &str| {
        let mut shell = tool(world, "sh", "dash");
        run(shell.args(["-e", "-c", script])).success().text()
    };
    for (name, package) in [("zip", "zip"), ("unzip", "unzip"), ("tar", "tar")] {
        tool(&world, name, package);
    }
    shell(
        &world,
        "find sources -type f -print0 | sort -z | xargs -0 sha256sum > sums",
    );
    shell(&world, "zip -q -r sources.zip sources");
    shell(&world, "tar -czf sources.tar.gz sources");
    kill_and_mount(&mut world);
    shell(&world, "unzip -q -t sources.zip");
    for (folder, unpack) in [
        ("by-zip", "unzip -q ../sources.zip"),
        ("by-tar", "tar -xzf ../sources.tar.gz"),
        ("by-pipe", "tar -C .. -cf - sources | tar -xf -"),
    ] {
        shell(
            &world,
            &format!("mkdir {folder}; cd {folder}; {unpack}; sha256sum --quiet -c ../sums"),
        );
        same(&sources, &app.join(folder).join("sources"));
    }
    // Tar compares sizes, modes, owners and times with what it packed.
    assert_eq!(shell(&world, "tar -dzf sources.tar.gz"), "");
    assert_eq!(shell(&world, "cd by-tar; tar -dzf ../sources.tar.gz"), "");
    kill_and_mount(&mut world);
    assert_eq!(shell(&world, "cd by-tar; tar -dzf ../sources.tar.gz"), "");
    settle(&world, "archives", &[]);
}

#[test]
fn rsync_copies_once() {
    let mut world = World::small();
    let sources = copied(&world);
    let outside = world.folder().join("outside");
    // What it did with each path, if it did anything.
    let rsync = |world: &World, from: &Path, to: &Path| {
        let mut rsync = tool(world, "rsync", "rsync");
        rsync.args(["--archive", "--delete", "--itemize-changes"]);
        rsync.arg(format!("{}/", from.display())).arg(to);
        run(&mut rsync).success().text()
    };
    let within = world.repo("app").join("copy");
    for to in [&within, &outside] {
        let copied = rsync(&world, &sources, to);
        assert!(copied.lines().count() > 100, "{copied}");
        assert_eq!(rsync(&world, &sources, to), "", "copied again");
    }
    kill_and_mount(&mut world);
    for to in [&within, &outside] {
        assert_eq!(rsync(&world, &sources, to), "", "copied again after a kill");
    }
    world.flush();
    assert_eq!(
        rsync(&world, &outside, &within),
        "",
        "copied again after a flush"
    );
    // One that changed, one that is gone, one that is new.
    fs::write(outside.join("lib.rs"), "changed\n").unwrap();
    fs::remove_file(outside.join("main.rs")).unwrap();
    fs::write(outside.join("new.rs"), "new\n").unwrap();
    let changed = rsync(&world, &outside, &within);
    for path in ["lib.rs", "main.rs", "new.rs"] {
        assert!(changed.contains(path), "{changed}");
    }
    assert!(changed.lines().count() <= 4, "{changed}");
    same(&outside, &within);
    settle(&world, "rsync", &[]);
}
