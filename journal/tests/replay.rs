//! The replay state machine: every state meets every event, and the stories that matter.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use journal::replay::{Action, Attempt, Backlog, Event, Failure, Policy, Replay, State};
use proptest::prelude::*;

const MOST: u64 = u64::MAX;
const AUTH: Event = Event::Failed(Failure::Auth);
const CONFLICT: Event = Event::Failed(Failure::Conflict);
const REFUSED: Event = Event::Failed(Failure::Refused);
const BROKEN: Event = Event::Failed(Failure::Transient { retry_after: None });

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A replay to which this has happened, with the instant of each; the clock stands at 10 s after.
fn after(events: &[(u64, Event)]) -> Replay {
    let (mut replay, _) = Replay::new(Policy::default(), Backlog::None, ms(0));
    for (at, event) in events {
        replay.step(*event, ms(*at), MOST);
    }
    replay
}

type Row = (&'static str, Vec<(u64, Event)>, [Action; 12]);

/// One state for each row: how it is reached (all by 10.0 s), and what each event then does at
/// 10.1 s: appended, tick, accepted, transient, auth, conflict, refused, credential, hold,
/// release, drain, reachable.
#[test]
fn every_state_meets_every_event() {
    use Event::{Accepted, Appended, CredentialChanged, Drain, Hold, Reachable, Release, Tick};
    let later = |milliseconds| Action::WaitUntil(ms(milliseconds));
    let (push, fork, wait) = (Action::Push, Action::ForkAndPush, Action::Wait);
    let pushing = [(9_000, Appended), (10_000, Tick)];
    let failed = |failure| [pushing[0], pushing[1], (10_000, failure)];
    let forking_failed = |failure| {
        [
            pushing[0],
            pushing[1],
            (10_000, CONFLICT),
            (10_000, failure),
        ]
    };
    let gather = later(10_350);
    let (back, probe) = (later(10_500), later(70_000));
    let again = later(10_600);
    let events = [
        Appended,
        Tick,
        Accepted,
        BROKEN,
        AUTH,
        CONFLICT,
        REFUSED,
        CredentialChanged,
        Hold,
        Release,
        Drain,
        Reachable,
    ];
    let auth = later(70_100);
    #[rustfmt::skip]
    let table: [Row; 13] = [
        ("idle", vec![],
            [gather, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait]),
        ("gathering", vec![(10_000, Appended)],
            [gather, later(10_250), later(10_250), later(10_250), later(10_250), later(10_250), later(10_250), later(10_250), wait, later(10_250), push, later(10_250)]),
        ("pushing", pushing.to_vec(),
            [wait, wait, wait, again, auth, fork, auth, wait, wait, wait, wait, wait]),
        ("forking", failed(CONFLICT).to_vec(),
            [wait, wait, wait, again, auth, again, auth, wait, wait, wait, wait, wait]),
        ("backoff", failed(BROKEN).to_vec(),
            [back, back, back, back, back, back, back, push, wait, push, push, push]),
        ("backoff of a fork", forking_failed(BROKEN).to_vec(),
            [back, back, back, back, back, back, back, fork, wait, fork, fork, fork]),
        ("auth needed", failed(AUTH).to_vec(),
            [probe, probe, probe, probe, probe, probe, probe, push, wait, push, push, probe]),
        ("auth needed for a fork", forking_failed(AUTH).to_vec(),
            [probe, probe, probe, probe, probe, probe, probe, fork, wait, fork, fork, probe]),
        ("quarantined", failed(REFUSED).to_vec(),
            [again, probe, probe, probe, probe, probe, probe, push, wait, push, push, probe]),
        ("quarantined fork", forking_failed(REFUSED).to_vec(),
            [again, probe, probe, probe, probe, probe, probe, fork, wait, fork, fork, probe]),
        ("held with nothing", vec![(10_000, Hold)],
            [wait, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait]),
        ("held with work", vec![(9_000, Appended), (9_010, Hold)],
            [wait, wait, wait, wait, wait, wait, wait, wait, wait, push, wait, wait]),
        ("draining", vec![(9_000, Appended), (9_010, Drain)],
            [wait, wait, wait, again, auth, fork, auth, wait, wait, wait, wait, wait]),
    ];
    for (name, history, actions) in table {
        for (event, expected) in events.into_iter().zip(actions) {
            let mut replay = after(&history);
            let action = replay.step(event, ms(10_100), MOST);
            assert_eq!(
                action,
                expected,
                "{name} meets {event:?}: {:?}",
                replay.state()
            );
        }
    }
}

#[test]
fn a_pause_or_old_age_starts_a_push() {
    let (mut replay, _) = Replay::new(Policy::default(), Backlog::None, ms(0));
    for at in (0..2_000).step_by(100) {
        let until = (at + 250).min(2_000);
        assert_eq!(
            replay.step(Event::Appended, ms(at), 0),
            Action::WaitUntil(ms(until))
        );
    }
    assert_eq!(
        replay.step(Event::Appended, ms(2_000), 0),
        Action::Push,
        "two seconds old"
    );
    replay.step(Event::Accepted, ms(2_100), 0);
    assert_eq!(replay.state(), State::Idle);
    replay.step(Event::Appended, ms(3_000), 0);
    assert_eq!(
        replay.step(Event::Tick, ms(3_249), 0),
        Action::WaitUntil(ms(3_250))
    );
    assert_eq!(
        replay.step(Event::Tick, ms(3_250), 0),
        Action::Push,
        "quiet"
    );
}

#[test]
fn what_a_killed_daemon_left_is_pushed() {
    let (_, action) = Replay::new(Policy::default(), Backlog::Some, ms(7));
    assert_eq!(action, Action::WaitUntil(ms(257)));
}

#[test]
fn what_comes_during_a_push_is_pushed_after_it() {
    let mut replay = after(&[
        (0, Event::Appended),
        (250, Event::Tick),
        (300, Event::Appended),
    ]);
    assert_eq!(
        replay.step(Event::Accepted, ms(400), 0),
        Action::WaitUntil(ms(550))
    );
    let mut replay = after(&[
        (0, Event::Appended),
        (250, Event::Tick),
        (300, Event::Appended),
    ]);
    assert_eq!(replay.step(Event::Accepted, ms(900), 0), Action::Push);
}

#[test]
fn retries_grow_to_a_cap_and_are_spread_and_start_over_after_success() {
    let mut replay = after(&[(0, Event::Appended), (250, Event::Tick)]);
    let mut now = ms(250);
    for most in [
        500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
    ] {
        let mut spread = replay.clone();
        let Action::WaitUntil(half) = spread.step(BROKEN, now, MOST / 2) else {
            panic!()
        };
        assert!((ms(most / 2) - ms(1)..=ms(most / 2) + ms(1)).contains(&(half - now)));
        let until = now + ms(most);
        assert_eq!(replay.step(BROKEN, now, MOST), Action::WaitUntil(until));
        assert_eq!(replay.step(Event::Tick, until, 0), Action::Push);
        now = until;
    }
    replay.step(Event::Appended, now, 0);
    assert_eq!(replay.step(Event::Accepted, now + ms(250), 0), Action::Push);
    assert_eq!(
        replay.step(BROKEN, now, MOST),
        Action::WaitUntil(now + ms(500))
    );
}

#[test]
fn retry_after_is_honoured_within_reason() {
    let busy = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        Event::Failed(Failure::Transient { retry_after })
    };
    let mut replay = after(&[(0, Event::Appended), (250, Event::Tick)]);
    assert_eq!(
        replay.step(busy(30), ms(1_000), 0),
        Action::WaitUntil(ms(31_000))
    );
    let mut replay = after(&[(0, Event::Appended), (250, Event::Tick)]);
    assert_eq!(
        replay.step(busy(1 << 40), ms(1_000), 0),
        Action::WaitUntil(ms(601_000))
    );
}

#[test]
fn a_credential_that_came_during_the_push_is_tried_at_once() {
    let mut replay = after(&[
        (0, Event::Appended),
        (250, Event::Tick),
        (300, Event::CredentialChanged),
    ]);
    assert_eq!(replay.step(AUTH, ms(400), 0), Action::Push);
    assert_eq!(replay.step(AUTH, ms(500), 0), Action::WaitUntil(ms(60_500)));
}

#[test]
fn a_hold_waits_for_the_push_in_flight_and_keeps_what_it_was() {
    let mut replay = after(&[(0, Event::Appended), (250, Event::Tick), (300, Event::Hold)]);
    assert_eq!(replay.state(), State::Pushing);
    replay.step(Event::Accepted, ms(400), 0);
    assert_eq!(replay.state(), State::Held { retry: None });
    let mut replay = after(&[(0, Event::Appended), (250, Event::Tick), (300, Event::Hold)]);
    replay.step(CONFLICT, ms(400), 0);
    assert_eq!(
        replay.state(),
        State::Held {
            retry: Some(Attempt::Fork)
        }
    );
    assert_eq!(replay.step(Event::Release, ms(500), 0), Action::ForkAndPush);
}

#[test]
fn a_drain_skips_gathering_until_everything_is_accepted() {
    let mut replay = after(&[
        (0, Event::Appended),
        (10, Event::Drain),
        (20, Event::Appended),
    ]);
    assert!(replay.is_draining());
    assert_eq!(replay.step(Event::Accepted, ms(30), 0), Action::Push);
    assert_eq!(replay.step(Event::Accepted, ms(40), 0), Action::Wait);
    assert!(!replay.is_draining());
    assert_eq!(
        replay.step(Event::Appended, ms(50), 0),
        Action::WaitUntil(ms(300))
    );
}

#[test]
fn the_return_of_the_server_starts_the_backoff_anew() {
    let mut replay = after(&[(0, Event::Appended), (250, Event::Tick)]);
    let mut now = ms(1_000);
    for _ in 0..10 {
        let Action::WaitUntil(until) = replay.step(BROKEN, now, MOST) else {
            panic!("{:?}", replay.state());
        };
        now = until;
        replay.step(Event::Tick, now, MOST);
    }
    assert_eq!(
        replay.step(BROKEN, now, MOST),
        Action::WaitUntil(now + ms(60_000))
    );
    assert_eq!(replay.step(Event::Reachable, now, MOST), Action::Push);
    assert_eq!(
        replay.step(BROKEN, now, MOST),
        Action::WaitUntil(now + ms(500))
    );
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Appended),
        3 => Just(Event::Tick),
        2 => Just(Event::Accepted),
        1 => Just(BROKEN),
        1 => Just(AUTH),
        1 => Just(CONFLICT),
        1 => Just(REFUSED),
        1 => Just(Event::CredentialChanged),
        1 => Just(Event::Reachable),
        1 => Just(Event::Hold),
        1 => Just(Event::Release),
        1 => Just(Event::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever has happened: once the remote accepts and nobody holds, everything gets there; and
    /// an action to push comes only when nothing is in flight.
    #[test]
    fn it_never_gives_up(events in prop::collection::vec((event(), 0..3_000_u64, any::<u64>()), 0..60)) {
        let (mut replay, _) = Replay::new(Policy::default(), Backlog::Some, ms(0));
        let mut now = ms(0);
        for (event, passed, random) in events {
            now += ms(passed);
            let flying = matches!(replay.state(), State::Pushing | State::Forking);
            let action = replay.step(event, now, random);
            let ended = matches!(event, Event::Accepted | Event::Failed(_));
            let starts = matches!(action, Action::Push | Action::ForkAndPush);
            prop_assert!(!(flying && starts) || ended, "two in flight");
            prop_assert_eq!(starts, matches!(replay.state(), State::Pushing | State::Forking) && (!flying || ended));
            if let Action::WaitUntil(until) = action {
                prop_assert!(until > now && until <= now + ms(60_000));
            }
        }
        let mut action = replay.step(Event::Appended, now, 0);
        if matches!(replay.state(), State::Held { .. }) {
            action = replay.step(Event::Release, now, 0);
        }
        for _ in 0..8 {
            if let Action::WaitUntil(until) = action {
                now = until;
                action = replay.step(Event::Tick, now, 0);
            } else if matches!(replay.state(), State::Held { .. }) {
                action = replay.step(Event::Release, now, 0);
            } else if replay.state() != State::Idle {
                action = replay.step(Event::Accepted, now, 0);
            }
        }
        prop_assert_eq!(replay.state(), State::Idle);
    }
}
