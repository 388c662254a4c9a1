//! Single flight: whoever wants what somebody is already fetching waits for that fetch, and whoever
//! comes right after one that was waited for in vain is told so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::echo::Echoes;
use super::{Error, SourceError};
use crate::tree::GitOid;

/// How long a waiter looks on while nothing arrives. Sources give up far earlier by themselves (5 s
/// to the first byte); this bounds the wait even for one that does not.
pub(super) const STALL_MAX: Duration = Duration::from_secs(30);

/// What is being fetched, as many entries as threads are fetching; and what just failed.
#[derive(Default)]
pub(super) struct Flights {
    running: Mutex<HashMap<GitOid, Arc<Flight>>>,
    failed: Mutex<Echoes>,
}

#[derive(Default)]
struct Flight {
    state: Mutex<State>,
    landed: Condvar,
    /// Grows while bytes arrive.
    progress: AtomicU64,
}

#[derive(Default)]
enum State {
    #[default]
    Running,
    Landed(Result<(), Error>),
    /// The fetching thread panicked: one of the waiters takes over.
    Abandoned,
}

impl Flights {
    /// Fetches `oid` by `fetch`, or waits for the thread that already does, and shares its result.
    ///
    /// Whoever comes after a landing fetches again, so `fetch` looks first whether it still has to;
    /// but not right after one that took long and failed.
    pub(super) fn run(
        &self,
        oid: GitOid,
        stall_max: Duration,
        mut fetch: impl FnMut(&AtomicU64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let (flight, pilot) = self.board(oid);
            if pilot {
                let begun = Instant::now();
                let mut landing = Landing {
                    flights: self,
                    oid,
                    flight: &flight,
                    state: State::Abandoned,
                };
                let echo = self.failed.lock().of(oid, begun);
                let result = echo.map_or_else(|| fetch(&flight.progress), Err);
                if let Err(error) = &result {
                    let ended = Instant::now();
                    self.failed.lock().note(oid, begun, ended, error);
                }
                landing.state = State::Landed(result.as_ref().copied().map_err(Error::share));
                return result;
            }
            if let Some(result) = flight.wait(stall_max) {
                return result;
            }
        }
    }

    fn board(&self, oid: GitOid) -> (Arc<Flight>, bool) {
        let mut flights = self.running.lock();
        if let Some(flight) = flights.get(&oid) {
            return (flight.clone(), false);
        }
        let flight = Arc::new(Flight::default());
        flights.insert(oid, flight.clone());
        (flight, true)
    }
}

impl Flight {
    /// `None` when the flight was abandoned.
    fn wait(&self, stall_max: Duration) -> Option<Result<(), Error>> {
        let mut state = self.state.lock();
        let mut seen = self.progress.load(Ordering::Relaxed);
        loop {
            match &*state {
                State::Landed(result) => {
                    return Some(result.as_ref().copied().map_err(Error::share));
                }
                State::Abandoned => return None,
                State::Running => {}
            }
            if self.landed.wait_for(&mut state, stall_max).timed_out() {
                let now = self.progress.load(Ordering::Relaxed);
                if now == seen && matches!(*state, State::Running) {
                    return Some(Err(SourceError::TimedOut.into()));
                }
                seen = now;
            }
        }
    }
}

/// Ends the flight on every way out of the fetch, a panic included.
struct Landing<'a> {
    flights: &'a Flights,
    oid: GitOid,
    flight: &'a Flight,
    state: State,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        // Off the board first, so that a waiter who takes over finds the place free.
        self.flights.running.lock().remove(&self.oid);
        *self.flight.state.lock() = std::mem::take(&mut self.state);
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::thread;

    const OID: GitOid = GitOid([1; 20]);

    #[test]
    fn everyone_who_waits_gets_the_result_of_the_one_request() {
        const WAITERS: usize = 6;
        let flights = Flights::default();
        let requests = AtomicU64::new(0);
        let run = || {
            flights.run(OID, STALL_MAX, |_| {
                requests.fetch_add(1, Ordering::Relaxed);
                // The board, the pilot, and everyone who waits hold the flight.
                while Arc::strong_count(&flights.running.lock()[&OID]) < WAITERS + 2 {
                    thread::yield_now();
                }
                Err(SourceError::Forbidden.into())
            })
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..=WAITERS).map(|_| scope.spawn(run)).collect();
            for one in all {
                let result = one.join().unwrap();
                assert!(matches!(result, Err(Error::Source(SourceError::Forbidden))));
            }
        });
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_comes_right_after_a_long_failure_does_not_wait_again() {
        let flights = Flights::default();
        let requests = AtomicU64::new(0);
        let run = |error: fn() -> SourceError| {
            flights.run(OID, STALL_MAX, |_| {
                requests.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1_050));
                Err(error().into())
            })
        };
        let first = run(|| SourceError::Server);
        assert!(matches!(first, Err(Error::Source(SourceError::Server))));
        let second = run(|| SourceError::TimedOut);
        assert!(matches!(second, Err(Error::Source(SourceError::Server))));
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_stalled_fetch_does_not_hold_its_waiters_for_ever() {
        let flights = Flights::default();
        let (started, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                flights.run(OID, STALL_MAX, |_| {
                    started.wait();
                    done.wait();
                    Ok(())
                })
            });
            started.wait();
            let result = flights.run(OID, Duration::from_millis(20), |_| Ok(()));
            assert!(matches!(result, Err(Error::Source(SourceError::TimedOut))));
            done.wait();
        });
    }

    #[test]
    fn a_waiter_takes_over_from_a_thread_that_panicked() {
        let flights = Flights::default();
        let started = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                let run = || {
                    flights.run(OID, STALL_MAX, |_| {
                        started.wait();
                        thread::yield_now();
                        panic!("for the test")
                    })
                };
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            });
            started.wait();
            assert!(flights.run(OID, STALL_MAX, |_| Ok(())).is_ok());
        });
        assert!(flights.running.lock().is_empty());
    }
}
