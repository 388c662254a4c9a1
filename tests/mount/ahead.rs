//! What is fetched before it is asked for: whoever walks or reads everything costs a few requests,
//! and whoever only looks costs no content.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::git;
use crate::support::process::run;
use crate::support::world::World;

pub(super) const FOLDERS: usize = 60;
pub(super) const FILES: usize = 10;
pub(super) const LINKS: usize = 20;

/// Folders three deep with files, and as many links as would be a run if they were files.
pub(super) fn repository(folder: &Path) -> PathBuf {
    let root = folder.join("walked");
    for number in 0..FOLDERS {
        let below = root.join(format!("top-{}/middle-{number}/deep", number % 6));
        fs::create_dir_all(&below).unwrap();
        for file in 0..FILES {
            let text = format!("{number} {file}\n").repeat(50);
            fs::write(below.join(format!("file-{file}")), text).unwrap();
        }
    }
    fs::create_dir(root.join("links")).unwrap();
    for number in 0..LINKS {
        symlink(
            format!("../top-{number}"),
            root.join(format!("links/{number}")),
        )
        .unwrap();
    }
    git::initialise(&root);
    root
}

pub(super) fn of_kind(requests: &[String], kind: &str) -> usize {
    let is_it = |request: &&String| match kind {
        "listings" => request.contains("/content") && request.contains("depth=1"),
        "objects" => request.contains("/content") && !request.contains("depth="),
        path => request.contains(path),
    };
    requests.iter().filter(is_it).count()
}

#[test]
fn a_walk_is_a_few_requests_and_no_content() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &repository(source.path()))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    let listed = run(world.command("ls").arg("-lR").arg(&app))
        .success()
        .text();
    assert_eq!(listed.matches("file-").count(), FOLDERS * FILES);
    let found = run(world.command("find").arg(&app).args(["-size", "+0"]))
        .success()
        .text();
    assert!(found.lines().count() >= FOLDERS * FILES);
    let requests = world.proxy().take();
    let (listings, sweeps) = (
        of_kind(&requests, "listings"),
        of_kind(&requests, "/ext/trees"),
    );
    // The root came with the snapshot. One for all, ahead or for the walk; three may be by themselves before.
    assert!((1..=5).contains(&sweeps), "{requests:?}");
    assert_eq!(listings, 0, "{requests:?}");
    // `ls -l` shows where each link leads.
    assert_eq!(of_kind(&requests, "objects"), LINKS);
    assert_eq!(of_kind(&requests, "/ext/objects"), 0);
}

#[test]
fn reading_everything_is_a_few_requests() {
    let source = tempfile::tempdir().unwrap();
    let repository = repository(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    let read = |folder: &Path| {
        let arguments = ["-rh", "7", "--exclude-dir=.git"];
        run(world.command("grep").args(arguments).arg(folder))
            .success()
            .text()
    };
    assert_eq!(read(&app).len(), read(&repository).len());
    let requests = world.proxy().take();
    let (objects, batches) = (
        of_kind(&requests, "objects"),
        of_kind(&requests, "/ext/objects"),
    );
    assert!(
        objects <= FOLDERS * FILES / 8,
        "{objects} objects by themselves"
    );
    assert!((3..=20).contains(&batches), "{batches} batches");
    read(&app);
    assert_eq!(world.proxy().take(), [""; 0], "reading it again");
}

#[test]
fn what_the_configuration_forbids_is_not_fetched_ahead() {
    let source = tempfile::tempdir().unwrap();
    let repository = repository(source.path());
    for (setting, value, listed_alone) in [
        ("MESA_PREFETCH_ENABLED", "false", true),
        ("MESA_PREFETCH_METERED", "true", true),
        // There are no files at the root.
        ("MESA_PREFETCH_MAX_DEPTH", "0", false),
    ] {
        let mut world = World::serve(&[("app", &repository)]);
        world.set(setting, value);
        world.count_requests();
        world.mount();
        let arguments = ["-r", "7", "--exclude-dir=links"];
        run(world.command("grep").args(arguments).arg(world.repo("app"))).success();
        let requests = world.proxy().take();
        assert_eq!(of_kind(&requests, "/ext/objects"), 0, "{setting}");
        // One for each content, and not one more.
        assert_eq!(of_kind(&requests, "objects"), FOLDERS * FILES, "{setting}");
        if listed_alone {
            assert_eq!(of_kind(&requests, "/ext/trees"), 0, "{setting}");
            let listings = of_kind(&requests, "listings");
            assert!(listings >= 2 * FOLDERS, "{listings} listings, {setting}");
        }
    }
}
