//! How an outage begins, is looked into, and ends.
//!
//! ```text
//! a reader in vain -------------------------------> open --probe, probe, answer--> closed,
//! a write in vain, or quiet --> one probe in vain ----^                            watchers told
//! ```

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TrySendError, bounded};

use super::Remote;
use crate::remote::Failure;
use crate::remote::breaker::{self, Turn};
use crate::remote::retry::READ_PATIENCE;

/// A write that takes longer makes us look whether the server is still there.
const SUSPICION: Duration = READ_PATIENCE;

/// What is done once a suspicion was found wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing changed.
    Nothing,
    /// Who waits for the server tries again at once.
    Tell,
}

impl Remote {
    /// A message each time that the server is back after it could not be reached. One that was not
    /// taken yet stands for later ones, too.
    pub fn watch(&self) -> Receiver<()> {
        let (sender, receiver) = bounded(1);
        self.watchers.lock().push(sender);
        receiver
    }

    /// Looks at once whether a server that is away is back, for somebody who waits for it.
    pub fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// For when time has passed that we did not see pass: no connection is believed in any more, the
    /// server is asked at once whether it is there, and who waits for it is told.
    pub fn distrust_connections(&self) {
        self.client.renew();
        self.hurry();
        self.suspect(Then::Tell);
    }

    /// Looks whether the server is still there, as often as nothing moves for a while. Never ends.
    pub(super) async fn watch_quiet(&self) {
        loop {
            tokio::time::sleep(SUSPICION).await;
            if self.client.quiet() >= SUSPICION {
                self.suspect(Then::Nothing);
            }
        }
    }

    pub(super) fn heard<T>(&self, result: &Result<T, Failure>) {
        if result.as_ref().map_or_else(Failure::is_answer, |_| true) {
            self.answered();
        }
    }

    pub(super) fn answered(&self) {
        if self.breaker.lock().answered(Instant::now()) != Turn::Back {
            return;
        }
        tracing::info!("the server is back");
        // What was connected before may be dead, and nobody would be told.
        self.client.renew();
        self.tell_watchers();
    }

    fn tell_watchers(&self) {
        self.watchers
            .lock()
            .retain(|watcher| !matches!(watcher.try_send(()), Err(TrySendError::Disconnected(()))));
    }

    /// Something was in vain since then: the server is away, unless bytes moved meanwhile.
    pub(super) fn in_vain(&self, since: Instant) -> Turn {
        if self.client.quiet() < since.elapsed() {
            return Turn::Same;
        }
        let turn = self.breaker.lock().in_vain(since);
        if let Turn::Lost(outage) = turn {
            tracing::warn!("the server cannot be reached; local work goes on");
            self.handle.spawn(probe(self.own.clone(), outage));
        }
        turn
    }

    /// Finds out in the background whether the server is away.
    pub(super) fn suspect(&self, then: Then) {
        let Some(remote) = self.own.upgrade() else {
            return;
        };
        if self.is_offline() || self.suspecting.swap(true, Ordering::AcqRel) {
            return;
        }
        self.handle.spawn(async move {
            let begun = Instant::now();
            if remote.client.probe().await {
                remote.answered();
                if then == Then::Tell {
                    remote.tell_watchers();
                }
            } else {
                remote.in_vain(begun);
            }
            remote.suspecting.store(false, Ordering::Release);
        });
    }
}

/// Asks until the server answers, or until the outage has ended otherwise.
async fn probe(remote: Weak<Remote>, outage: u64) {
    for failed in 0.. {
        let Some(remote) = remote.upgrade() else {
            return;
        };
        let pause = tokio::time::sleep(breaker::pause(failed, rand::random()));
        tokio::select! {
            () = pause => {}
            () = remote.hurry.notified() => {}
        }
        if !remote.breaker.lock().is_outage(outage) || *remote.closing.borrow() {
            return;
        }
        if remote.client.probe().await {
            return remote.answered();
        }
    }
}
