//! Everything that Git does, told in chapters: the same in a mounted repository and beside it. After each
//! chapter the daemon is killed, and Git must not notice.

use std::thread;
use std::time::{Duration, Instant};

use crate::side::Side;
use crate::support::fixture;
use crate::support::kept::flush_and_compare;
use crate::support::process::run;
use crate::support::world::World;
use crate::{history, rewriting, trees};

/// A part of the story, done on each side.
type Chapter = fn(&mut Side);

/// What happens, in this order: later ones go on from earlier ones.
const CHAPTERS: [(&str, Chapter); 11] = [
    ("begin", history::begin),
    ("merges", history::merges),
    ("kinds", history::kinds),
    ("clones", history::clones),
    ("rebases", rewriting::rebases),
    ("stashes", rewriting::stashes),
    ("packs", rewriting::packs),
    ("worktrees", trees::worktrees),
    ("sparse", trees::sparse),
    ("names", trees::names),
    ("bisect", trees::bisect),
];

#[test]
fn git_does_on_a_mount_what_it_does_on_a_disk() {
    let sources = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [app, still] = sources.each_ref().map(|one| fixture::small(one.path()));
    let mut world = World::serve(&[("app", &app), ("still", &still)]);
    world.watch_for(Duration::from_secs(900));
    world.mount();
    let served = world.bare("still");
    let mut mounted = Side::new(world.repo("app").join("git"), &served);
    let mut native = Side::new(world.folder().join("native"), &served);
    for (name, chapter) in CHAPTERS {
        let start = Instant::now();
        let took = |side: &mut Side| {
            chapter(side);
            start.elapsed()
        };
        let (on_mount, on_disk) = thread::scope(|scope| {
            let mounted = scope.spawn(|| took(&mut mounted));
            let native = scope.spawn(|| took(&mut native));
            (mounted.join().unwrap(), native.join().unwrap())
        });
        compare(name, &mut mounted, &mut native);
        unnoticed(name, &mut world, &mounted);
        println!("git, {name}: {on_mount:.1?} on the mount, {on_disk:.1?} beside it");
    }
    println!("git: {} commands said the same", mounted.commands());
    let kept = flush_and_compare(&world, "app");
    for folder in [
        "work",
        "served",
        "copied",
        "linked-objects",
        "shallow",
        "shared",
    ] {
        assert!(kept.contains(&format!("git/{folder}/.git")), "{kept:?}");
    }
    // Beside them the name that is no text, in each of the work trees.
    let other = kept.iter().filter(|path| !path.ends_with("/.git"));
    for path in other {
        assert!(path.contains("/caf"), "{path} stays here, and need not");
    }
    run(&mut world.mesa(&["journal", "verify"])).success();
}

/// Both sides said the same, and have the same files.
#[track_caller]
fn compare(chapter: &str, mounted: &mut Side, native: &mut Side) {
    let (on_mount, on_disk) = (mounted.take(), native.take());
    assert_eq!(on_mount.len(), on_disk.len(), "{chapter}");
    for (left, right) in on_mount.iter().zip(&on_disk) {
        assert_eq!(left, right, "{chapter}: mount (left) and disk (right)");
    }
    let what = format!("{chapter}: mount (left) and disk (right)");
    mounted.tree().assert_equals(&native.tree(), &what);
}

/// A kill changes nothing that Git's index knows a file by.
#[track_caller]
fn unnoticed(chapter: &str, world: &mut World, mounted: &Side) {
    let (before, doubtful) = (mounted.stats(), mounted.doubtful());
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(mounted.doubtful(), doubtful, "{chapter}: to be read again");
    let after = mounted.stats();
    assert_eq!(after.len(), before.len(), "{chapter}");
    for (left, right) in after.iter().zip(&before) {
        assert_eq!(left, right, "{chapter}: after a kill, and before");
    }
}
