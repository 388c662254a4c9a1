//! The extensions `blobs` and `blob-batches`: contents as raw bytes, one or many in a request, before
//! the change that names them.
//!
//! A body goes through a file without a name, so that memory stays small and one that breaks off
//! leaves nothing behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use axum::response::Response;
use tokio::io::AsyncWriteExt;

use super::failure::Failure;
use super::receive::{self, Segments};
use super::{Shared, blocking, created, git};
use crate::remote::api::{BATCH_BYTES_MAX, LARGE_BYTES, OBJECTS_MAX, StoredBlob, StoredBlobs};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;

/// Largest blob, as large as the hosted service takes a push.
pub(super) const BLOB_BYTES_MAX: u64 = 5 << 30;

/// Bytes of the line before a blob of a batch, at most.
const HEAD_BYTES_MAX: u64 = 32;

/// `POST /v1/{org}/{repo}/ext/blobs`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let declared = receive::declared_length(&headers, BLOB_BYTES_MAX)?;
    let (mut file, size) = receive(&hosted, body, declared.unwrap_or(BLOB_BYTES_MAX)).await?;
    blocking(&service, move |service| {
        let sha = hosted.git.store_blob(&mut file, size)?;
        service.upkeep.look_at(&hosted);
        Ok(created(StoredBlob { sha, size }))
    })
    .await
}

/// `POST /v1/{org}/{repo}/ext/blobs/batch`; the body has been decompressed.
pub(super) async fn create_many(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    receive::declared_length(&headers, BATCH_BYTES_MAX)?;
    let coding = headers.get(CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        return Err(Failure::invalid(
            "Content-Encoding: want zstd, gzip, or none",
        ));
    }
    let (file, _) = receive(&hosted, body, BATCH_BYTES_MAX).await?;
    blocking(&service, move |service| {
        let mut batch = Batch {
            from: BufReader::new(file),
            count: 0,
        };
        let stored = hosted.git.store_blobs(|| batch.next())?;
        service.upkeep.look_at(&hosted);
        let blobs = stored.into_iter();
        let blobs = blobs.map(|(sha, size)| StoredBlob { sha, size }).collect();
        Ok(created(StoredBlobs { blobs }))
    })
    .await
}

/// Receives a body of at most so many bytes: a file at its start, and their number.
async fn receive(hosted: &Hosted, body: Body, bytes_max: u64) -> Result<(File, u64), Failure> {
    let incoming = hosted.git.incoming();
    let io = |source| git::Error::Io {
        path: hosted.git.incoming(),
        source,
    };
    let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(incoming)).await?;
    let mut file = tokio::fs::File::from_std(file.map_err(io)?);
    let mut size = 0_u64;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = receive::next(&mut stream).await? {
        size += chunk.len() as u64;
        if size > bytes_max {
            return Err(Failure::too_large("the body is too large"));
        }
        file.write_all(&chunk).await.map_err(io)?;
    }
    file.flush().await.map_err(io)?;
    let mut file = file.into_std().await;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    Ok((file, size))
}

/// A batch that is read blob by blob.
struct Batch<R> {
    from: R,
    count: usize,
}

impl<R: BufRead> Batch<R> {
    /// The next blob, or `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let malformed = |what: &str, count: usize| {
            Failure::invalid(format!("blob {count} of the batch: {what}"))
        };
        let mut head = Vec::new();
        let io = |_| Failure::invalid("the batch cannot be read");
        let mut line = (&mut self.from).take(HEAD_BYTES_MAX);
        line.read_until(b'\n', &mut head).map_err(io)?;
        if head.is_empty() {
            return Ok(None);
        }
        self.count += 1;
        if self.count > OBJECTS_MAX {
            return Err(Failure::invalid(format!(
                "at most {OBJECTS_MAX} blobs in one batch"
            )));
        }
        let size = std::str::from_utf8(&head).ok().and_then(|head| {
            let size = head.strip_prefix("blob ")?.strip_suffix('\n')?;
            size.parse::<usize>().ok()
        });
        let size =
            size.ok_or_else(|| malformed("want \"blob SIZE\" and a line end", self.count))?;
        if size as u64 > LARGE_BYTES {
            return Err(malformed("too large for a batch", self.count));
        }
        let mut bytes = vec![0; size + 1];
        self.from
            .read_exact(&mut bytes)
            .map_err(|_| malformed("the bytes break off", self.count))?;
        match bytes.pop() {
            Some(b'\n') => Ok(Some(bytes)),
            _ => Err(malformed("no line end after the bytes", self.count)),
        }
    }
}
