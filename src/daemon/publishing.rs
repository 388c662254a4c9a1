//! Publishing because a person asks for it.

use std::time::{Duration, Instant};

use crossbeam_channel::never;

use super::Error;
use super::control::{Answer, PublishAnswer, PublishRequest, PublishedRepository};
use super::replay_worker::{Granted, Wish};
use super::repositories::OpenRepositories;
use super::repository::Repository;
use super::status::PublishState;
use crate::remote::How;

/// How long the server may take to move or merge once everything is pushed.
const PATIENCE: Duration = Duration::from_secs(60);

impl OpenRepositories {
    /// Pushes what is pending, then publishes.
    ///
    /// # Errors
    ///
    /// There is no such repository.
    pub(super) fn publish(&self, request: &PublishRequest) -> Result<Answer, Error> {
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        let mut answer = PublishAnswer::default();
        for repository in self.named(request.repo.as_deref())? {
            let pushed = repository.drain(deadline).wait(deadline, &never());
            debug_assert!(pushed.is_continue());
            let wish = Wish::Publish {
                bookmark: request.bookmark.clone(),
                how: match request.fast_forward_only {
                    true => How::FastForward,
                    false => How::Merge,
                },
            };
            let deadline = deadline.max(Instant::now()) + PATIENCE;
            let granted = repository.publish(wish, deadline);
            answer.repos.push(describe(&repository, granted));
        }
        Ok(Answer::Published(answer))
    }
}

fn describe(repository: &Repository, granted: Option<Granted>) -> PublishedRepository {
    let mut described = PublishedRepository {
        org: repository.name().organization().to_owned(),
        name: repository.name().name().to_owned(),
        bookmark: None,
        change: None,
        state: PublishState::Pending,
        reason: None,
        needs_credential: false,
    };
    match granted {
        None => described.reason = Some("not finished in time".to_owned()),
        Some(Granted::Published { bookmark, change }) => {
            described.bookmark = Some(bookmark);
            described.change = Some(change);
            described.state = PublishState::UpToDate;
        }
        Some(Granted::Nothing { bookmark }) => {
            // Nothing was pushed, so there is nothing that a bookmark could lack.
            described.bookmark = bookmark;
            described.state = PublishState::UpToDate;
        }
        Some(Granted::NoBookmark) => {
            described.state = PublishState::Diverged;
            described.reason = Some("the mount shows a change: name a bookmark".to_owned());
        }
        Some(Granted::Refused {
            bookmark,
            state,
            reason,
            needs_credential,
        }) => {
            described.bookmark = bookmark;
            described.state = state;
            described.reason = Some(reason);
            described.needs_credential = needs_credential;
        }
    }
    described
}
