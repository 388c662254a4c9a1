//! When what is asked for ahead.

use std::time::{Duration, Instant};

use super::ahead::{Ahead, End, Next, RUN_OBJECTS};
use super::amount::Amount;
use crate::tree::{GitOid, TreePath};

const MOST: Amount = Amount::new(4_096, 32 << 20);

fn path(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

fn ahead() -> Ahead {
    Ahead::new(MOST)
}

/// Whether so many fetched files are a run.
fn run(ahead: &Ahead, objects: usize, now: Instant) -> bool {
    (0..objects).fold(false, |_, number| {
        ahead.note(&path(&format!("a/{number}")), now)
    })
}

fn oid(number: u64) -> GitOid {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    GitOid(bytes)
}

/// Asks for as many small objects as may be, and has them come.
fn filled(ahead: &Ahead, first: u64) -> u64 {
    let Next::Ask(amount, _) = ahead.next() else {
        return 0;
    };
    let wanted = first..first + amount.objects;
    ahead.asked(wanted.clone().map(|number| (oid(number), 1)));
    for number in wanted.clone() {
        assert!(ahead.arrived(oid(number)));
    }
    let end = (End::Over, Duration::ZERO);
    ahead.landed(wanted.map(oid), end);
    amount.objects
}

#[test]
fn a_run_begins_where_the_last_file_was_fetched() {
    let ahead = ahead();
    let now = Instant::now();
    assert!(!run(&ahead, RUN_OBJECTS - 1, now));
    assert!(ahead.note(&path("a/b/c"), now));
    assert!(!run(&ahead, RUN_OBJECTS, now), "one at a time");
    let half = Amount::new(Amount::FIRST.objects / 2, Amount::FIRST.bytes / 2);
    assert_eq!(ahead.next(), Next::Ask(half, Some(path("a/b/c"))));
}

#[test]
fn the_window_grows_with_what_is_opened_and_is_never_overfilled() {
    let ahead = ahead();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    // Two halves at once, and no more before something is opened.
    let first = filled(&ahead, 0);
    assert_eq!(first + filled(&ahead, first), Amount::FIRST.objects);
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let next = scope.spawn(|| ahead.next());
        std::thread::sleep(Duration::from_millis(100));
        (0..first).for_each(|number| ahead.used(oid(number)));
        let Next::Ask(amount, None) = next.join().unwrap() else {
            panic!("it goes on");
        };
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert!(amount.objects > first);
    });
    // Whoever opens everything is given all that a window may hold.
    let mut at = 1_000;
    for _ in 0..5 {
        let count = filled(&ahead, at);
        (at..at + count).for_each(|number| ahead.used(oid(number)));
        at += count;
    }
    assert_eq!(filled(&ahead, at), MOST.objects / 2);
}

#[test]
fn what_is_not_opened_ends_a_run_and_the_next_must_be_longer() {
    let ahead = ahead();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    let first = filled(&ahead, 0);
    filled(&ahead, first);
    assert_eq!(ahead.next(), Next::Nothing);
    let now = Instant::now();
    assert!(!run(&ahead, RUN_OBJECTS * 2 - 1, now));
    assert!(run(&ahead, 1, now));
}

#[test]
fn a_source_that_fails_is_left_alone_for_a_while_and_one_that_cannot_for_good() {
    let ahead = ahead();
    let now = Instant::now();
    assert!(run(&ahead, RUN_OBJECTS, now));
    let Next::Ask(..) = ahead.next() else {
        panic!("it has begun");
    };
    ahead.asked([(oid(1), 1)].into_iter());
    ahead.landed([oid(1)].into_iter(), (End::Failed, Duration::ZERO));
    assert_eq!(ahead.next(), Next::Nothing);
    assert!(!run(&ahead, RUN_OBJECTS, now));
    let later = Instant::now() + Duration::from_secs(60);
    assert!(run(&ahead, RUN_OBJECTS, later));
    ahead.landed([oid(1)].into_iter(), (End::Unknown, Duration::ZERO));
    assert_eq!(ahead.next(), Next::Nothing);
    assert!(!run(&ahead, 100, later + Duration::from_secs(60)));
}

#[test]
fn a_slow_network_is_asked_for_less() {
    let ahead = ahead();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    let Next::Ask(amount, _) = ahead.next() else {
        panic!("it has begun");
    };
    let slow = (End::Over, Duration::from_secs(3));
    ahead.landed([].into_iter(), slow);
    let Next::Ask(less, _) = ahead.next() else {
        panic!("it goes on");
    };
    assert!(less.objects < amount.objects && less.bytes < amount.bytes);
}

#[test]
fn what_only_waits_for_its_turn_is_left_to_whoever_wants_it() {
    let ahead = ahead();
    ahead.ask_one_by_one();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    let Next::Ask(amount, Some(_)) = ahead.next() else {
        panic!("a run begins");
    };
    assert_eq!(amount.objects, Amount::LEAST.objects / 2);
    let wanted = 0..amount.objects;
    ahead.asked(wanted.clone().map(|number| (oid(number), 1)));
    assert!(ahead.begins(oid(0)));
    let begun = Instant::now();
    for number in wanted.clone().skip(1) {
        assert!(ahead.wait(oid(number)), "{number}");
        assert!(!ahead.begins(oid(number)) && !ahead.is_coming(oid(number)));
    }
    assert!(begun.elapsed() < Duration::from_millis(300));
    // The one that was begun is waited for, in vain here.
    assert!(!ahead.wait(oid(0)));
    assert!(ahead.is_coming(oid(0)));
    ahead.landed(wanted.map(oid), (End::Over, Duration::ZERO));
    // What was come for leaves room for what is next.
    assert_eq!(ahead.next(), Next::Ask(amount, None));
}

#[test]
fn whoever_wants_what_is_on_its_way_waits_for_it_and_no_longer() {
    let silence = Duration::from_millis(300);
    let ahead = ahead();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    let begun = Instant::now();
    ahead.wait(oid(9));
    ahead.asked([(oid(0), 1), (oid(1), 1)].into_iter());
    ahead.wait(oid(9));
    assert!(begun.elapsed() < silence);
    ahead.wait(oid(0));
    assert!(begun.elapsed() >= silence);
    std::thread::scope(|scope| {
        ahead.asked([(oid(2), 1)].into_iter());
        scope.spawn(|| ahead.arrived(oid(2)));
        ahead.wait(oid(2));
    });
    ahead.close();
    assert_eq!(ahead.next(), Next::Nothing);
    assert!(!ahead.arrived(oid(0)));
}

#[test]
fn a_file_that_is_missed_says_where_the_reader_is() {
    let ahead = ahead();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    let mut at = filled(&ahead, 0);
    at += filled(&ahead, at);
    let mut strays = 0;
    loop {
        ahead.missed(&path("b/c/d"));
        let Next::Ask(amount, anchor) = ahead.next() else {
            break;
        };
        assert_eq!(anchor, Some(path("b/c/d")));
        strays += 1;
        let wanted = at..at + amount.objects;
        ahead.asked(wanted.clone().map(|number| (oid(number), 1)));
        wanted.clone().for_each(|number| {
            ahead.arrived(oid(number));
        });
        at = wanted.end;
    }
    assert!((2..=8).contains(&strays), "{strays}");
}

#[test]
fn a_window_grows_only_while_the_store_has_room() {
    let ahead = ahead();
    assert!(run(&ahead, RUN_OBJECTS, Instant::now()));
    ahead.press(true);
    let mut next = 0;
    for is_pressed in [true, true, true, false] {
        ahead.press(is_pressed);
        let asked = filled(&ahead, next);
        let expected = if is_pressed {
            Amount::FIRST.objects / 2
        } else {
            Amount::FIRST.objects * 2
        };
        assert_eq!(asked, expected);
        (next..next + asked).for_each(|number| ahead.used(oid(number)));
        next += asked;
    }
}
