//! Deaths where somebody else takes part: a bookmark that follows, edits that contradict, a repair, an
//! import. Each is begun, dies, and is done again; then both sides must be there, each once.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::armed::{Armed, assert_reached};
use crate::scenarios::{Scenario, Way};
use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::second::Second;
use crate::support::stopwatch::wait_until;
use crate::support::stranger::{self, file};
use crate::support::tree::Tree;
use crate::support::world::World;

const REPO: &str = "app";
/// A daemon that is driven to a point is there within this time.
const DEATH: Duration = Duration::from_secs(20);
/// What happens by itself after a restart has happened by then.
const SETTLED: Duration = Duration::from_secs(60);
/// What both sides write.
const BOTH: &str = "docs/one.md";

/// Dies at a point the nth time, and checks everything.
///
/// # Panics
///
/// Something does not hold.
pub fn die_and_compare(scenario: &Scenario, nth: u64) {
    let failpoint = format!("{}:{nth}", scenario.point);
    match scenario.way {
        Way::Forward => publish(&failpoint, scenario.point, "fast-forward", &[]),
        Way::Merged => publish(
            &failpoint,
            scenario.point,
            "merge",
            &[file("theirs", "theirs\n")],
        ),
        Way::Refused => refused(&failpoint, scenario.point),
        Way::Beside => foreign(&failpoint, scenario.point, "theirs"),
        Way::Forked => foreign(&failpoint, scenario.point, BOTH),
        Way::Repaired => repaired(&failpoint, scenario.point),
        Way::Imported => imported(&failpoint, scenario.point),
        Way::Driven | Way::Decided | Way::Restarted { .. } => unreachable!("no others in it"),
    }
}

fn world() -> World {
    let source = tempfile::tempdir().unwrap();
    World::serve(&[(REPO, &fixture::small(source.path()))])
}

fn write(world: &World, path: &str, text: &str) {
    fs::write(world.repo(REPO).join(path), text).unwrap();
}

/// Asks for everything to be pushed; in vain when the daemon dies of it.
fn flush_in_vain(world: &World) {
    run(&mut world.mesa(&["journal", "flush", "--timeout", "20s"]));
}

fn die(mut daemon: Armed, point: &str) {
    daemon.dies_within(DEATH);
    daemon.assert_died_at(point);
}

/// A file of a commit, as Git reads it.
fn shown(world: &World, commit: &str, path: &str) -> String {
    git_text(&world.bare(REPO), &["show", &format!("{commit}:{path}")])
}

fn names(world: &World, refs: &str) -> Vec<String> {
    let format = "--format=%(refname)";
    let names = git_text(&world.bare(REPO), &["for-each-ref", format, refs]);
    names.lines().map(str::to_owned).collect()
}

fn conflicts(world: &World) -> Vec<Value> {
    let list = run(&mut world.mesa(&["conflicts", "list", "--json"])).success();
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    list["conflicts"].as_array().unwrap().clone()
}

fn change(world: &World) -> String {
    let status = world.repo_status(REPO);
    status["change"]["id"].as_str().unwrap().to_owned()
}

fn publishing(world: &World) -> String {
    let status = world.repo_status(REPO);
    status["publish"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Commits of the bookmark with this subject.
fn subjects(world: &World, beginning: &str) -> usize {
    let log = git_text(&world.bare(REPO), &["log", "--format=%s", "main"]);
    log.lines()
        .filter(|line| line.starts_with(beginning))
        .count()
}

/// Ours goes to the bookmark, where somebody else was meanwhile.
fn publish(failpoint: &str, point: &str, mode: &str, theirs: &[Value]) {
    let mut world = world();
    world.set("MESA_PUBLISH", mode);
    let daemon = Armed::mount(&world, failpoint);
    fs::read(world.repo(REPO).join("README.md")).unwrap();
    if !theirs.is_empty() {
        stranger::advance(&world, REPO, "main", theirs);
    }
    write(&world, "ours", "ours\n");
    flush_in_vain(&world);
    die(daemon, point);

    world.mount();
    world.flush_and_compare(REPO);
    wait_until("published", SETTLED, || publishing(&world) == "up-to-date");
    check_published(&world, theirs);
    write(&world, "later", "later\n");
    world.flush_and_compare(REPO);
    wait_until("published again", SETTLED, || {
        publishing(&world) == "up-to-date"
    });
    assert_eq!(shown(&world, "main", "later"), "later");
}

/// Both sides are on the bookmark, each once, and nothing is left of the way.
fn check_published(world: &World, theirs: &[Value]) {
    assert_eq!(shown(world, "main", "ours"), "ours");
    let merged = usize::from(!theirs.is_empty());
    if merged == 1 {
        assert_eq!(shown(world, "main", "theirs"), "theirs");
    }
    assert_eq!(subjects(world, "Edits from"), 1);
    assert_eq!(subjects(world, "Merge edits"), merged);
    assert_eq!(names(world, "refs/heads"), ["refs/heads/main"]);
    assert!(conflicts(world).is_empty());
    git_text(&world.bare(REPO), &["fsck", "--strict"]);
}

/// Ours contradicts what the bookmark has, which is told, and settled by hand.
fn refused(failpoint: &str, point: &str) {
    let mut world = world();
    world.set("MESA_PUBLISH", "merge");
    let daemon = Armed::mount(&world, failpoint);
    fs::read(world.repo(REPO).join("README.md")).unwrap();
    stranger::advance(&world, REPO, "main", &[file(BOTH, "theirs\n")]);
    let before = git_text(&world.bare(REPO), &["rev-parse", "main"]);
    write(&world, BOTH, "ours\n");
    flush_in_vain(&world);
    // A person settles it, and the daemon dies of that at the latest.
    if let Some(id) = open_conflict(&world) {
        run(&mut world.mesa(&["conflicts", "resolve", &id, "--take", "ours"]));
    }
    die(daemon, point);

    world.mount();
    world.flush_and_compare(REPO);
    wait_until("told or settled", SETTLED, || {
        ["conflicted", "up-to-date"].contains(&publishing(&world).as_str())
    });
    if let Some(id) = open_conflict(&world) {
        let listed = conflicts(&world);
        assert_eq!((listed.len(), &listed[0]["paths"]), (1, &Value::from(1)));
        assert_eq!(git_text(&world.bare(REPO), &["rev-parse", "main"]), before);
        assert_eq!(shown(&world, "main", BOTH), "theirs");
        run(&mut world.mesa(&["conflicts", "resolve", &id, "--take", "ours"])).success();
    }
    assert!(conflicts(&world).is_empty());
    assert_eq!(publishing(&world), "up-to-date");
    assert_eq!(shown(&world, "main", BOTH), "ours");
    assert_eq!(
        (
            subjects(&world, "a stranger"),
            subjects(&world, "Merge edits")
        ),
        (1, 1)
    );
    assert_eq!(names(&world, "refs/heads"), ["refs/heads/main"]);
    git_text(&world.bare(REPO), &["fsck", "--strict"]);
}

/// The conflict that is listed, if the daemon is there to say so.
fn open_conflict(world: &World) -> Option<String> {
    let listed = run(&mut world.mesa(&["conflicts", "list", "--json"]));
    let listed: Value = serde_json::from_slice(&listed.stdout).ok()?;
    listed["conflicts"][0]["id"].as_str().map(str::to_owned)
}

/// Somebody edits the change that takes ours: another path, or the same.
fn foreign(failpoint: &str, point: &str, theirs: &str) {
    let mut world = world();
    let daemon = Armed::mount(&world, failpoint);
    write(&world, "ours", "first\n");
    world.flush();
    let first = change(&world);
    stranger::edit(&world, REPO, &first, &[file(theirs, "theirs\n")]);
    write(&world, BOTH, "ours\n");
    flush_in_vain(&world);
    die(daemon, point);

    world.mount();
    world.flush();
    let now = change(&world);
    let at = |change: &str| format!("refs/mesa/changes/{change}");
    assert_eq!(shown(&world, &at(&first), theirs), "theirs");
    assert_eq!(shown(&world, &at(&now), BOTH), "ours");
    assert_eq!(shown(&world, &at(&now), "ours"), "first");
    let listed = conflicts(&world);
    if theirs == BOTH {
        assert_ne!(now, first);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0]["paths"], 1, "{listed:?}");
        world.flush_and_compare(REPO);
    } else {
        assert_eq!((now, listed.len()), (first, 0));
    }
    // The bookmark's, the first of ours, and a sibling if there is one.
    let changes = names(&world, "refs/mesa/changes").len();
    assert_eq!(changes, 2 + usize::from(theirs == BOTH));
    git_text(&world.bare(REPO), &["fsck", "--strict"]);
}

/// Runs a command that dies at a point, and not otherwise.
fn die_in(mut command: Command, failpoint: &str, point: &str) {
    let output = command.env("MESA_FAILPOINT", failpoint).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let signal = output.status.signal();
    assert_eq!(
        signal,
        Some(libc::SIGABRT),
        "{point}: {}; {said}",
        output.status
    );
    assert_reached(&said, point);
}

/// A damaged journal is repaired, by a command that dies of it.
fn repaired(failpoint: &str, point: &str) {
    let mut world = world();
    world.mount();
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    for name in ["first", "victim", "last"] {
        write(&world, name, name);
        let file = fs::File::open(world.repo(REPO).join(name)).unwrap();
        file.sync_all().unwrap();
    }
    world.kill_daemon_hard();
    damage(&world.data().join(format!("repos/local/{REPO}/journal")));
    let repair = || world.mesa(&["journal", "verify", "--repair"]);
    die_in(repair(), failpoint, point);
    run(&mut repair()).success();
    run(&mut world.mesa(&["journal", "verify"])).success();

    world.mount();
    let app = world.repo(REPO);
    for name in ["first", "last"] {
        assert_eq!(fs::read_to_string(app.join(name)).unwrap(), name);
    }
    fs::read(app.join("victim")).unwrap_err();
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush_and_compare(REPO);
}

/// Flips a bit of the record that names the victim.
fn damage(journal: &Path) {
    let files = fs::read_dir(journal)
        .unwrap()
        .map(|file| file.unwrap().path());
    let logs = files.filter(|file| file.extension().is_some_and(|it| it == "log"));
    let log = logs.max().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.windows(6).position(|window| window == b"victim");
    bytes[at.unwrap()] ^= 0x20;
    fs::write(&log, bytes).unwrap();
}

/// Work that left another sandbox is taken in, by a command that dies of it.
fn imported(failpoint: &str, point: &str) {
    let mut world = world();
    world.mount();
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    let app = world.repo(REPO);
    for path in ["README.md", "new-1", "new-2", "docs/three.md"] {
        write(&world, path, path);
    }
    fs::remove_file(app.join("docs/one.md")).unwrap();
    fs::remove_dir_all(app.join("src")).unwrap();
    let tar = world.folder().join("work.tar");
    let export = ["journal", "export", "--format", "tar", "--output"];
    run(world.mesa(&export).arg(&tar)).success();
    let second = Second::new(&world, "second");
    second.mount(&[]);
    let import = || {
        let mut command = second.mesa(&["journal", "import"]);
        command.arg(&tar);
        command
    };
    die_in(import(), failpoint, point);
    run(&mut import()).success();
    let tree = |root: &Path| Tree::walk(root, crate::support::tree::GitFolder::Walked);
    tree(&second.repo(REPO)).assert_equals(&tree(&app), "imported (left), exported (right)");
    second.flush();
    assert_eq!(second.repo_status(REPO)["pending"]["operations"], 0);
    second.unmount().success();
}
