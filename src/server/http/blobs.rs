//! The extension `blobs`: contents as raw bytes, before the change that names them.

use std::io::{Seek, SeekFrom};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::io::AsyncWriteExt;

use super::failure::Failure;
use super::receive::{self, Segments};
use super::{Shared, blocking, created, git};
use crate::remote::api::StoredBlob;
use crate::server::keys::{Principal, Scope};

/// Largest blob, as large as the hosted service takes a push.
pub(super) const BLOB_BYTES_MAX: u64 = 5 << 30;

/// `POST /v1/{org}/{repo}/ext/blobs`: through a file without a name, so that memory stays small
/// and a broken upload leaves nothing behind.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let declared = receive::declared_length(&headers, BLOB_BYTES_MAX)?;
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
        if size > declared.unwrap_or(BLOB_BYTES_MAX) {
            return Err(Failure::too_large("the body is too large"));
        }
        file.write_all(&chunk).await.map_err(io)?;
    }
    file.flush().await.map_err(io)?;
    let mut file = file.into_std().await;
    blocking(&service, move |_| {
        file.seek(SeekFrom::Start(0))
            .map_err(|source| git::Error::Io {
                path: hosted.git.incoming(),
                source,
            })?;
        let sha = hosted.git.store_blob(&mut file, size)?;
        Ok(created(StoredBlob { sha, size }))
    })
    .await
}
