//! Large files that are not here: reading some of one costs little more than that, reading all of one begins
//! at once and ends with all of it here, and neither believes what is damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::faults::{Fault, Line};
use crate::support::fixture::noise;
use crate::support::git::{commit_all, git_text};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

const BYTES: usize = 40 << 20;
const CHUNK: usize = 256 << 10;
/// Heads of answers, and what a mount asks for besides.
const BESIDES: u64 = 64 << 10;

struct Setup {
    world: World,
    expected: Vec<u8>,
    path: PathBuf,
}

/// A mount of a repository with a large file that nobody has looked at but for its name.
fn setup(prepare: impl FnOnce(&mut World)) -> Setup {
    let source = TempDir::new().unwrap();
    git_text(source.path(), &["init", "--quiet"]);
    let expected = noise("large", BYTES);
    fs::write(source.path().join("large"), &expected).unwrap();
    commit_all(source.path(), "a large file");
    let mut world = World::serve(&[("app", source.path())]);
    prepare(&mut world);
    world.mount();
    let path = world.repo("app").join("large");
    assert_eq!(fs::metadata(&path).unwrap().len(), BYTES as u64);
    Setup {
        world,
        expected,
        path,
    }
}

fn counted() -> Setup {
    let setup = setup(World::count_requests);
    setup.world.proxy().take();
    setup.world.proxy().take_bytes();
    setup
}

impl Setup {
    /// Reads by a program that reads as users do, and compares.
    fn says(&self, program: &str, arguments: &[&str], expected: &[u8]) {
        let mut command = self.world.command(program);
        let said = run(command.args(arguments).arg(&self.path)).success();
        assert!(said.stdout == expected, "{program} says something else");
    }

    /// Requests for ranges, and bytes of all answers, since the last call of this.
    fn cost(&self) -> (usize, u64) {
        let requests = self.world.proxy().take();
        assert!(
            requests.iter().all(|request| is_range(request)),
            "{requests:?}"
        );
        (requests.len(), self.world.proxy().take_bytes())
    }

    /// Asks us, and not the kernel's pages.
    fn read_direct(&self, offset: usize, bytes: usize) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        let file = options.custom_flags(libc::O_DIRECT).read(true);
        let mut buffer = vec![0; bytes];
        let file = file.open(&self.path)?;
        file.read_exact_at(&mut buffer, offset as u64)?;
        Ok(buffer)
    }

    #[track_caller]
    fn check(&self, offset: usize, bytes: usize) {
        let read = self.read_direct(offset, bytes).unwrap();
        assert!(read == self.expected[offset..offset + bytes], "{offset}");
    }

    fn error(&self, offset: usize) -> Option<i32> {
        let read = self.read_direct(offset, 4096);
        read.err().and_then(|error| error.raw_os_error())
    }

    fn is_kept(&self) -> bool {
        let stat = run(&mut self.world.mesa(&["cache", "stat", "--json"])).success();
        let stat: serde_json::Value = serde_json::from_slice(&stat.stdout).unwrap();
        // Beside the file there is the listing of the root.
        stat["objects"].as_u64().unwrap() >= 2
    }

    /// All of it is here, proved, without a server.
    fn outlives_the_server(&mut self) {
        wait_until("the whole is kept", Duration::from_secs(30), || {
            self.is_kept()
        });
        run(&mut self.world.mesa(&["cache", "verify"])).success();
        self.world.stop_server();
        self.world.kill_daemon_hard();
        self.world.mount();
        assert!(fs::read(&self.path).unwrap() == self.expected);
    }
}

fn is_range(request: &str) -> bool {
    request.starts_with("GET ") && request.contains("/ext/blobs/")
}

#[test]
fn head_tail_and_middle_cost_what_is_read() {
    let setup = counted();
    let chunk = CHUNK as u64;
    setup.says("head", &["-c", "4096"], &setup.expected[..4096]);
    let (requests, bytes) = setup.cost();
    assert_eq!(requests, 1);
    assert!((4096..chunk + BESIDES).contains(&bytes), "{bytes}");
    setup.says("tail", &["-c", "1000"], &setup.expected[BYTES - 1000..]);
    let (requests, bytes) = setup.cost();
    assert_eq!(requests, 1);
    assert!(bytes < chunk + BESIDES, "{bytes}");
    // Here and there, as a database does.
    let file = File::open(&setup.path).unwrap();
    for number in 0..10 {
        // In the middle of a chunk, so that what the kernel reads besides is of the same one.
        let at = (6 + number * 7 % 10 * 14) * CHUNK + 65_536;
        let mut page = [0; 4096];
        file.read_exact_at(&mut page, at as u64).unwrap();
        assert_eq!(page, setup.expected[at..at + 4096]);
    }
    let (requests, bytes) = setup.cost();
    assert_eq!(requests, 10);
    assert!(bytes < 10 * (chunk + 4096), "{bytes}");
    // What was read is here.
    setup.check(100, 8192);
    setup.check(BYTES - 5000, 5000);
    assert_eq!(setup.cost().0, 0);
    assert!(!setup.is_kept());
}

#[test]
fn reading_all_of_it_costs_it_once_and_keeps_it() {
    let mut setup = counted();
    setup.says("cat", &[], &setup.expected);
    let (requests, bytes) = setup.cost();
    let whole = BYTES as u64;
    assert!((whole..whole + whole / 50).contains(&bytes), "{bytes}");
    // Once it is known that it goes on, many chunks at a time.
    assert!((20..=80).contains(&requests), "{requests} requests");
    setup.outlives_the_server();
}

#[test]
fn readers_at_once_share_what_comes() {
    let mut setup = counted();
    thread::scope(|scope| {
        for number in 0..6 {
            let setup = &setup;
            scope.spawn(move || match number % 2 {
                0 => setup.says("cat", &[], &setup.expected),
                _ => (0..BYTES)
                    .step_by(1 << 20)
                    .for_each(|at| setup.check(at, 65_536)),
            });
        }
    });
    let (_, bytes) = setup.cost();
    assert!(bytes < (BYTES + BYTES / 50) as u64, "{bytes}");
    setup.outlives_the_server();
}

#[test]
fn the_first_bytes_are_there_before_the_last_ones_can_be() {
    let setup = setup(World::harm_requests);
    let mut ranges = 0;
    setup.world.faults().obey(move |request| {
        ranges += usize::from(is_range(request));
        (is_range(request) && ranges > 4).then_some(Fault::Silence)
    });
    let file = File::open(&setup.path).unwrap();
    let mut first = vec![0; CHUNK];
    file.read_exact_at(&mut first, 0).unwrap();
    assert!(first == setup.expected[..CHUNK]);
    setup.world.faults().heal();
    assert!(fs::read(&setup.path).unwrap() == setup.expected);
}

#[test]
fn killed_in_the_middle_it_begins_anew_and_nothing_is_left_behind() {
    let mut setup = counted();
    let mut read = vec![0; BYTES / 2];
    let file = File::open(&setup.path).unwrap();
    file.read_exact_at(&mut read, 0).unwrap();
    drop(file);
    setup.check(BYTES - 4096, 4096);
    setup.world.kill_daemon_hard();
    setup.world.mount();
    assert!(!setup.is_kept());
    let used = run(&mut setup.world.mesa(&["cache", "stat", "--json"])).success();
    let used: serde_json::Value = serde_json::from_slice(&used.stdout).unwrap();
    assert!(used["bytes"].as_u64().unwrap() < 1 << 20, "{used}");
    setup.says("cat", &[], &setup.expected);
    setup.outlives_the_server();
}

#[test]
fn an_outage_in_the_middle_leaves_what_is_here() {
    let mut setup = setup(World::harm_requests);
    setup.check(0, 4096);
    setup.check(BYTES / 2, 4096);
    setup.world.faults().set_line(Line::Refusing);
    setup.check(8192, 4096);
    setup.check(BYTES / 2 + 4096, 4096);
    assert_eq!(setup.error(BYTES / 4), Some(libc::ENETUNREACH));
    assert_eq!(setup.error(BYTES / 4), Some(libc::ENETUNREACH), "at once");
    setup.world.faults().heal();
    wait_until("readable again", Duration::from_secs(30), || {
        setup.error(BYTES / 4).is_none()
    });
    setup.says("cat", &[], &setup.expected);
    setup.outlives_the_server();
}

#[test]
fn what_arrives_damaged_is_asked_for_again_and_never_shown() {
    let mut setup = setup(World::harm_requests);
    let mut ranges = 0;
    setup.world.faults().obey(move |request| {
        ranges += usize::from(is_range(request));
        (is_range(request) && ranges % 2 == 1).then_some(Fault::WrongContent)
    });
    setup.check(0, 4096);
    setup.check(BYTES / 2, 4096);
    let harm = |request: &str| is_range(request).then_some(Fault::WrongContent);
    setup.world.faults().obey(harm);
    assert_eq!(setup.error(BYTES / 4), Some(libc::EIO));
    setup.check(BYTES / 2, 4096);
    setup.world.faults().heal();
    setup.says("cat", &[], &setup.expected);
    setup.outlives_the_server();
}

#[test]
fn a_server_that_lies_is_found_out_and_the_kernel_forgets_what_it_said() {
    let mut setup = setup(World::harm_requests);
    let mut ranges = 0;
    setup.world.faults().obey(move |request| {
        ranges += usize::from(is_range(request));
        (is_range(request) && ranges == 1).then_some(Fault::Lie)
    });
    let file = File::open(&setup.path).unwrap();
    let mut page = [0; 4096];
    file.read_exact_at(&mut page, 0).unwrap();
    assert_ne!(page, setup.expected[..4096], "nothing can tell yet");
    fs::read(&setup.path).unwrap();
    // The whole tells. Its pages are dropped, and what is read then is proved before.
    wait_until("the kernel forgets", Duration::from_secs(30), || {
        file.read_exact_at(&mut page, 0).unwrap();
        page == setup.expected[..4096]
    });
    assert!(fs::read(&setup.path).unwrap() == setup.expected);
    setup.outlives_the_server();
}

#[test]
fn an_edit_has_all_of_it() {
    let mut setup = counted();
    setup.check(BYTES / 2, 4096);
    let mut file = OpenOptions::new().append(true).open(&setup.path).unwrap();
    file.write_all(b"and more").unwrap();
    setup.expected.extend(b"and more");
    assert!(fs::read(&setup.path).unwrap() == setup.expected);
    setup.world.flush_and_compare("app");
}

#[test]
fn an_edit_of_what_is_mostly_here_costs_the_rest() {
    let mut setup = counted();
    let read = BYTES / 4 * 3;
    setup.says("head", &["-c", &read.to_string()], &setup.expected[..read]);
    let mut file = OpenOptions::new().append(true).open(&setup.path).unwrap();
    file.write_all(b"and more").unwrap();
    drop(file);
    let requests = setup.world.proxy().take();
    let reads = requests
        .iter()
        .filter(|request| request.starts_with("GET "));
    assert!(
        reads.clone().all(|request| is_range(request)),
        "{requests:?}"
    );
    let whole = BYTES as u64;
    let bytes = setup.world.proxy().take_bytes();
    assert!((whole..whole + whole / 50).contains(&bytes), "{bytes}");
    setup.expected.extend(b"and more");
    assert!(fs::read(&setup.path).unwrap() == setup.expected);
    setup.world.flush_and_compare("app");
}
