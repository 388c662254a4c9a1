//! A day in a minute: the network flaps every few seconds, tokens live for twenty, and meanwhile one
//! agent writes, one reads, and Git works on the mount. `MESA_SOAK_SECONDS` makes it longer.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::{ERRORS, UNREAD, content, harm, repository, unread, write};
use crate::pulse::Pulse;
use crate::support::git::git_text;
use crate::support::stopwatch::wait_until;
use crate::support::tree::{Entry, GitFolder, Tree};
use crate::support::world::World;
use crate::workload::Dice;
use crate::{LOCAL_MAX, REMOTE_MAX, stuck, variable};

/// How long it goes on, unless `MESA_SOAK_SECONDS` says otherwise: two tokens that are renewed in
/// time, and one that runs out.
const SECONDS: u64 = 50;
/// How long a token lives.
const LIFE: &str = "20s";
/// When the next one is made: after seven tenths of that.
const RENEWED_AFTER: Duration = Duration::from_secs(14);
/// How long somebody is without one when it is not renewed in time.
const WITHOUT: Duration = Duration::from_secs(2);
/// Between two calls of the writer: it is to go on for long, not to load the machine.
const WRITER_PAUSE: Duration = Duration::from_millis(5);
/// A command of Git makes hundreds of calls, none of which needs the server.
const GIT_MAX: Duration = Duration::from_secs(30);
/// How soon everything is pushed after the last flap: a probe or two, a backoff, and a push.
const DRAINED_MAX: Duration = Duration::from_secs(60);

/// What the reader found.
#[derive(Default)]
struct Read {
    /// Files that came from the server.
    fetched: usize,
    /// Files that did not.
    refused: usize,
    /// Files that had come before, and were read again.
    cached: usize,
    longest_remote: Duration,
    longest_local: Duration,
}

/// What Git did.
#[derive(Default)]
struct Committed {
    commits: usize,
    commands: usize,
    longest: Duration,
}

/// What became of tokens.
#[derive(Default)]
struct Renewed {
    tokens: usize,
    /// Those that ran out before there was another.
    run_out: usize,
}

#[test]
fn agents_work_on_while_the_network_flaps_and_tokens_run_out() {
    let seconds = variable("MESA_SOAK_SECONDS", SECONDS);
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &repository(source.path()))]);
    world.watch_for(Duration::from_secs(seconds + 300));
    world.harm_requests();
    let key_file = world.folder().join("key");
    world.set("MESA_API_KEY_FILE", key_file.to_str().unwrap());
    renew(&world, &key_file, LIFE);
    world.token = String::new();
    world.mount();
    let app = world.repo("app");
    let (root, work) = (app.join("written"), app.join("work"));
    for folder in [&root, &work] {
        fs::create_dir(folder).unwrap();
    }
    fs::read_dir(app.join("unread")).unwrap().count();
    let (mounted, done) = (Mutex::new(()), AtomicBool::new(false));
    let pulse = Pulse::new(&app, "cached", &mounted, &done);
    let pause = Duration::from_millis(seconds * 1_000 / UNREAD as u64);
    world.faults().take();

    let (written, read, committed, renewed, beat, in_state_d, flaps) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&root, Dice::new(1), WRITER_PAUSE, &done));
        let reader = scope.spawn(|| read_along(&app, pause, &done));
        let committer = scope.spawn(|| commit_along(&work, &done));
        let renewer = scope.spawn(|| renew_along(&world, &key_file, &done));
        let beating = scope.spawn(|| pulse.beat());
        let watcher = scope.spawn(|| stuck::watch(&done));
        let flaps = flap(&world, Duration::from_secs(seconds), &|| {
            writer.is_finished()
                || reader.is_finished()
                || committer.is_finished()
                || renewer.is_finished()
                || beating.is_finished()
                || watcher.is_finished()
        });
        done.store(true, Ordering::SeqCst);
        (
            writer.join().unwrap(),
            reader.join().unwrap(),
            committer.join().unwrap(),
            renewer.join().unwrap(),
            beating.join().unwrap(),
            watcher.join().unwrap(),
            flaps,
        )
    });
    renew(&world, &key_file, "1h");
    let healed = Instant::now();
    wait_until("drained by itself", DRAINED_MAX, || {
        let status = world.status();
        world.pending("app") == 0 && status["state"] == "ready"
    });
    let drained = healed.elapsed();
    let requests = world.faults().take();
    let pushes = requests.iter().filter(|one| one.starts_with("PATCH"));
    println!(
        "soak of {seconds} s: {} operations, {} files fetched, {} refused, {} read again, {} \
         commands of Git, {} pushes, {flaps} flaps, {} tokens of which {} ran out; longest local \
         call {:?}, longest remote call {:?}, longest command of Git {:?}, in state D {in_state_d:?}, \
         drained {drained:?} after the last flap",
        written.operations + beat.calls,
        read.fetched,
        read.refused,
        read.cached,
        committed.commands,
        pushes.count(),
        renewed.tokens,
        renewed.run_out,
        written.longest.max(beat.longest).max(read.longest_local),
        read.longest_remote,
        committed.longest,
    );
    assert!(renewed.run_out > 0, "no token ran out");
    assert!(read.refused > 0, "nobody noticed the network");
    assert!(read.fetched > 0 && committed.commits > 0);

    Tree::walk(&root, GitFolder::Walked).assert_equals(
        &written.model.tree(),
        "mount (left), what was written (right)",
    );
    let count = git_text(&work, &["rev-list", "--count", "HEAD"]);
    assert_eq!(count, committed.commits.to_string());
    git_text(&work, &["fsck", "--full", "--strict"]);
    world.flush();
    let mut local = world.local_tree("app");
    for index in 0..UNREAD {
        let entry = &local.0[Path::new(&unread(index))];
        assert_eq!(*entry, Entry::file(&content(index), false), "{index}");
    }
    // A repository that is made inside a mount keeps its history to itself.
    local
        .0
        .retain(|path, _| path.iter().all(|name| name != ".git"));
    world
        .remote_tree("app")
        .assert_equals(&local, "remote (left) and mount (right)");
}

/// Makes a token, and puts it where the daemon looks for it, in one step.
fn renew(world: &World, key_file: &Path, lifetime: &str) {
    let new = key_file.with_extension("new");
    fs::write(&new, world.mint(lifetime, &["app"])).unwrap();
    fs::rename(new, key_file).unwrap();
}

/// Waits, but not longer than until something is over.
fn wait(time: Duration, is_over: &dyn Fn() -> bool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !is_over() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// The network is bad for a moment and good for a moment, in turn; how often it was bad.
fn flap(world: &World, time: Duration, is_over: &dyn Fn() -> bool) -> usize {
    let mut dice = Dice::new(2);
    let start = Instant::now();
    let mut flaps = 0;
    while start.elapsed() < time && !is_over() {
        harm(world.faults(), &mut dice);
        wait(Duration::from_millis(500 + dice.below(2_500)), is_over);
        world.faults().heal();
        wait(Duration::from_millis(500 + dice.below(2_500)), is_over);
        flaps += 1;
    }
    flaps
}

/// Sees to it that there is a token, but every third time too late.
fn renew_along(world: &World, key_file: &Path, done: &AtomicBool) -> Renewed {
    let is_over = || done.load(Ordering::SeqCst);
    let mut renewed = Renewed::default();
    loop {
        wait(RENEWED_AFTER, &is_over);
        if renewed.tokens % 3 == 1 {
            while !is_over() && world.status()["credential"]["trouble"] != "expired" {
                thread::sleep(Duration::from_millis(100));
            }
            wait(WITHOUT, &is_over);
            renewed.run_out += 1;
        }
        if is_over() {
            return renewed;
        }
        renew(world, key_file, LIFE);
        renewed.tokens += 1;
    }
}

/// Reads what nobody has read, and again what it has.
fn read_along(app: &Path, pause: Duration, done: &AtomicBool) -> Read {
    let mut dice = Dice::new(3);
    let mut read = Read::default();
    let mut here = BTreeSet::new();
    for index in (0..UNREAD).cycle() {
        if done.load(Ordering::SeqCst) {
            break;
        }
        if !here.contains(&index) {
            match fetch(&app.join(unread(index)), &mut read.longest_remote) {
                Ok(bytes) => {
                    assert!(bytes == content(index), "file {index} has other bytes");
                    here.insert(index);
                    read.fetched += 1;
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap();
                    assert!(ERRORS.contains(&errno), "file {index}: {error}");
                    read.refused += 1;
                }
            }
        }
        let first = usize::try_from(dice.below(here.len().max(1) as u64)).unwrap();
        for index in here.iter().skip(first).take(3) {
            let begun = Instant::now();
            let bytes = fs::read(app.join(unread(*index)))
                .unwrap_or_else(|error| panic!("a cached read of file {index}: {error}"));
            let took = begun.elapsed();
            assert!(bytes == content(*index), "file {index} has other bytes");
            assert!(took < LOCAL_MAX, "a cached read of {index} took {took:?}");
            read.longest_local = read.longest_local.max(took);
            read.cached += 1;
        }
        thread::sleep(pause);
    }
    read
}

/// Two calls that need the server: for the directory's listing, and for the file's bytes.
fn fetch(path: &Path, longest: &mut Duration) -> io::Result<Vec<u8>> {
    let mut timed = |what: &str, begun: Instant| {
        let took = begun.elapsed();
        assert!(took < REMOTE_MAX, "{what} {path:?} took {took:?}");
        *longest = took.max(*longest);
    };
    let begun = Instant::now();
    let found = fs::metadata(path);
    timed("looking up", begun);
    found?;
    let begun = Instant::now();
    let bytes = fs::read(path);
    timed("reading", begun);
    bytes
}

/// Edits and commits in a repository of its own.
fn commit_along(work: &Path, done: &AtomicBool) -> Committed {
    let mut committed = Committed::default();
    let git = |committed: &mut Committed, arguments: &[&str]| {
        let begun = Instant::now();
        let text = git_text(work, arguments);
        let took = begun.elapsed();
        assert!(took < GIT_MAX, "git {arguments:?} took {took:?}");
        committed.longest = committed.longest.max(took);
        committed.commands += 1;
        text
    };
    git(&mut committed, &["init", "--quiet"]);
    while !done.load(Ordering::SeqCst) {
        let number = committed.commits;
        let file = work.join(format!("file-{}", number % 10));
        fs::write(file, format!("commit {number}\n")).unwrap();
        git(&mut committed, &["add", "--all"]);
        let message = format!("commit {number}");
        git(&mut committed, &["commit", "--quiet", "-m", &message]);
        committed.commits += 1;
        let left = git(&mut committed, &["status", "--porcelain"]);
        assert_eq!(left, "", "after commit {number}");
        if number % 20 == 19 {
            git(&mut committed, &["gc", "--quiet", "--prune=now"]);
        }
        thread::sleep(Duration::from_millis(200));
    }
    committed
}
