//! The remote has what is mounted, but for what `mesa status` says stays here.

use std::collections::BTreeSet;
use std::path::Path;

use super::tree::Tree;
use super::world::World;

/// Flushes, checks that the remote has exactly what is mounted without what stays here, and gives the
/// paths that `mesa status` lists: each covers what is below it.
///
/// # Panics
///
/// Something is missing in the remote that nobody said, or it has something else.
#[track_caller]
pub fn flush_and_compare(world: &World, name: &str) -> BTreeSet<String> {
    world.flush();
    assert_eq!(world.pending(name), 0, "a flush that left something");
    let stays = stays_here(world, name);
    let mut local = world.local_tree(name);
    local.0.retain(|path, _| !is_below(path, &stays));
    let remote: Tree = world.remote_tree(name);
    remote.assert_equals(&local, "remote (left) and mount (right)");
    stays
}

/// Paths that `mesa status` lists as ignored, or as what no server takes.
#[track_caller]
pub fn stays_here(world: &World, name: &str) -> BTreeSet<String> {
    let status = world.repo_status(name);
    let listed = |field: &str| -> Vec<String> {
        let lines = status[field].as_array().unwrap().iter();
        lines
            .map(|line| line.as_str().unwrap().to_owned())
            .collect()
    };
    let kept = listed("kept_local").into_iter().map(|line| {
        let path = line.rsplit_once(" (").map(|(path, _)| path.to_owned());
        path.unwrap_or(line)
    });
    kept.chain(listed("ignored")).collect()
}

fn is_below(path: &Path, stays: &BTreeSet<String>) -> bool {
    let mut above = path.ancestors();
    above.any(|path| stays.contains(&*path.to_string_lossy()))
}
