//! Bounded pools of threads for what must not hold the event loop: the network and fsync.
//!
//! The event loop has two threads, and a process that waits for a reply cannot even be killed, so
//! no event-loop thread may wait for the network. A request that turns out to need it moves to a
//! pool together with its reply; a pool whose queue is full refuses at once, it never blocks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::lower::Want;
use crate::overlay::{Error, Overlay};

/// What one operation may have to fetch before it is given up: a rename that touches two
/// directories and replaces a third needs a handful of listings and an object. An overlay that asks
/// for more than this does not make progress.
const FETCH_ROUNDS_MAX: usize = 64;

/// Whether a job got its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It runs on a worker, and may block.
    Worker,
    /// The pool is full, or has ended; the job runs on the caller's thread and may not block.
    Refused,
}

/// Work with its reply. A job is always called exactly once, so its reply is always sent.
pub(super) type Job = Box<dyn FnOnce(Turn) + Send>;

/// A pool. Dropping it runs what is queued and waits for it.
pub(super) struct Workers {
    sender: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `threads` threads with room for `queue` waiting jobs.
    ///
    /// # Errors
    ///
    /// That of the thread that did not start; those that did have ended by then.
    pub(super) fn start(name: &str, threads: usize, queue: usize) -> std::io::Result<Workers> {
        let (sender, receiver) = crossbeam_channel::bounded::<Job>(queue);
        let mut workers = Workers {
            sender: Some(sender),
            threads: Vec::with_capacity(threads),
        };
        for number in 0..threads {
            let receiver = receiver.clone();
            let thread = thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || work(&receiver))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Hands a job to the pool, or calls it with [`Turn::Refused`].
    pub(super) fn submit(&self, job: Job) {
        let refused = match &self.sender {
            Some(sender) => match sender.try_send(job) {
                Ok(()) => return,
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job,
            },
            None => job,
        };
        refused(Turn::Refused);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A worker catches what its jobs throw, so it cannot have panicked.
            let _ = thread.join();
        }
    }
}

fn work(receiver: &Receiver<Job>) {
    while let Ok(job) = receiver.recv() {
        // The job's reply is dropped while it unwinds, which answers EIO.
        if catch_unwind(AssertUnwindSafe(|| job(Turn::Worker))).is_err() {
            tracing::error!("a request panicked on a worker; it was answered EIO");
        }
    }
}

/// [`settle`] or [`settle_here`].
pub(super) type Settle<T> =
    fn(&Overlay, Want, &mut dyn FnMut(&Overlay) -> Result<T, Error>) -> Result<T, Error>;

/// Fetches what is missing and tries again, until the operation succeeds or fails. Blocks.
///
/// # Errors
///
/// The operation's or the fetch's own; [`Error::Missing`] when the operation still asks for more
/// after [`FETCH_ROUNDS_MAX`] rounds.
pub(super) fn settle<T>(
    overlay: &Overlay,
    want: Want,
    operation: &mut dyn FnMut(&Overlay) -> Result<T, Error>,
) -> Result<T, Error> {
    settle_while(overlay, want, operation, |_| true)
}

/// The same for as long as what is missing is on this machine: with [`Error::Missing`] it is the
/// network's turn.
///
/// # Errors
///
/// As [`settle`].
pub(super) fn settle_here<T>(
    overlay: &Overlay,
    want: Want,
    operation: &mut dyn FnMut(&Overlay) -> Result<T, Error>,
) -> Result<T, Error> {
    settle_while(overlay, want, operation, |want| overlay.is_here(want))
}

fn settle_while<T>(
    overlay: &Overlay,
    mut want: Want,
    operation: &mut dyn FnMut(&Overlay) -> Result<T, Error>,
    may_fetch: impl Fn(&Want) -> bool,
) -> Result<T, Error> {
    for _ in 0..FETCH_ROUNDS_MAX {
        if !may_fetch(&want) {
            return Err(Error::Missing(want));
        }
        overlay.fetch(&want)?;
        match operation(overlay) {
            Err(Error::Missing(next)) => want = next,
            settled => return settled,
        }
    }
    tracing::error!("an operation asks for content without end");
    Err(Error::Missing(want))
}

/// Runs an operation on a thread that may block.
///
/// # Errors
///
/// As [`settle`].
pub(super) fn settled<T>(
    overlay: &Overlay,
    mut operation: impl FnMut(&Overlay) -> Result<T, Error>,
) -> Result<T, Error> {
    match operation(overlay) {
        Err(Error::Missing(want)) => settle(overlay, want, &mut operation),
        settled => settled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    #[test]
    fn a_full_pool_refuses_at_once_and_an_ended_one_has_run_everything() {
        let workers = Workers::start("test", 1, 1).unwrap();
        let (started, is_started) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        workers.submit(Box::new(move |_| {
            started.send(()).unwrap();
            is_released.recv().unwrap();
        }));
        is_started.recv().unwrap();
        let turns = Arc::new([const { AtomicUsize::new(0) }; 2]);
        for _ in 0..3 {
            let turns = turns.clone();
            workers.submit(Box::new(move |turn| {
                turns[usize::from(turn == Turn::Refused)].fetch_add(1, Ordering::SeqCst);
            }));
        }
        assert_eq!(turns[1].load(Ordering::SeqCst), 2, "refused");
        release.send(()).unwrap();
        drop(workers);
        assert_eq!(turns[0].load(Ordering::SeqCst), 1, "ran");
    }

    #[test]
    fn a_panic_leaves_the_worker_at_work() {
        let workers = Workers::start("test", 1, 2).unwrap();
        let (sender, receiver) = mpsc::channel();
        workers.submit(Box::new(|_| panic!("on purpose")));
        workers.submit(Box::new(move |turn| sender.send(turn).unwrap()));
        assert_eq!(receiver.recv().unwrap(), Turn::Worker);
    }
}
