//! What the server said of credentials: pure, and bounded; time arrives as a value.
//!
//! A refused credential is not sent again and again by everybody who wants something: one request at
//! a time finds out whether it is taken after all (a key may be restored, a server's clock set), ever
//! more rarely. Nobody else waits for that.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::{Fingerprint, Place};

/// First pause between two probes of a refused credential.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest: how late a restored key may be noticed.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Credentials that are remembered: far more than a mount has. Beyond it all are forgotten, which
/// costs a request each.
const REMEMBERED_MAX: usize = 256;

/// Why the server did not take a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its time is over.
    Expired,
    /// It was revoked, or the key that signed it was.
    Revoked,
    /// The server does not know it.
    Unknown,
}

#[derive(Debug)]
struct Refused {
    refusal: Refusal,
    pause: Duration,
    probe_at: Instant,
}

/// What the server said.
#[derive(Debug, Default)]
pub(super) struct Standing {
    refused: HashMap<Fingerprint, Refused>,
    forbidden: HashSet<(Fingerprint, Place)>,
}

impl Standing {
    /// The server did not take it; returns whether that is new.
    pub(super) fn refuse(&mut self, which: Fingerprint, refusal: Refusal, now: Instant) -> bool {
        if self.refused.len() >= REMEMBERED_MAX {
            self.refused.clear();
        }
        let known = self.refused.get(&which);
        let pause = known.map_or(PAUSE_FIRST, |known| (known.pause * 2).min(PAUSE_MAX));
        let refused = Refused {
            refusal,
            pause,
            probe_at: now + pause,
        };
        let before = self.refused.insert(which, refused);
        before.is_none_or(|before| before.refusal != refusal)
    }

    /// The server took it; returns whether it had not, before. What is forbidden stays so: a token
    /// that can read is taken all the time, and still cannot write.
    pub(super) fn accept(&mut self, which: Fingerprint) -> bool {
        self.refused.remove(&which).is_some()
    }

    /// The server knows it, and does not allow it something there; returns whether that is new.
    pub(super) fn forbid(&mut self, which: Fingerprint, place: Place) -> bool {
        if self.forbidden.len() >= REMEMBERED_MAX {
            self.forbidden.clear();
        }
        self.forbidden.insert((which, place))
    }

    pub(super) fn refusal(&self, which: Fingerprint) -> Option<Refusal> {
        self.refused.get(&which).map(|refused| refused.refusal)
    }

    pub(super) fn is_forbidden(&self, which: Fingerprint, place: &Place) -> bool {
        !self.forbidden.is_empty() && self.forbidden.contains(&(which, place.clone()))
    }

    /// Whether it may be sent; of a refused one, one caller in each pause may.
    pub(super) fn admit(&mut self, which: Fingerprint, now: Instant) -> Result<(), Refusal> {
        match self.refused.get_mut(&which) {
            Some(refused) if now < refused.probe_at => Err(refused.refusal),
            Some(refused) => {
                refused.probe_at = now + refused.pause;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Somebody asks for today's answer: the next caller probes.
    pub(super) fn probe_now(&mut self, now: Instant) {
        for refused in self.refused.values_mut() {
            refused.probe_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Credential;

    fn of(text: &str) -> Fingerprint {
        Credential::try_from(text.to_owned()).unwrap().fingerprint()
    }

    #[test]
    fn one_caller_in_each_pause_probes_and_pauses_grow_to_a_limit() {
        let mut standing = Standing::default();
        let mut now = Instant::now();
        assert_eq!(standing.admit(of("one"), now), Ok(()));
        assert!(standing.refuse(of("one"), Refusal::Revoked, now));
        assert_eq!(standing.admit(of("one"), now), Err(Refusal::Revoked));
        assert_eq!(standing.admit(of("two"), now), Ok(()));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let begun = now;
            while standing.admit(of("one"), now).is_err() {
                now += Duration::from_millis(500);
            }
            assert_eq!(standing.admit(of("one"), now), Err(Refusal::Revoked));
            pauses.push((now - begun).as_secs());
            assert!(!standing.refuse(of("one"), Refusal::Revoked, now));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        standing.probe_now(now);
        assert_eq!(standing.admit(of("one"), now), Ok(()));
        assert!(standing.accept(of("one")));
        assert!(!standing.accept(of("one")));
    }

    #[test]
    fn what_is_forbidden_is_so_for_one_place() {
        let mut standing = Standing::default();
        let acme = Place::Organization("acme".into());
        assert!(standing.forbid(of("one"), acme.clone()));
        assert!(!standing.forbid(of("one"), acme.clone()));
        assert!(standing.is_forbidden(of("one"), &acme));
        assert!(!standing.is_forbidden(of("one"), &Place::Global));
        standing.accept(of("one"));
        assert!(standing.is_forbidden(of("one"), &acme), "it reads, no more");
    }

    #[test]
    fn a_server_that_refuses_everything_costs_bounded_memory() {
        let mut standing = Standing::default();
        let now = Instant::now();
        for number in 0..10 * REMEMBERED_MAX {
            standing.refuse(of(&number.to_string()), Refusal::Unknown, now);
            standing.forbid(of(&number.to_string()), Place::Global);
        }
        assert!(standing.refused.len() <= REMEMBERED_MAX);
        assert!(standing.forbidden.len() <= REMEMBERED_MAX);
    }
}
