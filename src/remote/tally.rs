//! What became of the requests of one kind.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Failure;

/// How a request ended, as far as its answer's head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server did it, or gives what was asked for.
    Success,
    /// No connection, or it broke, or nothing came in time.
    Unreachable,
    /// The credential is missing, old, revoked or unknown.
    Credential,
    /// The credential does not allow it.
    Forbidden,
    /// The server has no such thing, or not in that form.
    NotFound,
    /// It contradicts what the server has.
    Conflict,
    /// The server wants fewer requests.
    Limited,
    /// The server failed.
    Server,
    /// The server will not do it, or its answer cannot be believed.
    Refused,
    /// The caller had waited long enough.
    Abandoned,
}

/// Every outcome, in the order of [`Tally::outcomes`].
pub const OUTCOMES: [Outcome; 10] = [
    Outcome::Success,
    Outcome::Unreachable,
    Outcome::Credential,
    Outcome::Forbidden,
    Outcome::NotFound,
    Outcome::Conflict,
    Outcome::Limited,
    Outcome::Server,
    Outcome::Refused,
    Outcome::Abandoned,
];

impl Outcome {
    /// The outcome's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Unreachable => "unreachable",
            Outcome::Credential => "credential",
            Outcome::Forbidden => "forbidden",
            Outcome::NotFound => "not-found",
            Outcome::Conflict => "conflict",
            Outcome::Limited => "limited",
            Outcome::Server => "server",
            Outcome::Refused => "refused",
            Outcome::Abandoned => "abandoned",
        }
    }

    pub(super) fn of<T>(result: &Result<T, Failure>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(failure) if failure.needs_credential() => Outcome::Credential,
            Err(failure) if failure.is_unreachable() => Outcome::Unreachable,
            Err(Failure::Forbidden) => Outcome::Forbidden,
            Err(Failure::NotFound | Failure::NotAcceptable) => Outcome::NotFound,
            Err(Failure::Conflict(_)) => Outcome::Conflict,
            Err(Failure::RateLimited { .. }) => Outcome::Limited,
            Err(Failure::Server { .. }) => Outcome::Server,
            Err(_) => Outcome::Refused,
        }
    }
}

/// Requests of one kind since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many were sent.
    pub sent: u64,
    /// How many ended in each way, in the order of [`OUTCOMES`].
    pub outcomes: [u64; OUTCOMES.len()],
    /// Bytes of bodies that were to be sent.
    pub bytes_up: u64,
    /// Bytes of bodies that came, decompressed.
    pub bytes_down: u64,
}

impl Tally {
    /// How many ended in any way.
    pub fn ended(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}

/// Counts requests of one kind.
#[derive(Default)]
pub(super) struct Count {
    sent: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES.len()],
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Count {
    /// Counts a request that is about to be sent with a body of so many bytes.
    pub(super) fn begin(&self, bytes_up: u64) -> Attempt<'_> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.bytes_up.fetch_add(bytes_up, Ordering::Relaxed);
        Attempt {
            count: self,
            outcome: Outcome::Abandoned,
        }
    }

    /// Counts bytes of an answer.
    pub(super) fn received(&self, bytes: usize) {
        self.bytes_down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        // Outcomes first: what ends meanwhile was sent before.
        for (found, count) in tally.outcomes.iter_mut().zip(&self.outcomes) {
            *found = count.load(Ordering::Relaxed);
        }
        tally.sent = self.sent();
        tally.bytes_up = self.bytes_up.load(Ordering::Relaxed);
        tally.bytes_down = self.bytes_down.load(Ordering::Relaxed);
        tally
    }
}

/// A request on its way; one that is dropped without an end was abandoned by its caller.
pub(super) struct Attempt<'a> {
    count: &'a Count,
    outcome: Outcome,
}

impl Attempt<'_> {
    /// Notes how it ended.
    pub(super) fn end<T>(mut self, result: &Result<T, Failure>) {
        self.outcome = Outcome::of(result);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.count.outcomes.get(self.outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_ends_in_one_way() {
        for (place, outcome) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, place);
        }
        let count = Count::default();
        count.begin(10).end(&Ok(()));
        count.begin(5).end::<()>(&Err(Failure::TimedOut));
        count.begin(0).end::<()>(&Err(Failure::CredentialExpired));
        drop(count.begin(0));
        let waiting = count.begin(0);
        count.received(7);
        let tally = count.tally();
        assert_eq!((tally.sent, tally.ended()), (5, 4));
        assert_eq!((tally.bytes_up, tally.bytes_down), (15, 7));
        assert_eq!(tally.outcomes[..3], [1, 1, 1]);
        assert_eq!(tally.outcomes[Outcome::Abandoned as usize], 1);
        drop(waiting);
        assert_eq!(count.tally().ended(), 5);
    }
}
