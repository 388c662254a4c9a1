//! How many requests at once fetch ahead of their readers, one object each: as many as the server answers
//! without making anybody wait.
//!
//! Nobody says how many that are, so it is found out as TCP finds its window: from a few on one more with
//! every answer, until answers come late or the server refuses; then half as many, and from there on one
//! more with every round. Late is against the fastest of the last answers, as in TCP Vegas (Brakmo and
//! Peterson, 1995): whatever is behind it queues. Readers that wait ask at once, and are not counted.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Requests at once, before anything is known of the server.
const FIRST: f64 = 2.0;
/// Answers of which the fastest counts, so that a route that became longer is learned.
const ANSWERS: u32 = 100;
/// What an answer may take beyond twice the fastest without being late: a scheduler's whim on either side.
const SLACK: Duration = Duration::from_millis(10);
/// One queue makes many answers late, and one limit refuses many requests: they count once.
const ONCE_PER: Duration = Duration::from_millis(200);

/// The requests at once to one server.
#[derive(Debug)]
pub(super) struct Concurrency {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    running: u32,
    is_first_rise: bool,
    fastest: Fastest,
    fell: Option<Instant>,
}

/// The shortest of the last answers: of those before the last [`ANSWERS`], and of those since.
#[derive(Debug, Default)]
struct Fastest {
    before: Option<Duration>,
    since: Option<Duration>,
    count: u32,
}

/// One of the requests at once; dropping it makes room for another.
pub(super) struct Place<'a> {
    concurrency: &'a Concurrency,
    begun: Instant,
}

impl Concurrency {
    pub(super) fn new() -> Concurrency {
        Concurrency {
            state: Mutex::new(State {
                limit: FIRST,
                running: 0,
                is_first_rise: true,
                fastest: Fastest::default(),
                fell: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Waits for a place, of which there are `most` if the server takes them.
    pub(super) async fn enter(&self, most: u32) -> Place<'_> {
        loop {
            let changed = self.changed.notified();
            if self.state.lock().begin(most) {
                return Place {
                    concurrency: self,
                    begun: Instant::now(),
                };
            }
            changed.await;
        }
    }

    /// Notes that the server does not want so many.
    pub(super) fn refused(&self) {
        self.state.lock().fall(Instant::now());
    }
}

impl Place<'_> {
    /// Notes an answer that is so small that what it took is the server's doing.
    pub(super) fn answered(&self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.begun);
        self.concurrency.state.lock().answered(took, now);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.concurrency.state.lock().running -= 1;
        // More than one, since there may be room for more than there was.
        self.concurrency.changed.notify_waiters();
    }
}

impl State {
    fn begin(&mut self, most: u32) -> bool {
        self.limit = self.limit.min(f64::from(most.max(1)));
        let has_room = f64::from(self.running + 1) <= self.limit;
        self.running += u32::from(has_room);
        has_room
    }

    fn answered(&mut self, took: Duration, now: Instant) {
        let fastest = self.fastest.with(took);
        if took > fastest * 2 + SLACK {
            self.fall(now);
        } else if self.is_first_rise {
            self.limit += 1.0;
        } else {
            self.limit += 1.0 / self.limit;
        }
    }

    fn fall(&mut self, now: Instant) {
        let fell = self.fell.map(|then| now.saturating_duration_since(then));
        if fell.is_none_or(|since| since > ONCE_PER) {
            self.limit = (self.limit / 2.0).max(1.0);
            self.fell = Some(now);
        }
        self.is_first_rise = false;
    }
}

impl Fastest {
    /// The shortest, this one among them.
    fn with(&mut self, took: Duration) -> Duration {
        if self.count == ANSWERS {
            *self = Fastest {
                before: self.since,
                ..Fastest::default()
            };
        }
        self.count += 1;
        self.since = Some(self.since.map_or(took, |since| since.min(took)));
        let all = [self.before, self.since].into_iter().flatten();
        all.fold(took, Duration::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(50);

    /// The limit after a while on a server that works at so many requests at once, and refuses more than
    /// some; no more than `most`.
    fn settled(at_once: f64, refuses_above: f64, most: u32) -> f64 {
        let concurrency = Concurrency::new();
        let mut now = Instant::now();
        let mut limits = Vec::new();
        for _ in 0..200 {
            let mut state = concurrency.state.lock();
            let limit = state.limit.min(f64::from(most)).floor();
            let took = TRIP.mul_f64((limit / at_once).max(1.0));
            now += took;
            for _ in 0..limit as u32 {
                match limit > refuses_above {
                    true => state.fall(now),
                    false => state.answered(took, now),
                }
            }
            state.begin(most);
            state.running = 0;
            limits.push(limit);
        }
        let last = limits.split_off(100);
        last.iter().sum::<f64>() / last.len() as f64
    }

    #[test]
    fn a_strong_server_is_asked_as_much_as_may_be() {
        assert_eq!(settled(1_000.0, 1_000.0, 8), 8.0);
        assert_eq!(settled(1_000.0, 1_000.0, 1), 1.0);
    }

    #[test]
    fn a_weak_one_is_kept_busy_and_no_queue_is_left_to_it() {
        let limit = settled(4.0, 1_000.0, 64);
        assert!((4.0..10.0).contains(&limit), "{limit}");
    }

    #[test]
    fn one_that_refuses_is_asked_less() {
        let limit = settled(1_000.0, 5.0, 64);
        assert!((2.0..6.0).contains(&limit), "{limit}");
    }

    #[test]
    fn a_route_that_became_longer_is_learned() {
        let concurrency = Concurrency::new();
        let mut state = concurrency.state.lock();
        let mut now = Instant::now();
        state.answered(TRIP, now);
        for _ in 0..4 * ANSWERS {
            now += TRIP * 4;
            state.answered(TRIP * 4, now);
        }
        assert!(state.limit > 10.0, "{}", state.limit);
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one() {
        let concurrency = Concurrency::new();
        let one = concurrency.enter(1).await;
        let mut other = std::pin::pin!(concurrency.enter(1));
        let waits = tokio::time::timeout(Duration::from_millis(20), &mut other).await;
        assert!(waits.is_err());
        drop(one);
        let entered = tokio::time::timeout(Duration::from_secs(10), other).await;
        assert!(entered.is_ok());
    }
}
