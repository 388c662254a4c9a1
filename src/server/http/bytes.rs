//! Bytes of a blob as an answer: whole or a range, from memory or from the disk.
//!
//! A short range carries the digest of its bytes, since whoever has a part of a blob cannot tell by the
//! blob's id whether it arrived as it was sent.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use http_range_header::parse_range_header;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::{Shared, blocking, git};
use crate::remote::api::{LARGE_BYTES, RANGE_BYTES_MAX};
use crate::server::repositories::Hosted;
use crate::tree::GitOid;

/// Bytes that are read from the disk at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// Which of its bytes a blob answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From a byte to a byte, both included.
    Range(u64, u64),
}

/// Answers with a blob's bytes, as far as `headers` ask for them.
pub(super) async fn answer(
    service: &Shared,
    hosted: Arc<Hosted>,
    oid: GitOid,
    size: u64,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let tag = format!("\"{oid}\"");
    let mut response = if is_known(headers.get(IF_NONE_MATCH), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match part(headers, &tag, size)? {
            Part::Whole => {
                let body = body(service, hosted, oid, size, 0, size).await?;
                (StatusCode::OK, length(size), body).into_response()
            }
            Part::Range(first, last) => {
                let count = last - first + 1;
                let body = body(service, hosted, oid, size, first, count).await?;
                let range = [(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))];
                let status = StatusCode::PARTIAL_CONTENT;
                if count <= RANGE_BYTES_MAX {
                    let (digest, bytes) = digested(service, body).await?;
                    (status, range, length(count), digest, bytes).into_response()
                } else {
                    (status, range, length(count), body).into_response()
                }
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, kind);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}

fn length(bytes: u64) -> [(axum::http::HeaderName, String); 1] {
    [(CONTENT_LENGTH, bytes.to_string())]
}

/// The bytes of a short body, with their digest as RFC 9530 writes it.
async fn digested(
    service: &Shared,
    body: Body,
) -> Result<([(&'static str, String); 1], Bytes), Failure> {
    let bytes_max = usize::try_from(RANGE_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = axum::body::to_bytes(body, bytes_max)
        .await
        .map_err(|error| Failure::internal(&error))?;
    blocking(service, move |_| {
        let digest = STANDARD.encode(Sha256::digest(&bytes));
        let header = [("content-digest", format!("sha-256=:{digest}:"))];
        Ok((header, bytes))
    })
    .await
}

/// Whether a client that knows some entity tags knows this one.
pub(super) fn is_known(known: Option<&HeaderValue>, tag: &str) -> bool {
    known
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| {
            known.split(',').any(|one| {
                let one = one.trim();
                one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
            })
        })
}

/// RFC 9110 section 14: a range in another unit, several ranges, one that does not parse, or one
/// of another version of the content counts for nothing; one beyond the end is refused.
fn part(headers: &HeaderMap, tag: &str, size: u64) -> Result<Part, Failure> {
    let Some(text) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(Part::Whole);
    };
    if headers.get(IF_RANGE).is_some_and(|wanted| wanted != tag) {
        return Ok(Part::Whole);
    }
    let Ok(parsed) = parse_range_header(text) else {
        return Ok(Part::Whole);
    };
    if parsed.ranges.len() > 1 {
        return Ok(Part::Whole);
    }
    match parsed.validate(size).as_deref() {
        Ok([range]) => Ok(Part::Range(*range.start(), *range.end())),
        _ => Err(Failure::not_satisfiable(size)),
    }
}

/// `count` bytes of a blob from `first`: small blobs at once, large ones as they are unpacked.
async fn body(
    service: &Shared,
    hosted: Arc<Hosted>,
    oid: GitOid,
    size: u64,
    first: u64,
    count: u64,
) -> Result<Body, Failure> {
    if size <= LARGE_BYTES {
        let bytes = blocking(service, move |_| Ok(hosted.git.blob(oid)?)).await?;
        let from = usize::try_from(first).unwrap_or(usize::MAX);
        let to = usize::try_from(first + count).unwrap_or(usize::MAX);
        return match bytes.get(from..to) {
            Some(_) => Ok(Body::from(Bytes::from(bytes).slice(from..to))),
            None => Err(Failure::internal(&git::Error::UnknownBlob(oid))),
        };
    }
    let unpacked = blocking(service, move |service| {
        let folder = service.data.temporary_folder();
        Ok(service.large.open(&hosted, oid, size, &folder)?)
    })
    .await?;
    // The first bytes are waited for, so that a blob that cannot be read is an error, not a
    // connection that breaks off.
    unpacked
        .ready(first)
        .await
        .map_err(|error| Failure::internal(&error))?;
    Ok(Body::from_stream(stream::try_unfold(
        (unpacked, first, count),
        |(unpacked, offset, left)| async move {
            if left == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            let ready = unpacked.ready(offset).await?;
            let bytes = left.min(ready).min(CHUNK_BYTES);
            let reader = unpacked.clone();
            let read = tokio::task::spawn_blocking(move || {
                reader.read_at(offset, usize::try_from(bytes).unwrap_or(usize::MAX))
            });
            let chunk = read.await.map_err(std::io::Error::other)??;
            Ok(Some((
                Bytes::from(chunk),
                (unpacked, offset + bytes, left - bytes),
            )))
        },
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &'static str, if_range: Option<&'static str>) -> Result<Part, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static(range));
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_static(tag));
        }
        part(&headers, "\"tag\"", 100)
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (text, wanted) in [
            ("bytes=0-0", Part::Range(0, 0)),
            ("bytes=10-", Part::Range(10, 99)),
            ("bytes=-10", Part::Range(90, 99)),
            ("bytes=90-1000", Part::Range(90, 99)),
            ("bytes=0-1,4-5", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=x", Part::Whole),
        ] {
            assert_eq!(asked(text, None).unwrap(), wanted, "{text}");
        }
        assert!(asked("bytes=100-", None).is_err());
        assert_eq!(asked("bytes=0-0", Some("\"other\"")).unwrap(), Part::Whole);
        assert_eq!(
            asked("bytes=0-0", Some("\"tag\"")).unwrap(),
            Part::Range(0, 0)
        );
    }
}
