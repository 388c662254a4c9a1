//! Receiving: path segments, query values and bodies, each with its bound.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{FromRequestParts, Path};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use futures_util::StreamExt;
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::failure::Failure;
use crate::remote::api::header;

/// Largest JSON body: a batch of edits with 192 MiB of content in base64.
pub(super) const JSON_BYTES_MAX: u64 = 256 << 20;
/// Memory that all JSON bodies together may take, in MiB. A body is in memory about three times
/// while it is parsed, so this bounds it at 1.5 GiB.
pub(super) const BODIES_MIB_MAX: usize = 512;
/// Longest wait for the next bytes of a body.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Whether a request prefers its answer so.
pub(super) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let values = headers.get_all(header::PREFER).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok());
    texts.any(|text| text.split(',').any(|one| one.trim() == preference))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    crate::server::now()
}

/// Decoded path parameters; what does not decode is no route of ours.
pub(super) struct Segments<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(values)) => Ok(Segments(values)),
            Err(_) => Err(Failure::not_found("no such route")),
        }
    }
}

/// Decoded query values, as bytes; of a name that comes twice, the first.
pub(super) struct Query(HashMap<Vec<u8>, Vec<u8>>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Query {
        let mut values = HashMap::new();
        for pair in uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(name)).or_insert_with(|| decode(value));
        }
        Query(values)
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// Whether there is a `name[key]`; a key that is empty or open is refused.
    pub(super) fn has_entries_of(&self, name: &str) -> Result<bool, Failure> {
        let rest = |given: &Vec<u8>| {
            let rest = given.strip_prefix(name.as_bytes())?.strip_prefix(b"[")?;
            Some(rest.len() > 1 && rest.ends_with(b"]"))
        };
        let mut entries = self.0.keys().filter_map(rest).peekable();
        let is_given = entries.peek().is_some();
        match entries.all(|is_good| is_good) {
            true => Ok(is_given),
            false => Err(Failure::invalid(format!("{name}: want {name}[key]=value"))),
        }
    }

    /// A value as text; one that is not UTF-8 is refused.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        self.bytes(name)
            .map(std::str::from_utf8)
            .transpose()
            .map_err(|_| Failure::invalid(format!("{name}: not UTF-8")))
    }

    /// A value of a type that reads itself from text.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name)?
            .map(|text| {
                text.parse()
                    .map_err(|_| Failure::invalid(format!("{name}: malformed")))
            })
            .transpose()
    }
}

/// Forms write a space as `+`, and whoever means a plus writes `%2B`.
fn decode(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text
        .bytes()
        .map(|byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    percent_decode(&text).collect()
}

/// A parsed body, and the share of memory that it holds until it is dropped.
pub(super) struct Json<T> {
    pub(super) value: T,
    pub(super) share: OwnedSemaphorePermit,
}

/// Receives a JSON body. One that says that it is too large is refused before it is sent.
pub(super) async fn json<T: DeserializeOwned + Send + 'static>(
    service: &Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<T>, Failure> {
    let declared = declared_length(headers, JSON_BYTES_MAX)?.unwrap_or(JSON_BYTES_MAX);
    let mebibytes = u32::try_from(declared.div_ceil(1 << 20).max(1)).unwrap_or(u32::MAX);
    let share = service.bodies.clone().acquire_many_owned(mebibytes).await?;
    let mut bytes = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(chunk) = next(&mut stream).await? {
        if (bytes.len() + chunk.len()) as u64 > declared {
            return Err(Failure::too_large("the body is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    // A large body takes a while to parse, so not on a thread that serves connections.
    let parsed = tokio::task::spawn_blocking(move || {
        // A list would pass for the fields of any structure, in the order of our code.
        let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if begins != Some(&b'{') {
            return Err(Failure::invalid(
                "the body is not what is wanted: want a JSON object",
            ));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::invalid(format!("the body is not what is wanted: {error}")))
    });
    let value = parsed.await??;
    Ok(Json { value, share })
}

/// The next bytes of a body, unless it stalls.
pub(super) async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>, Failure> {
    match tokio::time::timeout(STALL_MAX, stream.next()).await {
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(_))) => Err(Failure::invalid("the body broke off")),
        Ok(None) => Ok(None),
        Err(_) => Err(Failure::timed_out()),
    }
}

/// The length that a request declares, if it does and it is not over `max`.
pub(super) fn declared_length(headers: &HeaderMap, max: u64) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value
        .to_str()
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
        .ok_or_else(|| Failure::invalid("Content-Length: malformed"))?;
    match length <= max {
        true => Ok(Some(length)),
        false => Err(Failure::too_large("the body is too large")),
    }
}
