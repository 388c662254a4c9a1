//! Contents that go ahead of a change, many in one request.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use sha1::{Digest, Sha1};

use super::super::api::OBJECTS_MAX;
use crate::tree::GitOid;

/// Contents of one batch: large enough that a round trip for each is nothing on a line that needs a
/// second for so much, small enough to be in memory.
const BATCH_BYTES: u64 = 8 << 20;
/// What is pushed is compressed at the fastest level: text goes at a third of its size, at some
/// hundred MB/s.
const COMPRESSION_LEVEL: i32 = 1;

/// A blob and its bytes.
pub(super) type Sent = (GitOid, u64);

/// A batch that is being put together.
#[derive(Default)]
pub(super) struct Batch {
    blobs: Vec<(GitOid, Vec<u8>)>,
    bytes: u64,
}

impl Batch {
    /// Takes a content; gives the blob that it will be.
    pub(super) fn add(&mut self, bytes: Vec<u8>) -> GitOid {
        let oid = blob_of(&bytes);
        self.bytes += bytes.len() as u64;
        self.blobs.push((oid, bytes));
        oid
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.blobs.len() >= OBJECTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// The blobs, each once.
    pub(super) fn oids(&self) -> Vec<GitOid> {
        let mut seen = HashSet::new();
        let oids = self.blobs.iter().map(|(oid, _)| *oid);
        oids.filter(|oid| seen.insert(*oid)).collect()
    }

    /// The wanted blobs as the server takes them, each once; and which these are, with their sizes.
    ///
    /// # Errors
    ///
    /// No memory.
    pub(super) fn body(self, wanted: &HashSet<GitOid>) -> io::Result<(Vec<u8>, Vec<Sent>)> {
        let mut body = zstd::stream::write::Encoder::new(Vec::new(), COMPRESSION_LEVEL)?;
        let mut sent = Vec::new();
        let mut seen = HashSet::new();
        // Each is given up as it is compressed: they are never in memory twice.
        for (oid, bytes) in self.blobs {
            if wanted.contains(&oid) && seen.insert(oid) {
                writeln!(body, "blob {}", bytes.len())?;
                body.write_all(&bytes)?;
                body.write_all(b"\n")?;
                sent.push((oid, bytes.len() as u64));
            }
        }
        Ok((body.finish()?, sent))
    }
}

fn blob_of(bytes: &[u8]) -> GitOid {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    GitOid(hasher.finalize().into())
}

/// The blob that the first `size` bytes of a file are.
///
/// # Errors
///
/// The file cannot be read, or is shorter.
pub(super) fn blob_of_file(file: &mut File, size: u64) -> io::Result<GitOid> {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {size}\0"));
    file.rewind()?;
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    while left > 0 {
        let room = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let room = buffer.get_mut(..room).unwrap_or_default();
        let count = file.read(room)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(room.get(..count).unwrap_or_default());
        left -= count as u64;
    }
    Ok(GitOid(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_each_wanted_blob_once() {
        let mut batch = Batch::default();
        let [one, two, again] = [&b"one"[..], b"two\n", b"one"].map(|it| batch.add(it.to_vec()));
        assert_eq!(one, again);
        assert_eq!(batch.oids(), [one, two]);
        let (body, sent) = batch.body(&HashSet::from([one, two])).unwrap();
        let body = zstd::stream::decode_all(&body[..]).unwrap();
        assert_eq!(body, b"blob 3\none\nblob 4\ntwo\n\n");
        assert_eq!(sent, [(one, 3), (two, 4)]);
        let mut batch = Batch::default();
        batch.add(vec![0; usize::try_from(BATCH_BYTES).unwrap()]);
        assert!(batch.is_full());
    }

    #[test]
    fn a_file_is_hashed_as_far_as_it_counts() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &vec![b'x'; 300_000]).unwrap();
        let found = blob_of_file(&mut file, 299_999).unwrap();
        assert_eq!(found, blob_of(&vec![b'x'; 299_999]));
        let short = blob_of_file(&mut file, 300_001).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
