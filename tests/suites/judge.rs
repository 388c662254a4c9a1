//! What must be so after every suite.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::leaks::{Holdings, Leaks};
use crate::support::process::run;
use crate::support::tree::{Entry, Tree};
use crate::support::world::World;

/// Looks at a mounted repository before a suite, and judges it afterwards.
pub struct Judge {
    leaks: Leaks,
    before: Holdings,
}

impl Judge {
    /// Edits and pushes, so that everything that comes with the first use is there, and looks.
    pub fn before(world: &World) -> Judge {
        let file = world.repo("app").join("before");
        fs::write(&file, "a suite begins\n").unwrap();
        world.flush();
        fs::remove_file(&file).unwrap();
        world.flush();
        run(&mut world.mesa(&["journal", "verify"])).success();
        Judge {
            leaks: Leaks::before(world),
            before: Holdings::of(world),
        }
    }

    /// Flushes; the remote has what is mounted, `mesa status` lists all that Git cannot hold and
    /// nothing else, the local state is sound, and the daemon let go of what it held meanwhile.
    #[track_caller]
    pub fn judge(self, world: &World, suite: &str) {
        world.flush();
        assert_eq!(world.pending("app"), 0, "a flush that left something");
        let mut local = world.local_tree("app");
        let kept = take_what_git_cannot_hold(&mut local);
        world
            .remote_tree("app")
            .assert_equals(&local, "remote (left) and mount (right)");
        assert_eq!(kept_local(world), kept, "what status says stays local");
        run(&mut world.mesa(&["journal", "verify"])).success();
        let after = self.leaks.assert_none(world);
        println!(
            "{suite}: the remote has all {} entries of the mount, and {} stay local; before: {}; \
             after: {after}",
            local.0.len(),
            kept.len(),
            self.before
        );
    }
}

/// Paths that `mesa status` says stay here.
#[track_caller]
fn kept_local(world: &World) -> BTreeSet<PathBuf> {
    let status = world.repo_status("app");
    let listed = status["kept_local"].as_array().unwrap().iter();
    listed
        .map(|line| {
            let line = line.as_str().unwrap();
            PathBuf::from(line.rsplit_once(" (").map_or(line, |(path, _)| path))
        })
        .collect()
}

/// Takes fifos, sockets and devices out of a tree, and names them.
fn take_what_git_cannot_hold(tree: &mut Tree) -> BTreeSet<PathBuf> {
    let special =
        |(path, entry): (&PathBuf, &Entry)| (*entry == Entry::Other).then(|| path.clone());
    let kept: BTreeSet<PathBuf> = tree.0.iter().filter_map(special).collect();
    tree.0
        .retain(|path: &PathBuf, _| !kept.contains(Path::new(path)));
    kept
}
