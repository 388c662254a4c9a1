//! The extension `uploads`: a large blob in parts.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use tokio::io::AsyncWriteExt;

use super::blobs::BLOB_BYTES_MAX;
use super::failure::Failure;
use super::receive::{self, Query, Segments};
use super::{Shared, blocking, created, git, ok};
use crate::remote::api::{NewUpload, Upload};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;
use crate::tree::GitOid;

/// Which upload is meant: the id is `<sha>-<size>`, and each key has its own.
struct Wanted {
    sha: GitOid,
    size: u64,
    /// The name of its file.
    file: String,
}

impl Wanted {
    fn new(principal: &Principal, sha: GitOid, size: u64) -> Result<Wanted, Failure> {
        if size > BLOB_BYTES_MAX {
            return Err(Failure::too_large("a blob has at most 5 GiB"));
        }
        let owner = blake3::hash(principal.key_id.as_bytes()).to_hex();
        Ok(Wanted {
            sha,
            size,
            file: format!("{sha}-{size}-{owner}"),
        })
    }

    fn of(principal: &Principal, id: &str) -> Result<Wanted, Failure> {
        let unknown = || Failure::not_found("no such upload");
        let (sha, size) = id.split_once('-').ok_or_else(unknown)?;
        let sha = sha.parse().map_err(|_| unknown())?;
        Wanted::new(principal, sha, size.parse().map_err(|_| unknown())?)
    }

    fn id(&self) -> String {
        format!("{}-{}", self.sha, self.size)
    }

    fn at(&self, offset: u64, is_complete: bool) -> Upload {
        Upload {
            id: self.id(),
            offset,
            size: self.size,
            sha: self.sha,
            is_complete,
        }
    }
}

/// `POST /v1/{org}/{repo}/ext/uploads`: where the upload is, which may be its end.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let new: NewUpload = receive::json(&service, &headers, body).await?.value;
    let wanted = Wanted::new(&principal, new.sha, new.size)?;
    Ok(created(state(&service, hosted, wanted).await?))
}

/// `GET /v1/{org}/{repo}/ext/uploads/{id}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, id)): Segments<(String, String, String)>,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let wanted = Wanted::of(&principal, &id)?;
    Ok(ok(state(&service, hosted, wanted).await?))
}

async fn state(service: &Shared, hosted: Arc<Hosted>, wanted: Wanted) -> Result<Upload, Failure> {
    blocking(service, move |service| {
        if hosted.git.blob_size(wanted.sha, &service.sizes)? == Some(wanted.size) {
            return Ok(wanted.at(wanted.size, true));
        }
        Ok(wanted.at(hosted.git.upload_offset(&wanted.file)?, false))
    })
    .await
}

/// `PATCH /v1/{org}/{repo}/ext/uploads/{id}?offset=N`: appends the body. What arrives before a
/// connection breaks off stays.
pub(super) async fn append(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, id)): Segments<(String, String, String)>,
    uri: Uri,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let wanted = Wanted::of(&principal, &id)?;
    let offset: u64 = Query::of(&uri)
        .parsed("offset")?
        .ok_or_else(|| Failure::invalid("offset: where the part begins is missing"))?;
    let (hosted, wanted, part) = blocking(&service, move |_| {
        let part = hosted.git.open_upload(&wanted.file, offset)?;
        Ok((hosted, wanted, part))
    })
    .await?;
    let io = |source| git::Error::Io {
        path: hosted.git.incoming(),
        source,
    };
    let mut file = tokio::fs::File::from_std(part.writer()?);
    let mut left = wanted.size.saturating_sub(offset);
    let mut stream = body.into_data_stream();
    let received = loop {
        match receive::next(&mut stream).await {
            Ok(Some(chunk)) => match left.checked_sub(chunk.len() as u64) {
                Some(rest) => {
                    file.write_all(&chunk).await.map_err(io)?;
                    left = rest;
                }
                None => break Err(Failure::too_large("more bytes than the upload has")),
            },
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    file.flush().await.map_err(io)?;
    drop(file);
    let answer = blocking(&service, move |service| {
        let end = part.sync()?;
        if end < wanted.size {
            return Ok(wanted.at(end, false));
        }
        hosted.git.finish_upload(part, wanted.sha, wanted.size)?;
        service.upkeep.look_at(&hosted);
        Ok(wanted.at(wanted.size, true))
    })
    .await?;
    received?;
    Ok(ok(answer))
}
