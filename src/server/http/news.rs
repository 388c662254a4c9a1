//! What is told of an effect, in the shapes that the official SDKs check.

use serde_json::{Value, json};

use super::failure::Failure;
use super::{Service, changes, git};
use crate::remote::api::Repo;
use crate::server::events::EventKind;
use crate::server::repositories::Hosted;
use crate::tree::GitOid;

/// Tells that something happened to a repository, which is as it is described; of an update,
/// with how it was before.
pub(super) fn repository(
    service: &Service,
    kind: EventKind,
    hosted: &Hosted,
    repo: &Repo,
    before: Option<&Repo>,
) {
    let snapshot = |repo: &Repo| {
        json!({
            "name": repo.name,
            "default_bookmark": repo.default_bookmark,
            "tags": repo.tags,
        })
    };
    let mut data = json!({ "repo": repo });
    if let (Some(before), Some(data)) = (before, data.as_object_mut()) {
        data.insert("before".to_owned(), snapshot(before));
        data.insert("after".to_owned(), snapshot(repo));
    }
    service.events.tell(kind, hosted, data);
}

/// Tells what happened to a bookmark, which is where it is told to be.
pub(super) fn bookmark(
    service: &Service,
    kind: EventKind,
    hosted: &Hosted,
    now: &git::Bookmark,
) -> Result<(), Failure> {
    let data = json!({ "bookmark": place(hosted, now)? });
    service.events.tell(kind, hosted, data);
    Ok(())
}

/// Tells that a bookmark has moved.
pub(super) fn moved(
    service: &Service,
    hosted: &Hosted,
    before: &git::Bookmark,
    now: &git::Bookmark,
) -> Result<(), Failure> {
    let data = json!({
        "bookmark": place(hosted, now)?,
        "from": {
            "change_id": before.target.change.to_string(),
            "commit_oid": commit_text(before),
        },
    });
    service.events.tell(EventKind::BookmarkMoved, hosted, data);
    Ok(())
}

fn place(hosted: &Hosted, bookmark: &git::Bookmark) -> Result<Value, Failure> {
    Ok(json!({
        "name": bookmark.name,
        "is_default": hosted.git.default_bookmark()? == bookmark.name,
        "change_id": bookmark.target.change.to_string(),
        "commit_oid": commit_text(bookmark),
    }))
}

/// The commit of a bookmark, which the virtual root has not.
fn commit_text(bookmark: &git::Bookmark) -> String {
    let commit = bookmark.target.commit.unwrap_or(GitOid([0; 20]));
    commit.to_string()
}

/// Tells that a change was made.
pub(super) fn made(service: &Service, hosted: &Hosted, commit: git::Commit) {
    let data = json!({ "change": changes::describe(commit) });
    service.events.tell(EventKind::ChangeCreated, hosted, data);
}

/// Tells that a change has a new commit.
pub(super) fn evolved(
    service: &Service,
    hosted: &Hosted,
    evolution: &git::Evolution,
) -> Result<(), Failure> {
    let commit = hosted.git.commit(evolution.to)?;
    let data = json!({
        "change": changes::describe(commit),
        "previous_current_commit_oid": evolution.from.to_string(),
    });
    service.events.tell(EventKind::ChangeEvolved, hosted, data);
    Ok(())
}

/// Tells of a push by Git: which branches it moved, and how many changes have a new commit.
pub(super) fn push(service: &Service, hosted: &Hosted, updates: &[git::Command], evolved: usize) {
    let text = |oid: Option<GitOid>| oid.map(|oid| oid.to_string());
    let updates: Vec<Value> = updates
        .iter()
        .map(|command| {
            let name = String::from_utf8_lossy(&command.name);
            let action = match (command.from, command.to) {
                (None, _) => "created",
                (_, None) => "deleted",
                _ => "updated",
            };
            json!({
                "ref": name,
                "bookmark": name.strip_prefix("refs/heads/").unwrap_or(&name),
                "before": text(command.from),
                "after": text(command.to),
                "action": action,
            })
        })
        .collect();
    // Commits become changes when they are looked at: there is nothing to reconcile.
    let data = json!({
        "updates": updates,
        "reconciliation": {
            "reconciled_commit_count": 0,
            "touched_change_count": evolved,
            "changes_created_count": 0,
            "evolog_inserted_count": 0,
            "invalid_change_id_header_count": 0,
            "dirty_change_skip_count": 0,
        },
    });
    service.events.tell(EventKind::Push, hosted, data);
}
