//! Remote calls, counted by a proxy that knows nothing of ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::fixture::{self, noise};
use crate::support::git;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// A repository of so many files, in folders of 50.
fn repository(folder: &Path, files: usize) -> std::path::PathBuf {
    let root = folder.join(format!("files-{files}"));
    for index in 0..files {
        let path = root.join(format!("folder-{}/file-{index}", index / 50));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("file {index}\n")).unwrap();
    }
    fs::write(root.join("top"), "top\n").unwrap();
    git::initialise(&root);
    root
}

/// Waits until the listings are asked for that come with nobody waiting for them.
fn listed_ahead(world: &World) {
    let is_asked = || {
        let requests = world.proxy().requests();
        requests.iter().any(|one| one.contains("/ext/trees"))
    };
    wait_until("listed ahead", Duration::from_secs(30), is_asked);
}

#[test]
fn calls_do_not_depend_on_the_size_of_the_repository() {
    let source = tempfile::tempdir().unwrap();
    let counts = [10, 2_000].map(|files| {
        let mut world = World::serve(&[("app", &repository(source.path(), files))]);
        world.count_requests();
        world.mount();
        let app = world.repo("app");
        let mounting = world.proxy().take();
        fs::metadata(&app).unwrap();
        if files > 1_000 {
            listed_ahead(&world);
        }
        let mut opening = world.proxy().take();
        opening.retain(|request| !request.contains("/ext/trees"));
        assert!(!mounting.is_empty(), "the proxy is bypassed");

        let names: Vec<_> = fs::read_dir(&app)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let listing = world.proxy().take();
        for name in &names {
            fs::symlink_metadata(name).unwrap();
        }
        assert_eq!(world.proxy().take(), [""; 0], "stat after a listing");
        fs::read_dir(&app).unwrap().count();
        assert_eq!(world.proxy().take(), [""; 0], "a second listing");

        assert_eq!(
            fs::read_dir(app.join("folder-0")).unwrap().count(),
            files.min(50)
        );
        let folder = world.proxy().take();
        // It may have come along with those above it.
        assert!(folder.len() <= 1, "listing a directory: {folder:?}");
        for index in 0..files.min(50) {
            fs::metadata(app.join(format!("folder-0/file-{index}"))).unwrap();
        }
        assert_eq!(world.proxy().take(), [""; 0], "stat of everything listed");

        fs::read(app.join("folder-0/file-7")).unwrap();
        let reading = world.proxy().take();
        assert_eq!(reading.len(), 1, "reading a file: {reading:?}");
        fs::read(app.join("folder-0/file-7")).unwrap();
        assert_eq!(world.proxy().take(), [""; 0], "a second read");

        // Also not from another mount of the same data, with the kernel's cache gone.
        world.unmount("10s").success();
        world.proxy().take();
        world.mount();
        // The first look at a repository without local work asks for its newest snapshot.
        fs::metadata(&app).unwrap();
        let again = world.proxy().take();
        fs::read_dir(app.join("folder-0")).unwrap().count();
        fs::read(app.join("folder-0/file-7")).unwrap();
        let content = world.proxy().take();
        assert!(
            !content.iter().any(|request| request.contains("folder-0")
                || request.contains("/content") && !request.contains("depth=0")),
            "content that was here: {content:?}"
        );
        let opening_listing = opening.len() + listing.len();
        assert!(
            opening_listing <= 6,
            "opening: {opening:?}, then {listing:?}"
        );
        (mounting.len(), opening_listing, again.len())
    });
    assert_eq!(counts[0], counts[1], "10 files, and 2,000 files");
    let (mounting, ..) = counts[0];
    assert!(mounting <= 5, "mounting takes {mounting} calls");
}

#[test]
fn a_file_far_down_comes_after_a_few_calls() {
    let source = tempfile::tempdir().unwrap();
    let root = repository(source.path(), 5_000);
    fs::create_dir_all(root.join("a/b/c/d")).unwrap();
    fs::write(root.join("a/b/c/d/named"), "found\n").unwrap();
    git::commit_all(&root, "deep");
    let mut world = World::serve(&[("app", &root)]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    fs::metadata(&app).unwrap();
    listed_ahead(&world);
    let named = app.join("a/b/c/d/named");
    assert_eq!(fs::read_to_string(named).unwrap(), "found\n");
    // Beside the others, and nobody waits for them: the list of repositories, and the listings ahead, which
    // may come before those down the path are asked for.
    let mut requests = world.proxy().take();
    requests.retain(|request| !request.contains("/repos?"));
    assert!(
        (4..=5).contains(&requests.len()),
        "who, the snapshot, the listings ahead and down the path, the bytes: {requests:?}"
    );
}

#[test]
fn a_second_file_anywhere_is_one_call_once_there_was_time() {
    let source = tempfile::tempdir().unwrap();
    let root = repository(source.path(), 2_000);
    let mut world = World::serve(&[("app", &root)]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    fs::read(app.join("top")).unwrap();
    listed_ahead(&world);
    wait_until("all listings are here", Duration::from_secs(30), || {
        let mut found = world.command("find");
        let found = found.arg(world.data().join("cache/listings"));
        run(found.args(["-type", "l"]))
            .success()
            .text()
            .lines()
            .count()
            == 41
    });
    world.proxy().take();
    for file in ["folder-9/file-455", "folder-31/file-1599"] {
        fs::read(app.join(file)).unwrap();
        let requests = world.proxy().take();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(requests[0].contains("/content"), "{requests:?}");
    }
}

#[test]
fn a_push_is_a_few_calls_for_many_edits() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    fs::write(app.join("first"), "fork\n").unwrap();
    world.flush();
    world.proxy().take();
    for index in 0..100 {
        fs::write(app.join(format!("edit-{index}")), format!("{index}\n")).unwrap();
    }
    world.flush_and_compare("app");
    let requests = world.proxy().take();
    let patches = requests
        .iter()
        .filter(|request| request.starts_with("PATCH"));
    assert!(patches.count() >= 1, "{requests:?}");
    // Background pushes may split the edits; a call per file would be a hundred.
    assert!(
        requests.len() <= 20,
        "{} calls: {requests:?}",
        requests.len()
    );
}

#[test]
fn many_contents_go_in_batches_and_what_the_server_has_is_not_sent_again() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    // One push each, whenever they are all there.
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    let write_all = |folder: &str| {
        fs::create_dir(app.join(folder)).unwrap();
        for number in 0..2_000 {
            let text = noise(&format!("text {number}"), 6_000);
            fs::write(app.join(folder).join(format!("file-{number}")), text).unwrap();
        }
    };
    let push = || {
        // What the kernel has yet to write would be another push.
        run(world.command("sync").arg("-f").arg(&app)).success();
        world.proxy().take();
        run(&mut world.mesa(&["journal", "release"])).success();
        world.flush_and_compare("app");
        run(&mut world.mesa(&["journal", "hold"])).success();
        let requests = world.proxy().take();
        let count = |beginning: &str| {
            let of_kind = requests
                .iter()
                .filter(|request| request.starts_with(beginning));
            of_kind.count()
        };
        let blobs = "POST /v1/local/app/ext/blobs";
        [
            count(&format!("{blobs}/missing")),
            count(&format!("{blobs}/batch")),
            count(&format!("{blobs} ")) + count("POST /v1/local/app/ext/uploads"),
            count("PATCH /v1/local/app/changes"),
        ]
    };
    write_all("first");
    // 12 MB: two batches of at most 8 MiB, and one change that names them.
    assert_eq!(push(), [2, 2, 0, 1]);
    write_all("second");
    assert_eq!(push(), [2, 0, 0, 1]);
    fs::write(app.join("few"), noise("few", 200_000)).unwrap();
    assert_eq!(push(), [0, 0, 0, 1]);
    run(&mut world.mesa(&["journal", "release"])).success();
}

#[test]
fn a_large_file_whose_last_answer_was_lost_is_not_sent_again() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.count_requests();
    world.mount();
    let parts = "PATCH /v1/local/app/ext/uploads/";
    world.proxy().lose_answers_to(parts);
    let large = world.repo("app").join("large");
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    fs::write(&large, noise("large", 20 << 20)).unwrap();
    run(world.command("sync").arg("-f").arg(&large)).success();
    run(&mut world.mesa(&["journal", "release"])).success();
    wait_until("an answer was lost", Duration::from_secs(60), || {
        world.proxy().lost() > 0
    });
    world.proxy().pass_answers();
    world.flush_and_compare("app");
    let requests = world.proxy().take();
    let sent = requests.iter().filter(|request| request.starts_with(parts));
    assert_eq!(sent.count(), 1, "{requests:?}");
}
