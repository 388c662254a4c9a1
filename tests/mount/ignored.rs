//! What is ignored: it stays here, survives, is told of, and costs the server nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::git::{git, initialise};
use crate::support::process::run;
use crate::support::tree::Entry;
use crate::support::world::World;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A repository that has committed some of what the default rules match.
fn world() -> World {
    let source = tempfile::tempdir().unwrap();
    write(source.path(), "src/main.rs", "fn main() {}\n");
    write(source.path(), "target/kept.txt", "committed\n");
    write(source.path(), "notes", "committed\n");
    initialise(source.path());
    World::serve(&[("app", source.path())])
}

/// What the remote has, as paths.
fn remote(world: &World) -> BTreeSet<String> {
    world.flush();
    assert_eq!(world.pending("app"), 0);
    let tree = world.remote_tree("app");
    let files = tree
        .0
        .iter()
        .filter(|(_, entry)| **entry != Entry::Directory);
    files
        .map(|(path, _)| path.to_str().unwrap().to_owned())
        .collect()
}

fn ignored(world: &World) -> Vec<String> {
    let status = world.repo_status("app");
    let ignored = status["ignored"].as_array().unwrap().iter();
    ignored
        .map(|path| path.as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn has(world: &World, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(remote(world), expected);
}

#[test]
fn what_programs_make_stays_here_costs_no_request_and_survives() {
    let mut world = world();
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    write(&app, "src/lib.rs", "pub fn f() {}\n");
    has(
        &world,
        &["notes", "src/lib.rs", "src/main.rs", "target/kept.txt"],
    );
    world.proxy().take();
    for index in 0..50 {
        write(
            &app,
            &format!("node_modules/dep-{index}/index.js"),
            "exports = 1\n",
        );
        write(&app, &format!("target/debug/{index}.o"), "object\n");
    }
    symlink("dep-1", app.join("node_modules/link")).unwrap();
    run(std::process::Command::new("mkfifo").arg(app.join("target/debug/fifo"))).success();
    write(&app, "src/__pycache__/x.pyc", "pyc\n");
    world.flush();
    assert_eq!(world.pending("app"), 0);
    let asked = world.proxy().take();
    assert!(
        asked.iter().all(|call| call.starts_with("GET")),
        "{asked:?}"
    );
    assert_eq!(
        ignored(&world),
        ["node_modules", "src/__pycache__", "target/debug"]
    );
    assert_eq!(
        world.repo_status("app")["kept_local"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let told = run(&mut world.mesa(&["status"])).success().text();
    let line = "stays local, since it is ignored: node_modules, src/__pycache__, target/debug";
    assert!(told.contains(line), "{told}");
    run(&mut world.mesa(&["status", "--check"])).success();
    // What the commit has is pushed whatever the rules say, also when it is made anew.
    fs::remove_dir_all(app.join("target")).unwrap();
    write(&app, "target/kept.txt", "again\n");
    write(&app, "target/debug/new.o", "object\n");
    has(
        &world,
        &["notes", "src/lib.rs", "src/main.rs", "target/kept.txt"],
    );
    let kept = Entry::file(b"again\n", false);
    assert_eq!(
        world.remote_tree("app").0[Path::new("target/kept.txt")],
        kept
    );

    let before = world.local_tree("app");
    world.kill_daemon_hard();
    assert!(
        ignored(&world).contains(&"node_modules".to_owned()),
        "at rest"
    );
    assert_eq!(world.pending("app"), 0, "at rest");
    world.mount();
    world
        .local_tree("app")
        .assert_equals(&before, "before and after a kill");
    assert_eq!(
        ignored(&world),
        ["node_modules", "src/__pycache__", "target/debug"]
    );
    // What moves out of there is work, and what moves there is none.
    fs::rename(app.join("node_modules/dep-7"), app.join("src/dep")).unwrap();
    fs::rename(app.join("notes"), app.join("node_modules/notes")).unwrap();
    has(
        &world,
        &[
            "src/dep/index.js",
            "src/lib.rs",
            "src/main.rs",
            "target/kept.txt",
        ],
    );
    fs::remove_dir_all(app.join("node_modules")).unwrap();
    assert_eq!(ignored(&world), ["src/__pycache__", "target/debug"]);
    let bundle = world.folder().join("work.tar");
    let export = ["journal", "export", "--output", bundle.to_str().unwrap()];
    let said = run(&mut world.mesa(&export)).success();
    let said = format!("{said}");
    assert!(
        said.contains("target/debug") && said.contains("ignore rule"),
        "{said}"
    );
    let listed = run(std::process::Command::new("tar").arg("-tf").arg(&bundle))
        .success()
        .text();
    assert!(
        listed.contains("src/dep/index.js") && !listed.contains("new.o"),
        "{listed}"
    );
}

#[test]
fn a_repository_has_rules_of_its_own_which_take_effect_as_they_change() {
    let mut world = world();
    world.mount();
    let app = world.repo("app");
    let base = ["notes", "src/main.rs", "target/kept.txt"];
    let with = |more: &[&str]| -> Vec<String> {
        base.iter()
            .chain(more)
            .map(|path| (*path).to_owned())
            .collect()
    };
    let has = |more: &[&str]| assert_eq!(remote(&world), with(more).into_iter().collect());
    write(&app, "early.log", "early\n");
    has(&["early.log"]);
    // It was pushed, so it goes on being pushed, as in Git.
    write(&app, ".mesaignore", "*.log\n!node_modules/\n");
    write(&app, "late.log", "late\n");
    write(&app, "node_modules/mine.js", "mine\n");
    write(&app, "early.log", "early, edited\n");
    has(&[".mesaignore", "early.log", "node_modules/mine.js"]);
    let edited = Entry::file(b"early, edited\n", false);
    assert_eq!(world.remote_tree("app").0[Path::new("early.log")], edited);
    assert_eq!(ignored(&world), ["late.log"]);
    // A rule that is gone is gone for what it matched, too; also after a crash.
    write(&app, ".mesaignore", "node_modules/\n");
    world.kill_daemon_hard();
    world.mount();
    let has = |more: &[&str]| assert_eq!(remote(&world), with(more).into_iter().collect());
    has(&[
        ".mesaignore",
        "early.log",
        "late.log",
        "node_modules/mine.js",
    ]);
    fs::remove_file(app.join("early.log")).unwrap();
    fs::remove_dir_all(app.join("node_modules")).unwrap();
    has(&[".mesaignore", "late.log"]);
    // One that makes no sense, or no text, ignores nothing and harms nothing.
    fs::write(app.join(".mesaignore"), b"\xff\xfe[\na[\n\\\n").unwrap();
    write(&app, "more", "more\n");
    has(&[".mesaignore", "late.log", "more"]);
    fs::remove_file(app.join(".mesaignore")).unwrap();
    fs::create_dir(app.join(".mesaignore")).unwrap();
    write(&app, "x.pyc", "x\n");
    has(&["late.log", "more"]);
}

#[test]
fn the_configuration_names_a_file_of_rules_in_place_of_the_built_in_ones() {
    let mut world = world();
    let rules = world.folder().join("rules");
    world.set("MESA_MESAIGNORE_PATH", rules.to_str().unwrap());
    let refused = run(&mut world.mesa(&["mount", "--daemonize"])).expect(1);
    let said = format!("{refused}");
    assert!(said.contains(rules.to_str().unwrap()), "{said}");
    fs::write(&rules, "").unwrap();
    world.mount();
    let app = world.repo("app");
    write(&app, "node_modules/x.js", "x\n");
    let base = ["notes", "src/main.rs", "target/kept.txt"];
    has(&world, &[&base[..], &["node_modules/x.js"]].concat());
    world.unmount("30s").success();
    fs::write(&rules, "*.secret\n").unwrap();
    world.mount();
    write(&app, "a.secret", "a\n");
    write(&app, "b.open", "b\n");
    has(
        &world,
        &[&base[..], &["b.open", "node_modules/x.js"]].concat(),
    );
    assert_eq!(ignored(&world), ["a.secret"]);
}

#[test]
fn the_built_in_rules_mean_to_git_what_they_mean_to_us() {
    let mut world = world();
    world.mount();
    let app = world.repo("app");
    let rules = run(&mut world.mesa(&["dump-default-mesaignore"]))
        .success()
        .text();
    let paths = [
        "main.rs",
        "build/x",
        "dist/x.js",
        "targets/x",
        ".env",
        "a.tmp",
        "node_modules",
        "deep/node_modules/x",
        "deep/target/x",
        ".venv/x",
        "x.py",
        "x.pyc",
        "x.pyo",
        "a~",
        "~a",
        ".x.swp",
        ".#x",
        "x.class",
        ".DS_Store",
        "deep/Thumbs.db",
        "y.egg-info/z",
        "cache/x",
        ".cache/x",
    ];
    let judge = tempfile::tempdir().unwrap();
    write(judge.path(), "committed", "x\n");
    initialise(judge.path());
    fs::write(judge.path().join(".git/info/exclude"), &rules).unwrap();
    for path in paths {
        for root in [&app, judge.path()] {
            write(root, path, "x\n");
        }
    }
    let judged = git(judge.path())
        .args(["status", "--porcelain", "-uall"])
        .output()
        .unwrap();
    let judged = String::from_utf8(judged.stdout).unwrap();
    let mut wanted: BTreeSet<String> = judged
        .lines()
        .filter_map(|line| line.strip_prefix("?? "))
        .map(str::to_owned)
        .collect();
    assert!(
        wanted.len() > 5 && wanted.len() < paths.len() - 5,
        "{wanted:?}"
    );
    wanted.extend(["notes", "src/main.rs", "target/kept.txt"].map(str::to_owned));
    assert_eq!(remote(&world), wanted);
}
