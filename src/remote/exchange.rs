//! What one HTTP exchange is to be.

use std::fs::File;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::secrets::Credential;

/// How long silence is borne.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Within a body that comes.
    pub(super) chunk: Duration,
    /// Within a body that goes, and after it until the answer.
    pub(super) upload: Duration,
    /// The same, once there is reason not to believe in the connection.
    pub(super) upload_doubtful: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // As for the first byte of a read.
            chunk: Duration::from_secs(5),
            // The most: a server writes and hashes hundreds of megabytes in that time.
            upload: Duration::from_secs(60),
            // Retransmission finds a way within that time, if there is one.
            upload_doubtful: Duration::from_secs(3),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// As HTTP has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

pub(super) enum Body {
    Empty,
    Json(Bytes),
    /// Many contents, compressed by zstd.
    Batch(Bytes),
    /// A file from where it is, exactly this many bytes.
    File(File, u64),
}

impl Body {
    /// Bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Json(bytes) | Body::Batch(bytes) => bytes.len() as u64,
            Body::File(_, length) => *length,
        }
    }
}

pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Encoded path and query, below the base address.
    pub(super) target: String,
    pub(super) credential: &'a Credential,
    pub(super) accept: &'static str,
    pub(super) header: Option<(&'static str, String)>,
    pub(super) body: Body,
    /// How long until the first byte of the answer; bodies that are sent have their own bounds.
    pub(super) patience: Duration,
}

/// When a server answered, by its own clock, as the Date of its answer says.
pub(super) fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()
}
