//! Package managers: what they install runs, stays here if it is ignored, and is not installed again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::process::{run, with_network};
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;
use crate::tool::{kill_and_mount, made, settle, tool};

const PACKAGE: &str = include_str!("package.json");
const LOCK: &str = include_str!("package-lock.json");

#[test]
fn npm_installs_what_the_lock_file_says() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::write(app.join("package.json"), PACKAGE).unwrap();
    fs::write(app.join("package-lock.json"), LOCK).unwrap();
    let npm = |world: &World, arguments: &[&str]| {
        let mut npm = tool(world, "npm", "npm");
        npm.args(arguments).args(["--no-audit", "--no-fund"]);
        run(with_network(&mut npm)).success().text()
    };
    npm(&world, &["ci"]);
    let installed = Tree::walk(&app.join("node_modules"), GitFolder::Walked);
    assert!(installed.files() > 100, "{} files", installed.files());
    for when in ["at once", "after a kill", "installed again"] {
        let mut semver = made(&world, "node_modules/.bin/semver");
        semver.args(["1.2.3", "0.9.0", "--range", ">=1"]);
        assert_eq!(run(&mut semver).success().text(), "1.2.3", "{when}");
        let mut node = tool(&world, "node", "nodejs");
        node.args([
            "-p",
            "require('which').sync('node') && require('semver').inc('1.2.3', 'minor')",
        ]);
        assert_eq!(run(&mut node).success().text(), "1.3.0", "{when}");
        assert!(
            npm(&world, &["run", "--silent", "newest"]).contains("2.0.0"),
            "{when}"
        );
        let listed = npm(&world, &["ls", "--all", "--parseable"]);
        assert_eq!(listed.lines().count(), 5, "{when}: {listed}");
        let now = Tree::walk(&app.join("node_modules"), GitFolder::Walked);
        now.assert_equals(&installed, when);
        if when == "after a kill" {
            npm(&world, &["ci"]);
        } else {
            kill_and_mount(&mut world);
        }
    }
    settle(&world, "npm", &["node_modules"]);
    let told = run(&mut world.mesa(&["status"])).success().text();
    assert!(told.contains("ignored: node_modules"), "{told}");
}

#[test]
fn pip_installs_into_a_folder_of_the_mount() {
    let mut world = World::small();
    let vendor = world.repo("app").join("vendor");
    let mut pip = tool(&world, "pip", "python3-pip");
    pip.args([
        "install",
        "--quiet",
        "--no-cache-dir",
        "--root-user-action=ignore",
    ]);
    pip.args(["--target", "vendor", "idna==3.10", "attrs==24.2.0"]);
    run(with_network(&mut pip)).success();
    let import = |world: &World| {
        let mut python = tool(world, "python3", "python3");
        python.env("PYTHONPATH", "vendor");
        python.args([
            "-c",
            "import attr, attrs, idna; print(idna.encode('h\u{e9}llo').decode())",
        ]);
        assert_eq!(run(&mut python).success().text(), "xn--hllo-bpa");
    };
    import(&world);
    let compiled = compiled(&vendor);
    assert!(compiled.len() > 10, "{compiled:?}");
    // Compiled modules are good for as long as their source has the time and size that they say.
    kill_and_mount(&mut world);
    import(&world);
    assert_eq!(
        self::compiled(&vendor),
        compiled,
        "compiled again after a kill"
    );
    settle(
        &world,
        "pip",
        &[
            "vendor/attr/__pycache__",
            "vendor/attrs/__pycache__",
            "vendor/idna/__pycache__",
        ],
    );
}

/// What Python compiled, and when.
fn compiled(vendor: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let tree = Tree::walk(vendor, GitFolder::Walked);
    let compiled = tree
        .0
        .into_keys()
        .filter(|path| path.extension().is_some_and(|it| it == "pyc"));
    compiled
        .map(|path| {
            let found = fs::metadata(vendor.join(&path)).unwrap();
            (path, found.ino(), found.mtime(), found.mtime_nsec())
        })
        .collect()
}
