//! What journals hold, in words: effects with their state, records with their paths.

use journal::{Effect, Record, Sequence};

use super::control::{EntryState, JournalEntry, JournalListing, RecordEntry};
use super::status::RepoState;
use crate::overlay::{Overlay, PendingEffect};
use crate::remote::api::format_date;
use crate::tree::TreePath;
use crate::upper::RemoteState;

/// Entries that a listing shows: more do not help a reader, and 64 MiB of answer hold them even with
/// the longest paths.
pub(super) const LISTED_MAX: usize = 10_000;

/// How the pending work of one repository is, and why.
pub(super) struct Standing {
    /// What keeps it from being pushed.
    pub(super) state: EntryState,
    /// The same in words.
    pub(super) reason: Option<String>,
    /// Paths that somebody else edited as well: what is pending there is conflicted.
    pub(super) conflicted: Vec<TreePath>,
}

impl Standing {
    /// Of a repository that is open.
    pub(super) fn of(blocked: Option<RepoState>, reason: Option<String>) -> Standing {
        let (state, known) = match blocked {
            None => (EntryState::Pending, None),
            Some(RepoState::Quarantined) => (EntryState::Quarantined, None),
            Some(RepoState::Held) => (EntryState::Held, Some("held")),
            Some(RepoState::AuthNeeded) => (EntryState::Blocked, Some("a credential is needed")),
            Some(RepoState::ReadOnly) => (EntryState::Blocked, Some("read-only")),
            Some(
                RepoState::Offline | RepoState::Clean | RepoState::Pending | RepoState::Closed,
            ) => (EntryState::Blocked, Some("offline")),
        };
        Standing {
            state,
            reason: reason.or_else(|| known.map(str::to_owned)),
            conflicted: Vec::new(),
        }
    }

    /// With the conflicts that nobody has settled.
    pub(super) fn with_conflicts(mut self, remote: &RemoteState) -> Standing {
        let open = remote.open_conflicts();
        self.conflicted = open.flat_map(|one| one.paths.iter().cloned()).collect();
        self
    }

    fn of_path(&self, path: &journal::Path) -> (EntryState, Option<String>) {
        let path = TreePath::try_from(&path.0[..]).ok();
        let within = |one: &TreePath| path.as_ref().is_some_and(|path| path.starts_with(one));
        match self.conflicted.iter().any(within) {
            true => {
                let reason = "somebody else edited it: see `mesa conflicts list`";
                (EntryState::Conflicted, Some(reason.to_owned()))
            }
            false => (self.state, self.reason.clone()),
        }
    }
}

fn shown(path: &journal::Path) -> String {
    String::from_utf8_lossy(&path.0).into_owned()
}

/// Adds a repository's effects to a listing, as far as there is room.
pub(super) fn list(
    listing: &mut JournalListing,
    (organization, name): (&str, &str),
    effects: Vec<PendingEffect>,
    standing: &Standing,
) {
    for pending in effects {
        if listing.entries.len() >= LISTED_MAX {
            listing.omitted += 1;
            continue;
        }
        let (word, from) = match &pending.effect {
            Effect::Remove { .. } => ("remove", None),
            Effect::Put { .. } => ("put", None),
            Effect::Copy { from, .. } => ("copy", Some(shown(from))),
        };
        let (state, reason) = standing.of_path(pending.effect.path());
        listing.entries.push(JournalEntry {
            org: organization.to_owned(),
            name: name.to_owned(),
            effect: word.to_owned(),
            path: shown(pending.effect.path()),
            from,
            bytes: pending.bytes,
            age_seconds: Overlay::age_seconds(pending.since),
            state,
            reason,
        });
    }
}

/// Whether a path is `above` or below it; the root is above everything.
pub(super) fn is_within(above: &str, path: &str) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A record in words.
pub(super) fn describe(sequence: Sequence, record: &Record) -> RecordEntry {
    let (what, path, from) = match record {
        Record::Adopt { path, .. } => ("adopt", Some(path), None),
        Record::Create { path, .. } => ("create", Some(path), None),
        Record::Link { from, to, .. } => ("link", Some(to), Some(from)),
        Record::Remove { path, .. } => ("remove", Some(path), None),
        Record::Rename { from, to, .. } => ("rename", Some(to), Some(from)),
        Record::Write { path, .. } => ("write", Some(path), None),
        Record::SetAttributes { path, .. } => ("set-attributes", Some(path), None),
        Record::SetXattr { path, .. } => ("set-xattr", Some(path), None),
        Record::RemoveXattr { path, .. } => ("remove-xattr", Some(path), None),
        Record::InodesTaken { .. } => ("inodes-taken", None, None),
        Record::Pin { .. } => ("pin", None, None),
        Record::ForkIntended { .. } => ("fork-intended", None, None),
        Record::Forked { .. } => ("forked", None, None),
        Record::PushIntended { .. } => ("push-intended", None, None),
        Record::Pushed { .. } => ("pushed", None, None),
        Record::Pending { effect, .. } | Record::PendingLater { effect, .. } => match effect {
            Effect::Remove { path } => ("pending-remove", Some(path), None),
            Effect::Copy { from, to } => ("pending-copy", Some(to), Some(from)),
            Effect::Put { path, .. } => ("pending-put", Some(path), None),
        },
        Record::Held { .. } => ("hold", None, None),
        Record::Released { .. } => ("release", None, None),
        Record::Dropped { path, .. } => ("drop", Some(path), None),
        Record::ConflictFound { .. } => ("conflict", None, None),
        Record::ConflictPath { path, .. } => ("conflict-path", Some(path), None),
        Record::ConflictResolved { .. } => ("conflict-resolved", None, None),
        Record::PublishIntended { .. } => ("publish-intended", None, None),
        Record::Published { .. } => ("published", None, None),
        Record::CopyUp { .. } => ("copy-up", None, None),
        Record::BodiesDurable { .. } => ("bodies-durable", None, None),
        Record::CopyUpUndone { .. } => ("copy-up-undone", None, None),
        Record::Bytes { .. } => ("bytes", None, None),
    };
    RecordEntry {
        sequence: sequence.0,
        time: record.time().map(|time| format_date(time.seconds)),
        what: what.to_owned(),
        path: path.map(shown),
        from: from.map(shown),
    }
}

/// Whether `wanted` names this repository: as `org/repo`, or by its name alone.
pub(super) fn is_named(wanted: &str, organization: &str, name: &str) -> bool {
    wanted == name
        || wanted
            .split_once('/')
            .is_some_and(|(one, other)| one == organization && other == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_with_or_without_its_organization() {
        assert!(is_named("app", "local", "app"));
        assert!(is_named("local/app", "local", "app"));
        assert!(!is_named("other/app", "local", "app"));
        assert!(!is_named("ap", "local", "app"));
    }

    #[test]
    fn a_path_is_within_itself_and_what_is_above() {
        assert!(is_within("", "a/b") && is_within("a", "a/b") && is_within("a/b", "a/b"));
        assert!(!is_within("a", "ab") && !is_within("a/b", "a"));
    }
}
