//! One attempt to bring the remote up to date.
//!
//! ```text
//! settle what was announced -> capture -> compare with what others did -> fork a change, once
//!   -> announce -> send -> record
//! ```
//!
//! Each step is recorded durably before the next has an effect at the remote, so an attempt can end
//! anywhere, also with the process, and the next one goes on from there.

use std::sync::Arc;

use journal::{Sequence, replay};
use uuid::Uuid;

use super::beside::{Beside, Compared};
use super::kept::Kept;
use crate::daemon::status::CredentialTrouble;
use crate::lower::{self, SourceError};
use crate::overlay::{self, Capture, Overlay, Scope};
use crate::remote::{Failure, ForeignEdits, Publisher, Push, PushError, Pusher, Settled};
use crate::tree::{ChangeId, GitOid};
use crate::upper::RemoteState;

/// Captures that may miss content and be tried again: each fetches one thing more, so this bounds
/// the links and listings of one batch.
const FETCHES_MAX: usize = 100_000;
/// Captures that may be torn by writers before the bodies are copied instead.
const TORN_MAX: u32 = 2;
/// Rounds of one attempt: torn captures, then one of copies, and a conflict or two in between.
const ROUNDS_MAX: u32 = TORN_MAX + 4;

/// Why an attempt did not get through.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The local state.
    #[error("the local state")]
    Overlay(#[from] overlay::Error),
    /// The push.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The server, or the way to it.
    #[error(transparent)]
    Remote(#[from] Failure),
    /// Somebody else's edits of the change that takes ours contradict them: ours need one of their own.
    #[error("somebody else's edits of change {change} contradict ours, which go to a new one")]
    Foreign {
        /// The change.
        change: ChangeId,
    },
    /// Conflicts that settle as nobody's, again and again.
    #[error("the server refuses the commit that it says it has")]
    Unsettled,
    /// A change of ours is recorded without the transaction that made it.
    #[error("the journal has a change without the transaction that made it")]
    NoTransaction,
}

/// A change of ours: its id, its commit, and the transaction that made it.
type Ours = (ChangeId, GitOid, [u8; 16]);

/// Brings one repository's remote up to date.
pub(super) struct Replay {
    pub(super) overlay: Arc<Overlay>,
    pub(super) pusher: Pusher,
    pub(super) others: ForeignEdits,
    pub(super) publisher: Publisher,
    torn: u32,
    /// The commit that the next push is meant for, where it is not the recorded one: a series of
    /// parts was cut off.
    pub(super) base: Option<GitOid>,
    /// The change's commit when it is somebody else's, until the next push was compared with it.
    pub(super) theirs: Option<GitOid>,
    /// What others did that stands beside ours, as far as it was looked at.
    pub(super) beside: Beside,
    /// An announced publication that is known not to have taken effect.
    pub(super) unpublished: Option<[u8; 16]>,
    /// What the server did not take.
    pub(super) kept: Kept,
}

/// How one round of an attempt ended.
enum Round {
    /// The remote is up to date.
    Done,
    /// Something has to be captured or asked again, at once.
    Again,
}

impl Replay {
    /// Pushes what `overlay` journals.
    pub(super) fn new(overlay: Arc<Overlay>, pusher: Pusher) -> Replay {
        Replay {
            overlay,
            others: pusher.foreign_edits(),
            publisher: pusher.publisher(),
            pusher,
            torn: 0,
            base: None,
            theirs: None,
            beside: Beside::default(),
            unpublished: None,
            kept: Kept::default(),
        }
    }

    /// One attempt.
    ///
    /// # Errors
    ///
    /// Why it did not get through; [`Error::outcome`] says what that means for the next one.
    pub(super) fn attempt(&mut self) -> Result<(), Error> {
        for _ in 0..ROUNDS_MAX {
            if let Round::Done = self.round()? {
                return Ok(());
            }
        }
        Err(Error::Unsettled)
    }

    fn round(&mut self) -> Result<Round, Error> {
        self.settle()?;
        if !self.overlay.has_pending() {
            return Ok(Round::Done);
        }
        self.settle_publishing()?;
        self.look_at_published()?;
        self.finish_fork()?;
        self.fork_sibling()?;
        // A change that never took a push of ours lacks what earlier changes took.
        let scope = match self.overlay.remote().pushed {
            Sequence(0) => Scope::Everything,
            _ => Scope::Pending,
        };
        let Some(capture) = self.capture(scope)? else {
            return Ok(Round::Done);
        };
        let ready = self
            .compare(&capture.edits)
            .and_then(|compared| match compared {
                Compared::Moved => Ok(None),
                Compared::Fine => self.change().map(Some),
            });
        let (change, commit, transaction) = match ready {
            Ok(Some(ours)) => ours,
            Ok(None) => {
                self.overlay.abandon_capture();
                return Ok(Round::Again);
            }
            Err(Error::Push(error)) => return self.not_sent(error),
            Err(error) => {
                self.overlay.abandon_capture();
                return Err(error);
            }
        };
        let batch = Uuid::new_v4().into_bytes();
        let announced = self.overlay.record_push_intended(capture.through, batch);
        if let Err(error) = announced {
            self.overlay.abandon_capture();
            return Err(error.into());
        }
        let sent = self.pusher.push(&Push {
            change,
            base: self.base.take().unwrap_or(commit),
            transaction,
            batch,
            edits: &capture.edits,
        });
        match sent {
            Ok(pushed) => {
                self.overlay.record_pushed(capture.through, pushed.commit)?;
                self.torn = 0;
                self.beside.forget(&capture.edits);
                self.kept.pushed(&capture.edits, &pushed.kept_local);
                Ok(Round::Done)
            }
            Err(error) => self.not_sent(error),
        }
    }

    /// Finds out what became of a push that was announced and has no recorded outcome.
    fn settle(&mut self) -> Result<(), Error> {
        let RemoteState {
            change, intended, ..
        } = self.overlay.remote();
        let (Some((change, commit)), Some((through, batch))) = (change, intended) else {
            return Ok(());
        };
        // Settled in this process already: it is not there.
        if self.base.is_some() || self.theirs.is_some() {
            return Ok(());
        }
        match self.pusher.settle(change, commit, batch)? {
            Settled::Accepted(commit) => {
                self.overlay.record_pushed(through, commit)?;
                tracing::info!(%change, "a push whose answer was lost had been accepted");
            }
            Settled::NotThere(commit) => {
                self.overlay.abandon_capture();
                self.base = Some(commit);
            }
            Settled::Foreign(commit) => {
                self.overlay.abandon_capture();
                self.theirs = Some(commit);
                tracing::info!(%change, %commit, "somebody else edited the change");
            }
        }
        Ok(())
    }

    /// The change that takes the edits, made if there is none yet.
    fn change(&mut self) -> Result<Ours, Error> {
        let remote = self.overlay.remote();
        match (remote.change, remote.fork) {
            // What others build on is not rewritten.
            (Some((published, _)), _) if remote.is_published() => self.fork(Some(published)),
            (Some((change, commit)), Some(transaction)) => Ok((change, commit, transaction)),
            (Some(_), None) => Err(Error::NoTransaction),
            (None, _) => self.fork(None),
        }
    }

    /// Makes the change that was announced, and perhaps made: the same transaction gives the same one.
    fn finish_fork(&mut self) -> Result<(), Error> {
        let RemoteState { change, fork, .. } = self.overlay.remote();
        if let (None, Some(transaction)) = (change, fork) {
            self.fork_as(transaction)?;
        }
        Ok(())
    }

    /// Makes a change on the pinned one, or on a published one of ours.
    pub(super) fn fork(&mut self, continues: Option<ChangeId>) -> Result<Ours, Error> {
        let transaction = Uuid::new_v4().into_bytes();
        self.overlay.record_fork_intended(transaction, continues)?;
        self.fork_as(transaction)
    }

    fn fork_as(&mut self, transaction: [u8; 16]) -> Result<Ours, Error> {
        let continues = self.overlay.remote().continues;
        let base = continues.unwrap_or(self.overlay.pin().change);
        let forked = self.pusher.fork(base, transaction)?;
        self.overlay.record_forked(forked.change, forked.commit)?;
        self.base = None;
        self.theirs = None;
        tracing::info!(change = %forked.change, %base, "forked");
        Ok((forked.change, forked.commit, transaction))
    }

    fn capture(&self, scope: Scope) -> Result<Option<Capture>, Error> {
        for _ in 0..FETCHES_MAX {
            let captured = match self.torn {
                0..=TORN_MAX => self.overlay.capture(scope),
                _ => self.overlay.capture_copies(scope),
            };
            match captured {
                Err(overlay::Error::Missing(want)) => self.overlay.fetch(&want)?,
                captured => return Ok(captured?),
            }
        }
        Err(overlay::Error::TooLong.into())
    }

    /// What is unknown is kept as it was captured, and settled first thing in the next round.
    fn not_sent(&mut self, error: PushError) -> Result<Round, Error> {
        match error {
            PushError::Torn { .. } => {
                self.torn += 1;
                self.overlay.abandon_capture();
                Ok(Round::Again)
            }
            PushError::Remote(Failure::Conflict(_)) => Ok(Round::Again),
            PushError::Remote(failure) if failure.is_unknown_outcome() => Err(failure.into()),
            error => {
                self.overlay.abandon_capture();
                Err(error.into())
            }
        }
    }
}

const TRANSIENT: replay::Failure = replay::Failure::Transient { retry_after: None };

impl Error {
    /// What the failure means for the next attempt, and what it says of the credential.
    pub(super) fn outcome(&self) -> (replay::Failure, Option<CredentialTrouble>) {
        match self {
            Error::Remote(failure) | Error::Push(PushError::Remote(failure)) => of_failure(failure),
            Error::Push(PushError::Lower(lower::Error::Source(source)))
            | Error::Overlay(overlay::Error::Lower(lower::Error::Source(source))) => {
                of_source(source)
            }
            // Local trouble: a full disk, a failing one. It may pass, and nothing is lost meanwhile.
            Error::Overlay(_) | Error::Push(_) | Error::Unsettled => (TRANSIENT, None),
            Error::Foreign { .. } => (replay::Failure::Conflict, None),
            Error::NoTransaction => (replay::Failure::Refused, None),
        }
    }
}

fn of_failure(failure: &Failure) -> (replay::Failure, Option<CredentialTrouble>) {
    let credential = match failure {
        Failure::CredentialMissing(_) => CredentialTrouble::Missing,
        Failure::CredentialExpired => CredentialTrouble::Expired,
        Failure::CredentialRevoked => CredentialTrouble::Revoked,
        Failure::CredentialUnknown => CredentialTrouble::Unknown,
        Failure::Forbidden => CredentialTrouble::Forbidden,
        Failure::TooLarge | Failure::Refused { .. } | Failure::Unsendable => {
            return (replay::Failure::Refused, None);
        }
        Failure::RateLimited { retry_after } | Failure::Server { retry_after, .. } => {
            let retry_after = *retry_after;
            return (replay::Failure::Transient { retry_after }, None);
        }
        Failure::Setup(_)
        | Failure::Offline(_)
        | Failure::OfflineLately
        | Failure::TimedOut
        | Failure::NotFound
        | Failure::NotAcceptable
        | Failure::Conflict(_)
        | Failure::Protocol(_)
        | Failure::Sink(_)
        | Failure::Body(_) => return (TRANSIENT, None),
    };
    (replay::Failure::Auth, Some(credential))
}

fn of_source(source: &SourceError) -> (replay::Failure, Option<CredentialTrouble>) {
    let credential = match source {
        SourceError::CredentialMissing => CredentialTrouble::Missing,
        SourceError::CredentialExpired => CredentialTrouble::Expired,
        SourceError::CredentialRevoked => CredentialTrouble::Revoked,
        SourceError::CredentialUnknown => CredentialTrouble::Unknown,
        SourceError::Forbidden => CredentialTrouble::Forbidden,
        SourceError::Offline
        | SourceError::TimedOut
        | SourceError::NotFound
        | SourceError::Moved
        | SourceError::Protocol
        | SourceError::Server
        | SourceError::Sink(_) => return (TRANSIENT, None),
    };
    (replay::Failure::Auth, Some(credential))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn failures_are_told_apart_by_what_would_help() {
        let outcome = |failure| Error::Remote(failure).outcome();
        assert_eq!(
            outcome(Failure::CredentialExpired),
            (replay::Failure::Auth, Some(CredentialTrouble::Expired))
        );
        assert_eq!(outcome(Failure::TooLarge), (replay::Failure::Refused, None));
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(
            outcome(Failure::RateLimited { retry_after }),
            (replay::Failure::Transient { retry_after }, None)
        );
        assert_eq!(outcome(Failure::TimedOut), (TRANSIENT, None));
        let change = ChangeId::ROOT;
        let (foreign, _) = Error::Foreign { change }.outcome();
        assert_eq!(foreign, replay::Failure::Conflict);
    }

    #[test]
    fn content_that_cannot_be_read_for_want_of_a_credential_says_so() {
        let missing = lower::Error::Source(SourceError::CredentialMissing);
        let (failure, credential) = Error::Overlay(overlay::Error::Lower(missing)).outcome();
        assert_eq!(failure, replay::Failure::Auth);
        assert_eq!(credential, Some(CredentialTrouble::Missing));
    }
}
