//! How much is fetched before it is asked for, for all snapshots of a store together.

use parking_lot::{Condvar, Mutex};

use super::Store;

/// What may be fetched ahead.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Prefetch {
    /// How many directories deep; `None` is the whole tree.
    pub depth_max: Option<u32>,
    /// Requests at once, over all snapshots: at least one.
    pub requests_max: u32,
    /// Objects of one snapshot that were asked for and not opened yet.
    pub objects_max: u64,
    /// Bytes of these.
    pub bytes_max: u64,
    /// The share of the store's limit above which no more is fetched ahead than a run begins with.
    pub pressure_max: f64,
}

impl Default for Prefetch {
    fn default() -> Prefetch {
        Prefetch {
            depth_max: None,
            // What one server grants without slowing down what is waited for.
            requests_max: 8,
            // About a second of a fast network.
            objects_max: 4_096,
            bytes_max: 32 << 20,
            pressure_max: 0.8,
        }
    }
}

impl Prefetch {
    /// Whether a directory so many names below the root is one that is looked into.
    pub(super) fn reaches(&self, depth: usize) -> bool {
        self.depth_max.is_none_or(|most| depth <= most as usize)
    }
}

impl Store {
    /// The same, with so much fetched ahead; `None` is nothing.
    pub fn with_prefetch(mut self, prefetch: Option<Prefetch>) -> Store {
        self.gate = Gate::new(prefetch.map_or(1, |prefetch| prefetch.requests_max));
        self.prefetch = prefetch;
        self
    }
}

/// Lets so many requests be under way at once.
pub(super) struct Gate {
    free: Mutex<u32>,
    changed: Condvar,
}

/// A request's place; dropping it makes room for another.
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(requests_max: u32) -> Gate {
        Gate {
            free: Mutex::new(requests_max.max(1)),
            changed: Condvar::new(),
        }
    }

    /// Waits for a place. Only threads that nobody waits for do.
    pub(super) fn enter(&self) -> Pass<'_> {
        let mut free = self.free.lock();
        self.changed.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        Pass(self)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.changed.notify_one();
    }
}
