//! A server with nothing but the contract: no batches, and still no walk that waits for one answer after
//! the other.

use std::fs;
use std::path::Path;

use crate::ahead::{FILES, FOLDERS, LINKS, of_kind, repository};
use crate::support::process::run;
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;

fn world(root: &Path) -> World {
    let mut world = World::serve(&[("app", root)]);
    world.set("MESA_TEST_EXTENSIONS", "0");
    world.count_requests();
    world.mount();
    world
}

/// Requests by what the contract has no word for.
fn beyond(requests: &[String]) -> usize {
    let is_beyond = |request: &&String| request.contains("/ext/") || request.contains("commit_oid");
    requests.iter().filter(is_beyond).count()
}

#[test]
fn a_file_four_names_down_is_ten_calls_away() {
    let source = tempfile::tempdir().unwrap();
    let root = repository(source.path());
    let world = world(&root);
    let path = "top-0/middle-0/deep/file-0";
    let read = fs::read(world.repo("app").join(path)).unwrap();
    assert_eq!(read, fs::read(root.join(path)).unwrap());
    let requests = world.proxy().take();
    let mut paths: Vec<&str> = requests
        .iter()
        .map(|request| request.strip_prefix("GET /v1/").unwrap())
        .collect();
    // Both come beside the others: the list, for whoever looks at all repositories, and who the credential
    // is, while the one repository that it is for is asked for already. Who needs that at the same moment
    // asks as well.
    let count = |beside: &str| paths.iter().filter(|path| **path == beside).count();
    assert_eq!(count("local/repos?limit=100"), 1, "{paths:?}");
    assert!((1..=2).contains(&count("whoami")), "{paths:?}");
    paths.retain(|path| !["local/repos?limit=100", "whoami"].contains(path));
    let mut changes = paths.iter();
    let change = changes.find_map(|path| path.strip_prefix("local/app/changes/"));
    let change = change.unwrap();
    let content = |query: &str| format!("local/app/content?change_id={change}&path={query}");
    let expected = [
        "local/app".to_owned(),
        format!("local/app/changes/{change}"),
        content("&depth=1"),
        // Whether the root was that of the commit that the change had before.
        format!("local/app/changes/{change}"),
        content("top-0&depth=1"),
        content("top-0%2Fmiddle-0&depth=1"),
        content("top-0%2Fmiddle-0%2Fdeep&depth=1"),
        content("top-0%2Fmiddle-0%2Fdeep%2Ffile-0"),
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_walk_is_a_few_listings_of_many_levels() {
    let source = tempfile::tempdir().unwrap();
    let root = repository(source.path());
    let world = world(&root);
    let app = world.repo("app");
    let listed = run(world.command("ls").arg("-lR").arg(&app))
        .success()
        .text();
    assert_eq!(listed.matches("file-").count(), FOLDERS * FILES);
    let requests = world.proxy().take();
    assert_eq!(beyond(&requests), 0, "{requests:?}");
    let listings = requests
        .iter()
        .filter(|request| request.contains("depth="))
        .count();
    // Of 128 directories: some by themselves until that is a walk, then those of a few levels each.
    assert!((3..=20).contains(&listings), "{listings}: {requests:?}");
    assert_eq!(of_kind(&requests, "objects"), LINKS);
}

#[test]
fn reading_everything_asks_for_each_file_once() {
    let source = tempfile::tempdir().unwrap();
    let root = repository(source.path());
    let world = world(&root);
    let app = world.repo("app");
    let read = Tree::walk(&app, GitFolder::LeftOut);
    read.assert_equals(
        &Tree::walk(&root, GitFolder::LeftOut),
        "the mount and the source",
    );
    let requests = world.proxy().take();
    assert_eq!(beyond(&requests), 0, "{requests:?}");
    let objects = of_kind(&requests, "objects");
    let least = FOLDERS * FILES + LINKS;
    // What a reader does not wait for any longer comes twice; nothing else does.
    assert!((least..least + least / 20).contains(&objects), "{objects}");
    let again = fs::read(app.join("top-0/middle-0/deep/file-0")).unwrap();
    assert_eq!(
        again,
        fs::read(root.join("top-0/middle-0/deep/file-0")).unwrap()
    );
    assert_eq!(world.proxy().take(), [""; 0]);
}
