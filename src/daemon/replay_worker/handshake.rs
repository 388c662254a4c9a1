//! The answer to somebody who waits until everything is pushed.

use std::ops::ControlFlow;
use std::time::Instant;

use crossbeam_channel::{Receiver, TryRecvError, after, select};

/// The answer to a drain, to come.
pub(in crate::daemon) struct Handshake(Receiver<()>);

impl Handshake {
    /// Comes when the other end is dropped.
    pub(super) fn new(done: Receiver<()>) -> Handshake {
        Handshake(done)
    }

    /// Whether the wait is over, whatever came of it.
    pub(in crate::daemon) fn is_over(&self) -> bool {
        self.0.try_recv() != Err(TryRecvError::Empty)
    }

    /// Waits until everything is pushed or will not be, or until a deadline; breaks on `cancel`.
    pub(in crate::daemon) fn wait(
        &self,
        deadline: Instant,
        cancel: &Receiver<()>,
    ) -> ControlFlow<()> {
        select! {
            recv(self.0) -> _ => ControlFlow::Continue(()),
            recv(cancel) -> _ => ControlFlow::Break(()),
            recv(after(deadline.saturating_duration_since(Instant::now()))) -> _ => ControlFlow::Continue(()),
        }
    }
}
