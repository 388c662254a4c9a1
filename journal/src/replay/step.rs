//! What each event does in each state.

use std::time::Duration;

use super::{Action, Attempt, Credential, Failure, Hold, Pace, Replay, State};

impl Replay {
    pub(super) fn appended(&mut self, now: Duration, random: u64) -> Action {
        match self.state {
            State::Idle => self.gather(now, now, now),
            State::Gathering { since, .. } => self.gather(since, now, now),
            State::Pushing | State::Forking => {
                let since = self.later.map_or(now, |(since, _)| since);
                self.later = Some((since, now));
                Action::Wait
            }
            // The next attempt takes it along.
            State::Backoff { .. } | State::AuthNeeded { .. } => self.wait_or_go(now),
            // What was refused may just have been removed; or not, so this must not spin either.
            State::Quarantined { retry, .. } => {
                let until = now.saturating_add(self.backoff(None, random));
                self.state = State::Backoff { until, retry };
                self.wait_or_go(now)
            }
            State::Held { retry } => {
                let retry = Some(retry.unwrap_or(Attempt::Push));
                self.state = State::Held { retry };
                Action::Wait
            }
        }
    }

    /// Goes on if the state's instant has come, else tells when it comes.
    pub(super) fn wait_or_go(&mut self, now: Duration) -> Action {
        match self.state {
            State::Idle | State::Pushing | State::Forking | State::Held { .. } => Action::Wait,
            State::Gathering { since, latest } => self.gather(since, latest, now),
            State::Backoff { until, retry }
            | State::AuthNeeded { until, retry }
            | State::Quarantined { until, retry } => {
                if now >= until {
                    self.start(retry)
                } else {
                    Action::WaitUntil(until)
                }
            }
        }
    }

    pub(super) fn accepted(&mut self, now: Duration) -> Action {
        if self.attempt_in_flight().is_none() {
            return self.wait_or_go(now); // of nothing that is in flight
        }
        self.failures = 0;
        let later = self.later.take();
        if std::mem::replace(&mut self.hold, Hold::Unwanted) == Hold::Wanted {
            let retry = later.map(|_| Attempt::Push);
            self.state = State::Held { retry };
            return Action::Wait;
        }
        match later {
            Some((since, latest)) => self.gather(since, latest, now),
            None => {
                self.state = State::Idle;
                self.pace = Pace::Gather;
                Action::Wait
            }
        }
    }

    pub(super) fn failed(&mut self, failure: Failure, now: Duration, random: u64) -> Action {
        let Some(retry) = self.attempt_in_flight() else {
            return self.wait_or_go(now);
        };
        // The next attempt takes along what was appended during this one.
        self.later = None;
        let retry = match failure {
            Failure::Conflict => Attempt::Fork,
            Failure::Transient { .. } | Failure::Auth | Failure::Refused => retry,
        };
        if std::mem::replace(&mut self.hold, Hold::Unwanted) == Hold::Wanted {
            self.state = State::Held { retry: Some(retry) };
            return Action::Wait;
        }
        let probe = now.saturating_add(self.policy.probe);
        self.state = match failure {
            Failure::Transient { retry_after } => State::Backoff {
                until: now.saturating_add(self.backoff(retry_after, random)),
                retry,
            },
            Failure::Auth if self.credential == Credential::Replaced => return self.start(retry),
            Failure::Auth => State::AuthNeeded {
                until: probe,
                retry,
            },
            Failure::Refused => State::Quarantined {
                until: probe,
                retry,
            },
            // A fork whose new change conflicts at once must not spin.
            Failure::Conflict if self.state == State::Forking => State::Backoff {
                until: now.saturating_add(self.backoff(None, random)),
                retry,
            },
            Failure::Conflict => return self.start(Attempt::Fork),
        };
        self.wait_or_go(now)
    }

    pub(super) fn credential_changed(&mut self, now: Duration) -> Action {
        match self.state {
            State::AuthNeeded { retry, .. }
            | State::Backoff { retry, .. }
            | State::Quarantined { retry, .. } => self.start(retry),
            State::Pushing | State::Forking => {
                self.credential = Credential::Replaced;
                Action::Wait
            }
            State::Idle | State::Gathering { .. } | State::Held { .. } => self.wait_or_go(now),
        }
    }

    /// What failed for want of a connection is tried at once, as if it had never failed.
    pub(super) fn reachable(&mut self, now: Duration) -> Action {
        match self.state {
            State::Backoff { retry, .. } => {
                self.failures = 0;
                self.start(retry)
            }
            State::Idle
            | State::Gathering { .. }
            | State::Pushing
            | State::Forking
            | State::AuthNeeded { .. }
            | State::Quarantined { .. }
            | State::Held { .. } => self.wait_or_go(now),
        }
    }

    pub(super) fn held(&mut self) -> Action {
        let retry = match self.state {
            // What is in flight cannot be called back.
            State::Pushing | State::Forking => {
                self.hold = Hold::Wanted;
                return Action::Wait;
            }
            State::Idle => None,
            State::Gathering { .. } => Some(Attempt::Push),
            State::Backoff { retry, .. }
            | State::AuthNeeded { retry, .. }
            | State::Quarantined { retry, .. } => Some(retry),
            State::Held { retry } => retry,
        };
        self.state = State::Held { retry };
        Action::Wait
    }

    pub(super) fn released(&mut self, now: Duration) -> Action {
        self.hold = Hold::Unwanted;
        match self.state {
            State::Held { retry: None } => {
                self.state = State::Idle;
                self.pace = Pace::Gather;
                Action::Wait
            }
            State::Held { retry: Some(retry) }
            | State::Backoff { retry, .. }
            | State::AuthNeeded { retry, .. }
            | State::Quarantined { retry, .. } => self.start(retry),
            State::Idle | State::Gathering { .. } | State::Pushing | State::Forking => {
                self.wait_or_go(now)
            }
        }
    }

    pub(super) fn drained(&mut self, now: Duration) -> Action {
        match self.state {
            // Nothing to drain; and a person's word is stronger than a flush.
            State::Idle | State::Held { retry: None } => return Action::Wait,
            State::Gathering { .. }
            | State::Pushing
            | State::Forking
            | State::Backoff { .. }
            | State::AuthNeeded { .. }
            | State::Quarantined { .. }
            | State::Held { .. } => self.pace = Pace::Drain,
        }
        match self.state {
            // Asked anew, it is tried anew: a flush wants today's answer.
            State::Backoff { retry, .. }
            | State::AuthNeeded { retry, .. }
            | State::Quarantined { retry, .. } => self.start(retry),
            _ => self.wait_or_go(now),
        }
    }

    /// Waits for a pause, or pushes if there has been one.
    pub(super) fn gather(&mut self, since: Duration, latest: Duration, now: Duration) -> Action {
        let quiet = latest.saturating_add(self.policy.quiet);
        let old = since.saturating_add(self.policy.age_max);
        let until = quiet.min(old);
        if self.pace == Pace::Drain || now >= until {
            return self.start(Attempt::Push);
        }
        self.state = State::Gathering { since, latest };
        Action::WaitUntil(until)
    }

    fn start(&mut self, attempt: Attempt) -> Action {
        self.later = None;
        self.credential = Credential::Newest;
        match attempt {
            Attempt::Push => {
                self.state = State::Pushing;
                Action::Push
            }
            Attempt::Fork => {
                self.state = State::Forking;
                Action::ForkAndPush
            }
        }
    }

    fn attempt_in_flight(&self) -> Option<Attempt> {
        match self.state {
            State::Pushing => Some(Attempt::Push),
            State::Forking => Some(Attempt::Fork),
            State::Idle
            | State::Gathering { .. }
            | State::Backoff { .. }
            | State::AuthNeeded { .. }
            | State::Quarantined { .. }
            | State::Held { .. } => None,
        }
    }

    /// Exponential with full jitter, and never before the server wants it.
    fn backoff(&mut self, retry_after: Option<Duration>, random: u64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let most = self
            .policy
            .backoff_first
            .saturating_mul(doubled)
            .min(self.policy.backoff_max);
        let jittered = most.mul_f64(random as f64 / u64::MAX as f64);
        let asked = retry_after
            .unwrap_or_default()
            .min(self.policy.retry_after_max);
        jittered.max(asked)
    }
}
