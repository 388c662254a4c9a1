//! The official SDKs, each in one story that ends with `every resource was used`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::process::{run, run_within, with_network};
use crate::support::world::World;

/// A story takes ten seconds; an installation may take a slow registry's time.
const DEADLINE: Duration = Duration::from_secs(140);

/// Where packages are kept between runs.
fn packages(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a story, which prints a line for each of its chapters.
fn tell(world: &World, mut story: Command, credential: &str) {
    story
        .env("MESA", env!("CARGO_BIN_EXE_mesa"))
        .env("MESA_NO_CONFIG_FILE", "1")
        .env("MESA_API_URL", world.url())
        .env("MESA_ORG", "local")
        .env("MESA_MOUNT_POINT", world.mount_point())
        .env("MESA_DATA_DIR", world.data())
        .env("MESA_RUNTIME_DIR", world.runtime())
        .env("ADMIN_KEY", credential);
    let finished = run_within(&mut story, DEADLINE);
    println!("{}", finished.text());
    assert!(finished.status.success(), "{finished}");
    let last = finished.text();
    assert!(last.ends_with(": every resource was used"), "{finished}");
}

fn admin_key(world: &World) -> String {
    let key = fs::read_to_string(world.folder().join("server/admin.key")).unwrap();
    key.trim().to_owned()
}

#[test]
fn the_typescript_sdk_drives_every_resource() {
    let world = World::serve(&[]);
    let folder = packages("sdk-typescript-0.38.0");
    if !folder
        .join("node_modules/@mesadev/sdk/package.json")
        .exists()
    {
        // In its folder, not by `--prefix`: that would hide the machine's settings of npm.
        fs::write(folder.join("package.json"), "{}").unwrap();
        let mut npm = world.command("npm");
        npm.current_dir(&folder).args([
            "install",
            "--no-audit",
            "--no-fund",
            "@mesadev/sdk@0.38.0",
        ]);
        let finished = run_within(with_network(&mut npm), DEADLINE);
        assert!(finished.status.success(), "{finished}");
    }
    // A module is looked for above the script.
    let script = folder.join("story.mjs");
    fs::copy(story("story.mjs"), &script).unwrap();
    let mut node = world.command("node");
    node.arg(script);
    let key = admin_key(&world);
    tell(&world, node, &key);
}

#[test]
fn the_python_sdk_0_38_drives_every_resource() {
    let world = World::serve(&[]);
    let python = python(
        &world,
        "sdk-python-0.38.0",
        &["mesa-sdk==0.38.0", "mesa-rest==0.38.0"],
    );
    let key = admin_key(&world);
    tell(&world, python, &key);
}

#[test]
fn the_newest_python_sdk_drives_every_resource() {
    let world = World::serve(&[]);
    let python = python(&world, "sdk-python-newest", &["mesa-sdk"]);
    let mut create = world.mesa(&["key", "create", "--private-key", "--scope", "admin"]);
    create.env("MESA_API_KEY", admin_key(&world));
    let key = run(&mut create).success().text();
    tell(&world, python, key.trim());
}

fn story(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// A folder with some packages of Python. Debian's Python makes no environments by itself, so it is
/// told of the folder by `PYTHONPATH`.
pub fn python_packages(world: &World, name: &str, wanted: &[&str]) -> PathBuf {
    let folder = packages(name);
    let mut pip = world.command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"])
        .arg(&folder)
        .args(wanted);
    let finished = run_within(with_network(&mut pip), DEADLINE);
    assert!(finished.status.success(), "{finished}");
    folder
}

/// Python with some packages, about to tell its story.
fn python(world: &World, name: &str, wanted: &[&str]) -> Command {
    let folder = python_packages(world, name, wanted);
    let mut command = world.command("python3");
    command.env("PYTHONPATH", folder).arg(story("story.py"));
    command
}
