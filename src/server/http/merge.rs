//! Merging bookmarks: what the request says, and what a conflict answers.

use std::collections::HashMap;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::changes::{key_person, new_id};
use super::failure::Failure;
use super::receive::{self, Segments, now};
use super::{Shared, git, news, ok, writing};
use crate::remote::api::{
    ConflictDetails, ConflictHunk, ConflictedEntry, HunkContent, MergeAnswer, MergeRequest,
    MergeType, OmittedReason, Resolution, Take,
};
use crate::server::events::EventKind;
use crate::server::keys::{Principal, Scope};
use crate::tree::GitOid;

/// `POST /v1/{org}/{repo}/bookmarks/merge`. Any method but this one reaches a bookmark of that name,
/// so the route is that of a bookmark.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, verb)): Segments<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if verb != "merge" {
        return Err(Failure::not_found("no such route"));
    }
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let received = receive::json::<MergeRequest>(&service, &headers, body).await?;
    let (request, share) = (received.value, received.share);
    let names = ["merge", &request.target, &request.source];
    let input = git::MergeInput {
        id: new_id(&principal, &hosted, &headers, &names)?,
        fate: match request.delete_source {
            true => git::SourceFate::Goes,
            false => git::SourceFate::Stays,
        },
        message: request.message.unwrap_or_else(|| {
            format!("Merge bookmark {} into {}", request.source, request.target)
        }),
        author: key_person(&principal, now()),
        authors: principal.authors.clone(),
        resolutions: resolutions(request.resolutions)?,
        expected: request.expected,
        unsettled: match request.allow_conflicted {
            true => git::Unsettled::Recorded,
            false => git::Unsettled::Refused,
        },
        target: request.target,
        source: request.source,
    };
    writing(&service, &hosted.turn.clone(), move |service| {
        let _share = share;
        let (target, source) = (input.target.clone(), input.source.clone());
        let gone = hosted.git.bookmark(&source);
        let merged = hosted.git.merge_bookmarks(input)?;
        service.upkeep.look_at(&hosted);
        if merged.outcome == git::Outcome::MergeCommit {
            let now = hosted.git.bookmark(&target)?;
            news::bookmark(service, EventKind::BookmarkMerged, &hosted, &now)?;
        }
        if let (true, Ok(gone)) = (merged.source_deleted, gone) {
            news::bookmark(service, EventKind::BookmarkDeleted, &hosted, &gone)?;
        }
        Ok(ok(MergeAnswer {
            merge_type: match merged.outcome {
                git::Outcome::MergeCommit => MergeType::MergeCommit,
                git::Outcome::NoOp => MergeType::NoOp,
            },
            is_conflicted: merged.is_conflicted,
            commit_oid: merged.commit.unwrap_or(GitOid([0; 20])),
            change_id: merged.change,
            target,
            source,
            source_deleted: merged.source_deleted,
        }))
    })
    .await
}

/// What a request says about conflicts.
pub(super) fn resolutions(wanted: Vec<Resolution>) -> Result<git::Resolutions, Failure> {
    let mut resolutions = HashMap::new();
    for one in wanted {
        let resolution = match (one.hunks, one.content, one.take) {
            (Some(hunks), None, None) => {
                let mut choices = HashMap::new();
                for hunk in hunks {
                    let choice = choice(&one.path, hunk.content, hunk.take)?;
                    if choices.insert(hunk.hunk_id, choice).is_some() {
                        return Err(refusal(&one.path, "one hunk twice"));
                    }
                }
                git::Resolution::Hunks(choices)
            }
            (None, content, take) => git::Resolution::Whole(choice(&one.path, content, take)?),
            _ => return Err(refusal(&one.path, "want one of content, take and hunks")),
        };
        if resolutions.insert(one.path.clone(), resolution).is_some() {
            return Err(refusal(&one.path, "the same path twice"));
        }
    }
    Ok(resolutions)
}

fn choice(path: &str, content: Option<String>, take: Option<Take>) -> Result<git::Choice, Failure> {
    match (content, take) {
        (Some(text), None) => Ok(git::Choice::Content(git::decode(&text)?)),
        (None, Some(Take::Target)) => Ok(git::Choice::Take(git::Side::Target)),
        (None, Some(Take::Source)) => Ok(git::Choice::Take(git::Side::Source)),
        _ => Err(refusal(path, "want one of content and take")),
    }
}

fn refusal(path: &str, what: &str) -> Failure {
    Failure::invalid(format!("resolutions: {path:?}: {what}"))
}

/// What a conflict says beside its message.
pub(super) fn details(conflicts: &git::Conflicts) -> Option<serde_json::Value> {
    let paths = conflicts.found.iter().map(|entry| entry.path.clone());
    let details = ConflictDetails {
        conflict_paths: paths.collect(),
        conflicted_entries: entries(conflicts),
        truncated: conflicts.is_cut,
    };
    serde_json::to_value(details).ok()
}

/// Conflicts with their lines; wherever they are shown, the same one has the same hunk ids.
pub(super) fn entries(conflicts: &git::Conflicts) -> Vec<ConflictedEntry> {
    conflicts.found.iter().map(entry).collect()
}

fn entry(conflict: &git::Conflict) -> ConflictedEntry {
    ConflictedEntry {
        path: conflict.path.clone(),
        hunks: conflict.hunks.iter().map(hunk).collect(),
        omitted_reason: conflict.omitted.map(|omitted| match omitted {
            git::Omitted::Binary => OmittedReason::Binary,
            git::Omitted::TooLarge => OmittedReason::TooLarge,
        }),
    }
}

fn hunk(hunk: &git::Hunk) -> ConflictHunk {
    let content = |bytes: &[u8]| {
        Some(HunkContent {
            content: STANDARD.encode(bytes),
        })
    };
    ConflictHunk {
        hunk_id: hunk.id.clone(),
        old_start: hunk.base_lines.start as u64 + 1,
        old_lines: hunk.base_lines.len() as u64,
        new_start: hunk.target_lines.start as u64 + 1,
        new_lines: hunk.target_lines.len() as u64,
        target: content(&hunk.target),
        base: content(&hunk.base),
        source: content(&hunk.source),
    }
}
