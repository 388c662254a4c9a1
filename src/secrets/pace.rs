//! How often the credential command runs: pure; time arrives as a value.

use std::time::{Duration, Instant};

/// First pause after a run, whatever came of it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest: how late a mount may notice that the command gives something good again. A run costs a
/// process, and perhaps a sign-on.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// When the command may run next: ever more rarely while what it gives is not taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    runs: u32,
    not_before: Option<Instant>,
}

impl Pace {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    /// It has run.
    pub(super) fn ran(&mut self, now: Instant) {
        let pause = PAUSE_FIRST.saturating_mul(1 << self.runs.min(8));
        self.runs = self.runs.saturating_add(1);
        self.not_before = Some(now + pause.min(PAUSE_MAX));
    }

    /// The server took what it gave.
    pub(super) fn worked(&mut self) {
        self.runs = 0;
    }

    /// Somebody asks for it.
    pub(super) fn hurry(&mut self) {
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_success_come_ever_more_rarely() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        assert!(pace.is_due(now));
        for _ in 0..7 {
            pace.ran(now);
            let begun = now;
            while !pace.is_due(now) {
                now += Duration::from_millis(250);
            }
            pauses.push((now - begun).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15]);
        pace.worked();
        pace.ran(now);
        assert!(!pace.is_due(now) && pace.is_due(now + PAUSE_FIRST));
        pace.hurry();
        assert!(pace.is_due(now));
    }
}
