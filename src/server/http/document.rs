//! The OpenAPI document of what is served. It is written by hand, and tests hold it to the routes and
//! to real answers.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("../openapi.json");

/// `GET /v1/openapi.json`. No organization is in its way, since a slug has no dot.
pub(super) async fn show() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::DOCUMENT;
    use crate::server::http::routes::{self, Verb};

    /// The one path that the router has under a wider one; see `http::merge`.
    const MERGE: (&str, &str) = (
        "/v1/{org}/{repo}/bookmarks/merge",
        "/v1/{org}/{repo}/bookmarks/{bookmark}",
    );

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            let path = if path == MERGE.0 { MERGE.1 } else { path };
            for verb in verbs.as_object().unwrap().keys() {
                described.insert((path.to_owned(), verb.clone()));
            }
        }
        let served = routes::table().into_iter().map(|route| {
            let verb = match route.verb {
                Verb::Get => "get",
                Verb::Post => "post",
                Verb::Patch => "patch",
                Verb::Delete => "delete",
            };
            (route.path.to_owned(), verb.to_owned())
        });
        // Answered before a credential is asked for.
        let health = ("/healthz".to_owned(), "get".to_owned());
        let served: BTreeSet<_> = served.chain([health]).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_path_describes_its_parameters() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut ids = BTreeSet::new();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            let segments = path.split('/').filter_map(|segment| {
                let name = segment.strip_prefix('{')?.strip_suffix('}')?;
                Some(name.to_owned())
            });
            let named: BTreeSet<String> = segments.collect();
            for operation in verbs.as_object().unwrap().values() {
                let parameters = operation["parameters"].as_array();
                let described: BTreeSet<String> = parameters
                    .into_iter()
                    .flatten()
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                    .collect();
                assert_eq!(described, named, "{path}");
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
            }
        }
    }
}
