//! Files that the kernel serves by itself: what it does so, what of it we get to know, and that nothing is
//! lost of what nobody tells us, whoever dies.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::support::fixture::{self, noise};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::syscall::Map;
use crate::support::tree::Entry;
use crate::support::world::World;
use crate::system::{STRANGER, as_user};

const PAGE: usize = 4096;
const SOON: Duration = Duration::from_secs(30);

fn mounted() -> World {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    fs::set_permissions(world.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    world.set("MESA_OPENS", "passthrough");
    world.set("MESA_ALLOW_OTHER", "true");
    world.mount();
    world
}

/// A figure of `mesa stats`; 0 if there is none.
fn figure(world: &World, series: &str) -> u64 {
    world.metric(series).unwrap_or_default()
}

/// Requests of these kinds so far.
fn requests<const COUNT: usize>(world: &World, kinds: [&str; COUNT]) -> [u64; COUNT] {
    kinds.map(|kind| {
        figure(
            world,
            &format!("mesa_fuse_requests_total{{kind=\"{kind}\"}}"),
        )
    })
}

/// Where the journal stands.
fn journal(world: &World, what: &str) -> u64 {
    world.repo_status("app")["journal"][what].as_u64().unwrap()
}

fn both(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

/// Waits until the remote has these bytes; nobody asks for a push.
#[track_caller]
fn arrives(world: &World, name: &str, bytes: &[u8]) {
    let expected = Entry::file(bytes, false);
    wait_until(name, SOON, || {
        let status = world.repo_status("app");
        status["change"]["commit_oid"].is_string()
            && world.remote_tree("app").0.get(Path::new(name)) == Some(&expected)
    });
}

#[test]
fn the_kernel_reads_and_writes_by_itself_and_asks_for_the_rest() {
    let world = mounted();
    let app = world.repo("app");
    assert_eq!(figure(&world, "mesa_fuse_passthrough"), 1);
    let before = requests(&world, ["read", "write"]);
    let mut bytes = noise("passed", 1 << 20);
    let path = app.join("new");
    let mut file = File::create_new(&path).unwrap();
    for chunk in bytes.chunks(PAGE) {
        file.write_all(chunk).unwrap();
    }
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    both(&path).write_all_at(b"in the middle", 5000).unwrap();
    bytes[5000..5013].copy_from_slice(b"in the middle");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"at the end").unwrap();
    bytes.extend_from_slice(b"at the end");
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes.len() as u64);
    let reader = File::open(&path).unwrap();
    let mut map = Map::of(&both(&path), PAGE);
    map.bytes()[..6].copy_from_slice(b"mapped");
    bytes[..6].copy_from_slice(b"mapped");
    let mut start = [0; 6];
    reader.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(&start, b"mapped");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(requests(&world, ["read", "write"]), before);
    // What is below is served as ever, also once it has local bytes, until it is closed.
    let lower = both(&app.join("docs/one.md"));
    lower.write_all_at(b"edited", 0).unwrap();
    assert_eq!(requests(&world, ["write"]), [before[1] + 1]);
    drop((lower, reader, map, file));
    // A close waits for nobody.
    wait_until("all is closed", SOON, || {
        figure(&world, "mesa_open_files{repo=\"local/app\"}") == 0
    });
    both(&app.join("docs/one.md"))
        .write_all_at(b"edited again", 0)
        .unwrap();
    assert_eq!(requests(&world, ["write"]), [before[1] + 1]);
    assert!(figure(&world, "mesa_fuse_passed_total") > 0);
    // A truncation and a sync come to us, and are of the same bytes.
    let [syncs] = requests(&world, ["fsync"]);
    let file = both(&path);
    file.set_len(3).unwrap();
    let recorded = journal(&world, "head");
    file.sync_all().unwrap();
    assert_eq!(requests(&world, ["fsync"]), [syncs + 1]);
    assert_eq!(fs::read(&path).unwrap(), b"map");
    assert!(journal(&world, "synced") >= recorded);
    world.flush_and_compare("app");
}

#[test]
fn stores_through_a_map_are_seen_in_the_times_and_at_the_remote() {
    let world = mounted();
    let path = world.repo("app").join("mapped");
    fs::write(&path, vec![b'.'; PAGE]).unwrap();
    let mut map = Map::of(&both(&path), PAGE);
    // The file is closed, and only the map is left.
    for (round, letter) in (b'a'..b'e').enumerate() {
        let before = fs::metadata(&path).unwrap();
        std::thread::sleep(Duration::from_millis(25));
        map.bytes()[round] = letter;
        if round > 0 {
            let after = fs::metadata(&path).unwrap();
            assert_ne!(
                (before.mtime(), before.mtime_nsec()),
                (after.mtime(), after.mtime_nsec())
            );
        }
        let bytes = map.bytes().to_vec();
        arrives(&world, "mapped", &bytes);
    }
    drop(map);
    world.flush_and_compare("app");
    wait_until("nothing stands any more", SOON, || {
        figure(&world, "mesa_written_unseen{repo=\"local/app\"}") == 0
    });
}

#[test]
fn what_a_long_lived_writer_writes_arrives_without_its_end() {
    let mut world = mounted();
    let path = world.repo("app").join("log");
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .unwrap();
    let mut bytes = Vec::new();
    for round in 0..3 {
        let line = format!("line {round}\n");
        log.write_all(line.as_bytes()).unwrap();
        bytes.extend_from_slice(line.as_bytes());
        arrives(&world, "log", &bytes);
        wait_until("nothing is pending", SOON, || world.pending("app") == 0);
    }
    // A flush covers what was written the moment before.
    for round in 3..10 {
        writeln!(log, "line {round}").unwrap();
        world.flush_and_compare("app");
    }
    let listed = run(&mut world.mesa(&["journal", "list"])).success().text();
    assert!(!listed.contains("log"), "{listed}");
    run(&mut world.mesa(&["status", "--check"])).success();
    drop(log);
    assert_eq!(world.unmount("30s").code(), 0);
    assert_eq!(world.pending("app"), 0, "a record that stood for nothing");
}

#[test]
fn who_writes_on_when_the_daemon_is_killed_loses_nothing() {
    let mut world = mounted();
    let path = world.repo("app").join("log");
    let log = File::create_new(&path).unwrap();
    log.write_all_at(b"before ", 0).unwrap();
    fs::write(world.repo("app").join("mapped"), vec![b'.'; PAGE]).unwrap();
    let mut map = Map::of(&both(&world.repo("app").join("mapped")), PAGE);
    world.flush_and_compare("app");
    world.kill_daemon_hard();
    map.bytes()[0] = b'1';
    // The kernel may refuse it from here on; what it takes, it has taken.
    let mut expected = b"before ".to_vec();
    if log.write_all_at(b"without ", 7).is_ok() {
        expected.extend_from_slice(b"without ");
    }
    println!("after a kill the log has {} bytes", expected.len());
    world.mount();
    assert_eq!(fs::read(world.repo("app").join("log")).unwrap(), expected);
    map.bytes()[1] = b'2';
    if log.write_all_at(b"on", expected.len() as u64).is_ok() {
        expected.extend_from_slice(b"on");
    }
    arrives(&world, "log", &expected);
    map.bytes()[2] = b'3';
    let bytes = map.bytes().to_vec();
    arrives(&world, "mapped", &bytes);
    assert_eq!(fs::read(world.repo("app").join("mapped")).unwrap(), bytes);
    drop((log, map));
    world.flush_and_compare("app");
    world.kill_daemon_hard();
    world.mount();
    world.flush_and_compare("app");
}

#[test]
fn privileges_that_are_given_while_a_file_is_open_are_taken_by_the_next_write() {
    let world = mounted();
    let path = world.repo("app").join("program");
    fs::write(&path, b"original").unwrap();
    for mode in [0o6777, 0o4777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let open = as_user(STRANGER, || both(&path));
        as_user(STRANGER, || open.write_all_at(b"x", 0)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        as_user(STRANGER, || open.write_all_at(b"y", 1)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o7777,
            0o777,
            "{mode:o}"
        );
    }
    world.flush_and_compare("app");
}

#[test]
fn a_synchronous_writer_finds_its_file_in_the_journal() {
    let world = mounted();
    let path = world.repo("app").join("synchronous");
    let mut options = OpenOptions::new();
    options.write(true).create(true).custom_flags(libc::O_SYNC);
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    for _ in ["made", "opened"] {
        let file = options.open(&path).unwrap();
        assert_eq!(journal(&world, "synced"), journal(&world, "head"));
        file.write_all_at(b"durable", 0).unwrap();
    }
}

#[test]
fn programs_run_and_other_names_are_the_same_file() {
    let world = mounted();
    let app = world.repo("app");
    let program = app.join("program");
    // By a process of its own: a child of another test may hold what this one has open for writing
    // until it runs its program, and then the file is busy.
    run(world.command("cp").arg("/bin/true").arg(&program)).success();
    run(&mut world.command(&program)).success();
    fs::hard_link(&program, app.join("link")).unwrap();
    symlink("link", app.join("symbolic")).unwrap();
    let file = both(&program);
    let other = File::open(app.join("symbolic")).unwrap();
    file.write_all_at(b"changed", 0).unwrap();
    let mut start = [0; 7];
    other.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(&start, b"changed");
    fs::remove_file(&program).unwrap();
    fs::remove_file(app.join("link")).unwrap();
    file.write_all_at(b"unnamed", 0).unwrap();
    other.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(&start, b"unnamed");
    drop((file, other));
    world.flush_and_compare("app");
}
