//! What has happened in the repositories, told to whoever listens: webhooks and live feeds.
//!
//! An event is told after its effect is durable and before the request is answered, so whoever hears
//! of it can read it. Events are told in the order of their ids, which only grow, also over a restart:
//! an id is the time in microseconds, or one more than the last. The latest of each repository are
//! kept in memory, so that a listener which was away for a moment misses nothing, and one that was
//! away for longer, or over a restart, is told that it did.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;

use super::repositories::Hosted;

/// Events that a listener may be behind: it is woken for each, and only takes it over.
const BEHIND_MAX: usize = 1_024;
/// Events that are kept of one repository: minutes of work, in about 50 KB.
const KEPT_MAX: usize = 128;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    RepoCreated,
    RepoUpdated,
    RepoDeleted,
    BookmarkCreated,
    BookmarkDeleted,
    BookmarkMoved,
    BookmarkMerged,
    ChangeCreated,
    ChangeEvolved,
    /// A Git client pushed; told beside what that did to bookmarks and changes.
    Push,
}

impl EventKind {
    /// The name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            EventKind::RepoCreated => "repo.created",
            EventKind::RepoUpdated => "repo.updated",
            EventKind::RepoDeleted => "repo.deleted",
            EventKind::BookmarkCreated => "bookmark.created",
            EventKind::BookmarkDeleted => "bookmark.deleted",
            EventKind::BookmarkMoved => "bookmark.moved",
            EventKind::BookmarkMerged => "bookmark.merged",
            EventKind::ChangeCreated => "change.created",
            EventKind::ChangeEvolved => "change.evolved",
            EventKind::Push => "push",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) id: u64,
    /// Seconds since 1970.
    pub(super) at: u64,
    pub(super) kind: &'static str,
    pub(super) repository_id: String,
    pub(super) repository_name: String,
    pub(super) data: Value,
}

/// Tells and keeps events.
#[derive(Debug)]
pub(super) struct Events {
    state: Mutex<State>,
    live: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug)]
struct State {
    /// Nothing is known of what happened until then.
    begun: u64,
    last: u64,
    kept: HashMap<String, Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The last event that is no longer kept.
    forgotten: u64,
    events: VecDeque<Arc<Event>>,
}

/// What a listener gets.
pub(super) struct Feed {
    /// The last event that happened before.
    pub(super) at: u64,
    /// What happened in between; `None` if not all of it is known.
    pub(super) missed: Option<Vec<Arc<Event>>>,
    /// What happens from now on, in all repositories.
    pub(super) live: broadcast::Receiver<Arc<Event>>,
}

impl Events {
    pub(super) fn new() -> Events {
        let begun = microseconds();
        Events {
            state: Mutex::new(State {
                begun,
                last: begun,
                kept: HashMap::new(),
            }),
            live: broadcast::channel(BEHIND_MAX).0,
        }
    }

    /// Tells that something happened in a repository. Never waits for a listener.
    pub(super) fn tell(&self, kind: EventKind, hosted: &Hosted, data: Value) {
        self.note(kind, (&hosted.id, &hosted.name), data);
    }

    fn note(&self, kind: EventKind, (id, name): (&str, &str), data: Value) {
        // Under the lock, so that nobody hears of a later event first.
        let mut state = self.state.lock();
        state.last = microseconds().max(state.last + 1);
        let event = Arc::new(Event {
            id: state.last,
            at: super::now(),
            kind: kind.name(),
            repository_id: id.to_owned(),
            repository_name: name.to_owned(),
            data,
        });
        if kind == EventKind::RepoDeleted {
            state.kept.remove(id);
        } else {
            let kept = state.kept.entry(id.to_owned()).or_default();
            kept.events.push_back(event.clone());
            if kept.events.len() > KEPT_MAX
                && let Some(oldest) = kept.events.pop_front()
            {
                kept.forgotten = oldest.id;
            }
        }
        // There may be no listener.
        let _ = self.live.send(event);
    }

    /// Listens to everything that happens from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.live.subscribe()
    }

    /// Listens, and first hears what happened in a repository after the event `last`; a listener
    /// that never listened before has missed everything.
    pub(super) fn resume(&self, repository_id: &str, last: Option<u64>) -> Feed {
        let state = self.state.lock();
        let live = self.live.subscribe();
        let missed = match (last, state.kept.get(repository_id)) {
            (None, _) => None,
            (Some(last), _) if last < state.begun => None,
            (Some(last), Some(kept)) if last < kept.forgotten => None,
            (Some(last), Some(kept)) => {
                let later = kept.events.iter().filter(|event| event.id > last);
                Some(later.cloned().collect())
            }
            (Some(_), None) => Some(Vec::new()),
        };
        Feed {
            at: state.last,
            missed,
            live,
        }
    }
}

fn microseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn note(events: &Events, repository: &str, number: usize) -> u64 {
        events.note(EventKind::ChangeEvolved, (repository, "app"), json!(number));
        events.state.lock().last
    }

    fn numbers(feed: &Feed) -> Option<Vec<u64>> {
        let missed = feed.missed.as_ref()?;
        Some(
            missed
                .iter()
                .filter_map(|event| event.data.as_u64())
                .collect(),
        )
    }

    #[test]
    fn a_listener_that_was_away_for_a_moment_misses_nothing() {
        let events = Events::new();
        let first = note(&events, "r", 1);
        note(&events, "other", 2);
        let third = note(&events, "r", 3);
        assert!(first < third);
        let mut feed = events.resume("r", Some(first));
        assert_eq!(numbers(&feed), Some(vec![3]));
        note(&events, "r", 4);
        assert_eq!(feed.live.try_recv().unwrap().data, json!(4));
        assert_eq!(
            numbers(&events.resume("unknown", Some(first))),
            Some(vec![])
        );
    }

    #[test]
    fn a_listener_that_was_away_for_long_is_told_so() {
        let events = Events::new();
        let first = note(&events, "r", 0);
        for number in 1..=KEPT_MAX {
            note(&events, "r", number);
        }
        let all = events.resume("r", Some(first));
        assert_eq!(all.missed.map(|missed| missed.len()), Some(KEPT_MAX));
        note(&events, "r", 0);
        assert!(events.resume("r", Some(first)).missed.is_none());
        // What an earlier server told last, this one does not know to be the last.
        assert!(Events::new().resume("r", Some(first)).missed.is_none());
    }
}
