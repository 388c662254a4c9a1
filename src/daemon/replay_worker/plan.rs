//! What is to be published, when, and how that stands: pure.

use std::time::{Duration, Instant};

use journal::{ConflictKind, Sequence};

use crate::config::Publish;
use crate::daemon::status::{PublishState, PublishStatus};
use crate::remote::How;
use crate::tree::{ChangeId, GitOid};
use crate::upper::{Conflict, RemoteState};

/// The first retry of what passes comes after this, each later one after twice as long.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause; also how often a bookmark is looked at that was elsewhere: a request a minute.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) change: ChangeId,
    pub(super) commit: GitOid,
    pub(super) bookmark: String,
}

impl Due {
    /// What of ours a bookmark could get: the change, if it took a push and the bookmark lacks it.
    pub(super) fn of(remote: &RemoteState, bookmark: Option<&str>) -> Option<Due> {
        let bookmark = bookmark.or(remote.bookmark.as_deref())?.to_owned();
        let (change, commit) = remote.change?;
        let has = remote
            .published
            .as_ref()
            .is_some_and(|(published, at)| (*published, at) == (change, &bookmark));
        (remote.pushed > Sequence::ZERO && !has).then_some(Due {
            change,
            commit,
            bookmark,
        })
    }
}

/// How a repository's publishing is, for `mesa status`; `None` when it never publishes.
pub(in crate::daemon) fn status(
    mode: Publish,
    remote: &RemoteState,
    pending: u64,
    diverged: Option<String>,
) -> Option<PublishStatus> {
    if mode == Publish::Never {
        return None;
    }
    let of_bookmark =
        |one: &&Conflict| one.kind == ConflictKind::Publish && one.bookmark == remote.bookmark;
    let due = Due::of(remote, None);
    let state = if due.is_some() && remote.open_conflicts().any(|one| of_bookmark(&one)) {
        PublishState::Conflicted
    } else if due.is_some() && diverged.is_some() {
        PublishState::Diverged
    } else if due.is_some() || pending > 0 {
        PublishState::Pending
    } else {
        PublishState::UpToDate
    };
    let reason = match (state, &remote.bookmark) {
        (_, None) => Some("the mount shows a change, not a bookmark".to_owned()),
        (PublishState::Conflicted, _) => Some("see `mesa conflicts list`".to_owned()),
        (PublishState::UpToDate, _) => None,
        _ => diverged,
    };
    Some(PublishStatus {
        mode: mode.name().to_owned(),
        bookmark: remote.bookmark.clone(),
        state,
        reason,
    })
}

/// When to publish by itself.
#[derive(Debug)]
pub(super) struct Plan {
    mode: Publish,
    /// What was refused, and where the bookmark was then.
    refused: Option<(Due, Option<ChangeId>)>,
    failures: u32,
    /// When to look again.
    pub(super) next: Option<Instant>,
}

/// What a plan says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, now.
    Rest,
    /// Publish.
    Publish(How),
    /// See whether the bookmark is still there; if not, publish.
    Look(Option<ChangeId>, How),
}

impl Plan {
    pub(super) fn new(mode: Publish) -> Plan {
        Plan {
            mode,
            refused: None,
            failures: 0,
            next: None,
        }
    }

    /// What to do about what is due; `urgent` when somebody waits for it.
    pub(super) fn step(&mut self, due: Option<&Due>, now: Instant, urgent: Urgency) -> Step {
        let how = match self.mode {
            Publish::Never => return Step::Rest,
            Publish::FastForward => How::FastForward,
            Publish::Merge => How::Merge,
        };
        let Some(due) = due else {
            self.next = None;
            return Step::Rest;
        };
        let has_come = self.next.is_none_or(|next| next <= now);
        match &self.refused {
            Some((refused, at)) if refused == due => match has_come {
                true => Step::Look(*at, how),
                false => Step::Rest,
            },
            // Another commit than the one that was refused is tried at once.
            Some(_) => Step::Publish(how),
            None if has_come || urgent == Urgency::Waited => Step::Publish(how),
            None => Step::Rest,
        }
    }

    /// A person wants it tried again, whatever was refused.
    pub(super) fn again(&mut self) {
        *self = Plan::new(self.mode);
    }

    /// The server is back: what failed for want of it is tried at once.
    pub(super) fn reachable(&mut self) {
        if self.refused.is_none() {
            self.again();
        }
    }

    /// Takes how it went: published, refused with the bookmark there, or tried again later.
    pub(super) fn went(&mut self, due: Due, how: Went, now: Instant) {
        match how {
            Went::Published => *self = Plan::new(self.mode),
            Went::Refused(at) => {
                self.refused = Some((due, at));
                self.failures = 0;
                self.next = Some(now + BACKOFF_MAX);
            }
            Went::Failed(wait) => {
                let factor = 1 << self.failures.min(6);
                self.failures = self.failures.saturating_add(1);
                let pause = (BACKOFF_FIRST * factor).min(BACKOFF_MAX);
                self.next = Some(now + wait.unwrap_or(pause).max(pause));
            }
        }
    }
}

/// Whether somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody does.
    Waited,
    /// Nobody.
    None,
}

/// How publishing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// The bookmark has it.
    Published,
    /// It was refused, with the bookmark there.
    Refused(Option<ChangeId>),
    /// It may work later; not before that.
    Failed(Option<Duration>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Timestamp;

    fn due(commit: u8) -> Due {
        Due {
            change: ChangeId([1; 16]),
            commit: GitOid([commit; 20]),
            bookmark: "main".into(),
        }
    }

    #[test]
    fn what_was_refused_waits_for_another_commit_or_another_bookmark() {
        let now = Instant::now();
        let mut plan = Plan::new(Publish::FastForward);
        let step = |plan: &mut Plan, due: &Due, after: Duration| {
            plan.step(Some(due), now + after, Urgency::None)
        };
        let publish = Step::Publish(How::FastForward);
        assert_eq!(step(&mut plan, &due(1), Duration::ZERO), publish);
        let at = Some(ChangeId([9; 16]));
        plan.went(due(1), Went::Refused(at), now);
        assert_eq!(step(&mut plan, &due(1), Duration::ZERO), Step::Rest);
        let look = Step::Look(at, How::FastForward);
        assert_eq!(step(&mut plan, &due(1), BACKOFF_MAX), look);
        assert_eq!(step(&mut plan, &due(2), Duration::ZERO), publish);
        plan.went(due(2), Went::Refused(at), now);
        plan.again();
        assert_eq!(step(&mut plan, &due(2), Duration::ZERO), publish);
        plan.went(due(2), Went::Published, now);
        assert_eq!(plan.step(None, now, Urgency::Waited), Step::Rest);
    }

    #[test]
    fn what_fails_is_tried_again_ever_more_rarely_and_at_once_when_somebody_waits() {
        let now = Instant::now();
        let mut plan = Plan::new(Publish::Merge);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            plan.went(due(1), Went::Failed(None), now);
            pauses.push((plan.next.unwrap() - now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(plan.step(Some(&due(1)), now, Urgency::None), Step::Rest);
        let publish = Step::Publish(How::Merge);
        assert_eq!(plan.step(Some(&due(1)), now, Urgency::Waited), publish);
        assert_eq!(
            Plan::new(Publish::Never).step(Some(&due(1)), now, Urgency::Waited),
            Step::Rest
        );
    }

    #[test]
    fn only_a_change_that_took_a_push_and_is_not_there_is_due() {
        let mut remote = RemoteState {
            bookmark: Some("main".into()),
            change: Some((ChangeId([1; 16]), GitOid([1; 20]))),
            ..RemoteState::default()
        };
        assert_eq!(Due::of(&remote, None), None);
        remote.pushed = Sequence(7);
        assert_eq!(Due::of(&remote, None), Some(due(1)));
        let shown = |remote: &RemoteState, pending, diverged: Option<&str>| {
            let diverged = diverged.map(str::to_owned);
            status(Publish::Merge, remote, pending, diverged)
                .unwrap()
                .state
        };
        assert_eq!(shown(&remote, 0, None), PublishState::Pending);
        assert_eq!(shown(&remote, 0, Some("elsewhere")), PublishState::Diverged);
        remote.published = Some((ChangeId([1; 16]), "main".into()));
        assert_eq!(Due::of(&remote, None), None);
        assert!(Due::of(&remote, Some("other")).is_some());
        assert_eq!(shown(&remote, 0, None), PublishState::UpToDate);
        assert_eq!(shown(&remote, 1, None), PublishState::Pending);
        assert_eq!(status(Publish::Never, &remote, 0, None), None);
    }

    fn conflict(kind: ConflictKind, bookmark: &str) -> Conflict {
        Conflict {
            id: [3; 16],
            kind,
            change: ChangeId([1; 16]),
            base: GitOid([1; 20]),
            theirs: GitOid([2; 20]),
            bookmark: Some(bookmark.into()),
            sibling: None,
            time: Timestamp::default(),
            paths: Vec::new(),
        }
    }

    #[test]
    fn only_a_conflict_with_the_bookmark_that_is_shown_is_one_of_publishing() {
        let due = RemoteState {
            bookmark: Some("main".into()),
            change: Some((ChangeId([1; 16]), GitOid([1; 20]))),
            pushed: Sequence(7),
            ..RemoteState::default()
        };
        for (kind, bookmark, state) in [
            (ConflictKind::Publish, "main", PublishState::Conflicted),
            (ConflictKind::Publish, "other", PublishState::Pending),
            (ConflictKind::Foreign, "main", PublishState::Pending),
        ] {
            let conflicts = vec![conflict(kind, bookmark)];
            let remote = RemoteState {
                conflicts,
                ..due.clone()
            };
            let shown = status(Publish::Merge, &remote, 0, None).unwrap();
            assert_eq!(shown.state, state, "{kind:?} {bookmark}");
        }
    }

    #[test]
    fn a_reason_is_given_for_what_is_not_published_and_for_nothing_else() {
        let mut remote = RemoteState {
            bookmark: Some("main".into()),
            change: Some((ChangeId([1; 16]), GitOid([1; 20]))),
            pushed: Sequence(7),
            ..RemoteState::default()
        };
        let reason = |remote: &RemoteState| {
            let diverged = Some("main is elsewhere".to_owned());
            let shown = status(Publish::FastForward, remote, 0, diverged).unwrap();
            (shown.state, shown.reason.unwrap_or_default())
        };
        let elsewhere = "main is elsewhere".to_owned();
        assert_eq!(reason(&remote), (PublishState::Diverged, elsewhere));
        remote.conflicts = vec![conflict(ConflictKind::Publish, "main")];
        let (state, text) = reason(&remote);
        assert_eq!(state, PublishState::Conflicted);
        assert!(text.contains("mesa conflicts list"), "{text}");
        // What it said when it was refused is of the past.
        remote.published = Some((ChangeId([1; 16]), "main".into()));
        assert_eq!(reason(&remote), (PublishState::UpToDate, String::new()));
        remote.bookmark = None;
        let (_, text) = reason(&remote);
        assert!(text.contains("not a bookmark"), "{text}");
    }
}
