//! Ends on purpose: whoever asks for it, nothing comes back, and nothing stays behind.

use std::fs;
use std::time::Duration;

use crate::support::fixture;
use crate::support::kernel::mounts_below;
use crate::support::process::{Held, run};
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// Whatever is waited for comes within this time, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn supervised() -> World {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.mount_supervised(&[]);
    world.local_tree("app");
    world
}

#[track_caller]
fn assert_nothing_is_left(world: &World, supervisor: &Held) {
    assert!(supervisor.ends_within(DEADLINE), "the supervisor lives on");
    world.with_daemon(|daemon| assert!(daemon.ends_within(DEADLINE), "the daemon lives on"));
    assert!(mounts_below(world.folder()).is_empty());
    assert!(world.processes().is_empty());
    assert!(!world.runtime().join("supervisor.json").exists());
    assert!(world.status()["supervisor"].is_null());
}

#[test]
fn an_end_is_no_death_whoever_asks_for_it() {
    let mut world = supervised();
    for round in 0..4 {
        let supervisor = world.supervisor().unwrap();
        fs::write(world.repo("app").join(format!("edit-{round}")), "edit\n").unwrap();
        match round {
            0 => {
                run(&mut world.mesa(&["umount"])).success();
            }
            1 => world.with_daemon(|daemon| daemon.signal(libc::SIGTERM)),
            2 => supervisor.signal(libc::SIGINT),
            _ => {
                let path = world.mount_point();
                run(world.command("umount").arg(path)).success();
            }
        }
        assert_nothing_is_left(&world, &supervisor);
        world.mount_supervised(&[]);
        assert_eq!(world.pending("app"), 0, "round {round} did not drain");
    }
    world.flush_and_compare("app");
}

#[test]
fn a_death_over_the_last_push_is_no_reason_to_come_back() {
    let mut world = supervised();
    let supervisor = world.supervisor().unwrap();
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    let mut umount = world.mesa(&["umount", "--timeout", "10m"]);
    let mut umount = umount.spawn().unwrap();
    wait_until("it drains", DEADLINE, || {
        world.status()["state"] == "draining"
    });
    world.with_daemon(Held::kill);
    // It finds out that the daemon died, and ends what is left of it.
    assert_eq!(umount.wait().unwrap().code(), Some(4));
    assert_nothing_is_left(&world, &supervisor);
    world.start_server();
    world.mount_supervised(&[]);
    world.flush_and_compare("app");
}

#[test]
fn a_mount_that_was_too_busy_to_go_is_watched_again() {
    let mut world = supervised();
    let supervisor = world.supervisor().unwrap();
    let open = fs::File::open(world.repo("app").join("README.md")).unwrap();
    run(&mut world.mesa(&["umount", "--timeout", "1s"])).expect(1);
    world.with_daemon(|daemon| {
        daemon.kill();
        assert!(daemon.ends_within(DEADLINE));
    });
    drop(open);
    wait_until("the daemon is back", DEADLINE, || {
        world.status()["pid"].is_u64()
    });
    world.adopt();
    assert_eq!(world.status()["supervisor"]["restarts"], 1);
    run(&mut world.mesa(&["umount"])).success();
    assert_nothing_is_left(&world, &supervisor);
}
