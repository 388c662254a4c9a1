//! What the bytes of an object are written into on their way.

use std::io::{self, Write};

use sha1::{Digest, Sha1};

use crate::tree::GitOid;

/// Bytes in memory, and one more than expected at most: then they are known to be wrong.
pub(super) struct Bounded {
    pub(super) bytes: Vec<u8>,
    pub(super) bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (self.bytes_max + 1).saturating_sub(self.bytes.len());
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes bytes on, and knows the blob that they are.
pub(super) struct Hashing<'a> {
    sink: &'a mut dyn Write,
    hash: Sha1,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(sink: &'a mut dyn Write, size: u64) -> Hashing<'a> {
        let mut hash = Sha1::new();
        hash.update(format!("blob {size}\0"));
        Hashing { sink, hash }
    }

    pub(super) fn oid(&self) -> GitOid {
        GitOid(self.hash.clone().finalize().into())
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or(bytes));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
