//! Faults by chance under a workload by chance: a writer that knows what must be there, a reader of
//! what nobody has read, and a network that does something else every moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pulse::Pulse;
use crate::support::faults::{Fault, FaultProxy, Line};
use crate::support::git::{commit_all, git_text};
use crate::support::stopwatch::holds_within;
use crate::support::tree::{Entry, GitFolder, Tree};
use crate::support::world::World;
use crate::workload::{Dice, Model};
use crate::{LOCAL_MAX, REMOTE_MAX, variable};

/// Files that nobody has read: more than can be read while the network is bad.
pub const UNREAD: usize = 2_000;
/// How long each seed's network is bad.
const BAD: Duration = Duration::from_secs(20);
/// A mount asks a server that is away every three seconds, and each time for as long.
const NOTICED_MAX: Duration = Duration::from_secs(10);
/// For so long a read is told what another of the same file was just told.
const ECHO: Duration = Duration::from_millis(1_500);
/// A file that nobody reads before the network is good for ever.
const LAST: &str = "last";
/// Paths of the writer.
const PATHS_MAX: usize = 80;
/// What a reader may be told while the network is bad; that a name is not there is none of it.
pub const ERRORS: [i32; 8] = [
    libc::ENETUNREACH,
    libc::ETIMEDOUT,
    libc::EREMOTEIO,
    libc::EKEYREVOKED,
    libc::EKEYEXPIRED,
    libc::EACCES,
    libc::EIO,
    libc::EAGAIN,
];

/// Shows a seed when the test that it is for fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to repeat it: MESA_FAULT_SEED={}", self.0);
        }
    }
}

/// What a file that nobody has read has in it.
pub fn content(index: usize) -> Vec<u8> {
    format!("file {index}\n")
        .repeat(1 + index % 300)
        .into_bytes()
}

/// Where it is, below the repository.
pub fn unread(index: usize) -> String {
    format!("unread/{:02}/{index}", index / 50)
}

/// A repository with such files, and one to be cached.
pub fn repository(folder: &Path) -> PathBuf {
    let root = folder.join("app");
    fs::create_dir(&root).unwrap();
    git_text(&root, &["init", "--quiet"]);
    fs::write(root.join("cached"), content(299)).unwrap();
    fs::write(root.join(LAST), content(298)).unwrap();
    for index in 0..UNREAD {
        let path = root.join(unread(index));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(index)).unwrap();
    }
    commit_all(&root, "files that nobody has read");
    root
}

#[test]
fn faults_by_chance_lose_nothing_and_keep_nobody_waiting() {
    let first = variable("MESA_FAULT_SEED", 1);
    for number in first..first + variable("MESA_FAULT_SEEDS", 1) {
        one_seed(&Seed(number));
    }
}

fn one_seed(seed: &Seed) {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &repository(source.path()))]);
    world.watch_for(Duration::from_secs(300));
    world.harm_requests();
    // Else one good moment has everything here, and nothing is left to be harmed.
    world.set("MESA_PREFETCH_MAX_OBJECTS", "8");
    world.mount();
    let app = world.repo("app");
    let root = app.join("written");
    fs::create_dir(&root).unwrap();
    let (mounted, done) = (Mutex::new(()), AtomicBool::new(false));
    let pulse = Pulse::new(&app, "cached", &mounted, &done);
    let (read, told) = Default::default();
    let (written, beat) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&root, Dice::new(seed.0), Duration::ZERO, &done));
        let readers: Vec<_> = (0..6)
            .map(|number| {
                let dice = Dice::new(seed.0 ^ (77 + number));
                let (app, read, told, done) = (&app, &read, &told, &done);
                scope.spawn(move || read_by_chance(app, dice, read, told, done))
            })
            .collect();
        let beating = scope.spawn(|| pulse.beat());
        be_bad(world.faults(), Dice::new(seed.0 ^ 0xFA17), &|| {
            writer.is_finished()
                || beating.is_finished()
                || readers.iter().any(|one| one.is_finished())
        });
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
        (writer.join().unwrap(), beating.join().unwrap())
    });
    let struck = world.faults().struck();
    assert!(struck > 5, "only {struck} requests were harmed");
    Tree::walk(&root, GitFolder::Walked).assert_equals(
        &written.model.tree(),
        "mount (left), what was written (right)",
    );
    let healed = Instant::now();
    // A mount that has nothing to push asks nobody, and notices within seconds that the network is
    // good again; and what was waited for in vain is told once more for a second.
    let is_noticed = || fs::read(app.join(LAST)).is_ok();
    assert!(holds_within(NOTICED_MAX, is_noticed), "still no network");
    thread::sleep(ECHO.saturating_sub(healed.elapsed()));
    let local = world.flush_and_compare("app");
    println!(
        "seed {}: {} operations, {} files read and {} reads refused, {struck} requests harmed; \
         local calls at most {:?}; flushed and compared {:?} after the last fault",
        seed.0,
        written.operations,
        read.load(Ordering::SeqCst),
        told.load(Ordering::SeqCst),
        beat.longest,
        healed.elapsed()
    );
    for index in (0..UNREAD).step_by(97) {
        let entry = &local.0[Path::new(&unread(index))];
        assert_eq!(*entry, Entry::file(&content(index), false), "{index}");
    }
}

/// Something else every moment; then nothing any more.
fn be_bad(proxy: &FaultProxy, mut dice: Dice, is_over: &dyn Fn() -> bool) {
    let start = Instant::now();
    while start.elapsed() < BAD && !is_over() {
        match dice.below(5) {
            0 => proxy.heal(),
            _ => harm(proxy, &mut dice),
        }
        let until = Instant::now() + Duration::from_millis(100 + dice.below(1_500));
        while Instant::now() < until && !is_over() {
            thread::sleep(Duration::from_millis(10));
        }
    }
    proxy.heal();
}

/// Does one thing to the network, until another is done.
pub fn harm(proxy: &FaultProxy, dice: &mut Dice) {
    match dice.below(8) {
        0 => proxy.set_line(Line::Refusing),
        1 => proxy.set_line(Line::Silent),
        2 => proxy.set_line(Line::Deaf),
        3 => proxy.forget_connections(),
        _ => {
            proxy.set_line(Line::Up);
            let mut rolled = Dice::new(dice.below(1 << 40));
            let often = 1 + dice.below(4);
            proxy.obey(move |_| (rolled.below(4) < often).then(|| fault(&mut rolled)));
        }
    }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(16) {
        0 => Fault::Latency(Duration::from_millis(dice.below(2_000))),
        1 => Fault::Bandwidth(2_000 + dice.below(50_000)),
        2 => Fault::Reset,
        3 => Fault::ResetAfter,
        4 => Fault::Silence,
        5 => Fault::SilenceAfter,
        6 => Fault::Cut(usize::try_from(dice.below(2_000)).unwrap()),
        7 => Fault::Stall(usize::try_from(dice.below(2_000)).unwrap()),
        8 => Fault::Drip(Duration::from_millis(50)),
        9 => Fault::Status(429, Some(1)),
        10 => Fault::Status(500 + u16::try_from(dice.below(4)).unwrap(), None),
        11 => Fault::StatusAfter(502),
        12 => Fault::Status(409, None),
        13 => Fault::WrongContent,
        14 => Fault::WrongLength(i64::try_from(dice.below(20)).unwrap() - 10),
        _ => Fault::StatusAfter(409),
    }
}

/// What a writer did.
#[derive(Default)]
pub struct Written {
    /// What must be there.
    pub model: Model,
    /// How many calls it made.
    pub operations: usize,
    /// The longest of them.
    pub longest: Duration,
}

/// Writes until it is done, with a pause after each call.
pub fn write(root: &Path, mut dice: Dice, pause: Duration, done: &AtomicBool) -> Written {
    let mut written = Written::default();
    while !done.load(Ordering::SeqCst) {
        let operation = written.model.next_within(PATHS_MAX, &mut dice);
        let begun = Instant::now();
        operation
            .perform(root)
            .unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        let took = begun.elapsed();
        assert!(took < LOCAL_MAX, "{operation:?} took {took:?}");
        written.model.apply(&operation);
        written.operations += 1;
        written.longest = written.longest.max(took);
        thread::sleep(pause);
        if dice.below(40) == 0 {
            // A pause, in which a push begins.
            thread::sleep(Duration::from_millis(300));
        }
    }
    written
}

fn read_by_chance(
    app: &Path,
    mut dice: Dice,
    read: &AtomicUsize,
    told: &AtomicUsize,
    done: &AtomicBool,
) {
    while !done.load(Ordering::SeqCst) {
        let index = usize::try_from(dice.below(UNREAD as u64)).unwrap();
        let begun = Instant::now();
        // Two directories may have to be listed first.
        let result = fs::read(app.join(unread(index)));
        let took = begun.elapsed();
        assert!(took < REMOTE_MAX * 2, "file {index} took {took:?}");
        match result {
            Ok(bytes) => {
                assert!(bytes == content(index), "file {index} has other bytes");
                read.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap();
                assert!(ERRORS.contains(&errno), "file {index}: {error}");
                told.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
