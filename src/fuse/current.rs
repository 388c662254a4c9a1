//! The request that a thread is serving: what it is, where, and since when.
//!
//! It follows the request from the event loop to a worker, so that whoever finds out that something
//! failed can say what was asked for, and so that a request's time ends with its reply, wherever that
//! is given. A thread serves one request at a time.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use super::counters::{Counters, RequestKind};

/// A request from its arrival to its reply; its time is counted when this is dropped.
pub(super) struct Current {
    kind: RequestKind,
    counted: RequestKind,
    node: u64,
    begun: Instant,
    counters: Arc<Counters>,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

impl Current {
    /// A request that arrives now; `counted` is the kind that it is counted as.
    pub(super) fn begin(
        kind: RequestKind,
        counted: RequestKind,
        node: u64,
        counters: &Arc<Counters>,
    ) -> Current {
        counters.count(counted);
        Current {
            kind,
            counted,
            node,
            begun: Instant::now(),
            counters: Arc::clone(counters),
        }
    }

    /// Takes this thread's request, to give it to another.
    pub(super) fn take() -> Option<Current> {
        CURRENT.take()
    }

    /// What this thread serves, and the node that it is about.
    pub(super) fn what() -> Option<(RequestKind, u64)> {
        let current = CURRENT.take();
        let what = current.as_ref().map(|current| (current.kind, current.node));
        CURRENT.set(current);
        what
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        self.counters.finished(self.counted, self.begun.elapsed());
    }
}

/// The time in which a thread serves a request; at its end, also by a panic, the request ends unless
/// another thread took it.
pub(super) struct Scope;

impl Scope {
    /// Lets this thread serve a request.
    pub(super) fn enter(current: Option<Current>) -> Scope {
        CURRENT.set(current);
        Scope
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_moves_to_another_thread_ends_there_and_once() {
        let counters = Arc::new(Counters::default());
        let read = RequestKind::Read;
        let scope = Scope::enter(Some(Current::begin(read, read, 7, &counters)));
        assert_eq!(Current::what(), Some((read, 7)));
        let moved = Current::take();
        drop(scope);
        assert_eq!(
            (counters.in_flight(), counters.latency(read).count()),
            (1, 0)
        );
        let served = std::thread::spawn(move || {
            let _scope = Scope::enter(moved);
            assert_eq!(Current::what(), Some((read, 7)));
            panic!("as a handler might");
        });
        assert!(served.join().is_err());
        assert_eq!(
            (counters.in_flight(), counters.latency(read).count()),
            (0, 1)
        );
        assert_eq!(Current::what(), None);
    }
}
