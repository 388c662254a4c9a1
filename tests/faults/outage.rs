//! Lines that die in silence: what that costs who reads, who writes, who mounts, and how soon it is
//! noticed that they are back.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pulse::Pulse;
use crate::support::faults::{Fault, Line};
use crate::support::fixture;
use crate::support::git::{commit_all, git_text};
use crate::support::stopwatch::{holds_within, wait_until};
use crate::support::world::World;
use crate::{LOCAL_MAX, REMOTE_MAX};

/// How soon an outage's end is noticed and everything pushed: a probe every three seconds, which may
/// take three, and a busy machine.
const BACK_MAX: Duration = Duration::from_secs(25);
/// More readers than there are workers that fetch.
const READERS: usize = 40;
/// A mount of what is known may wait a second for a server that says nothing.
const MOUNT_MAX: Duration = Duration::from_secs(12);

fn world_of_many(large: usize) -> World {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("app");
    fs::create_dir(&root).unwrap();
    git_text(&root, &["init", "--quiet"]);
    fs::write(root.join("cached"), "cached\n").unwrap();
    fs::write(root.join("large"), vec![b'l'; large]).unwrap();
    for index in 0..READERS {
        fs::write(root.join(format!("unread-{index}")), format!("{index}\n")).unwrap();
    }
    commit_all(&root, "files");
    let mut world = World::serve(&[("app", &root)]);
    world.harm_requests();
    world.mount();
    world
}

fn errno(result: io::Result<Vec<u8>>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn readers_in_a_black_hole_keep_nobody_else_waiting() {
    let mut world = world_of_many(3 << 20);
    let app = world.repo("app");
    fs::read(app.join("large")).unwrap();
    // What a new daemon has on disk, and has not hashed yet.
    world.unmount("30s").success();
    world.mount();
    fs::read_dir(&app).unwrap().count();
    let (mounted, done) = (Mutex::new(()), AtomicBool::new(false));
    let pulse = Pulse::new(&app, "cached", &mounted, &done);
    world.faults().always(Fault::Silence);
    let start = Instant::now();
    let longest = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|index| {
                let path = app.join(format!("unread-{index}"));
                scope.spawn(move || {
                    let begun = Instant::now();
                    (errno(fs::read(path)), begun.elapsed())
                })
            })
            .collect();
        let beating = scope.spawn(|| pulse.beat());
        wait_until("readers are stuck", REMOTE_MAX, || {
            world.faults().struck() > 8
        });
        let begun = Instant::now();
        assert_eq!(fs::read(app.join("large")).unwrap().len(), 3 << 20);
        assert!(begun.elapsed() < LOCAL_MAX, "{:?}", begun.elapsed());
        let ended: Vec<_> = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        done.store(true, Ordering::SeqCst);
        for (errno, took) in ended {
            assert_eq!(errno, Some(libc::ENETUNREACH));
            assert!(took < REMOTE_MAX, "{took:?}");
        }
        beating.join().unwrap().longest
    });
    println!(
        "{READERS} readers gave up within {:?}; local calls took at most {longest:?}",
        start.elapsed()
    );
    // From now on nobody waits at all.
    let begun = Instant::now();
    assert_eq!(
        errno(fs::read(app.join("unread-0"))),
        Some(libc::ENETUNREACH)
    );
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    world.faults().heal();
    wait_until("readable", BACK_MAX, || {
        fs::read(app.join("unread-0")).is_ok()
    });
}

#[test]
fn the_end_of_an_outage_is_noticed_and_everything_is_pushed() {
    let mut world = world_of_many(1);
    world.watch_for(Duration::from_secs(300));
    let app = world.repo("app");
    fs::read(app.join("cached")).unwrap();
    for line in [Line::Silent, Line::Deaf, Line::Refusing] {
        world.faults().set_line(line);
        fs::write(app.join("edited"), format!("{line:?}\n")).unwrap();
        wait_until("offline", Duration::from_secs(60), || {
            world.status()["state"] == "offline"
        });
        // Long enough for a backoff to have grown past what follows.
        thread::sleep(Duration::from_secs(4));
        assert_eq!(world.status()["state"], "offline");
        world.faults().heal();
        let back = Instant::now();
        wait_until("ready again", BACK_MAX, || {
            world.status()["state"] == "ready"
        });
        let ready = back.elapsed();
        wait_until("drained", BACK_MAX, || world.pending("app") == 0);
        println!(
            "{line:?}: ready {ready:?} after the line was up, drained after {:?}",
            back.elapsed()
        );
    }
    world.flush_and_compare("app");
}

#[test]
fn a_push_into_a_line_that_dies_is_given_up_once_the_line_is_back() {
    let world = world_of_many(1);
    let app = world.repo("app");
    fs::write(app.join("edited"), "first\n").unwrap();
    world.flush();
    // The request is taken, and nothing ever comes.
    world
        .faults()
        .obey(|request| request.starts_with("PATCH").then_some(Fault::SilenceAfter));
    let struck = world.faults().struck();
    fs::write(app.join("edited"), "second\n").unwrap();
    wait_until("a push hangs", BACK_MAX, || {
        world.faults().struck() > struck
    });
    world.faults().set_line(Line::Silent);
    wait_until("offline", Duration::from_secs(60), || {
        world.status()["state"] == "offline"
    });
    world.faults().heal();
    let back = Instant::now();
    wait_until("drained", BACK_MAX, || world.pending("app") == 0);
    println!(
        "a push that hung was over {:?} after the line was back",
        back.elapsed()
    );
    world.flush_and_compare("app");
}

#[test]
fn a_pause_with_connections_that_died_meanwhile_costs_a_reader_little() {
    let world = world_of_many(1);
    let app = world.repo("app");
    // Kept connections, as many as there are readers at once.
    thread::scope(|scope| {
        for index in 0..8 {
            let path = app.join(format!("unread-{index}"));
            scope.spawn(move || fs::read(path).unwrap());
        }
    });
    fs::write(app.join("edited"), "before\n").unwrap();
    world.flush();
    world.with_daemon(|daemon| daemon.signal(libc::SIGSTOP));
    world.faults().forget_connections();
    thread::sleep(Duration::from_secs(6));
    world.with_daemon(|daemon| daemon.signal(libc::SIGCONT));
    let begun = Instant::now();
    assert_eq!(fs::read(app.join("unread-20")).unwrap(), b"20\n");
    let read = begun.elapsed();
    assert!(read < REMOTE_MAX, "{read:?}");
    fs::write(app.join("edited"), "after\n").unwrap();
    wait_until("drained", BACK_MAX, || world.pending("app") == 0);
    let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
    assert!(log.contains("time passed unseen"), "{log}");
    println!(
        "after the pause: read in {read:?}, drained {:?}",
        begun.elapsed()
    );
    world.flush_and_compare("app");
}

#[test]
fn a_mount_in_a_black_hole_shows_what_is_known() {
    let mut world = world_of_many(1);
    let app = world.repo("app");
    fs::read(app.join("cached")).unwrap();
    fs::write(app.join("edited"), "edited\n").unwrap();
    world.flush();
    for line in [Line::Silent, Line::Deaf, Line::Refusing] {
        world.faults().set_line(line);
        world.unmount("0s");
        let begun = Instant::now();
        world.mount();
        let mount = begun.elapsed();
        assert!(mount < MOUNT_MAX, "{line:?}: {mount:?}");
        let names: Vec<_> = fs::read_dir(world.mount_point().join("local"))
            .unwrap()
            .collect();
        assert_eq!(names.len(), 1);
        let begun = Instant::now();
        assert_eq!(fs::read(app.join("edited")).unwrap(), b"edited\n");
        assert_eq!(fs::read(app.join("cached")).unwrap(), b"cached\n");
        println!(
            "{line:?}: mounted in {mount:?}, opened in {:?}",
            begun.elapsed()
        );
        assert!(
            begun.elapsed() < LOCAL_MAX,
            "{line:?}: {:?}",
            begun.elapsed()
        );
        world.faults().heal();
    }
    world.flush_and_compare("app");
}

#[test]
fn a_first_mount_without_a_network_fills_once_there_is_one() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.harm_requests();
    world.faults().set_line(Line::Silent);
    let begun = Instant::now();
    world.mount();
    assert!(begun.elapsed() < REMOTE_MAX, "{:?}", begun.elapsed());
    let organization = world.mount_point().join("local");
    assert!(fs::metadata(&organization).unwrap().is_dir());
    let error = fs::read_dir(world.repo("app")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH), "{error}");
    world.faults().heal();
    assert!(holds_within(BACK_MAX, || {
        fs::read(world.repo("app").join("README.md")).is_ok()
    }));
}

#[test]
fn a_server_whose_name_is_not_known_is_one_that_is_away() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.mount();
    let app = world.repo("app");
    fs::read(app.join("README.md")).unwrap();
    world.unmount("30s").success();
    world.set("MESA_API_URL", "http://no-such-host.invalid/v1");
    world.mount();
    // Another address is another server: what the first one listed is not its word.
    for _ in 0..2 {
        let begun = Instant::now();
        let error = fs::read(app.join("README.md")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH), "{error}");
        assert!(begun.elapsed() < REMOTE_MAX, "{:?}", begun.elapsed());
    }
    assert_eq!(world.status()["state"], "offline");
}
