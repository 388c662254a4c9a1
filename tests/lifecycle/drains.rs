//! What is pushed before an end, for how long, and what is said of the rest.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::fixture;
use crate::support::kernel::mounts_below;
use crate::support::process::{Held, run};
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// Whatever is waited for comes within this time, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a daemon drains that nobody gave a time.
const DRAIN: Duration = Duration::from_secs(30);

/// A mount in the foreground: its process, and what it says.
struct Foreground {
    child: std::process::Child,
    held: Held,
    log: PathBuf,
}

impl Foreground {
    fn mount(world: &World) -> Foreground {
        let log = world.folder().join("foreground.log");
        let output = fs::File::create(&log).unwrap();
        let child = world
            .mesa(&["mount"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let held = Held::of(child.id()).unwrap();
        let foreground = Foreground { child, held, log };
        wait_until("mounted", DEADLINE, || {
            foreground.said().contains("mounted at")
        });
        foreground
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) -> String {
        let status = self.child.wait().unwrap();
        let said = self.said();
        assert_eq!(status.code(), Some(code), "{said}");
        said
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        self.held.kill();
    }
}

fn world() -> World {
    let source = tempfile::tempdir().unwrap();
    World::serve(&[("app", &fixture::small(source.path()))])
}

/// Checks that everything is said of what was not pushed: how much, where it is, how to get it out.
#[track_caller]
fn assert_tells_what_remains(world: &World, said: &str) {
    let journal = world.data().join("repos/local/app/journal");
    for text in [
        "not pushed: local/app: ",
        &format!("kept in {}", journal.display()),
        "nothing is lost: the next mount goes on with it",
        "`mesa journal export --repo local/app` writes it into one file",
    ] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
    assert!(journal.is_dir());
    assert!(mounts_below(world.folder()).is_empty());
}

#[test]
fn a_signal_pushes_and_a_second_one_ends_that_at_once() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut world = world();
        let foreground = Foreground::mount(&world);
        fs::write(world.repo("app").join("first"), "first\n").unwrap();
        foreground.held.signal(signal);
        foreground.ends_with(0);
        assert!(mounts_below(world.folder()).is_empty());

        let foreground = Foreground::mount(&world);
        world.local_tree("app");
        world.stop_server();
        fs::write(world.repo("app").join("second"), "second\n").unwrap();
        foreground.held.signal(signal);
        wait_until("it drains", DEADLINE, || {
            world.status()["state"] == "draining"
        });
        let second = Instant::now();
        foreground.held.signal(signal);
        assert!(foreground.held.ends_within(DRAIN / 3), "it drains on");
        println!("ended {:?} after the second signal", second.elapsed());
        let said = foreground.ends_with(4);
        assert_tells_what_remains(&world, &said);
        world.start_server();
        world.mount();
        world.flush_and_compare("app");
    }
}

#[test]
fn a_credential_that_is_dead_has_its_own_exit_code() {
    let mut world = world();
    world.token = world.mint("10s", &["app"]);
    let foreground = Foreground::mount(&world);
    world.local_tree("app");
    wait_until("it expires", DEADLINE, || {
        world.status()["state"] == "auth-needed"
    });
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    foreground.held.signal(libc::SIGTERM);
    let said = foreground.ends_with(5);
    assert!(said.contains("not pushed: local/app: "), "{said}");
    assert!(mounts_below(world.folder()).is_empty());
}

#[test]
fn a_stranger_who_unmounts_makes_it_drain_too() {
    for program in ["umount", "fusermount3"] {
        let mut world = world();
        let foreground = Foreground::mount(&world);
        world.local_tree("app");
        fs::write(world.repo("app").join("first"), "first\n").unwrap();
        let unmount = |world: &World| {
            let mut command = world.command(program);
            if program == "fusermount3" {
                command.arg("-u");
            }
            run(command.arg(world.mount_point())).success();
        };
        unmount(&world);
        foreground.ends_with(0);

        let foreground = Foreground::mount(&world);
        world.local_tree("app");
        assert_eq!(world.pending("app"), 0, "{program}: not drained");
        world.stop_server();
        fs::write(world.repo("app").join("second"), "second\n").unwrap();
        unmount(&world);
        // Its time to drain is not over: a signal ends that.
        wait_until("it drains", DEADLINE, || {
            world.status()["state"] == "draining"
        });
        foreground.held.signal(libc::SIGTERM);
        let said = foreground.ends_with(4);
        assert_tells_what_remains(&world, &said);
    }
}

#[test]
fn umount_pushes_no_longer_than_it_is_told() {
    let mut world = world();
    world.mount();
    world.local_tree("app");
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    let start = Instant::now();
    let umount = world.unmount("2s").expect(4);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert!(took < DRAIN, "{took:?}");
    assert_tells_what_remains(&world, &umount.errors());
    // It gets out as it was said.
    let output = world.folder().join("work.bundle");
    let mut export = world.mesa(&["journal", "export", "--repo", "local/app", "--output"]);
    run(export.arg(&output)).success();
    assert!(output.exists());
}
