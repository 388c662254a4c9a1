//! `mesa prefetch`: everything below a path is here before somebody reads it.

use std::fs;

use crate::support::fixture;
use crate::support::process::{Finished, run};
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;

const FILES: usize = 2_500;

fn prefetch(world: &World, arguments: &[&str]) -> Finished {
    let mut line = vec!["prefetch"];
    line.extend(arguments);
    run(&mut world.mesa(&line))
}

/// Requests for contents since the last look.
pub(super) fn fetched(world: &World) -> usize {
    let requests = world.proxy().take();
    let content =
        |request: &&String| request.contains("/ext/objects") || request.contains("/content?");
    requests.iter().filter(content).count()
}

#[test]
fn all_below_a_path_is_here_in_a_few_requests_and_stays_without_a_server() {
    let mut world = World::serve(&[("many", &fixture::many(FILES))]);
    world.count_requests();
    world.mount();
    let many = world.repo("many");
    let one = many.join("top-000/middle-03");
    prefetch(&world, &["--wait", one.to_str().unwrap()]).success();
    // Listings one by one until that is a walk, and one batch.
    assert!(fetched(&world) < 15);
    let all = prefetch(&world, &["--all", "--wait", "--json"]).success();
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    let job = &all["jobs"][0];
    assert_eq!(
        (&job["state"], &job["repo"]),
        (&"done".into(), &"local/many".into())
    );
    assert_eq!(
        (&job["files"], &job["files_here"]),
        (&(FILES + 1).into(), &(FILES + 1).into())
    );
    assert_eq!(job["bytes"], job["bytes_here"]);
    let requests = fetched(&world);
    assert!(requests < 25, "{requests} requests");
    // Again, and reading, asks nobody.
    prefetch(&world, &["--all", "--wait"]).success();
    assert_eq!(fetched(&world), 0);
    world.stop_server();
    let read = Tree::walk(&many, GitFolder::Walked);
    assert!(read.0.len() > FILES);
}

#[test]
fn what_cannot_be_fetched_is_said() {
    let mut world = World::serve(&[("many", &fixture::many(FILES))]);
    world.mount();
    let many = world.repo("many");
    fs::write(many.join("only-here"), "new\n").unwrap();
    let here = many.join("only-here");
    let failed = prefetch(&world, &["--wait", here.to_str().unwrap()]).expect(1);
    assert!(failed.text().contains("nothing there"), "{failed}");
    let elsewhere = prefetch(&world, &["/etc/hostname"]).expect(1);
    assert!(
        elsewhere.errors().contains("not in the mount"),
        "{elsewhere}"
    );
    prefetch(&world, &["--wait", "/no/such"]).expect(1);
    let listed = prefetch(&world, &[]).success();
    assert!(listed.text().contains("only-here\tfailed"), "{listed}");
    world.stop_server();
    let failed = prefetch(&world, &["--wait", many.join("top-000").to_str().unwrap()]).expect(1);
    assert!(failed.text().contains("cannot be reached"), "{failed}");
    prefetch(&world, &["--stop"]).success();
}
