//! The body of a Git request: a stream, perhaps compressed, read packet by packet and then to its
//! end, in little memory.

use std::io::Write as _;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use bytes::BytesMut;
use flate2::write::GzDecoder;

use crate::server::git;
use crate::server::http::failure::Failure;
use crate::server::http::receive;

/// Compressed bytes that are taken at once: at most a thousand times as many come out.
const INFLATE_BYTES: usize = 4 << 10;

/// A body on its way in.
pub(super) struct Incoming {
    stream: BodyDataStream,
    inflater: Option<GzDecoder<Vec<u8>>>,
    /// Received, not yet inflated.
    raw: Bytes,
    /// Ready to be read.
    ready: BytesMut,
    /// Bytes that may still come.
    left: u64,
}

impl Incoming {
    /// A body of at most so many bytes, compressed or not.
    pub(super) fn new(
        headers: &HeaderMap,
        body: Body,
        bytes_max: u64,
    ) -> Result<Incoming, Failure> {
        receive::declared_length(headers, bytes_max)?;
        let encoding = headers
            .get(CONTENT_ENCODING)
            .map_or(&b"identity"[..], |encoding| encoding.as_bytes());
        let inflater = match encoding {
            b"identity" => None,
            b"gzip" | b"x-gzip" => Some(GzDecoder::new(Vec::new())),
            _ => return Err(Failure::invalid("Content-Encoding: want gzip, or none")),
        };
        Ok(Incoming {
            stream: body.into_data_stream(),
            inflater,
            raw: Bytes::new(),
            ready: BytesMut::new(),
            left: bytes_max,
        })
    }

    /// Makes more bytes ready; `false` is the end.
    async fn fill(&mut self) -> Result<bool, Failure> {
        let before = self.ready.len();
        while self.ready.len() == before {
            if self.raw.is_empty() {
                match receive::next(&mut self.stream).await? {
                    Some(chunk) => self.raw = chunk,
                    None => return self.end(),
                }
            }
            let Some(inflater) = &mut self.inflater else {
                self.ready.extend_from_slice(&self.raw);
                self.raw.clear();
                continue;
            };
            let part = self.raw.split_to(self.raw.len().min(INFLATE_BYTES));
            inflater.write_all(&part).map_err(|_| not_gzip())?;
            self.ready.extend_from_slice(inflater.get_ref());
            inflater.get_mut().clear();
        }
        self.count(before)?;
        Ok(true)
    }

    fn end(&mut self) -> Result<bool, Failure> {
        let before = self.ready.len();
        if let Some(inflater) = self.inflater.take() {
            let rest = inflater.finish().map_err(|_| not_gzip())?;
            self.ready.extend_from_slice(&rest);
        }
        self.count(before)?;
        Ok(self.ready.len() > before)
    }

    fn count(&mut self, before: usize) -> Result<(), Failure> {
        let more = (self.ready.len() - before) as u64;
        let left = self.left.checked_sub(more);
        self.left = left.ok_or_else(|| Failure::too_large("the body is too large"))?;
        Ok(())
    }

    /// Exactly so many bytes.
    pub(super) async fn exact(&mut self, count: usize) -> Result<Bytes, Failure> {
        while self.ready.len() < count {
            if !self.fill().await? {
                return Err(Failure::invalid("the body ends early"));
            }
        }
        Ok(self.ready.split_to(count).freeze())
    }

    /// One packet; `None` is an empty one.
    pub(super) async fn packet(&mut self) -> Result<Option<Bytes>, Failure> {
        let digits = self.exact(git::LENGTH_BYTES).await?;
        match git::length(&digits).map_err(malformed)? {
            Some(length) => self.exact(length).await.map(Some),
            None => Ok(None),
        }
    }

    /// The next bytes, whatever they are; `None` is the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.ready.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        Ok(Some(self.ready.split().freeze()))
    }
}

fn not_gzip() -> Failure {
    Failure::invalid("the body is not what its Content-Encoding says")
}

pub(super) fn malformed(error: git::Malformed) -> Failure {
    Failure::invalid(error.to_string())
}
