//! Local work with the network black-holed runs at the speed that it has with a good one, and asks
//! the server for nothing. Rounds of both alternate, so that what else the machine does slows both.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::faults::Line;
use crate::support::fixture;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::tree::{GitFolder, Tree};
use crate::support::world::World;
use crate::{stuck, variable};

/// Rounds with each network, unless `MESA_SPEED_ROUNDS` says otherwise.
const ROUNDS: u64 = 9;
/// Files that one round writes, renames and removes.
const FILES: usize = 120;
/// What would be no noise any more: waits for a network are seconds, and a round is less than one.
/// The ratio itself is printed, and is for an idle machine.
const RATIO_MAX: f64 = 2.0;
/// What is asked in the background.
const BESIDE: [&str; 2] = ["GET /v1/local/repos", "GET /v1/whoami"];

#[test]
fn local_work_has_its_own_speed_whatever_the_network_does() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.watch_for(Duration::from_secs(600));
    world.harm_requests();
    world.mount();
    let app = world.repo("app");
    world.local_tree("app");
    // Pushing is work of its own, which a good network gets and a bad one does not.
    run(&mut world.mesa(&["journal", "hold"])).success();
    let done = AtomicBool::new(false);
    let (with, without, in_state_d) = thread::scope(|scope| {
        let watcher = scope.spawn(|| stuck::watch(&done));
        let (mut with, mut without) = (Vec::new(), Vec::new());
        round(&app, 0);
        for number in 1..=variable("MESA_SPEED_ROUNDS", ROUNDS) {
            world.faults().heal();
            wait_until("ready", Duration::from_secs(60), || {
                world.status()["state"] == "ready"
            });
            with.push(round(&app, number * 2));
            world.faults().set_line(Line::Silent);
            world.faults().take();
            without.push(round(&app, number * 2 + 1));
            // Nobody waits for a list that is being renewed, nor for a probe.
            let mut asked = world.faults().take();
            asked.retain(|request| !BESIDE.iter().any(|one| request.starts_with(one)));
            assert!(asked.is_empty(), "local work asked for {asked:?}");
        }
        done.store(true, Ordering::SeqCst);
        (with, without, watcher.join().unwrap())
    });
    let (with, without) = (median(with), median(without));
    let ratio = without.as_secs_f64() / with.as_secs_f64();
    println!(
        "a round of local work: {with:?} with a network, {without:?} in a black hole, ratio \
         {ratio:.3}; in state D at most {in_state_d:?}"
    );
    assert!(ratio < RATIO_MAX, "{ratio:.3}");
    world.faults().heal();
    run(&mut world.mesa(&["journal", "release"])).success();
    // The rounds come to nothing, which is no push.
    fs::write(world.repo("app").join("after"), "after\n").unwrap();
    world.flush_and_compare("app");
}

/// What an agent does between two looks at the network.
fn round(app: &Path, number: u64) -> Duration {
    let start = Instant::now();
    let folder = app.join(format!("round-{number}"));
    fs::create_dir(&folder).unwrap();
    for index in 0..FILES {
        let path = folder.join(format!("file-{index}"));
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![b'x'; 4_000]).unwrap();
        fs::rename(&path, folder.join(format!("renamed-{index}"))).unwrap();
    }
    File::open(&folder).unwrap().sync_all().unwrap();
    for _ in 0..3 {
        Tree::walk(&app.join("docs"), GitFolder::Walked);
        fs::read(app.join("README.md")).unwrap();
        assert!(fs::metadata(app.join(".git")).is_err());
        assert!(fs::metadata(app.parent().unwrap().join("HEAD")).is_err());
        assert_eq!(fs::read_dir(app.parent().unwrap()).unwrap().count(), 1);
    }
    fs::remove_dir_all(&folder).unwrap();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
