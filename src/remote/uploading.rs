//! Calls that bring contents to the server, ahead of the change that names them.

use std::fs::File;
use std::io;

use super::api::{MissingObjects, NewUpload, ObjectsRequest, StoredBlob, StoredBlobs, Upload};
use super::call::{Call, encoded, of_repository};
use super::client::ANSWER_BYTES_MAX;
use super::exchange::{Body, Method};
use super::failure::Violation;
use super::{Client, Failure, RepositoryName};
use crate::tree::GitOid;

impl Client {
    /// Stores the first `length` bytes of a file as a blob, for a change to come.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Body`] when the file cannot be read or is shorter;
    /// [`Violation::StoredOther`] when the server says that it got other bytes.
    pub async fn upload_blob(
        &self,
        repository: &RepositoryName,
        file: File,
        length: u64,
    ) -> Result<GitOid, Failure> {
        let found = file.metadata().map_err(Failure::Body)?.len();
        if found < length {
            return Err(Failure::Body(io::ErrorKind::UnexpectedEof.into()));
        }
        let call = Call {
            method: Method::Post,
            body: Body::File(file, length),
            ..Call::get(repository.scope(), of_repository(repository, "/ext/blobs"))
        };
        let mut answer = self.send(&self.counts.blobs_uploaded, call).await?;
        let bytes = answer.bytes(ANSWER_BYTES_MAX).await?;
        let stored: StoredBlob = serde_json::from_slice(&bytes).map_err(Violation::Shape)?;
        if (stored.sha, stored.size) != answer.sent() {
            return Err(Violation::StoredOther.into());
        }
        Ok(stored.sha)
    }

    /// Stores many blobs at once: the batch as the server takes it, compressed.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation::StoredOther`] when the server says that it got others than
    /// `expected`.
    pub async fn upload_blobs(
        &self,
        repository: &RepositoryName,
        batch: Vec<u8>,
        expected: &[(GitOid, u64)],
    ) -> Result<(), Failure> {
        let call = Call {
            method: Method::Post,
            body: Body::Batch(batch.into()),
            ..Call::get(
                repository.scope(),
                of_repository(repository, "/ext/blobs/batch"),
            )
        };
        let stored: StoredBlobs = self.json(&self.counts.blob_batches, call).await?;
        let stored = stored.blobs.iter().map(|blob| (blob.sha, blob.size));
        match stored.eq(expected.iter().copied()) {
            true => Ok(()),
            false => Err(Violation::StoredOther.into()),
        }
    }

    /// Which of some blobs the server lacks; those of `commit` it has.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub async fn missing_blobs(
        &self,
        repository: &RepositoryName,
        objects: Vec<GitOid>,
        commit: GitOid,
    ) -> Result<Vec<GitOid>, Failure> {
        let wanted = ObjectsRequest {
            objects,
            commit_oid: Some(commit),
        };
        let target = of_repository(repository, "/ext/blobs/missing");
        let call = Call::write(Method::Post, repository.scope(), target, &wanted)?;
        let found: MissingObjects = self.json(&self.counts.blobs_asked, call).await?;
        Ok(found.missing)
    }

    /// Begins to store a large blob in parts, or finds how far an earlier attempt came.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub async fn begin_upload(
        &self,
        repository: &RepositoryName,
        sha: GitOid,
        size: u64,
    ) -> Result<Upload, Failure> {
        let target = of_repository(repository, "/ext/uploads");
        let new = NewUpload { size, sha };
        let call = Call::write(Method::Post, repository.scope(), target, &new)?;
        self.json(&self.counts.blobs_asked, call).await
    }

    /// Sends what follows in a large blob: `length` bytes of the file from where it is.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Body`] when the file cannot be read or ends early. Whatever
    /// arrived is kept for the next attempt.
    pub async fn append_upload(
        &self,
        repository: &RepositoryName,
        upload: &Upload,
        file: File,
        length: u64,
    ) -> Result<Upload, Failure> {
        let (id, offset) = (encoded(upload.id.as_bytes()), upload.offset);
        let target = of_repository(repository, &format!("/ext/uploads/{id}?offset={offset}"));
        let call = Call {
            method: Method::Patch,
            body: Body::File(file, length),
            ..Call::get(repository.scope(), target)
        };
        self.json(&self.counts.blobs_uploaded, call).await
    }
}
