//! A cold start beside what users do instead: a mount with nothing cached; clones that are full, shallow, and
//! without blobs until the checkout; and a tar stream of the tree, over a line, in turns; then once more with
//! what the store has, and no server.
//!
//! The repository has files of source-like text, 10 kB each, four directories deep. What is read is
//! verified against the repository by checksum, outside the time. Figures are medians of five turns
//! (or of as many as the first argument says), as ratios to what the target names.
//!
//! `MESA_BENCH_FILES` (5000), `MESA_BENCH_ROUND_TRIPS` (`0,20,50`: milliseconds).
//!
//! For root everything stands on one ext4 with a journal, on a loop device with direct I/O, as in the bench
//! `mount`: the root file systems of some machines get slow after many removals, and all turns remove.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails is no measurement"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::disk::Ground;
use crate::support::git;
use crate::support::line::Line;
use crate::support::process::{run, run_within};
use crate::support::world::World;

#[path = "../tests/support/mod.rs"]
mod support;

const FILE_BYTES: usize = 10_000;
const NAMED: &str = "top-3/middle-2/low-1/deep-2/file-7.rs";
const SIBLING: &str = "top-3/middle-2/low-1/deep-2/file-2.rs";
const ELSEWHERE: &str = "top-1/middle-4/low-3/deep-0/file-4.rs";
const ANOTHER: &str = "top-2/middle-0/low-2/deep-3/file-1.rs";
/// In one line of each file.
const NEEDLE: &str = "needle_in_each_file";

const DISK_BYTES: u64 = 24 << 30;
const FULL: &str = "clone";
const SHALLOW: &str = "clone --depth 1";
const BLOBLESS: &str = "clone --filter blob:none";
const LATER: &str = "a file elsewhere, half a second later";
const PAUSE: Duration = Duration::from_millis(500);
/// How long one program may take, with the larger repository.
const DEADLINE: Duration = Duration::from_secs(600);

type Times = BTreeMap<&'static str, Vec<Duration>>;

fn main() {
    // `cargo bench` says `--bench` as well.
    let turns = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let files = number("MESA_BENCH_FILES", "5000")[0] as usize;
    let ground = Ground::make(DISK_BYTES);
    if let Some(ground) = &ground {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var("TMPDIR", ground.path()) };
    }
    let source = tempfile::tempdir().unwrap();
    let repository = Repository::make(source.path(), files);
    let archive = archive(repository.root.clone());
    for round_trip in number("MESA_BENCH_ROUND_TRIPS", "0,20,50") {
        let round_trip = Duration::from_millis(round_trip);
        let mut times = Times::new();
        for _ in 0..turns.unwrap_or(5) {
            turn(&repository, (archive, round_trip), &mut times);
        }
        report(&repository, round_trip, &times);
    }
}

/// The numbers that the environment says, separated by commas.
fn number(name: &str, otherwise: &str) -> Vec<u64> {
    let said = std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    said.split(',').map(|word| word.parse().unwrap()).collect()
}

/// Everything once.
fn turn(repository: &Repository, (archive, round_trip): (SocketAddr, Duration), times: &mut Times) {
    let mut world = World::serve(&[("app", &repository.root)]);
    world.watch_for(DEADLINE);
    let line = Line::start(world.server_address(), round_trip);
    let direct = world.server_url();
    world.set("MESA_API_URL", &format!("http://{}/v1", line.address()));
    let mut note = |what, took| times.entry(what).or_default().push(took);

    let from = format!("http://t:{}@{}/local/app.git", world.token, line.address());
    for (how, arguments) in [
        (FULL, &[][..]),
        (SHALLOW, &["--depth", "1"]),
        (BLOBLESS, &["--filter", "blob:none"]),
    ] {
        let clone = world.folder().join("clone");
        let mut git = world.command("git");
        let git = git.args(["clone", "-q"]).args(arguments).arg(&from);
        let git = git.arg(&clone);
        note(how, timed(|| drop(run_within(git, DEADLINE).success())));
        repository.compare(&clone);
        fs::remove_dir_all(clone).unwrap();
    }

    let far_archive = Line::start(archive, round_trip);
    let unpacked = world.folder().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    note(
        "tar",
        timed(|| {
            let mut stream = TcpStream::connect(far_archive.address()).unwrap();
            stream.write_all(b"go").unwrap();
            let mut tar = Command::new("tar");
            let tar = tar.args(["-x", "-C"]).arg(&unpacked).stdin(Stdio::piped());
            let mut tar = tar.spawn().unwrap();
            // It does not read what follows the end of an archive; what it unpacked is looked at.
            let copied = std::io::copy(&mut stream, &mut tar.stdin.take().unwrap());
            let is_over = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
            assert!(copied.as_ref().err().is_none_or(is_over), "{copied:?}");
            assert!(tar.wait().unwrap().success());
        }),
    );
    repository.compare(&unpacked);
    fs::remove_dir_all(unpacked).unwrap();

    let app = world.repo("app");
    note(
        "mount and one file",
        timed(|| {
            run(&mut world.mesa(&["mount", "--daemonize", "--no-supervisor"])).success();
            repository.read_as(&app, NAMED);
        }),
    );
    world.adopt();
    for (what, path) in [
        ("the file beside it", SIBLING),
        ("a file elsewhere", ELSEWHERE),
    ] {
        note(what, timed(|| repository.read_as(&app, path)));
    }
    thread::sleep(PAUSE);
    note(LATER, timed(|| repository.read_as(&app, ANOTHER)));
    afresh(&mut world);
    note(
        "ls -lR",
        timed(|| {
            let mut list = world.command("ls");
            let listed = run_within(list.arg("-lR").arg(&app), DEADLINE);
            assert_eq!(
                listed.success().text().matches("file-").count(),
                repository.files
            );
        }),
    );
    afresh(&mut world);
    note("tar c", timed(|| pack(&world, &app)));
    repository.compare(&app);
    afresh(&mut world);
    note(
        "grep -r",
        timed(|| {
            let mut grep = world.command("grep");
            let found = run_within(grep.args(["-rc", NEEDLE]).arg(&app), DEADLINE);
            let found = found.success().text();
            assert_eq!(
                found.lines().filter(|line| line.ends_with(":1")).count(),
                repository.files
            );
        }),
    );
    repository.compare(&app);
    // Of a server that is gone a call is refused; the line would take it, and say nothing.
    world.set("MESA_API_URL", &direct);
    afresh(&mut world);
    pack(&world, &app);
    world.unmount("10s").success();
    world.stop_server();
    note(
        "mount, no server",
        timed(|| {
            run(&mut world.mesa(&["mount", "--daemonize", "--no-supervisor"])).success();
            repository.read_as(&app, NAMED);
        }),
    );
    world.adopt();
    note("tar c, the second mount", timed(|| pack(&world, &app)));
    note("tar c, once more", timed(|| pack(&world, &app)));
    repository.compare(&app);
    world.unmount("10s").success();
}

/// Reads everything as `tar` does: not into /dev/null itself, for which it would read nothing.
fn pack(world: &World, app: &Path) {
    let script = "tar -c --exclude=./.git -C \"$1\" . | cat > /dev/null";
    let app = app.to_str().unwrap();
    let mut bash = world.command("bash");
    let bash = bash.args(["-o", "pipefail", "-c", script, "-", app]);
    run_within(bash, DEADLINE).success();
}

/// A mount with nothing cached.
fn afresh(world: &mut World) {
    world.unmount("10s").success();
    fs::remove_dir_all(world.data()).unwrap();
    world.mount();
}

/// How long that takes, on a disk that has nothing else to write.
fn timed(work: impl FnOnce()) -> Duration {
    nix::unistd::sync();
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn report(repository: &Repository, round_trip: Duration, times: &Times) {
    let median = |what: &str| {
        let mut all = times[what].clone();
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64()
    };
    let line = round_trip.as_secs_f64();
    println!(
        "\n{} files, {} MB, {round_trip:?} round trip",
        repository.files,
        repository.files * FILE_BYTES / 1_000_000
    );
    println!("| what | median, s | beside | ratio | target |");
    println!("| --- | --- | --- | --- | --- |");
    for what in [FULL, SHALLOW, BLOBLESS, "tar"] {
        println!("| {what} | {:.3} | | | |", median(what));
    }
    for (what, beside, target) in [
        ("ls -lR", SHALLOW, "0.3"),
        ("tar c", "tar", "1.2"),
        ("grep -r", "tar", "1.2"),
        ("tar c, the second mount", "tar c, once more", ""),
    ] {
        let (took, other) = (median(what), median(beside));
        println!(
            "| {what} | {took:.3} | {beside} | {:.2} | {target} |",
            took / other
        );
    }
    let (one, four) = (
        ("1 round trip + 5 ms", line + 0.005),
        ("4 round trips + 50 ms", 4.0 * line + 0.05),
    );
    for (what, (name, target)) in [
        ("mount and one file", four),
        ("the file beside it", one),
        ("a file elsewhere", one),
        (LATER, one),
        ("mount, no server", four),
    ] {
        let took = median(what);
        println!("| {what} | {took:.3} | {name} | {:.2} | 1 |", took / target);
    }
}

/// What is mounted and cloned.
struct Repository {
    root: PathBuf,
    files: usize,
    checksum: blake3::Hash,
}

impl Repository {
    /// Source-like text: words that come again, and numbers that do not.
    fn make(folder: &Path, files: usize) -> Repository {
        const WORDS: [&str; 12] = [
            "let", "value", "return", "self.", "match", "state", "=> {", "}", "Some(", "index",
            "fn", "//",
        ];
        let root = folder.join("app");
        let mut random = 88_172_645_463_325_252_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for number in 0..files {
            let folder = number / 10;
            let (top, middle, low, deep) =
                (folder / 100, folder / 20 % 5, folder / 4 % 5, folder % 4);
            let below = root.join(format!("top-{top}/middle-{middle}/low-{low}/deep-{deep}"));
            fs::create_dir_all(&below).unwrap();
            let mut text = format!("// {NEEDLE}\n");
            while text.len() < FILE_BYTES {
                let word = next();
                text.push_str(WORDS[(word % 12) as usize]);
                text.push(if word & 0x700 == 0 { '\n' } else { ' ' });
                if word & 0x3000 == 0 {
                    text.push_str(&format!("{:x} ", word >> 40));
                }
            }
            fs::write(below.join(format!("file-{}.rs", number % 10)), text).unwrap();
        }
        git::initialise(&root);
        let checksum = checksum(&root, files);
        Repository {
            root,
            files,
            checksum,
        }
    }

    fn read_as(&self, app: &Path, path: &str) {
        let read = fs::read(app.join(path)).unwrap();
        assert!(read == fs::read(self.root.join(path)).unwrap(), "{path}");
    }

    fn compare(&self, copy: &Path) {
        assert_eq!(checksum(copy, self.files), self.checksum);
    }
}

/// Paths and contents of a tree, without what Git keeps in it.
fn checksum(root: &Path, files: usize) -> blake3::Hash {
    let mut paths = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true if entry.file_name() == ".git" => {}
                true => folders.push(entry.path()),
                false => paths.push(entry.path()),
            }
        }
    }
    paths.sort();
    assert_eq!(paths.len(), files);
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        let relative = path.strip_prefix(root).unwrap();
        hasher.update(relative.to_str().unwrap().as_bytes());
        hasher.update(&fs::read(path).unwrap());
    }
    hasher.finalize()
}

/// Whoever connects and says something is sent the tree as a tar.
fn archive(repository: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if stream.read(&mut [0; 2]).unwrap_or(0) == 0 {
                continue;
            }
            let mut git = Command::new("git");
            let git = git.args(["archive", "--format=tar", "HEAD"]);
            let git = git.current_dir(&repository).stdout(Stdio::piped());
            let mut git = git.spawn().unwrap();
            std::io::copy(&mut git.stdout.take().unwrap(), &mut stream).unwrap();
            assert!(git.wait().unwrap().success());
        }
    });
    address
}
