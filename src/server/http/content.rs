//! Content: files, links and listings of one snapshot.

use axum::Extension;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::failure::Failure;
use super::receive::{Query, Segments};
use super::{Service, Shared, blocking, git, ok};
use crate::remote::api::{
    Content, DirectoryContent, Encoding, Entry, FileContent, FileMode, SubmoduleEntry, header,
};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;
use crate::tree::{ChangeId, GitOid, TreePath};

const DEPTH_DEFAULT: usize = 1;
const DEPTH_MAX: usize = 10;

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
    let path = query.bytes("path").unwrap_or_default();
    let wanted = Wanted {
        change: query.parsed("change_id")?,
        commit: query.parsed("commit_oid")?,
        path: TreePath::try_from(path).map_err(git::Error::from)?,
        depth,
        form: form(&headers),
        known: headers.get(IF_NONE_MATCH).cloned(),
    };
    blocking(&service, move |service| answer(service, &hosted, &wanted)).await
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
        (None, None) => {
            let bookmark = hosted.git.default_bookmark()?;
            hosted.git.bookmark(&bookmark)?.target.change
        }
    };
    Ok(hosted.git.snapshot(change)?)
}

fn answer(service: &Service, hosted: &Hosted, wanted: &Wanted) -> Result<Response, Failure> {
    let snapshot = snapshot(hosted, wanted)?;
    let found = hosted
        .git
        .entry(snapshot.tree, &wanted.path, &service.sizes)?;
    let is_file = !matches!(found.kind, git::Kind::Directory | git::Kind::Submodule);
    if wanted.form == Form::Bytes && !is_file {
        return Err(Failure::not_acceptable("a directory has no bytes"));
    }
    // The tag of a representation: the object, and how it is shown.
    let tag = match (wanted.form, found.kind) {
        (Form::Bytes, _) => format!("\"{}\"", found.oid),
        (Form::Json, git::Kind::Directory) => format!("\"{}.{}\"", found.oid, wanted.depth),
        (Form::Json, _) => format!("\"{}.json\"", found.oid),
    };
    let mut response = if is_known(wanted.known.as_ref(), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if wanted.form == Form::Bytes {
        let bytes = hosted.git.blob(found.oid)?;
        let kind = HeaderValue::from_static("application/octet-stream");
        ([(CONTENT_TYPE, kind)], bytes).into_response()
    } else {
        ok(describe(service, hosted, &found, wanted.depth)?)
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept"));
    let commit = snapshot.commit.map(|commit| commit.to_string());
    for (name, value) in [
        (ETAG.as_str(), Some(tag)),
        (header::OBJECT_SHA, Some(found.oid.to_string())),
        (header::COMMIT_OID, commit),
    ] {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from)
            && let Ok(name) = axum::http::HeaderName::try_from(name)
        {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn is_known(known: Option<&HeaderValue>, tag: &str) -> bool {
    known
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| {
            known.split(',').any(|one| {
                let one = one.trim();
                one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
            })
        })
}

fn describe(
    service: &Service,
    hosted: &Hosted,
    found: &git::Entry,
    depth: usize,
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
    let file = FileContent {
        name,
        path,
        sha: found.oid,
        size: found.size,
        encoding: Encoding::Base64,
        content: STANDARD.encode(hosted.git.blob(found.oid)?),
        mode,
        is_conflicted: None,
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
