//! fsync and `O_SYNC`: what they promise, and what they cost, counted by the journal itself.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::support::fixture;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// Threads that sync at the same time, each its own file.
const WAITERS: usize = 64;
/// Syncs of the disk that they may take together: the daemon serves a bounded number of them at a
/// time, and each batch shares one or two.
const SYNCS_MAX: u64 = 16;

/// The journal of the one repository: synced, head, syncs.
fn journal(world: &World) -> (u64, u64, u64) {
    let journal = &world.repo_status("app")["journal"];
    let number = |name: &str| journal[name].as_u64().unwrap();
    (number("synced"), number("head"), number("syncs"))
}

/// A mount whose journal is synced for those who ask, and by nothing else: the interval is an hour,
/// and the replay has recorded all that it can without the server.
fn quiet() -> World {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    let mut mount = world.mesa(&["mount", "--daemonize", "--no-supervisor"]);
    run(mount.env("MESA_COMMIT_INTERVAL", "3600s")).success();
    world.adopt();
    world.local_tree("app");
    world.stop_server();
    fs::write(world.repo("app").join("first"), "first\n").unwrap();
    wait_until("a push fails", Duration::from_secs(60), || {
        !world.repo_status("app")["reason"].is_null()
    });
    world
}

fn file(path: &Path) -> File {
    File::create_new(path).unwrap()
}

#[test]
fn concurrent_fsyncs_share_syncs_of_the_disk() {
    let world = quiet();
    let app = world.repo("app");
    let files: Vec<File> = (0..WAITERS)
        .map(|index| file(&app.join(format!("file-{index}"))))
        .collect();
    for file in &files {
        file.write_all_at(b"to be durable", 0).unwrap();
    }
    let (synced, head, before) = journal(&world);
    assert!(synced < head, "there was nothing to sync");
    let start = Barrier::new(WAITERS);
    thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| {
                start.wait();
                // A record of its own, which no sync before this one covers.
                file.set_len(9).unwrap();
                let permissions = file.metadata().unwrap().permissions();
                file.set_permissions(permissions).unwrap();
                file.sync_all().unwrap();
            });
        }
    });
    let (synced, head, after) = journal(&world);
    assert_eq!(synced, head, "an fsync that left something");
    let syncs = after - before;
    println!("{WAITERS} fsyncs took {syncs} syncs of the disk");
    assert!(syncs > 0, "nothing was synced");
    assert!(syncs <= SYNCS_MAX, "{syncs} syncs for {WAITERS} fsyncs");
}

#[test]
fn a_write_with_o_sync_is_durable_when_it_returns_and_another_is_not() {
    let world = quiet();
    let app = world.repo("app");
    for (name, flag) in [("whole", libc::O_SYNC), ("data", libc::O_DSYNC)] {
        let plain = file(&app.join(format!("plain-{name}")));
        plain.write_all_at(b"plain", 0).unwrap();
        let (synced, head, _) = journal(&world);
        assert!(synced < head, "a plain write was synced");

        let synchronous = OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(flag)
            .open(app.join(name))
            .unwrap();
        synchronous.write_all_at(b"durable", 0).unwrap();
        let (synced, head, _) = journal(&world);
        assert_eq!(
            synced, head,
            "{name}: the write returned before it was durable"
        );
    }
}
