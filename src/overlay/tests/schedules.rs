//! Several threads on one overlay, in many orders: at each lock a scheduler chooses who goes on.
//!
//! ```text
//! cargo test --lib --features shuttle schedules        MESA_SCHEDULES=N asks for more orders
//! ```
//!
//! A failure prints the schedule that led to it, for `shuttle::replay`.

use std::collections::BTreeMap;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

use super::remote::{Tree, apply, sample};
use super::support::{Fixture, OWNER};
use crate::overlay::{AttributeChange, Error, NewNode, Rename, Scope};
use crate::tree::{Content, Edit, Ino, Name, Permissions};

/// Orders that each test tries with each of the two schedulers.
const SCHEDULES: usize = 150;
/// Points at which the second one takes the turn from a thread: most bugs of order need two or three.
const TURNS: usize = 3;
/// A thread's stack: ours are those of an operation on a debug build.
const STACK_BYTES: usize = 1 << 20;

/// Runs a scene in many orders.
fn in_many_orders(scene: impl Fn() + Send + Sync + 'static) {
    let asked = std::env::var("MESA_SCHEDULES").ok();
    let count = asked
        .and_then(|count| count.parse().ok())
        .unwrap_or(SCHEDULES);
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let scene = Arc::new(scene);
    let again = Arc::clone(&scene);
    Runner::new(RandomScheduler::new(count), config.clone()).run(move || again());
    Runner::new(PctScheduler::new(TURNS, count), config).run(move || scene());
}

/// A thread of its own on the same overlay.
fn beside(
    fixture: &Arc<Fixture>,
    work: impl FnOnce(&Fixture) + Send + 'static,
) -> thread::JoinHandle<()> {
    let fixture = Arc::clone(fixture);
    thread::spawn(move || work(&fixture))
}

fn joined(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// A remote that takes captures, and is not sent what changed while it was read.
struct Remote {
    base: Tree,
    tree: Tree,
}

impl Remote {
    fn new(base: &Tree) -> Remote {
        Remote {
            base: base.clone(),
            tree: base.clone(),
        }
    }

    /// Pushes what is pending, unless a body changes meanwhile. Says whether it came to an end.
    fn push(&mut self, fixture: &Fixture) -> bool {
        // As the replay does.
        let scope = match fixture.overlay().remote().pushed.0 {
            0 => Scope::Everything,
            _ => Scope::Pending,
        };
        let Some(capture) = fixture.call(|overlay| overlay.capture(scope)).unwrap() else {
            return true;
        };
        thread::yield_now();
        let mut next = match scope {
            Scope::Everything => self.base.clone(),
            Scope::Pending => self.tree.clone(),
        };
        for edit in &capture.edits {
            if !still(edit) {
                fixture.overlay().abandon_capture();
                return false;
            }
            apply(&mut next, &self.base, std::slice::from_ref(edit));
            thread::yield_now();
            if !still(edit) {
                fixture.overlay().abandon_capture();
                return false;
            }
        }
        let commit = crate::tree::GitOid([1; 20]);
        fixture
            .overlay()
            .record_pushed(capture.through, commit)
            .unwrap();
        self.tree = next;
        true
    }

    /// Pushes until nothing is left, with nobody else at work: then it has what the mount shows.
    #[track_caller]
    fn has_all(mut self, fixture: &Fixture) {
        while fixture.overlay().has_pending() {
            assert!(self.push(fixture), "a body changed by itself");
        }
        assert_eq!(self.tree, fixture.tree());
    }
}

/// Whether a body is as it was captured.
fn still(edit: &Edit) -> bool {
    match edit {
        Edit::File {
            content: Content::Body(body),
            ..
        } => body.is_unchanged(),
        _ => true,
    }
}

#[test]
fn what_is_written_while_it_is_pushed_is_pushed_once_more() {
    in_many_orders(|| {
        let base = sample();
        let fixture = Arc::new(Fixture::in_memory(&base));
        let writers = ["a/one", "b/run"].map(|path| {
            beside(&fixture, move |fixture| {
                for round in 0..3_u8 {
                    fixture
                        .write(path, u64::from(round), &[b'0' + round; 4])
                        .unwrap();
                }
            })
        });
        let mut remote = Remote::new(&base);
        for _ in 0..4 {
            remote.push(&fixture);
        }
        joined(writers);
        // What it has must be completed by what it was not told of yet.
        remote.has_all(&fixture);
    });
}

#[test]
fn two_who_copy_up_one_file_both_find_their_bytes_in_it() {
    in_many_orders(|| {
        let fixture = Arc::new(Fixture::in_memory(&sample()));
        let writers = [0_u64, 8, 16].map(|offset| {
            beside(&fixture, move |fixture| {
                fixture.write("a/two", offset, &[b'x'; 2]).unwrap();
            })
        });
        joined(writers);
        let bytes = fixture.read("a/two").unwrap();
        assert_eq!(bytes, b"xxo two\0xx\0\0\0\0\0\0xx");
    });
}

#[test]
fn references_are_counted_whatever_happens_to_the_names() {
    in_many_orders(|| {
        let fixture = Arc::new(Fixture::in_memory(&sample()));
        let looking = beside(&fixture, |fixture| {
            let mut known: BTreeMap<Ino, u64> = BTreeMap::new();
            for path in ["a/one", "a/deep/er/three", "b/new", "b/run"] {
                let mut ino = Ino::ROOT;
                for part in path.split('/') {
                    let part = name(part);
                    match fixture.call(|overlay| overlay.lookup(ino, &part)) {
                        Ok(found) => ino = found.ino,
                        Err(Error::NotFound | Error::Stale | Error::NotDirectory) => break,
                        Err(error) => panic!("{path}: {error:?}"),
                    }
                    *known.entry(ino).or_default() += 1;
                }
            }
            for (ino, count) in known {
                fixture.overlay().forget(ino, count);
            }
        });
        let moving = beside(&fixture, |fixture| {
            let overlay = fixture.overlay();
            let known = ["a", "b"].map(|path| fixture.find(path).unwrap());
            let [a, b] = known;
            let moved = fixture
                .call(|overlay| overlay.rename(a, &name("deep"), b, &name("new"), Rename::Replace));
            moved.unwrap();
            fixture
                .call(|overlay| overlay.remove_file(a, &name("one")))
                .unwrap();
            let permissions = Permissions::of_mode(0o600);
            let node = NewNode::File;
            let made = fixture
                .call(|overlay| overlay.make(a, &name("one"), node.clone(), permissions, OWNER));
            overlay.forget(made.unwrap().ino, 1);
            for ino in known {
                overlay.forget(ino, 1);
            }
        });
        joined([looking, moving]);
        let state = fixture.overlay().state.lock();
        let left: Vec<_> = state.live.keys().collect();
        assert!(left.is_empty(), "referred to by nobody: {left:?}");
    });
}

#[test]
fn a_file_that_is_removed_while_it_is_open_is_whole_until_it_is_closed() {
    in_many_orders(|| {
        let fixture = Arc::new(Fixture::in_memory(&sample()));
        let ino = fixture.find("a/two").unwrap();
        fixture.overlay().open(ino).unwrap();
        let writing = beside(&fixture, move |fixture| {
            fixture
                .call(|overlay| overlay.write(ino, 0, b"TWO"))
                .unwrap();
            let bytes = fixture.call(|overlay| {
                let mut bytes = Vec::new();
                overlay.read(ino, 0, 100, &mut bytes)?;
                Ok(bytes)
            });
            assert_eq!(bytes.unwrap(), b"TWO two");
            fixture.overlay().release(ino);
            fixture.overlay().forget(ino, 1);
        });
        let removing = beside(&fixture, |fixture| {
            let parent = fixture.find("a").unwrap();
            fixture
                .call(|overlay| overlay.remove_file(parent, &name("two")))
                .unwrap();
            fixture.overlay().sync_all().unwrap();
        });
        joined([writing, removing]);
        fixture.overlay().sync_all().unwrap();
        assert_eq!(fixture.overlay().open_files(), 0);
        assert_eq!(fixture.bodies(), [].into(), "bodies of nothing");
        Remote::new(&sample()).has_all(&fixture);
    });
}

#[test]
fn names_change_while_others_are_pushed_and_the_remote_has_it_all() {
    in_many_orders(|| {
        let base = sample();
        let fixture = Arc::new(Fixture::in_memory(&base));
        let moving = beside(&fixture, |fixture| {
            let [a, b] = ["a", "b"].map(|path| fixture.find(path).unwrap());
            for (from, old, to, new, mode) in [
                (a, "deep", b, "moved", Rename::Replace),
                (a, "one", a, "two", Rename::Exchange),
                (b, "moved", a, "deep", Rename::NoReplace),
            ] {
                let renamed =
                    fixture.call(|overlay| overlay.rename(from, &name(old), to, &name(new), mode));
                renamed.unwrap();
            }
        });
        let editing = beside(&fixture, |fixture| {
            let ino = fixture
                .find("a/deep/er/three")
                .or_else(|_| fixture.find("b/moved/er/three"));
            // Between the two looks it may have moved back.
            let Ok(ino) = ino else { return };
            fixture
                .call(|overlay| overlay.write(ino, 0, b"THREE"))
                .unwrap();
            let change = AttributeChange {
                permissions: Some(Permissions::EXECUTABLE),
                ..AttributeChange::default()
            };
            fixture
                .call(|overlay| overlay.set_attributes(ino, &change))
                .unwrap();
        });
        let mut remote = Remote::new(&base);
        for _ in 0..3 {
            remote.push(&fixture);
            fixture.overlay().checkpoint().unwrap();
        }
        joined([moving, editing]);
        remote.has_all(&fixture);
    });
}
