//! Two changes compared, as JSON or as a patch.

use std::collections::HashSet;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};

use super::failure::Failure;
use super::receive::{Query, Segments};
use super::{Shared, blocking, git, merge, ok};
use crate::remote::api::{
    Diff, DiffEntry, DiffHunk, DiffLine, DiffOmitted, DiffStats, DiffStatus, LineKind,
};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;
use crate::tree::ChangeId;

const NO_NEWLINE: &str = "\\ No newline at end of file";

/// What is asked for.
struct Wanted {
    base: ChangeId,
    head: ChangeId,
    conflicts: Conflicts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Conflicts {
    Include,
    Only,
    Exclude,
}

/// `GET /v1/{org}/{repo}/diff`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let query = Query::of(&uri);
    let change = |name: &str| {
        let change: Option<ChangeId> = query.parsed(name)?;
        change.ok_or_else(|| Failure::invalid(format!("{name}: missing")))
    };
    let wanted = Wanted {
        base: change("base_change_id")?,
        head: change("head_change_id")?,
        conflicts: match query.text("conflicts")? {
            None | Some("include") => Conflicts::Include,
            Some("only") => Conflicts::Only,
            Some("exclude") => Conflicts::Exclude,
            Some(_) => {
                return Err(Failure::invalid("conflicts: want include, only or exclude"));
            }
        },
    };
    let is_patch = wants_patch(&headers);
    blocking(&service, move |_| {
        let mut response = match is_patch {
            true => patch(&hosted, &wanted)?,
            false => ok(describe(&hosted, &wanted)?),
        };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept"));
        Ok(response)
    })
    .await
}

/// A patch only when asked for by name: clients that accept anything get JSON.
fn wants_patch(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/plain"))
}

fn compare(hosted: &Hosted, wanted: &Wanted) -> Result<(git::Comparison, git::Snapshot), Failure> {
    let base = hosted.git.snapshot(wanted.base)?;
    let head = hosted.git.snapshot(wanted.head)?;
    Ok((hosted.git.compare(base.tree, head.tree)?, head))
}

fn patch(hosted: &Hosted, wanted: &Wanted) -> Result<Response, Failure> {
    let patch = compare(hosted, wanted)?.0.patch()?;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], patch).into_response())
}

fn describe(hosted: &Hosted, wanted: &Wanted) -> Result<Diff, Failure> {
    let mut diff = Diff {
        base_change_id: wanted.base,
        head_change_id: wanted.head,
        stats: DiffStats::default(),
        truncated: false,
        entries: Vec::new(),
        conflicted_entries: Vec::new(),
    };
    let (mut comparison, head) = compare(hosted, wanted)?;
    let conflicts = match head.commit {
        Some(commit) => hosted.git.conflicts(commit)?,
        None => git::Conflicts::default(),
    };
    if wanted.conflicts != Conflicts::Only {
        diff.truncated = comparison.is_cut;
        // What is in conflict has a list of its own, and there its sides instead of its markers.
        let apart: HashSet<&str> = conflicts
            .found
            .iter()
            .map(|one| one.path.as_str())
            .collect();
        for found in std::mem::take(&mut comparison.entries) {
            if !apart.contains(shown(&found.path).as_str()) {
                let entry = entry(&mut comparison, &found, &mut diff.stats)?;
                diff.entries.push(entry);
            }
        }
    }
    if wanted.conflicts != Conflicts::Exclude {
        diff.truncated |= conflicts.is_cut;
        diff.conflicted_entries = merge::entries(&conflicts);
        let hunks = conflicts.found.iter().map(|one| one.hunks.len() as u64);
        diff.stats.conflicted_hunks = hunks.sum();
        diff.stats.conflicted_entries = diff.conflicted_entries.len() as u64;
    }
    diff.stats.entries = diff.entries.len() as u64;
    diff.stats.changes = diff.stats.additions + diff.stats.deletions;
    Ok(diff)
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn entry(
    comparison: &mut git::Comparison,
    found: &git::Compared,
    stats: &mut DiffStats,
) -> Result<DiffEntry, Failure> {
    let (hunks, omitted_reason) = match comparison.lines(found)? {
        Ok(hunks) => {
            let (added, removed) = hunks.counts();
            stats.additions += added as u64;
            stats.deletions += removed as u64;
            (Some(describe_hunks(&hunks)), None)
        }
        Err(git::NoLines::Binary) => (None, Some(DiffOmitted::Binary)),
        Err(git::NoLines::TooLarge) => (None, Some(DiffOmitted::TooLarge)),
        Err(git::NoLines::FileLimit) => (None, Some(DiffOmitted::FileLimit)),
    };
    Ok(DiffEntry {
        path: shown(&found.path),
        status: match found.status() {
            git::Status::Added => DiffStatus::Added,
            git::Status::Modified => DiffStatus::Modified,
            git::Status::Deleted => DiffStatus::Deleted,
            git::Status::Renamed => DiffStatus::Renamed,
        },
        old_path: found.old_path.as_deref().map(shown),
        size_bytes: comparison.size(found)?,
        is_conflicted: false,
        omitted_reason,
        hunks,
        conflict_hunks: None,
    })
}

fn describe_hunks(hunks: &git::Hunks) -> Vec<DiffHunk> {
    let hunks = hunks.all().into_iter().map(|hunk| DiffHunk {
        old_start: hunk.old_start as u64,
        old_lines: hunk.old_lines as u64,
        new_start: hunk.new_start as u64,
        new_lines: hunk.new_lines as u64,
        lines: hunk.lines.into_iter().flat_map(line).collect(),
    });
    hunks.collect()
}

fn line((kind, text): (git::LineKind, &[u8])) -> impl Iterator<Item = DiffLine> {
    let kind = match kind {
        git::LineKind::Context => LineKind::Context,
        git::LineKind::Added => LineKind::Added,
        git::LineKind::Deleted => LineKind::Deleted,
    };
    let (text, remark) = match text.strip_suffix(b"\n") {
        Some(text) => (text, None),
        None => (text, Some(NO_NEWLINE)),
    };
    let remark = remark.map(|text| DiffLine {
        kind: LineKind::Annotation,
        text: text.to_owned(),
    });
    let line = DiffLine {
        kind,
        text: shown(text),
    };
    std::iter::once(line).chain(remark)
}
