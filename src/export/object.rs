//! Git objects: their identifiers, and bytes that prove themselves while they are read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::base::Base;
use super::error::Error;
use crate::tree::{ContentSource, GitOid, TreePath};

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// The pinned commit has them.
    Lower {
        /// How many.
        size: u64,
        /// Where.
        from: TreePath,
    },
    /// In a local body.
    Body(Arc<dyn ContentSource>),
    /// Here.
    Here(Vec<u8>),
}

impl Bytes {
    /// How many.
    pub(super) fn size(&self) -> u64 {
        match self {
            Bytes::Lower { size, .. } => *size,
            Bytes::Body(body) => body.size(),
            Bytes::Here(bytes) => bytes.len() as u64,
        }
    }

    /// Whether the pinned commit has them, so that whoever has that commit does, too.
    pub(super) fn is_lower(&self) -> bool {
        matches!(self, Bytes::Lower { .. })
    }

    /// Opens them, which are the blob `oid`.
    pub(super) fn open(&self, oid: GitOid, base: Base<'_>) -> Result<Reading<'_>, Error> {
        Ok(match self {
            Bytes::Lower { size, from } => Reading::File(base.open(oid, *size, from)?),
            Bytes::Body(body) => Reading::File(body.open().map_err(Error::Body)?),
            Bytes::Here(bytes) => Reading::Here(bytes),
        })
    }
}

/// Bytes that are being read.
pub(super) enum Reading<'a> {
    File(File),
    Here(&'a [u8]),
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Reading::File(file) => file.read(buffer),
            Reading::Here(bytes) => bytes.read(buffer),
        }
    }
}

/// The identifier of an object with these bytes.
pub(super) fn oid_of(kind: &str, bytes: &[u8]) -> GitOid {
    let mut hasher = Sha1::new();
    hasher.update(format!("{kind} {}\0", bytes.len()));
    hasher.update(bytes);
    GitOid(hasher.finalize().into())
}

/// The identifier of a blob of exactly `size` bytes; `None` when fewer came.
pub(super) fn blob_oid(reader: impl Read, size: u64) -> io::Result<Option<GitOid>> {
    let mut proof = Proof::new(reader, size);
    io::copy(&mut proof, &mut io::sink())?;
    Ok(proof.oid())
}

/// Copies a blob, and says whether it was the one that was meant.
///
/// # Errors
///
/// [`Error::Torn`] when other bytes came; `read` and `Output` as their sides say.
pub(super) fn copy_blob(
    bytes: &Bytes,
    oid: GitOid,
    base: Base<'_>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut proof = Proof::new(bytes.open(oid, base)?, bytes.size());
    copy(&mut proof, out)?;
    match proof.is(oid) {
        true => Ok(()),
        false => Err(Error::Torn),
    }
}

/// Bytes copied at a time: large enough that the number of calls does not matter.
const COPY_BYTES: usize = 128 * 1024;

/// Like [`io::copy`], but tells whose failure it was.
pub(super) fn copy(reader: &mut impl Read, out: &mut impl Write) -> Result<(), Error> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => out
                .write_all(buffer.get(..count).unwrap_or_default())
                .map_err(Error::Output)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Body(error)),
        }
    }
}

/// A reader that hashes what goes through it as a blob, and ends after `size` bytes.
pub(super) struct Proof<R> {
    reader: io::Take<R>,
    hasher: Sha1,
}

impl<R: Read> Proof<R> {
    pub(super) fn new(reader: R, size: u64) -> Proof<R> {
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {size}\0"));
        Proof {
            reader: reader.take(size),
            hasher,
        }
    }

    /// The blob that went through; `None` if it was cut short.
    pub(super) fn oid(&self) -> Option<GitOid> {
        (self.reader.limit() == 0).then(|| GitOid(self.hasher.clone().finalize().into()))
    }

    /// Whether that blob went through, whole.
    pub(super) fn is(&self, oid: GitOid) -> bool {
        self.oid() == Some(oid)
    }
}

impl<R: Read> Read for Proof<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
