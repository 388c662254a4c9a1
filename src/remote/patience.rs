//! What one operation of the file system may wait for the server, with all the calls that it makes.

use std::time::{Duration, Instant};

/// How long somebody who has something else to show goes on asking a server that refuses the connection, or
/// breaks it: two or three attempts. It is not there, or will not be for some time; silence may be a slow line.
const REFUSED: Duration = Duration::from_millis(100);

/// A span of time that several calls share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    begun: Instant,
    whole: Duration,
    unheard: Option<Duration>,
}

impl Patience {
    /// So long from `begun`.
    pub(super) fn new(begun: Instant, whole: Duration) -> Patience {
        Patience {
            begun,
            whole,
            unheard: None,
        }
    }

    /// The same, but only `unheard` of it if the server says nothing to anyone in that time.
    pub(super) fn unless_heard(self, unheard: Duration) -> Patience {
        Patience {
            unheard: Some(unheard.min(self.whole)),
            ..self
        }
    }

    /// When it began.
    pub(super) fn begun(self) -> Instant {
        self.begun
    }

    /// What is left of it.
    pub(super) fn left(self, now: Instant) -> Duration {
        (self.begun + self.whole).saturating_duration_since(now)
    }

    /// When it ends if the server has said nothing, and attempts failed without waiting for it.
    pub(super) fn refused_until(self) -> Option<Instant> {
        self.unheard
            .map(|unheard| self.begun + unheard.min(REFUSED))
    }

    /// When it ends if the server has said nothing by then.
    pub(super) fn unheard_until(self) -> Option<Instant> {
        self.unheard.map(|unheard| self.begun + unheard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_it_and_silence_ends_it_early() {
        let begun = Instant::now();
        let patience = Patience::new(begun, Duration::from_secs(5));
        assert_eq!(patience.left(begun), Duration::from_secs(5));
        assert_eq!(
            patience.left(begun + Duration::from_secs(4)),
            Duration::from_secs(1)
        );
        assert_eq!(
            patience.left(begun + Duration::from_secs(9)),
            Duration::ZERO
        );
        assert_eq!(patience.unheard_until(), None);
        let short = patience.unless_heard(Duration::from_secs(1));
        assert_eq!(short.unheard_until(), Some(begun + Duration::from_secs(1)));
        assert_eq!(
            (patience.refused_until(), short.refused_until()),
            (None, Some(begun + REFUSED))
        );
        let long = patience.unless_heard(Duration::from_secs(60));
        assert_eq!(long.unheard_until(), Some(begun + Duration::from_secs(5)));
    }
}
