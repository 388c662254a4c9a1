//! Every fault in every phase: listing, reading, pushing, flushing, mounting.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pulse::{Beat, Pulse};
use crate::support::git::{commit_all, git, git_text};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;
use crate::table::{After, Row, rows};
use crate::{REMOTE_MAX, stuck};

/// Worlds at the same time: they wait more than they work.
const WORLDS: usize = 8;
/// What a mount may take in a debug build on a busy machine: the promise is a second more than it
/// takes with a good network.
const MOUNT_MAX: Duration = Duration::from_secs(15);
/// A flush that is given two seconds, and what a busy machine adds.
const FLUSH_MAX: Duration = Duration::from_secs(15);
/// How soon everything works again after the fault: a probe or two.
const BACK_MAX: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Default)]
struct Figures {
    /// The longest, and what it was.
    remote: (Duration, String),
    mount: Duration,
    readable: Duration,
    drained: Duration,
    beat: Beat,
}

impl Figures {
    fn join(&mut self, other: &Figures) {
        if other.remote.0 > self.remote.0 {
            self.remote.clone_from(&other.remote);
        }
        self.mount = self.mount.max(other.mount);
        self.readable = self.readable.max(other.readable);
        self.drained = self.drained.max(other.drained);
        self.beat.calls += other.beat.calls;
        self.beat.longest = self.beat.longest.max(other.beat.longest);
    }
}

fn listed(index: usize) -> String {
    format!("list-{index:02}")
}

fn unread(index: usize) -> String {
    format!("read-{index:02}")
}

fn content(index: usize) -> Vec<u8> {
    format!("the content of file {index}, long enough to be cut\n")
        .repeat(4)
        .into_bytes()
}

/// A directory and a file for each fault, which nobody has looked at before it strikes.
fn repository(folder: &Path, count: usize) -> PathBuf {
    let root = folder.join("app");
    fs::create_dir(&root).unwrap();
    git_text(&root, &["init", "--quiet"]);
    fs::write(root.join("cached"), content(999)).unwrap();
    for index in 0..count {
        let directory = root.join(listed(index));
        fs::create_dir(&directory).unwrap();
        for name in ["one", "two"] {
            fs::write(directory.join(name), content(index)).unwrap();
        }
        fs::write(root.join(unread(index)), content(index)).unwrap();
    }
    commit_all(&root, "a file for each fault");
    root
}

#[test]
fn every_fault_in_every_phase_ends_in_time_and_harms_nothing() {
    let all: Vec<(usize, Row)> = rows().into_iter().enumerate().collect();
    let count = all.len();
    let source = tempfile::tempdir().unwrap();
    let repository = repository(source.path(), count);
    let queue = Mutex::new(VecDeque::from(all));
    let figures = Mutex::new(Figures::default());
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let in_state_d = thread::scope(|scope| {
        let watcher = scope.spawn(|| stuck::watch(&done));
        let worlds: Vec<_> = (0..WORLDS)
            .map(|_| scope.spawn(|| one_world(&repository, &queue, &figures)))
            .collect();
        let ended: Vec<_> = worlds.into_iter().map(|world| world.join()).collect();
        done.store(true, Ordering::SeqCst);
        let in_state_d = watcher.join();
        for end in ended {
            end.unwrap();
        }
        in_state_d.unwrap()
    });
    let figures = figures.into_inner().unwrap();
    println!(
        "{count} faults in 5 phases in {:?}: remote operations at most {:?} ({}), {} local ones at most \
         {:?}, mounts {:?}, readable again after {:?}, drained after {:?}, in state D {:?}",
        start.elapsed(),
        figures.remote.0,
        figures.remote.1,
        figures.beat.calls,
        figures.beat.longest,
        figures.mount,
        figures.readable,
        figures.drained,
        in_state_d
    );
}

fn one_world(repository: &Path, queue: &Mutex<VecDeque<(usize, Row)>>, all: &Mutex<Figures>) {
    let mut world = World::serve(&[("app", repository)]);
    world.watch_for(Duration::from_secs(900));
    world.harm_requests();
    // So that nothing comes along with what was asked for before, and each phase has a request of its own.
    world.set("MESA_PREFETCH_ENABLED", "false");
    world.mount();
    let (mounted, done) = (Mutex::new(()), AtomicBool::new(false));
    let app = world.repo("app");
    let pulse = Pulse::new(&app, "cached", &mounted, &done);
    let mut figures = Figures::default();
    thread::scope(|scope| {
        let beating = scope.spawn(|| pulse.beat());
        let faults = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            loop {
                let Some((index, row)) = queue.lock().unwrap().pop_front() else {
                    break;
                };
                one_fault(&mut world, index, &row, &mounted, &mut figures);
            }
        }));
        done.store(true, Ordering::SeqCst);
        let beat = beating.join();
        if let Err(panic) = faults {
            std::panic::resume_unwind(panic);
        }
        figures.beat = beat.unwrap();
    });
    world.flush_and_compare("app");
    all.lock().unwrap().join(&figures);
}

fn one_fault(
    world: &mut World,
    index: usize,
    row: &Row,
    mounted: &Mutex<()>,
    figures: &mut Figures,
) {
    let (name, harm, list_errors, read_errors, after) = row;
    let app = world.repo("app");
    let start = Instant::now();

    let directory = app.join(listed(index));
    harm.strike(world.faults());
    let entries = || {
        let entries: std::io::Result<Vec<_>> = fs::read_dir(&directory)?.collect();
        Ok(entries?.len().to_string().into_bytes())
    };
    remote(&format!("{name}, list"), list_errors, figures, entries);
    healed(world, figures, || {
        entries().is_ok_and(|count| count == b"2")
    });

    let file = app.join(unread(index));
    harm.strike(world.faults());
    let read = || fs::read(&file);
    remote(&format!("{name}, read"), read_errors, figures, read);
    healed(world, figures, || {
        read().is_ok_and(|bytes| bytes == content(index))
    });

    push(world, &app, row, figures);

    fs::write(app.join("flushed"), name).unwrap();
    harm.strike(world.faults());
    let begun = Instant::now();
    let flush = run(&mut world.mesa(&["journal", "flush", "--timeout", "2s"]));
    assert!(begun.elapsed() < FLUSH_MAX, "{name}: {flush}");
    assert!([0, 4, 5].contains(&flush.code()), "{name}: {flush}");
    world.faults().heal();
    flush_through(world, "flushed", name);

    let held = mounted.lock().unwrap();
    fs::write(app.join("unmounted"), name).unwrap();
    harm.strike(world.faults());
    let begun = Instant::now();
    world.unmount("0s");
    assert!(begun.elapsed() < MOUNT_MAX, "{name}: {:?}", begun.elapsed());
    let begun = Instant::now();
    world.mount();
    figures.mount = figures.mount.max(begun.elapsed());
    assert!(begun.elapsed() < MOUNT_MAX, "{name}: {:?}", begun.elapsed());
    drop(held);
    assert_eq!(fs::read(app.join("unmounted")).unwrap(), name.as_bytes());
    assert_eq!(fs::read(app.join("cached")).unwrap(), content(999));
    world.faults().heal();
    flush_through(world, "unmounted", name);
    println!("{name}: {:?} ({after:?})", start.elapsed());
}

/// An operation that needs the server, under a fault.
#[track_caller]
fn remote(
    what: &str,
    errors: &[i32],
    figures: &mut Figures,
    work: impl FnOnce() -> std::io::Result<Vec<u8>>,
) {
    let begun = Instant::now();
    let result = work();
    let took = begun.elapsed();
    if took > figures.remote.0 {
        figures.remote = (took, what.to_owned());
    }
    assert!(took < REMOTE_MAX, "{what} took {took:?}");
    match result {
        Ok(_) => assert!(errors.is_empty(), "{what} succeeded"),
        Err(error) => assert!(
            error
                .raw_os_error()
                .is_some_and(|errno| errors.contains(&errno)),
            "{what} failed with {error}"
        ),
    }
}

fn healed(world: &World, figures: &mut Figures, works: impl FnMut() -> bool) {
    world.faults().heal();
    let begun = Instant::now();
    wait_until("it works again", BACK_MAX, works);
    figures.readable = figures.readable.max(begun.elapsed());
}

/// An edit is pushed into the fault, and gets through once that is gone.
fn push(world: &World, app: &Path, row: &Row, figures: &mut Figures) {
    let (name, harm, _, _, after) = row;
    let struck = world.faults().struck();
    harm.strike(world.faults());
    fs::write(app.join("pushed"), name).unwrap();
    match harm {
        crate::table::Harm::Each(_) => wait_until("a push is struck", BACK_MAX, || {
            world.faults().struck() > struck
        }),
        crate::table::Harm::Line(_) => {
            wait_until("offline", BACK_MAX, || world.status()["state"] == "offline")
        }
        crate::table::Harm::Forgotten => {}
    }
    world.faults().heal();
    let begun = Instant::now();
    match after {
        After::Drains => {
            wait_until(&format!("{name}, pushed"), BACK_MAX, || {
                has(world, "pushed", name)
            });
            figures.drained = figures.drained.max(begun.elapsed());
        }
        After::Asked => flush_through(world, "pushed", name),
    }
}

/// A flush that gets everything of its time there; what was written meanwhile may remain.
fn flush_through(world: &World, path: &str, content: &str) {
    let flush = run(&mut world.mesa(&["journal", "flush", "--timeout", "60s"]));
    assert!([0, 4].contains(&flush.code()), "{flush}");
    assert!(has(world, path, content), "{content}, {path}: {flush}");
}

/// Whether Git reads this from the remote.
fn has(world: &World, path: &str, content: &str) -> bool {
    let status = world.repo_status("app");
    let Some(commit) = status["change"]["commit_oid"].as_str() else {
        return false;
    };
    let shown = git(&world.bare("app"))
        .args(["show", &format!("{commit}:{path}")])
        .output()
        .unwrap();
    shown.status.success() && shown.stdout == content.as_bytes()
}
