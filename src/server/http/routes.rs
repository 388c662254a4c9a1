//! All routes, as one table: the router is built from it, and the OpenAPI document is held to it.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use super::{
    Shared, api_keys, blobs, bookmarks, changes, content, diff, document, feed, merge, metrics,
    objects, organization, repos, snapshot, uploads, upstream, webhooks,
};

/// What is done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Patch,
    Delete,
}

impl Verb {
    fn filter(self) -> MethodFilter {
        match self {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        }
    }
}

/// One operation.
pub(super) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "the document is held to it"))]
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    pub(super) handler: MethodRouter<Shared>,
}

fn route<H, T>(verb: Verb, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Shared>,
    T: 'static,
{
    Route {
        verb,
        path,
        handler: on(verb.filter(), handler),
    }
}

/// A route whose answers are compressed for clients that accept it: large ones, made of text.
fn compressed(route: Route) -> Route {
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    Route {
        handler: route.handler.layer(compression),
        ..route
    }
}

/// A route whose requests may be compressed.
fn decompressed(route: Route) -> Route {
    // What it cannot decompress keeps its header, and the handler says so in our words.
    let decompression = RequestDecompressionLayer::new().pass_through_unaccepted(true);
    Route {
        handler: route.handler.layer(decompression),
        ..route
    }
}

/// Every operation that is served. A fixed segment goes before a name in the same place.
pub(super) fn table() -> Vec<Route> {
    use Verb::{Delete, Get, Patch, Post};
    const ORG: &str = "/v1/{org}";
    const REPOS: &str = "/v1/{org}/repos";
    const KEYS: &str = "/v1/{org}/api-keys";
    const KEY: &str = "/v1/{org}/api-keys/{key}";
    const TARGETS: &str = "/v1/{org}/webhook-targets";
    const TARGET: &str = "/v1/{org}/webhook-targets/{target}";
    const REPO: &str = "/v1/{org}/{repo}";
    const SYNCS: &str = "/v1/{org}/{repo}/upstream/syncs";
    const CHANGES: &str = "/v1/{org}/{repo}/changes";
    const CHANGE: &str = "/v1/{org}/{repo}/changes/{change}";
    const BOOKMARKS: &str = "/v1/{org}/{repo}/bookmarks";
    const BOOKMARK: &str = "/v1/{org}/{repo}/bookmarks/{bookmark}";
    const UPLOAD: &str = "/v1/{org}/{repo}/ext/uploads/{upload}";
    vec![
        route(Get, "/metrics", metrics::show),
        route(Get, "/v1/openapi.json", document::show),
        route(Get, "/v1/whoami", organization::whoami),
        route(Get, ORG, organization::show),
        route(Get, REPOS, repos::list),
        route(Post, REPOS, repos::create),
        route(Patch, "/v1/{org}/repos/tags", repos::patch_tags),
        route(Get, KEYS, api_keys::list),
        route(Post, KEYS, api_keys::create),
        route(Patch, KEY, api_keys::patch),
        route(Delete, KEY, api_keys::revoke),
        route(Get, TARGETS, webhooks::list),
        route(Post, TARGETS, webhooks::create),
        route(Get, TARGET, webhooks::show),
        route(Patch, TARGET, webhooks::patch),
        route(Delete, TARGET, webhooks::delete),
        route(Get, REPO, repos::show),
        route(Patch, REPO, repos::patch),
        route(Delete, REPO, repos::delete),
        route(Get, "/v1/{org}/{repo}/content", content::show),
        compressed(route(Get, "/v1/{org}/{repo}/diff", diff::show)),
        route(Get, SYNCS, upstream::list),
        route(Post, SYNCS, upstream::create),
        route(
            Get,
            "/v1/{org}/{repo}/upstream/syncs/{sync}",
            upstream::show,
        ),
        route(Get, CHANGES, changes::list),
        route(Post, CHANGES, changes::create),
        route(Get, CHANGE, changes::show),
        route(Patch, CHANGE, changes::patch),
        route(Get, BOOKMARKS, bookmarks::list),
        route(Post, BOOKMARKS, bookmarks::create),
        route(Get, BOOKMARK, bookmarks::show),
        route(Post, BOOKMARK, merge::create),
        route(Patch, BOOKMARK, bookmarks::patch),
        route(Delete, BOOKMARK, bookmarks::delete),
        route(Get, "/v1/{org}/{repo}/ext/events", feed::show),
        route(Post, "/v1/{org}/{repo}/ext/blobs", blobs::create),
        decompressed(route(
            Post,
            "/v1/{org}/{repo}/ext/blobs/batch",
            blobs::create_many,
        )),
        compressed(route(
            Post,
            "/v1/{org}/{repo}/ext/blobs/missing",
            objects::missing,
        )),
        route(Get, "/v1/{org}/{repo}/ext/blobs/{sha}", objects::show),
        route(Post, "/v1/{org}/{repo}/ext/uploads", uploads::create),
        route(Get, UPLOAD, uploads::show),
        route(Patch, UPLOAD, uploads::append),
        compressed(route(
            Post,
            "/v1/{org}/{repo}/ext/objects",
            objects::objects,
        )),
        compressed(route(Post, "/v1/{org}/{repo}/ext/trees", objects::trees)),
        compressed(route(Get, "/v1/{org}/{repo}/ext/snapshot", snapshot::show)),
    ]
}
