//! Content: files, links and listings of one snapshot.

use axum::Extension;
use axum::extract::State;
use axum::http::header::{ACCEPT, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::failure::Failure;
use super::receive::{Query, Segments};
use super::{Service, Shared, blocking, bookmarks, bytes, git, ok};
use crate::remote::api::{
    Content, DirectoryContent, Encoding, Entry, FileContent, FileMode, SubmoduleEntry, header,
};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;
use crate::tree::{ChangeId, GitOid, TreePath};

const DEPTH_DEFAULT: usize = 1;
const DEPTH_MAX: usize = 10;
/// Largest file that is shown in JSON, where it is in memory three times.
const JSON_CONTENT_BYTES_MAX: u64 = 64 << 20;

/// What is asked for.
struct Wanted {
    change: Option<ChangeId>,
    commit: Option<GitOid>,
    path: TreePath,
    depth: usize,
    form: Form,
    /// Entity tags that the client has.
    known: Option<HeaderValue>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Bytes,
}

/// `GET /v1/{org}/{repo}/content`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let query = Query::of(&uri);
    let depth = query.parsed("depth")?.unwrap_or(DEPTH_DEFAULT);
    if depth > DEPTH_MAX {
        return Err(Failure::invalid("depth: want 0 to 10"));
    }
    // Nothing here has metadata, so entries with some value of it are none.
    let depth = match query.has_entries_of("metadata")? {
        true => 0,
        false => depth,
    };
    let path = query.bytes("path").unwrap_or_default();
    let wanted = Wanted {
        change: query.parsed("change_id")?,
        commit: query.parsed("commit_oid")?,
        path: TreePath::try_from(path).map_err(git::Error::from)?,
        depth,
        form: form(&headers),
        known: headers.get(IF_NONE_MATCH).cloned(),
    };
    let (found, snapshot, json) = {
        let hosted = hosted.clone();
        blocking(&service, move |service| find(service, &hosted, &wanted)).await?
    };
    let mut response = match json {
        Some(response) => response,
        None => bytes::answer(&service, hosted, found.oid, found.size, &headers).await?,
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept"));
    let commit = snapshot.commit.map(|commit| commit.to_string());
    for (name, value) in [
        (header::OBJECT_SHA, Some(found.oid.to_string())),
        (header::COMMIT_OID, commit),
    ] {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}

/// Bytes only when asked for by name: clients that accept anything get JSON.
fn form(headers: &HeaderMap) -> Form {
    let wants_bytes = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| {
            range
                .trim()
                .eq_ignore_ascii_case("application/octet-stream")
        });
    if wants_bytes { Form::Bytes } else { Form::Json }
}

fn snapshot(hosted: &Hosted, wanted: &Wanted) -> Result<git::Snapshot, Failure> {
    let change = match (wanted.commit, wanted.change) {
        (Some(commit), _) => return Ok(hosted.git.commit_snapshot(commit)?),
        (None, Some(change)) => change,
        (None, None) => bookmarks::named(hosted, None)?.target.change,
    };
    Ok(hosted.git.snapshot(change)?)
}

/// What is at the path, in which snapshot, and the answer unless it is bytes.
fn find(
    service: &Service,
    hosted: &Hosted,
    wanted: &Wanted,
) -> Result<(git::Entry, git::Snapshot, Option<Response>), Failure> {
    let snapshot = snapshot(hosted, wanted)?;
    let found = hosted
        .git
        .entry(snapshot.tree, &wanted.path, &service.sizes)?;
    if wanted.form == Form::Bytes {
        return match found.kind {
            git::Kind::Directory | git::Kind::Submodule => {
                Err(Failure::not_acceptable("a directory has no bytes"))
            }
            _ => Ok((found, snapshot, None)),
        };
    }
    // The tag of a representation: the object, and how it is shown.
    let tag = match found.kind {
        git::Kind::Directory => format!("\"{}.{}\"", found.oid, wanted.depth),
        _ => format!("\"{}.json\"", found.oid),
    };
    let mut response = match bytes::is_known(wanted.known.as_ref(), &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let conflicts = conflicts(hosted, &snapshot, &found)?;
            ok(describe(service, hosted, &found, wanted.depth, conflicts)?)
        }
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok((found, snapshot, Some(response)))
}

/// Whether a file is one of those that the snapshot has conflicts in.
fn conflicts(
    hosted: &Hosted,
    snapshot: &git::Snapshot,
    found: &git::Entry,
) -> Result<Option<bool>, Failure> {
    let Some(commit) = snapshot.commit else {
        return Ok(None);
    };
    if !hosted.git.commit(commit)?.is_conflicted {
        return Ok(None);
    }
    let path = String::from_utf8_lossy(&found.path);
    let conflicts = hosted.git.conflicts(commit)?.found;
    Ok(Some(conflicts.iter().any(|conflict| conflict.path == path)))
}

fn describe(
    service: &Service,
    hosted: &Hosted,
    found: &git::Entry,
    depth: usize,
    is_conflicted: Option<bool>,
) -> Result<Content, Failure> {
    let Named { name, path, .. } = named(&found.path);
    let mode = match found.kind {
        git::Kind::Plain => FileMode::Plain,
        git::Kind::Executable => FileMode::Executable,
        git::Kind::Symlink => FileMode::Symlink,
        git::Kind::Directory => {
            let listed = hosted.git.list(found, depth, &service.sizes)?;
            let child_count = match depth {
                1 => listed.len() as u64,
                _ => hosted.git.child_count(found.oid)?,
            };
            return Ok(Content::Directory(DirectoryContent {
                name,
                path,
                sha: found.oid,
                child_count,
                entries: listed.iter().map(entry).collect(),
            }));
        }
        git::Kind::Submodule => return Ok(Content::Submodule(submodule(found))),
    };
    if found.size > JSON_CONTENT_BYTES_MAX {
        return Err(Failure::too_large(
            "the file is too large for JSON: ask with Accept: application/octet-stream",
        ));
    }
    let file = FileContent {
        name,
        path,
        sha: found.oid,
        size: found.size,
        encoding: Encoding::Base64,
        content: STANDARD.encode(hosted.git.blob(found.oid)?),
        mode,
        is_conflicted,
    };
    Ok(match mode {
        FileMode::Symlink => Content::Symlink(file),
        FileMode::Plain | FileMode::Executable => Content::File(file),
    })
}

/// A path as JSON can say it.
struct Named {
    name: String,
    path: String,
    name_base64: Option<String>,
}

fn named(path: &[u8]) -> Named {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name_base64 = std::str::from_utf8(name)
        .is_err()
        .then(|| STANDARD.encode(name));
    Named {
        name: String::from_utf8_lossy(name).into_owned(),
        path: String::from_utf8_lossy(path).into_owned(),
        name_base64,
    }
}

fn entry(found: &git::Entry) -> Entry {
    let Named {
        name,
        path,
        name_base64,
    } = named(&found.path);
    let (sha, size) = (found.oid, found.size);
    let mode = match found.kind {
        git::Kind::Plain => FileMode::Plain,
        git::Kind::Executable => FileMode::Executable,
        git::Kind::Symlink => {
            let mode = FileMode::Symlink;
            return Entry::Symlink {
                name,
                path,
                sha,
                size,
                mode,
                name_base64,
            };
        }
        git::Kind::Directory => {
            return Entry::Directory {
                name,
                path,
                sha,
                name_base64,
            };
        }
        git::Kind::Submodule => return Entry::Submodule(submodule(found)),
    };
    Entry::File {
        name,
        path,
        sha,
        size,
        mode,
        name_base64,
    }
}

fn submodule(found: &git::Entry) -> SubmoduleEntry {
    let Named {
        name,
        path,
        name_base64,
    } = named(&found.path);
    SubmoduleEntry {
        name,
        path,
        sha: found.oid,
        name_base64,
    }
}
