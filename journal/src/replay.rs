//! When to push: a pure state machine. Events go in, an action comes out; somebody else acts.
//!
//! Time is a `Duration` since any fixed start, and randomness a number, so that every path is a
//! test. Nothing here gives up: every state that waits has an instant at which it tries again, but
//! [`State::Held`], which waits for a person, and [`State::Idle`], which has nothing to do.
//!
//! After every event the caller performs the action; [`Action::WaitUntil`] means that it sends
//! [`Event::Tick`] at that instant, unless another event comes first. One push is in flight at most.

mod step;

use std::time::Duration;

/// The instants and limits of [`Replay`]. Each default carries its argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// So long nothing must have been appended before a push: 250 ms is longer than the pauses
    /// inside one save or one checkout, and shorter than a person's patience.
    pub quiet: Duration,
    /// A push starts at this age of the oldest edit even if appending never pauses: 2 s.
    pub age_max: Duration,
    /// The first retry comes within this: 500 ms, so that one lost packet costs little.
    pub backoff_first: Duration,
    /// Later ones come within twice as long each, but no longer than this: 60 s, so that work is
    /// pushed within a minute of the network's return, at a request a minute while it is away.
    pub backoff_max: Duration,
    /// A server's Retry-After is honoured up to this: 10 minutes; a longer one is a mistake or
    /// malice.
    pub retry_after_max: Duration,
    /// Without a credential, or with a batch that was refused, a push is tried this rarely: 60 s.
    /// It costs the server a request and finds out about repairs that nobody told us of.
    pub probe: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            quiet: Duration::from_millis(250),
            age_max: Duration::from_secs(2),
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(600),
            probe: Duration::from_secs(60),
        }
    }
}

/// Where the replay of one repository stands.
///
/// ```text
///              appended              quiet or old, or draining
///   Idle ----------------> Gathering -------------------------> Pushing
///    ^                        ^  ^                               | | | |
///    |      accepted and more |  |                               | | | |
///    |      was appended -----'  | release                       | | | |
///    |                           |                               | | | |
///    +--- accepted --------------+-------------------------------' | | |
///                                |                                 | | |
///        hold, from anywhere --> Held (a push in flight ends first)  | | |
///                                                                  | | |
///   Backoff <---- transient: network, 5xx, 429 --------------------' | |
///      |--- its instant, a new credential, or drain ---> Pushing     | |
///      '--- the server is back ---> Pushing                          | |
///   AuthNeeded <---- auth: 401, 403 ---------------------------------' |
///      '--- a new credential, drain, or a rare probe ---> Pushing      |
///   Quarantined <---- refused: 413, 422, a name it does not take ------+
///      |--- release, credential, drain, or a rare probe ---> Pushing   |
///      '--- appended: the cause may be gone ---> Backoff               |
///   Forking <---- conflict: somebody else's edit of our paths --------'
///      '--- accepted or failed: as from Pushing (a failed fork is tried again as a fork)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Everything appended has been accepted.
    Idle,
    /// There is work; waiting for a pause in it.
    Gathering {
        /// When the oldest of it was appended.
        since: Duration,
        /// When the newest was.
        latest: Duration,
    },
    /// A push is in flight.
    Pushing,
    /// A new change is being made beside the one that somebody else edits, with everything in it.
    Forking,
    /// The last attempt failed in a way that passes.
    Backoff {
        /// When to try again.
        until: Duration,
        /// What to try again.
        retry: Attempt,
    },
    /// The credential is missing, expired, revoked or not allowed to write.
    AuthNeeded {
        /// When to see whether that still holds.
        until: Duration,
        /// What to try again.
        retry: Attempt,
    },
    /// The remote refuses the batch for what it is.
    Quarantined {
        /// When to see whether it still does.
        until: Duration,
        /// What to try again.
        retry: Attempt,
    },
    /// A person said to wait.
    Held {
        /// What to do once released, if there is work.
        retry: Option<Attempt>,
    },
}

/// The two ways to send work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// Send what is pending on top of what has been accepted.
    Push,
    /// Make a new change and send everything to that.
    Fork,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Pending work was appended to the journal.
    Appended,
    /// Time has passed.
    Tick,
    /// The remote accepted what was sent.
    Accepted,
    /// It did not.
    Failed(Failure),
    /// There is another credential.
    CredentialChanged,
    /// The server is back after it could not be reached.
    Reachable,
    /// A person says to wait.
    Hold,
    /// A person says to go on, or to try again now.
    Release,
    /// A flush, an unmount, a signal or a credential about to expire: no more gathering, until all
    /// is accepted.
    Drain,
}

/// Why a push did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The network, or a server in trouble or too busy.
    Transient {
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The credential does not do.
    Auth,
    /// Somebody else has edited the same paths of the same change.
    Conflict,
    /// This batch can never be accepted as it is.
    Refused,
}

/// What the caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Capture what is pending and push it; report [`Event::Accepted`] or [`Event::Failed`].
    /// If nothing is pending, as after a file that came and went, that is accepted at once.
    Push,
    /// Make a new change and push everything to it; report likewise.
    ForkAndPush,
    /// Send [`Event::Tick`] at this instant, if nothing else happens before.
    WaitUntil(Duration),
    /// Wait for any event.
    Wait,
}

/// Whether the journal had pending work when it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backlog {
    /// It had.
    Some,
    /// It had not.
    None,
}

/// The replay of one repository.
#[derive(Clone, Debug)]
pub struct Replay {
    policy: Policy,
    state: State,
    /// When work was appended that the push in flight does not have: the oldest and the newest.
    later: Option<(Duration, Duration)>,
    /// Failures that pass, since the last success.
    failures: u32,
    pace: Pace,
    /// A hold that waits for the push in flight to end.
    hold: Hold,
    /// Whether the push in flight goes with a credential that has been replaced since.
    credential: Credential,
}

/// Whether work is gathered before it is pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pace {
    Gather,
    Drain,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    Wanted,
    Unwanted,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Credential {
    Newest,
    Replaced,
}

impl Replay {
    /// The replay of a journal that was just opened, and what to do first.
    pub fn new(policy: Policy, backlog: Backlog, now: Duration) -> (Replay, Action) {
        let mut replay = Replay {
            policy,
            state: State::Idle,
            later: None,
            failures: 0,
            pace: Pace::Gather,
            hold: Hold::Unwanted,
            credential: Credential::Newest,
        };
        let action = match backlog {
            Backlog::Some => replay.gather(now, now, now),
            Backlog::None => Action::Wait,
        };
        (replay, action)
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether a drain was asked for and has not reached its end.
    pub fn is_draining(&self) -> bool {
        self.pace == Pace::Drain
    }

    /// Takes an event and says what to do next. `random` is any 64 random bits: they spread the
    /// retries of many clients over time.
    pub fn step(&mut self, event: Event, now: Duration, random: u64) -> Action {
        match event {
            Event::Appended => self.appended(now, random),
            Event::Tick => self.wait_or_go(now),
            Event::Accepted => self.accepted(now),
            Event::Failed(failure) => self.failed(failure, now, random),
            Event::CredentialChanged => self.credential_changed(now),
            Event::Reachable => self.reachable(now),
            Event::Hold => self.held(),
            Event::Release => self.released(now),
            Event::Drain => self.drained(now),
        }
    }
}
