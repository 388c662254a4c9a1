//! The server's clock, as far as it is known.
//!
//! `exp` is an instant of the server's clock. Ours may be wrong, or be set while we run; so the time
//! of day comes from the last answer's Date and the time that has passed since, which no setting of a
//! clock changes. Before the first answer it is ours. It only ever advises: the server decides.

use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

/// What time it is for the server.
#[derive(Debug, Default)]
pub struct ServerClock(Mutex<Option<(SystemTime, Instant)>>);

impl ServerClock {
    /// The server has just told the time.
    pub fn heard(&self, date: SystemTime) {
        *self.0.lock() = Some((date, Instant::now()));
    }

    /// Whether the server has told the time yet.
    pub fn is_known(&self) -> bool {
        self.0.lock().is_some()
    }

    /// What time it is.
    pub fn now(&self) -> SystemTime {
        let heard = *self.0.lock();
        heard
            .and_then(|(date, at)| date.checked_add(at.elapsed()))
            .unwrap_or_else(SystemTime::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_servers_time_goes_on_from_where_it_was_heard() {
        let clock = ServerClock::default();
        let ours = SystemTime::now();
        assert!(clock.now() >= ours && !clock.is_known());
        let date = UNIX_EPOCH + Duration::from_secs(1_000);
        clock.heard(date);
        let theirs = clock.now();
        assert!(clock.is_known());
        assert!(theirs >= date && theirs < date + Duration::from_secs(60));
    }
}
