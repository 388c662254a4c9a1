//! Tells the replay that there is work, and when the latest of it came, so that it need not be woken for each
//! edit to know that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

/// One side rings for each edit, the other looks when it likes.
pub(super) struct Bell {
    made: Instant,
    /// Microseconds after that, of the latest ring.
    rung: AtomicU64,
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl Bell {
    pub(super) fn new() -> Bell {
        let (sender, receiver) = bounded(1);
        Bell {
            made: Instant::now(),
            rung: AtomicU64::new(0),
            sender,
            receiver,
        }
    }

    /// Costs next to nothing while the last ring was not heard.
    pub(super) fn ring(&self) {
        let at = self.made.elapsed().as_micros();
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        // Before the message: whoever has that finds a time that is as late.
        self.rung.fetch_max(at, Ordering::Release);
        // Full: the last one is yet to be heard.
        let _ = self.sender.try_send(());
    }

    /// One message for all rings since the last one was taken.
    pub(super) fn heard(&self) -> &Receiver<()> {
        &self.receiver
    }

    /// When it was rung last; with no ring yet, when it was made.
    pub(super) fn latest(&self) -> Instant {
        self.made + Duration::from_micros(self.rung.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rings_are_one_message_and_the_latest_time() {
        let bell = Bell::new();
        assert!(bell.heard().try_recv().is_err());
        for _ in 0..3 {
            bell.ring();
        }
        let after = Instant::now();
        assert!(bell.latest() <= after);
        assert!(bell.heard().try_recv().is_ok() && bell.heard().try_recv().is_err());
        while bell.latest() <= after {
            bell.ring();
        }
        assert!(bell.heard().try_recv().is_ok());
    }
}
