//! How contents get into a push: within it, or ahead of it, alone or many at once.

use std::fs::File;
use std::io::{self, Read, Seek};

use super::batch::{Batch, blob_of_file};
use super::part::Part;
use super::plan::{Action, Bytes, Step};
use super::{LOOKS_MAX, PushError, Pusher};
use crate::failpoints;
use crate::lower::{self, Want};
use crate::remote::api::{FileMode, FileOp};
use crate::remote::failure::Violation;
use crate::remote::{Extensions, Failure};
use crate::tree::{ContentSource, GitOid, TreePath};

impl Pusher {
    pub(super) fn operation(
        &self,
        step: &Step,
        part: &mut Part,
        base: GitOid,
    ) -> Result<FileOp, PushError> {
        let path = step.path.clone();
        Ok(match &step.action {
            Action::Remove => FileOp::delete(path),
            Action::Mkdir => FileOp::mkdir(path),
            Action::Graft(tree) => FileOp::graft(path, *tree),
            Action::Put(mode, Bytes::Here(bytes)) => FileOp::upsert(path, bytes, *mode),
            Action::Put(mode, Bytes::Body(at, body)) => {
                self.body(path, at, body.as_ref(), *mode, part, base)?
            }
            Action::Put(mode, Bytes::Lower { oid, .. }) if part.extensions.blobs => {
                FileOp::upsert_blob(path, *oid, *mode)
            }
            Action::Put(mode, Bytes::Lower { oid, size, from }) => {
                let file = self.object(from, *oid, *size)?;
                let bytes = read_whole(&file, *size)
                    .map_err(|error| PushError::Lower(lower::Error::Store(error)))?
                    .ok_or(PushError::Lower(lower::Error::Corrupt { oid: *oid }))?;
                part.inline_bytes += *size;
                FileOp::upsert(path, &bytes, *mode)
            }
        })
    }

    fn body(
        &self,
        path: String,
        at: &TreePath,
        body: &dyn ContentSource,
        mode: FileMode,
        part: &mut Part,
        base: GitOid,
    ) -> Result<FileOp, PushError> {
        let size = body.size();
        let file = body
            .open()
            .map_err(|source| PushError::unopened(at, body, source))?;
        let torn = || PushError::Torn { path: at.clone() };
        if part.uploads(size) {
            let stored = self.upload(file, size, part.extensions);
            failpoints::BLOB_UPLOADED.reach();
            // Whatever the server said, it said it of bytes that nobody meant.
            if !body.is_unchanged() {
                return Err(torn());
            }
            return match stored {
                Ok(blob) => Ok(FileOp::upsert_blob(path, blob, mode)),
                Err(Failure::Body(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(torn())
                }
                Err(Failure::Body(source)) => Err(PushError::Body {
                    path: at.clone(),
                    source,
                }),
                Err(failure) => Err(failure.into()),
            };
        }
        let bytes = read_whole(&file, size).map_err(|source| PushError::Body {
            path: at.clone(),
            source,
        })?;
        match bytes {
            Some(bytes) if body.is_unchanged() && part.batches => {
                let blob = part.batch.add(bytes);
                if part.batch.is_full() {
                    self.send_batch(&mut part.batch, base)?;
                }
                Ok(FileOp::upsert_blob(path, blob, mode))
            }
            Some(bytes) if body.is_unchanged() => {
                part.inline_bytes += size;
                Ok(FileOp::upsert(path, &bytes, mode))
            }
            _ => Err(torn()),
        }
    }

    fn object(&self, path: &TreePath, oid: GitOid, size: u64) -> Result<File, lower::Error> {
        for _ in 0..LOOKS_MAX {
            if let Some(file) = self.lower.object(oid)? {
                return Ok(file);
            }
            let path = path.clone();
            self.lower.fetch(&Want::Object { path, oid, size })?;
        }
        Err(lower::Error::Corrupt { oid })
    }

    /// Sends a large file by itself: on a server that takes it in parts, from where an earlier attempt
    /// came to, and not at all if the server has it.
    fn upload(&self, mut file: File, size: u64, extensions: Extensions) -> Result<GitOid, Failure> {
        let client = self.remote.client();
        if !extensions.uploads {
            let call = client.upload_blob(&self.repository, file, size);
            return self.remote.block_on(self.remote.write(call));
        }
        let oid = blob_of_file(&mut file, size).map_err(Failure::Body)?;
        let call = client.begin_upload(&self.repository, oid, size);
        let mut upload = self.remote.block_on(self.remote.write(call))?;
        if !upload.is_complete {
            let at = io::SeekFrom::Start(upload.offset);
            file.seek(at).map_err(Failure::Body)?;
            let left = size.saturating_sub(upload.offset);
            let call = client.append_upload(&self.repository, &upload, file, left);
            upload = self.remote.block_on(self.remote.write(call))?;
        }
        match upload.is_complete && upload.sha == oid {
            true => Ok(oid),
            false => Err(Violation::StoredOther.into()),
        }
    }

    /// Sends what is in a batch and the server lacks.
    pub(super) fn send_batch(&self, batch: &mut Batch, base: GitOid) -> Result<(), PushError> {
        let batch = std::mem::take(batch);
        if batch.is_empty() {
            return Ok(());
        }
        let client = self.remote.client();
        let call = client.missing_blobs(&self.repository, batch.oids(), base);
        let missing = self.remote.block_on(self.remote.write(call))?;
        let body = batch.body(&missing.into_iter().collect());
        let (body, sent) = body.map_err(Failure::Body)?;
        if !sent.is_empty() {
            let call = client.upload_blobs(&self.repository, body, &sent);
            self.remote.block_on(self.remote.write(call))?;
        }
        failpoints::BLOB_UPLOADED.reach();
        Ok(())
    }
}

/// All bytes of a file of this size; `None` when it has another.
fn read_whole(file: &File, size: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == size).then_some(bytes))
}
