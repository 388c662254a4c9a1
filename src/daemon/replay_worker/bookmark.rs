//! The worker's part in publishing: by itself after a push, and when a person asks for it.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use crossbeam_channel::Sender;
use journal::replay::{self, State};

use super::attempt::Error;
use super::plan::{Due, Step, Urgency, Went};
use super::{Progress, Worker};
use crate::daemon::failure::in_a_line;
use crate::daemon::status::PublishState;
use crate::remote::api::Take;
use crate::remote::{Absent, How, Outcome};
use crate::upper::Conflict;

/// What a person wants published.
#[derive(Debug)]
pub(in crate::daemon) enum Wish {
    /// Our change, to this bookmark or the one that was checked out.
    Publish { bookmark: Option<String>, how: How },
    /// Our change, with this side where it contradicts the bookmark.
    Resolve { conflict: Conflict, take: Take },
}

/// What came of it.
#[derive(Debug)]
pub(in crate::daemon) enum Granted {
    /// The bookmark has our change.
    Published { bookmark: String, change: String },
    /// There is nothing of ours that it could get.
    Nothing { bookmark: Option<String> },
    /// The mount shows no bookmark, and none was named.
    NoBookmark,
    /// It has not.
    Refused {
        bookmark: Option<String>,
        state: PublishState,
        reason: String,
        needs_credential: bool,
    },
}

/// A wish, and where its outcome is awaited.
pub(super) struct Errand {
    pub(super) wish: Wish,
    pub(super) reply: Sender<Granted>,
}

/// In words, why a bookmark did not get our change.
fn refusal(bookmark: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Published => "published".to_owned(),
        Outcome::Diverged(Some(at)) => {
            format!("{bookmark} is on change {at}, which ours does not build on")
        }
        Outcome::Diverged(None) => format!("there is no bookmark {bookmark} any more"),
        Outcome::Conflict { paths, .. } => {
            format!("{bookmark} has other edits of {} of our paths", paths.len())
        }
    }
}

impl Worker {
    /// Publishes what is due, if it is time, and remembers how that stands.
    pub(super) fn publish_if_due(&mut self, machine: &replay::Replay) {
        if machine.state() != State::Idle || self.overlay.has_pending() {
            return;
        }
        let remote = self.overlay.remote();
        let due = Due::of(&remote, None).filter(|_| remote.held.is_none());
        let urgent = match self.waiting.is_empty() {
            true => Urgency::None,
            false => Urgency::Waited,
        };
        let step = self.plan.step(due.as_ref(), Instant::now(), urgent);
        let (Some(due), step) = (due, step) else {
            return;
        };
        let how = match step {
            Step::Rest => return,
            Step::Publish(how) => how,
            Step::Look(at, how) => match self.replay.publisher.at(&due.bookmark) {
                // Still there: another look later.
                Ok(now) if now == at => {
                    self.plan.went(due, Went::Refused(at), Instant::now());
                    return;
                }
                Ok(_) => how,
                Err(failure) => {
                    self.unpublished(due, &Error::Remote(failure));
                    return;
                }
            },
        };
        let replay = &mut self.replay;
        let attempt = std::panic::catch_unwind(AssertUnwindSafe(|| {
            replay.publish(&due, (how, Absent::Respected), None)
        }));
        let outcome = match attempt {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => return self.unpublished(due, &error),
            Err(_panic) => {
                self.progress.lock().diverged = Some("a bug of ours: see the log".to_owned());
                self.plan.went(due, Went::Failed(None), Instant::now());
                return;
            }
        };
        self.published(due, &outcome);
    }

    /// Takes how a publication ended.
    fn published(&mut self, due: Due, outcome: &Outcome) {
        let mut progress = self.progress.lock();
        progress.unpublished = None;
        progress.credential = None;
        progress.diverged = match outcome {
            Outcome::Published => None,
            refused => Some(refusal(&due.bookmark, refused)),
        };
        drop(progress);
        let went = match outcome {
            Outcome::Published => Went::Published,
            Outcome::Diverged(at) => Went::Refused(*at),
            Outcome::Conflict { at, .. } => Went::Refused(Some(*at)),
        };
        self.plan.went(due, went, Instant::now());
    }

    /// Takes that it is not known how a publication went, or that it did not go.
    fn unpublished(&mut self, due: Due, error: &Error) {
        let (failure, credential) = error.outcome();
        tracing::warn!(repository = %self.name, error = in_a_line(error), "not published");
        let mut progress = self.progress.lock();
        progress.unpublished = Some(in_a_line(error));
        progress.credential = credential;
        drop(progress);
        let wait = match failure {
            replay::Failure::Transient { retry_after } => retry_after,
            replay::Failure::Auth | replay::Failure::Conflict | replay::Failure::Refused => {
                Some(super::plan::BACKOFF_MAX)
            }
        };
        self.plan.went(due, Went::Failed(wait), Instant::now());
    }

    /// Does what a person wants published.
    pub(super) fn grant(&mut self, errand: Errand) {
        let replay = AssertUnwindSafe(|| self.granted(&errand.wish));
        let granted = std::panic::catch_unwind(replay).unwrap_or_else(|_panic| Granted::Refused {
            bookmark: None,
            state: PublishState::Pending,
            reason: "a bug of ours: see the log".to_owned(),
            needs_credential: false,
        });
        let _gone_already = errand.reply.send(granted);
    }

    fn granted(&mut self, wish: &Wish) -> Granted {
        let remote = self.overlay.remote();
        let (wanted, how, resolution) = match wish {
            Wish::Publish { bookmark, how } => (bookmark.as_deref(), *how, None),
            Wish::Resolve { conflict, take } => {
                let bookmark = conflict.bookmark.as_deref();
                (bookmark, How::Merge, Some((conflict, *take)))
            }
        };
        let bookmark = wanted.or(remote.bookmark.as_deref()).map(str::to_owned);
        let Progress {
            blocked, reason, ..
        } = self.progress.lock().clone();
        if blocked.is_some() && self.overlay.has_pending() && resolution.is_none() {
            return Granted::Refused {
                bookmark,
                state: PublishState::Pending,
                reason: reason.unwrap_or_else(|| "not everything is pushed".to_owned()),
                needs_credential: blocked == Some(super::RepoState::AuthNeeded),
            };
        }
        let Some(due) = Due::of(&remote, wanted) else {
            return match (&remote.published, bookmark) {
                (Some((change, at)), Some(bookmark)) if *at == bookmark => Granted::Published {
                    change: change.to_string(),
                    bookmark,
                },
                (_, None) => Granted::NoBookmark,
                (_, bookmark) => Granted::Nothing { bookmark },
            };
        };
        let absent = match wanted {
            Some(_) => Absent::Made,
            None => Absent::Respected,
        };
        match self.replay.publish(&due, (how, absent), resolution) {
            Ok(outcome) => {
                let granted = match &outcome {
                    Outcome::Published => Granted::Published {
                        bookmark: due.bookmark.clone(),
                        change: due.change.to_string(),
                    },
                    refused => Granted::Refused {
                        bookmark: Some(due.bookmark.clone()),
                        state: match refused {
                            Outcome::Conflict { .. } => PublishState::Conflicted,
                            _ => PublishState::Diverged,
                        },
                        reason: refusal(&due.bookmark, refused),
                        needs_credential: false,
                    },
                };
                if remote.bookmark.as_ref() == Some(&due.bookmark) {
                    self.published(due, &outcome);
                }
                granted
            }
            Err(error) => {
                let granted = Granted::Refused {
                    bookmark: Some(due.bookmark.clone()),
                    state: PublishState::Pending,
                    reason: in_a_line(&error),
                    needs_credential: error.outcome().1.is_some(),
                };
                if remote.bookmark.as_ref() == Some(&due.bookmark) {
                    self.unpublished(due, &error);
                }
                granted
            }
        }
    }
}
