//! Reading large files of the lower layer before all of their bytes are here, and unproved then: which files
//! these are, so that the kernel can be told to forget them if the server turns out to be wrong.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::error::Error;
use super::open::Overlay;
use crate::tree::Ino;

/// Files of which this is remembered; any more are read as a whole. Each has more than 4 MiB.
const FILES_MAX: usize = 65_536;

/// The files of which parts were read.
#[derive(Default)]
pub(super) struct Unproved(Mutex<HashSet<Ino>>);

impl Unproved {
    /// Remembers a file; says whether there was room for it.
    fn admit(&self, ino: Ino) -> bool {
        let mut files = self.0.lock();
        files.contains(&ino) || (files.len() < FILES_MAX && files.insert(ino))
    }
}

impl Overlay {
    /// As [`Overlay::read`]; but of a large file that is not here only what is read is needed, and not
    /// proved until all of it is here: see [`Overlay::disproved`].
    ///
    /// # Errors
    ///
    /// As [`Overlay::read`].
    pub fn read_as_it_comes(
        &self,
        ino: Ino,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let want = match self.read(ino, offset, size, buffer) {
            Err(Error::Missing(want)) => want,
            read => return read,
        };
        let start = buffer.len();
        let range = offset..offset.saturating_add(size as u64);
        let read = self.lower.read_partly(&want, &range, buffer);
        read.map_err(Error::Missing)?;
        // Before the kernel gets it: what is dropped meanwhile waits for reads that are under way.
        if !self.unproved.admit(ino) {
            buffer.truncate(start);
            return Err(Error::Missing(want));
        }
        Ok(())
    }

    /// The files of which something was read that may have been wrong, each told once: whoever keeps pages
    /// of them has to ask again. None unless the server was found to be wrong.
    pub fn disproved(&self) -> Vec<Ino> {
        match self.lower.is_distrusted() {
            true => self.unproved.0.lock().drain().collect(),
            false => Vec::new(),
        }
    }
}
