//! Failures that somebody waited for, told once more to whoever asks right afterwards.
//!
//! One read of a file makes the kernel ask twice: for the pages that it reads ahead, and, when those
//! did not come, for the one that is needed. Without an echo the reader would wait for the network
//! twice. Pure: time arrives as a value.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Error, SourceError};
use crate::tree::GitOid;

/// A failure that came faster costs nobody much, and may be over at once.
const TOOK_MIN: Duration = Duration::from_secs(1);
/// The kernel asks again as soon as it has a processor for the reader; and this is how much later
/// somebody is told that the server is back.
const ECHO: Duration = Duration::from_secs(1);

/// What was asked for in vain, and when that ended: as many as threads fetch within [`ECHO`].
#[derive(Default)]
pub(super) struct Echoes(HashMap<GitOid, (Instant, Error)>);

impl Echoes {
    /// A fetch that began and ended then has failed.
    pub(super) fn note(&mut self, oid: GitOid, begun: Instant, ended: Instant, error: &Error) {
        self.0.retain(|_, (then, _)| is_audible(*then, ended));
        if is_of_waiting(error) && ended.saturating_duration_since(begun) >= TOOK_MIN {
            self.0.insert(oid, (ended, error.share()));
        }
    }

    /// What somebody who asks now is told without waiting.
    pub(super) fn of(&self, oid: GitOid, now: Instant) -> Option<Error> {
        let (then, error) = self.0.get(&oid)?;
        is_audible(*then, now).then(|| error.share())
    }
}

fn is_audible(then: Instant, now: Instant) -> bool {
    now.saturating_duration_since(then) < ECHO
}

/// Whether an error is one of a server that is away, slow or unwell, for which one waits.
fn is_of_waiting(error: &Error) -> bool {
    matches!(
        error,
        Error::Source(SourceError::Offline | SourceError::TimedOut | SourceError::Server)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: GitOid = GitOid([1; 20]);
    const TICK: Duration = Duration::from_millis(1);

    fn is_heard(error: SourceError, took: Duration, later: Duration) -> bool {
        let begun = Instant::now();
        let mut echoes = Echoes::default();
        echoes.note(OID, begun, begun + took, &error.into());
        assert!(echoes.of(GitOid([2; 20]), begun + took).is_none());
        echoes.of(OID, begun + took + later).is_some()
    }

    #[test]
    fn what_was_waited_for_is_told_again_for_a_moment() {
        let patience = Duration::from_secs(5);
        assert!(is_heard(SourceError::TimedOut, patience, ECHO - TICK));
        assert!(is_heard(SourceError::Server, TOOK_MIN, Duration::ZERO));
        assert!(!is_heard(SourceError::Offline, patience, ECHO));
    }

    #[test]
    fn a_quick_failure_and_one_that_waiting_does_not_change_are_not() {
        assert!(!is_heard(
            SourceError::TimedOut,
            TOOK_MIN - TICK,
            Duration::ZERO
        ));
        let patience = Duration::from_secs(5);
        for error in [SourceError::CredentialExpired, SourceError::Moved] {
            assert!(!is_heard(error, patience, Duration::ZERO));
        }
    }

    #[test]
    fn what_is_over_takes_no_room() {
        let start = Instant::now();
        let mut echoes = Echoes::default();
        for round in 0..100_u8 {
            let begun = start + ECHO * u32::from(round);
            let oid = GitOid([round; 20]);
            echoes.note(oid, begun, begun + TOOK_MIN, &SourceError::TimedOut.into());
        }
        assert_eq!(echoes.0.len(), 1);
    }
}
