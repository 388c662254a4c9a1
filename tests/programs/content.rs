//! What Git asks of the network: nothing that it has a reason to believe it knows.

use std::fs;
use std::path::Path;

use crate::side::Side;
use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::world::World;

/// Requests for the bytes of files.
fn objects(requests: &[String]) -> Vec<&String> {
    let content = |request: &&String| {
        request.contains("/ext/objects")
            || request.contains("/content") && !request.contains("depth=")
    };
    requests.iter().filter(content).collect()
}

/// A mounted repository in which nothing was read yet, and a clone's `.git` in it: as after `git clone
/// --no-checkout`, with an index that knows the files that are there from `git reset`.
fn cloned(world: &mut World) -> Side {
    world.set("MESA_PREFETCH_ENABLED", "false");
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    let outside = world.folder().join("outside");
    let (served, outside) = (world.bare("app"), outside.to_str().unwrap().to_owned());
    let clone = ["clone", "-q", "--no-checkout", "--no-local"];
    let clone = [&clone[..], &[served.to_str().unwrap(), &outside]].concat();
    git_text(world.folder(), &clone);
    run(world
        .command("cp")
        .args(["-a", &format!("{outside}/.git")])
        .arg(&app))
    .success();
    Side::at(app, &served)
}

#[test]
fn status_right_after_mounting_fetches_no_content() {
    let source = tempfile::tempdir().unwrap();
    let repository = many(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    let mut side = cloned(&mut world);
    // Git has to see once that the files are those of the commit.
    side.git(&["reset", "-q"]);
    assert_eq!(side.git(&["status", "--porcelain"]), "");
    let first = world.proxy().take();
    assert!(objects(&first).len() >= 5, "looks wrong: {first:?}");
    world.unmount("30s").success();
    for remount in ["after an orderly end", "after a kill"] {
        // Whatever it asks for, it has to ask the server for.
        fs::remove_dir_all(world.data().join("cache")).unwrap();
        world.mount();
        world.proxy().take();
        assert_eq!(side.git(&["status", "--porcelain"]), "", "{remount}");
        side.git(&["diff", "HEAD", "--stat"]);
        assert_eq!(side.doubtful(), "", "{remount}");
        let asked = world.proxy().take();
        assert_eq!(objects(&asked), [""; 0], "{remount}");
        println!("git status {remount}: {} requests, no content", asked.len());
        world.kill_daemon_hard();
    }
    // One that changed is told of, and is the only one that Git reads.
    world.mount();
    fs::write(side.path("folder-1/file-60"), "edited\n").unwrap();
    world.proxy().take();
    assert_eq!(
        side.git(&["status", "--porcelain"]),
        " M folder-1/file-60\n"
    );
    assert_eq!(objects(&world.proxy().take()), [""; 0]);
    side.git(&["commit", "-q", "-a", "-m", "edited"]);
    assert_eq!(side.git(&["status", "--porcelain"]), "");
    assert_eq!(objects(&world.proxy().take()), [""; 0]);
    side.git(&["fsck", "--full", "--strict"]);
}

#[test]
fn an_index_from_elsewhere_is_believed_for_its_times_and_sizes() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &many(source.path()))]);
    let mut side = cloned(&mut world);
    // A checkout elsewhere, with the commit's time on its files, as the mount shows them.
    let outside = world.folder().join("outside");
    let time = git_text(&outside, &["log", "-1", "--format=@%ct"]);
    git_text(&outside, &["reset", "-q", "--hard"]);
    let touch = ["-exec", "touch", "-h", "-d", &time, "{}", "+"];
    run(world
        .command("find")
        .arg(&outside)
        .args(["-not", "-path", "*/.git*"])
        .args(touch))
    .success();
    let by_time_and_size = ["core.checkStat=minimal", "core.trustCtime=false"];
    for setting in by_time_and_size {
        let (name, value) = setting.split_once('=').unwrap();
        git_text(&outside, &["config", name, value]);
    }
    git_text(&outside, &["update-index", "-q", "--refresh"]);
    for file in ["index", "config"] {
        fs::copy(
            outside.join(".git").join(file),
            side.path(".git").join(file),
        )
        .unwrap();
    }
    world.proxy().take();
    assert_eq!(side.git(&["status", "--porcelain"]), "");
    side.git(&["diff", "HEAD", "--stat"]);
    let asked = world.proxy().take();
    assert_eq!(objects(&asked), [""; 0]);
    assert!(!asked.is_empty(), "looks wrong: listings are asked for");
}

fn many(folder: &Path) -> std::path::PathBuf {
    let root = fixture::small(folder);
    for index in 0..120 {
        let path = root.join(format!("folder-{}/file-{index}", index / 40));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("file {index}\n")).unwrap();
    }
    crate::support::git::commit_all(&root, "many");
    root
}
