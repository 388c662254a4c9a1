//! One death: the way to it, and everything that must hold afterwards.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::armed::Armed;
use crate::scenarios::{Plant, Scenario, Way};
use crate::story::{self, ROUNDS, State, Step};
use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::syscall::is_gone;
use crate::support::world::World;

const REPO: &str = "app";
/// After each round, what happens by itself is given this time to happen.
const BACKGROUND: Duration = Duration::from_millis(500);
/// What happens at a start has happened by then.
const START: Duration = Duration::from_secs(20);
/// Rounds with which a daemon may be driven to its death; the rest is for afterwards.
const DRIVEN: usize = ROUNDS - 1;
/// A point that nothing reaches: for a daemon that is killed from outside.
const NOWHERE: &str = "nowhere";

/// A world, and what its mount may show: more than one state after a death in the middle of a call.
struct Crash {
    world: World,
    states: Vec<State>,
}

/// Dies at a point the nth time, and checks everything.
///
/// # Panics
///
/// Something does not hold.
pub fn die_and_compare(scenario: &Scenario, nth: u64) {
    let folder = tempfile::Builder::new()
        .prefix("mesa-test-")
        .tempdir()
        .unwrap();
    let (origin, state) = story::repository(folder.path());
    let world = World::serve(&[(REPO, &origin)]);
    let main = git_text(&world.bare(REPO), &["rev-parse", "main"]);
    let states = vec![state];
    let mut crash = Crash { world, states };
    let failpoint = format!("{}:{nth}", scenario.point);
    match scenario.way {
        Way::Driven | Way::Decided => crash.drive(&failpoint, scenario.point, scenario.way),
        Way::Restarted { first, plant } => {
            match first {
                Some(first) => crash.drive(first, first, Way::Driven),
                None => crash.live_one_round(),
            }
            plant_in(&crash.world, plant);
            crash.restart(&failpoint, scenario.point);
        }
        _ => unreachable!("others take part in it"),
    }
    crash.world.mount();
    crash.resolve();
    if matches!(scenario.way, Way::Decided) {
        crash.undo_decisions();
    }
    crash.perform_all(&story::round(DRIVEN)).unwrap();
    let tree = crash.world.flush_and_compare(REPO);
    let state = &crash.states[0];
    tree.assert_equals(&state.tree(), "mount (left), what was acknowledged (right)");
    crash.assert_one_change(&main);
    // What the death left in index and journal must do for later openings too.
    crash.world.kill_daemon_hard();
    crash.world.mount();
    crash.resolve();
}

impl Crash {
    /// Drives a daemon until it dies.
    fn drive(&mut self, failpoint: &str, point: &str, way: Way) {
        let mut daemon = Armed::mount(&self.world, failpoint);
        for round in 0..DRIVEN {
            let lived = self
                .perform_all(&story::round(round))
                .and_then(|()| match way {
                    Way::Decided => self.decide(round),
                    _ => Ok(()),
                });
            if let Err(error) = lived {
                assert!(is_gone(&error), "{error}");
                break;
            }
            // Fails when the daemon dies meanwhile, which is seen next.
            run(&mut self.world.mesa(&["journal", "flush", "--timeout", "20s"]));
            if daemon.dies_within(BACKGROUND) {
                break;
            }
        }
        // A call fails a moment before the process can be waited for.
        daemon.dies_within(BACKGROUND);
        daemon.assert_died_at(point);
    }

    /// Holds, gives up what then changes again, and lets go. A command fails when the daemon dies.
    fn decide(&mut self, round: usize) -> std::io::Result<()> {
        let path = story::dropped(round);
        self.journal(&["hold"]);
        self.perform_all(&story::pending(&path))?;
        self.journal(&["drop", "--yes", &path]);
        self.perform(&story::changed_again(&path))?;
        self.journal(&["release"]);
        Ok(())
    }

    fn journal(&self, arguments: &[&str]) {
        run(&mut self.world.mesa(&[&["journal"], arguments].concat()));
    }

    /// Ends what people decided before the death: a hold is let go, and what was given up changes.
    fn undo_decisions(&mut self) {
        self.journal(&["release"]);
        for path in (0..DRIVEN).map(story::dropped) {
            if self.world.repo(REPO).join(&path).exists() {
                self.perform(&story::changed_again(&path)).unwrap();
            }
        }
    }

    /// One round with a daemon that is killed with nothing under way.
    fn live_one_round(&mut self) {
        let daemon = Armed::mount(&self.world, NOWHERE);
        self.perform_all(&story::round(0)).unwrap();
        daemon.kill();
    }

    /// Starts a daemon over what there is, and looks at it until it dies.
    fn restart(&mut self, failpoint: &str, point: &str) {
        let mut daemon = Armed::mount(&self.world, failpoint);
        // Opens the repository, if that was not done for its pending work.
        let _dead_perhaps = fs::read_dir(self.world.repo(REPO));
        daemon.dies_within(START);
        daemon.assert_died_at(point);
    }

    fn perform_all(&mut self, steps: &[Step]) -> std::io::Result<()> {
        steps.iter().try_for_each(|step| self.perform(step))
    }

    /// Performs a step; one that fails may have happened, or its first part.
    fn perform(&mut self, step: &Step) -> std::io::Result<()> {
        let performed = step.perform(&self.world.repo(REPO));
        let after = self.states.iter().cloned().map(|mut state| {
            state.apply(step);
            state
        });
        let after: Vec<State> = after.collect();
        match performed {
            Ok(()) => self.states = after,
            Err(_) => self.states.extend(after),
        }
        performed
    }

    /// Finds out which of the possible states it is.
    fn resolve(&mut self) {
        let root = self.world.repo(REPO);
        let shown = self.world.local_tree(REPO);
        if let Some(state) = self.states.iter().find(|state| state.is_at(&root, &shown)) {
            self.states = vec![state.clone()];
            return;
        }
        for state in &self.states {
            eprintln!("a state that it is not:");
            let _shown = std::panic::catch_unwind(|| {
                shown.assert_equals(&state.tree(), "mount (left), possible (right)");
            });
        }
        panic!(
            "the mount shows none of {} possible states",
            self.states.len()
        );
    }

    /// Exactly one change takes the edits, as one commit on the bookmark, which nobody moved.
    fn assert_one_change(&self, main: &str) {
        let bare = self.world.bare(REPO);
        assert_eq!(git_text(&bare, &["rev-parse", "main"]), main);
        let changes = git_text(
            &bare,
            &[
                "for-each-ref",
                "--format=%(objectname)",
                "refs/mesa/changes",
            ],
        );
        let ours: Vec<&str> = changes.lines().filter(|commit| *commit != main).collect();
        assert_eq!(ours.len(), 1, "changes besides main's: {changes}");
        let parents = git_text(&bare, &["rev-list", "--parents", "-n", "1", ours[0]]);
        assert_eq!(parents, format!("{} {main}", ours[0]), "one commit on main");
        git_text(&bare, &["fsck", "--strict"]);
    }
}

/// Leaves something behind for the next start to find.
fn plant_in(world: &World, plant: Plant) {
    let folder = world.data().join(format!("repos/local/{REPO}"));
    let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
    match plant {
        Plant::Nothing => {}
        Plant::Leftover => {
            let path = folder.join("journal/00000000000003e7.log.temp");
            write(&path, "a segment that was being written");
        }
        Plant::Orphan => write(&folder.join("bodies/999999"), "a body of nothing"),
        Plant::DoubtfulIndex => {
            fs::remove_file(folder.join("index/db")).unwrap();
            fs::create_dir(folder.join("index/db")).unwrap();
        }
    }
}
