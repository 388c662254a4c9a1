//! Upstreams of repositories, and runs to and from them, of which this server makes none: it says so
//! at once, where a run that is queued and then fails would be believed by whoever does not look again.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::failure::Failure;
use super::page::Page;
use super::receive::{self, Query, Segments};
use super::{Shared, ok};
use crate::remote::api::{self, NewSync, NewUpstream, SyncPage, UpstreamAuth, UpstreamPatch};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Upstream;

const URL_BYTES_MAX: usize = 2_048;

/// An upstream as a repository shows it.
pub(super) fn describe(kept: Option<Upstream>) -> Option<serde_json::Value> {
    let shown = api::Upstream {
        url: kept.as_ref()?.url.clone(),
        auth_kind: kept?.auth_kind,
        latest_sync: None,
    };
    serde_json::to_value(shown).ok()
}

/// What is kept of a new upstream.
pub(super) fn kept(new: NewUpstream) -> Result<Upstream, Failure> {
    check(&new.url)?;
    Ok(Upstream {
        url: new.url,
        auth_kind: new.auth.as_ref().map(UpstreamAuth::kind),
    })
}

/// What an upstream is after a patch, of which null is the end.
pub(super) fn patched(
    old: Option<Upstream>,
    patch: Option<UpstreamPatch>,
) -> Result<Option<Upstream>, Failure> {
    let Some(patch) = patch else { return Ok(None) };
    let old_kind = old.as_ref().and_then(|old| old.auth_kind);
    let url = patch
        .url
        .or(old.map(|old| old.url))
        .ok_or_else(|| Failure::invalid("upstream: url: missing"))?;
    check(&url)?;
    let auth_kind = match patch.auth {
        Some(auth) => auth.as_ref().map(UpstreamAuth::kind),
        None => old_kind,
    };
    Ok(Some(Upstream { url, auth_kind }))
}

/// Refuses what is no address, and one with a password in it, which every reader would be shown.
fn check(url: &str) -> Result<(), Failure> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .filter(|_| {
            url.len() <= URL_BYTES_MAX && url.chars().all(|letter| letter.is_ascii_graphic())
        })
        .ok_or_else(|| Failure::invalid("upstream: url: want http:// or https:// and no spaces"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains('@') {
        let message = "upstream: url: want a host without a name or password before it; \
                       credentials belong into auth";
        return Err(Failure::invalid(message));
    }
    Ok(())
}

/// `GET /v1/{org}/{repo}/upstream/syncs`.
pub(super) async fn list(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    service.repository(&principal, &organization, &name, Scope::Read)?;
    Page::of(&Query::of(&uri))?;
    Ok(ok(SyncPage {
        next_cursor: None,
        has_more: false,
        syncs: Vec::new(),
    }))
}

/// `GET /v1/{org}/{repo}/upstream/syncs/{sync}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, _)): Segments<(String, String, String)>,
) -> Result<Response, Failure> {
    service.repository(&principal, &organization, &name, Scope::Read)?;
    Err(Failure::not_found("no such sync"))
}

/// `POST /v1/{org}/{repo}/upstream/syncs`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let wanted: NewSync = receive::json(&service, &headers, body).await?.value;
    let is_given = |globs: Option<Vec<String>>| globs.is_some_and(|globs| !globs.is_empty());
    if let Some(globs) = wanted.ref_globs
        && !is_given(globs.branches)
        && !is_given(globs.tags)
    {
        return Err(Failure::invalid("ref_globs: want branches or tags"));
    }
    if hosted.traits.lock().upstream.is_none() {
        return Err(Failure::conflict("the repository has no upstream"));
    }
    Err(Failure::not_configured(
        "this server is not configured to sync with upstreams: fetch with git, and push to it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_hide_in_an_address() {
        for bad in [
            "",
            "git@example.com:a/b",
            "ssh://example.com/a",
            "file:///etc",
            "https://",
            "https:///a",
            "https://u:p@example.com/a",
            "https://example.com/a b",
            "https://example.com/\n",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for good in ["https://example.com/a/b.git", "http://[::1]:1/a?b=@"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }
}
