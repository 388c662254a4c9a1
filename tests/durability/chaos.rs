//! Chaos: two writers, fsyncs, pushes, a server that comes and goes, and the daemon killed with -9
//! again and again, at random moments, in the middle of everything. In the end the caches are thrown
//! away, and Git says what the remote has.
//!
//! Each writer knows exactly what its subtree must be: what was acknowledged, and at most one
//! operation more, the one that the kill interrupted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::fixture;
use crate::support::stopwatch::wait_until;
use crate::support::syscall::{is_gone, refused};
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;
use crate::workload::{Dice, Model, Operation};
use crate::{Seed, variable};

const CYCLES: u64 = 250;
const WRITERS: usize = 2;
/// Paths of one writer: more would only make the comparison of each cycle slow.
const PATHS_MAX: usize = 60;
/// Anything that is waited for comes within this time, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// What one cycle may take, by far: the whole run is given up after so much for each.
const CYCLE_MAX: Duration = Duration::from_secs(20);

/// What happens to the server, and when the daemon dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// The server is there, and nothing is waited for.
    None,
    /// The server is away.
    Away,
    /// The daemon dies while a push is on its way.
    DaemonInPush,
    /// The server dies while a push is on its way, and then the daemon.
    ServerInPush,
    /// The server did what it was asked, nobody learns of it, and the daemon dies.
    LostAnswer,
}

impl Trouble {
    fn roll(dice: &mut Dice) -> Trouble {
        match dice.below(10) {
            0..=2 => Trouble::None,
            3..=4 => Trouble::Away,
            5..=6 => Trouble::DaemonInPush,
            7..=8 => Trouble::ServerInPush,
            _ => Trouble::LostAnswer,
        }
    }
}

/// One writer's subtree.
struct Subtree {
    root: PathBuf,
    model: Model,
    dice: Dice,
}

/// What writers and killer share in one cycle.
#[derive(Default)]
struct Signals {
    acknowledged: [AtomicUsize; WRITERS],
    paused: AtomicBool,
}

impl Signals {
    fn least(&self) -> usize {
        let counts = self.acknowledged.iter();
        counts
            .map(|count| count.load(Ordering::SeqCst))
            .min()
            .unwrap()
    }
}

#[test]
fn nothing_is_lost_in_hundreds_of_kills() {
    let cycles = variable("MESA_CHAOS_CYCLES", CYCLES);
    let seed = Seed {
        variable: "MESA_CHAOS_SEED",
        value: variable("MESA_CHAOS_SEED", 1),
    };
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.watch_for(CYCLE_MAX * u32::try_from(cycles).unwrap());
    // Thousands of cycles outlive the token that other tests have.
    world.token = world.mint("24h", &["app"]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    let base = world.local_tree("app");
    let mut dice = Dice::new(seed.value);
    let mut subtrees: Vec<Subtree> = (0..WRITERS)
        .map(|index| Subtree {
            root: app.join(format!("writer-{index}")),
            model: Model::default(),
            dice: Dice::new(seed.value.wrapping_add(1 + index as u64)),
        })
        .collect();
    for subtree in &subtrees {
        fs::create_dir(&subtree.root).unwrap();
    }
    let (start, mut operations, mut seen) = (Instant::now(), 0, Vec::new());
    for cycle in 0..cycles {
        let trouble = Trouble::roll(&mut dice);
        operations += one_cycle(&mut world, &mut subtrees, trouble, &mut dice, cycle);
        seen.push(trouble);
    }
    let count = |trouble| seen.iter().filter(|one| **one == trouble).count();
    println!(
        "{} kills in {:?}, {operations} operations acknowledged: {} while pushing, {} with the \
         server away, {} with the server killed in a push, {} after a lost answer",
        seen.len(),
        start.elapsed(),
        count(Trouble::DaemonInPush),
        count(Trouble::Away),
        count(Trouble::ServerInPush),
        count(Trouble::LostAnswer),
    );
    end(&mut world, &subtrees, &base);
}

/// Writes, kills, mounts, compares. Gives the number of operations that were acknowledged.
fn one_cycle(
    world: &mut World,
    subtrees: &mut [Subtree],
    trouble: Trouble,
    dice: &mut Dice,
    cycle: u64,
) -> usize {
    let what = format!("cycle {cycle}, {trouble:?}");
    if trouble == Trouble::Away {
        world.stop_server();
    }
    let signals = Signals::default();
    let doubts: Vec<Option<Operation>> = std::thread::scope(|scope| {
        let writers: Vec<_> = subtrees
            .iter_mut()
            .zip(&signals.acknowledged)
            .map(|(subtree, count)| {
                let signals = &signals;
                scope.spawn(move || write_until_killed(subtree, count, signals))
            })
            .collect();
        let alive = || !writers.iter().any(|writer| writer.is_finished());
        strike(world, &signals, trouble, dice, &alive);
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    // A name that nobody has asked for: the kernel has no answer of its own.
    let unknown = world.repo("app").join(format!("unknown-{cycle}"));
    refused(fs::metadata(unknown), libc::ENOTCONN);
    // Nothing serves: this is what the disk has.
    assert!(
        world.pending("app") > 0,
        "{what}: there was nothing to lose"
    );
    world.proxy().pass_answers();
    let late = matches!(trouble, Trouble::Away | Trouble::ServerInPush);
    let before_mount = dice.below(2) == 0;
    if late && before_mount {
        world.start_server();
    }
    world.mount();
    for (subtree, doubt) in subtrees.iter_mut().zip(doubts) {
        compare(subtree, doubt, &what);
    }
    if late && !before_mount {
        world.start_server();
    }
    let counts = signals.acknowledged.iter();
    counts.map(|count| count.load(Ordering::SeqCst)).sum()
}

/// Waits for the moment, and kills.
fn strike(
    world: &mut World,
    signals: &Signals,
    trouble: Trouble,
    dice: &mut Dice,
    alive: &dyn Fn() -> bool,
) {
    let more = |count: usize| {
        let goal = signals.least() + count;
        wait_until("more operations", DEADLINE, || {
            assert!(alive(), "a writer ended before the kill");
            signals.least() >= goal
        });
    };
    let some = usize::try_from(dice.below(60)).unwrap();
    world.proxy().take();
    let lost = world.proxy().lost();
    if trouble == Trouble::LostAnswer {
        world.proxy().lose_answers();
    }
    more(1 + some);
    if matches!(
        trouble,
        Trouble::DaemonInPush | Trouble::ServerInPush | Trouble::LostAnswer
    ) {
        // A push waits for a moment of quiet.
        signals.paused.store(true, Ordering::SeqCst);
        wait_until("a push", DEADLINE, || match trouble {
            Trouble::LostAnswer => world.proxy().lost() > lost,
            _ => {
                let requests = world.proxy().requests();
                requests.iter().any(|line| line.starts_with("PATCH "))
            }
        });
        if trouble == Trouble::ServerInPush {
            world.stop_server();
        }
        signals.paused.store(false, Ordering::SeqCst);
        more(1 + usize::try_from(dice.below(3)).unwrap());
    }
    let pid = world.status()["pid"].as_u64().map(|pid| pid as u32);
    let held = world.with_daemon(|daemon| daemon.pid);
    assert_eq!(pid, Some(held), "the daemon is another one");
    assert!(alive(), "a writer ended before the kill");
    world.kill_daemon_hard();
}

/// Writes until the mount is dead; gives the operation whose effect is unknown, if there is one.
fn write_until_killed(
    subtree: &mut Subtree,
    acknowledged: &AtomicUsize,
    signals: &Signals,
) -> Option<Operation> {
    loop {
        wait_until("going on", DEADLINE, || {
            !signals.paused.load(Ordering::SeqCst)
        });
        let operation = subtree.model.next_within(PATHS_MAX, &mut subtree.dice);
        if let Err(error) = operation.perform(&subtree.root) {
            assert!(is_gone(&error), "{operation:?}: {error}");
            return Some(operation);
        }
        subtree.model.apply(&operation);
        acknowledged.fetch_add(1, Ordering::SeqCst);
        if subtree.dice.below(12) == 0 {
            let synced = File::open(&subtree.root).and_then(|root| root.sync_all());
            if let Err(error) = synced {
                assert!(is_gone(&error), "fsync: {error}");
                return None;
            }
        }
    }
}

fn tree_of(root: &Path) -> Tree {
    Tree::walk(root, GitFolder::Walked)
}

/// The mount must show what was acknowledged, and of what is unknown a first part, all, or nothing.
fn compare(subtree: &mut Subtree, doubt: Option<Operation>, what: &str) {
    let mounted = tree_of(&subtree.root);
    if let Some(doubt) = &doubt {
        let happened = subtree.model.cut(doubt, &subtree.root);
        let mut other = subtree.model.clone();
        other.apply(&happened);
        if mounted == other.tree() {
            subtree.model = other;
            return;
        }
    }
    mounted.assert_equals(
        &subtree.model.tree(),
        &format!("{what}: mount (left), what was acknowledged (right), besides {doubt:?}"),
    );
}

/// Without caches and index the mount shows the same, and Git reads the same from the remote.
fn end(world: &mut World, subtrees: &[Subtree], base: &Tree) {
    world.kill_daemon_hard();
    for gone in ["cache", "repos/local/app/index"] {
        fs::remove_dir_all(world.data().join(gone)).unwrap();
    }
    world.mount();
    for subtree in subtrees {
        tree_of(&subtree.root).assert_equals(&subtree.model.tree(), "without index and cache");
    }
    let remote = world.flush_and_compare("app");
    let mut expected = base.clone();
    for (index, subtree) in subtrees.iter().enumerate() {
        let top = PathBuf::from(format!("writer-{index}"));
        let below = subtree.model.tree().0.into_iter();
        expected
            .0
            .extend(below.map(|(path, entry)| (top.join(path), entry)));
        expected
            .0
            .insert(top, crate::support::tree::Entry::Directory);
    }
    remote.assert_equals(&expected, "remote (left), what was written (right)");
    let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
    println!(
        "{} pushes had been accepted although nobody learnt it then",
        log.matches("had been accepted").count()
    );
}
