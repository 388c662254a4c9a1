//! What every request passes before its route: the log, the credential, the segments.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use super::failure::Failure;
use super::{Shared, api_keys, receive};
use crate::server::keys::{Principal, Refusal};

/// One line per request: no query, no headers, no bodies, hence no credentials.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let microseconds = begun.elapsed().as_micros() as u64;
    let status = response.status().as_u16();
    tracing::info!(%method, path, status, microseconds, "request");
    response
}

/// Lets a request pass with its [`Principal`], or answers 401.
pub(super) async fn authenticate(
    State(service): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    match principal(&service, request.headers()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(refusal) => Failure::unauthorized(refusal).into_response(),
    }
}

/// Whose credential some headers carry.
pub(super) fn principal(service: &Shared, headers: &HeaderMap) -> Result<Principal, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unknown);
    };
    let (scheme, credential) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Refusal::Unknown)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Unknown);
    }
    identify(service, credential.trim())
}

/// Who a credential is; also notes that its key was used.
pub(super) fn identify(service: &Shared, credential: &str) -> Result<Principal, Refusal> {
    let now = receive::now();
    let principal = service.data.keys.authenticate(credential, now)?;
    if service.data.keys.wants_uses_stored(now) {
        tokio::spawn(store_uses(service.clone()));
    }
    Ok(principal)
}

/// Stores when keys were used; no request waits for it.
async fn store_uses(service: Shared) {
    let stored = api_keys::changing(&service, |service| Ok(service.data.keys.store_uses()?));
    if stored.await.is_err() {
        tracing::warn!("the times of last use of API keys were not stored");
    }
}

/// Answers 404 to an empty, `.` or `..` segment: clients fold these, and what they meant as a name
/// would become another route.
pub(super) async fn check_segments(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_clean = path.strip_prefix('/').is_some_and(|path| {
        path.split('/').all(|segment| {
            let decoded: Vec<u8> = percent_decode_str(segment).collect();
            !matches!(decoded.as_slice(), b"" | b"." | b"..")
        })
    });
    match is_clean {
        true => next.run(request).await,
        false => Failure::not_found("no such route").into_response(),
    }
}
