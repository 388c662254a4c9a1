//! The programs, what to do when one is missing, and what must be so when it is done.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use crate::support::kept::flush_and_compare;
use crate::support::process::run;
use crate::support::world::World;

/// A program, in the environment of a world.
///
/// # Panics
///
/// It is not on the path.
#[track_caller]
pub fn tool(world: &World, name: &str, package: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let found = folders.any(|folder: PathBuf| folder.join(name).exists());
    assert!(found, "no {name}: apt-get install {package}");
    let mut command = world.command(name);
    command.current_dir(world.repo("app"));
    command
}

/// A program that was made in the mount.
pub fn made(world: &World, path: &str) -> Command {
    let mut command = world.command(world.repo("app").join(path));
    command.current_dir(world.repo("app"));
    command
}

/// The remote has what is mounted; this is what is ignored, and nothing else; the local state is sound.
#[track_caller]
pub fn settle(world: &World, what: &str, ignored: &[&str]) {
    let stays = flush_and_compare(world, "app");
    let status = world.repo_status("app");
    let listed = status["ignored"].as_array().unwrap().iter();
    let listed: BTreeSet<&str> = listed.map(|path| path.as_str().unwrap()).collect();
    let ignored: BTreeSet<&str> = ignored.iter().copied().collect();
    assert_eq!(listed, ignored, "{what}: what is ignored");
    run(&mut world.mesa(&["journal", "verify"])).success();
    println!(
        "{what}: the remote has {} entries of the mount, {} paths stay here",
        world.remote_tree("app").0.len(),
        stays.len()
    );
}

/// Ends the daemon the hard way, and mounts again.
#[track_caller]
pub fn kill_and_mount(world: &mut World) {
    world.kill_daemon_hard();
    world.mount();
}
