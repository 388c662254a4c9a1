//! A cold start beside what users do instead: a mount with nothing cached, a shallow clone, and a tar
//! stream of the tree, over a line of 0 and of 50 ms round trip, in turns; then once more with what the store
//! has, and no server.
//!
//! The repository has 5,000 files of source-like text, 50 MB, four directories deep. What is read is
//! verified against the repository by checksum, outside the time. Figures are medians of five turns
//! (or of as many as the first argument says), as ratios to what the target names.
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

use self::line::Line;
use crate::support::disk::Ground;
use crate::support::git;
use crate::support::process::run;
use crate::support::world::World;

#[path = "cold/line.rs"]
mod line;
#[path = "../tests/support/mod.rs"]
mod support;

const FILES: usize = 5_000;
const FILE_BYTES: usize = 10_000;
const NAMED: &str = "top-3/middle-2/low-1/deep-2/file-7.rs";
const SIBLING: &str = "top-3/middle-2/low-1/deep-2/file-2.rs";
const ELSEWHERE: &str = "top-1/middle-4/low-3/deep-0/file-4.rs";
/// In one line of each file.
const NEEDLE: &str = "needle_in_each_file";

const DISK_BYTES: u64 = 8 << 30;

type Times = BTreeMap<&'static str, Vec<Duration>>;

fn main() {
    // `cargo bench` says `--bench` as well.
    let turns = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let ground = Ground::make(DISK_BYTES);
    if let Some(ground) = &ground {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var("TMPDIR", ground.path()) };
    }
    let source = tempfile::tempdir().unwrap();
    let repository = repository(source.path());
    let wanted = checksum(&repository);
    let archive = archive(repository.clone());
    for round_trip in [0, 50].map(Duration::from_millis) {
        let mut times = Times::new();
        for _ in 0..turns.unwrap_or(5) {
            turn(&repository, (archive, round_trip), wanted, &mut times);
        }
        report(round_trip, &times);
    }
}

/// Everything once.
fn turn(
    repository: &Path,
    (archive, round_trip): (SocketAddr, Duration),
    wanted: blake3::Hash,
    times: &mut Times,
) {
    let mut world = World::serve(&[("app", repository)]);
    let server: SocketAddr = {
        let url = world.server_url();
        let address = url.trim_start_matches("http://").trim_end_matches("/v1");
        address.parse().unwrap()
    };
    let line = Line::start(server, round_trip);
    let direct = world.server_url();
    world.set("MESA_API_URL", &format!("http://{}/v1", line.address()));
    let mut note = |what, took| times.entry(what).or_default().push(took);

    let clone = world.folder().join("clone");
    let from = format!("http://t:{}@{}/local/app.git", world.token, line.address());
    note(
        "clone",
        timed(|| {
            let arguments = [
                "clone",
                "-q",
                "--depth",
                "1",
                &from,
                clone.to_str().unwrap(),
            ];
            run(world.command("git").args(arguments)).success();
        }),
    );
    assert_eq!(checksum(&clone), wanted);

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
    assert_eq!(checksum(&unpacked), wanted);

    let app = world.repo("app");
    note(
        "mount and one file",
        timed(|| {
            run(&mut world.mesa(&["mount", "--daemonize", "--no-supervisor"])).success();
            read_as(&app, repository, NAMED);
        }),
    );
    world.adopt();
    note(
        "the file beside it",
        timed(|| read_as(&app, repository, SIBLING)),
    );
    note(
        "a file elsewhere",
        timed(|| read_as(&app, repository, ELSEWHERE)),
    );
    afresh(&mut world);
    note(
        "ls -lR",
        timed(|| {
            let listed = run(world.command("ls").arg("-lR").arg(&app))
                .success()
                .text();
            assert_eq!(listed.matches("file-").count(), FILES);
        }),
    );
    afresh(&mut world);
    note("tar c", timed(|| pack(&world, &app)));
    assert_eq!(checksum(&app), wanted);
    afresh(&mut world);
    note(
        "grep -r",
        timed(|| {
            let found = run(world.command("grep").args(["-rc", NEEDLE]).arg(&app)).success();
            let found = found.text();
            assert_eq!(
                found.lines().filter(|line| line.ends_with(":1")).count(),
                FILES
            );
        }),
    );
    assert_eq!(checksum(&app), wanted);
    // Of a server that is gone a call is refused; the line would take it, and say nothing.
    world.set("MESA_API_URL", &direct);
    afresh(&mut world);
    pack(&world, &app);
    world.unmount("10s").success();
    world.stop_server();
    world.mount();
    note("tar c, the second mount", timed(|| pack(&world, &app)));
    note("tar c, once more", timed(|| pack(&world, &app)));
    assert_eq!(checksum(&app), wanted);
    world.unmount("10s").success();
}

/// Reads everything as `tar` does: not into /dev/null itself, for which it would read nothing.
fn pack(world: &World, app: &Path) {
    let script = "tar -c --exclude=./.git -C \"$1\" . | cat > /dev/null";
    let app = app.to_str().unwrap();
    run(world
        .command("bash")
        .args(["-o", "pipefail", "-c", script, "-", app]))
    .success();
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

fn read_as(app: &Path, repository: &Path, path: &str) {
    let read = fs::read(app.join(path)).unwrap();
    assert!(read == fs::read(repository.join(path)).unwrap(), "{path}");
}

fn report(round_trip: Duration, times: &Times) {
    let median = |what: &str| {
        let mut all = times[what].clone();
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64()
    };
    let line = round_trip.as_secs_f64();
    println!(
        "\n{FILES} files, {} MB, {round_trip:?} round trip",
        FILES * FILE_BYTES / 1_000_000
    );
    println!("| what | median, s | beside | ratio | target |");
    println!("| --- | --- | --- | --- | --- |");
    for what in ["clone", "tar"] {
        println!("| {what} | {:.3} | | | |", median(what));
    }
    for (what, beside, target) in [
        ("ls -lR", "clone", 0.3),
        ("tar c", "tar", 1.2),
        ("grep -r", "tar", 1.2),
    ] {
        let (took, other) = (median(what), median(beside));
        println!(
            "| {what} | {took:.3} | {beside} | {:.2} | {target} |",
            took / other
        );
    }
    let (second, again) = ("tar c, the second mount", "tar c, once more");
    let (took, other) = (median(second), median(again));
    println!("| {second} | {took:.3} | {again} | {:.2} | |", took / other);
    for (what, name, target) in [
        (
            "mount and one file",
            "4 round trips + 50 ms",
            4.0 * line + 0.05,
        ),
        ("the file beside it", "1 round trip + 5 ms", line + 0.005),
        ("a file elsewhere", "1 round trip + 5 ms", line + 0.005),
    ] {
        let took = median(what);
        println!("| {what} | {took:.3} | {name} | {:.2} | 1 |", took / target);
    }
}

/// Source-like text: words that come again, and numbers that do not.
fn repository(folder: &Path) -> PathBuf {
    const WORDS: [&str; 12] = [
        "let", "value", "return", "self.", "match", "state", "=> {", "}", "Some(", "index", "fn",
        "//",
    ];
    let root = folder.join("app");
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for number in 0..FILES {
        let folder = number / 10;
        let (top, middle, low, deep) = (folder / 100, folder / 20 % 5, folder / 4 % 5, folder % 4);
        let below = format!("top-{top}/middle-{middle}/low-{low}/deep-{deep}");
        fs::create_dir_all(root.join(&below)).unwrap();
        let mut text = format!("// {NEEDLE}\n");
        while text.len() < FILE_BYTES {
            let word = next();
            text.push_str(WORDS[(word % 12) as usize]);
            text.push(if word & 0x700 == 0 { '\n' } else { ' ' });
            if word & 0x3000 == 0 {
                text.push_str(&format!("{:x} ", word >> 40));
            }
        }
        fs::write(
            root.join(below).join(format!("file-{}.rs", number % 10)),
            text,
        )
        .unwrap();
    }
    git::initialise(&root);
    root
}

/// Paths and contents of a tree, without what Git keeps in it.
fn checksum(root: &Path) -> blake3::Hash {
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
    assert_eq!(paths.len(), FILES);
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
