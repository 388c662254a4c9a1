//! The extension `snapshots`: what a checkout has to know at its beginning, in one answer.

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::failure::Failure;
use super::receive::{Query, Segments};
use super::{Shared, blocking, bookmarks, objects, ok};
use crate::remote::api::{SnapshotAnswer, format_date};
use crate::server::keys::{Principal, Scope};
use crate::tree::{ChangeId, GitOid};

/// Most bytes of listings in one answer: it is made in memory.
const LISTING_BYTES_MAX: u64 = 256 << 10;

/// `GET /v1/{org}/{repo}/ext/snapshot`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let query = Query::of(&uri);
    let bookmark = query.text("bookmark")?.map(str::to_owned);
    let change: Option<ChangeId> = query.parsed("change_id")?;
    let known: Option<GitOid> = query.parsed("known_tree")?;
    let bytes_max: Option<u64> = query.parsed("bytes_max")?;
    if bookmark.is_some() && change.is_some() {
        return Err(Failure::invalid("bookmark and change_id: want one of them"));
    }
    blocking(&service, move |service| {
        let (bookmark, change) = match (bookmark, change) {
            (_, Some(change)) => (None, change),
            (named, None) => {
                let found = bookmarks::named(&hosted, named.as_deref())?;
                (Some(found.name), found.target.change)
            }
        };
        let snapshot = hosted.git.snapshot(change)?;
        let seconds = match snapshot.commit {
            Some(commit) => hosted.git.commit(commit)?.committer.seconds,
            None => 0,
        };
        let listings = match bytes_max {
            Some(bytes_max) if known != Some(snapshot.tree) => {
                let bytes_max = bytes_max.min(LISTING_BYTES_MAX);
                objects::listings(service, &hosted, snapshot.tree, bytes_max)?
            }
            _ => Vec::new(),
        };
        Ok(ok(SnapshotAnswer {
            bookmark,
            change_id: snapshot.change,
            commit_oid: snapshot.commit.unwrap_or(GitOid([0; 20])),
            tree: snapshot.tree,
            committed_at: format_date(seconds),
            listings,
        }))
    })
    .await
}
