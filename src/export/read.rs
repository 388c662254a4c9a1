//! Reading an exported tar: the list of changes, and proof that every content is there.
//!
//! Names in the tar are for people. What is read of it are its regular files, in their order: the
//! first is the list, and the rest are the contents of the files that it names.

use std::fs::File;
use std::io::{self, Read, Seek};

use super::LeftOut;
use super::error::Error;
use super::manifest::{self, Manifest, Step, Target};
use super::object::Proof;

/// An export that was read through once and found whole.
#[derive(Debug)]
pub struct Archive<R = File> {
    source: R,
    pub(super) manifest: Manifest,
}

/// Bytes of one file in the tar.
pub(super) type ContentReader<'a> = Proof<&'a mut dyn Read>;

impl<R: Read + Seek> Archive<R> {
    /// Reads an export through, and believes nothing that does not prove itself.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn open(mut source: R) -> Result<Archive<R>, Error> {
        let manifest = contents(&mut source, &mut |_, content| {
            io::copy(content, &mut io::sink()).map_err(Error::Input)?;
            Ok(())
        })?;
        Ok(Archive { source, manifest })
    }

    /// Reads it once more, and calls `each` with every file, in order.
    pub(super) fn contents(
        &mut self,
        each: &mut dyn FnMut(&Step, &mut ContentReader<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        contents(&mut self.source, each).map(drop)
    }

    /// The organization and the repository that it was made of.
    pub fn name(&self) -> (&str, &str) {
        (&self.manifest.organization, &self.manifest.repository)
    }

    /// The commit that it was made on, as it says.
    pub fn commit(&self) -> &str {
        &self.manifest.commit
    }

    /// What was left out of it.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.manifest.left_out
    }
}

/// Reads the list, and every content through `each`, which must leave nothing of it unread.
fn contents(
    source: &mut (impl Read + Seek),
    each: &mut dyn FnMut(&Step, &mut ContentReader<'_>) -> Result<(), Error>,
) -> Result<Manifest, Error> {
    source.rewind().map_err(Error::Input)?;
    let mut tar = tar::Archive::new(source);
    // Raw: long names, which may be of any length, are then entries that nobody reads.
    let mut files = tar
        .entries()
        .map_err(Error::Input)?
        .raw(true)
        .filter(|entry| {
            let is_file = |entry: &tar::Entry<'_, _>| entry.header().entry_type().is_file();
            entry.as_ref().map_or(true, is_file)
        });
    let foreign = |what| Error::Foreign { what };
    let mut first = match files.next() {
        Some(Ok(first)) => first,
        Some(Err(_)) => return Err(foreign("it is no tar")),
        None => return Err(foreign("it has no file")),
    };
    if *first.path_bytes() != *manifest::NAME.as_bytes() {
        return Err(foreign("its first file is not the list of changes"));
    }
    if first.size() > manifest::BYTES_MAX {
        return Err(foreign("its list of changes is too long"));
    }
    let mut list = Vec::new();
    first.read_to_end(&mut list).map_err(Error::Input)?;
    let manifest = manifest::decode(&list)?;
    drop(list);
    for step in &manifest.changes {
        let Some(Target::File { oid, size, .. }) = &step.new else {
            continue;
        };
        let damaged = || Error::Damaged {
            path: step.path.clone(),
            oid: *oid,
        };
        let mut file = files.next().ok_or_else(damaged)?.map_err(Error::Input)?;
        if file.size() != *size {
            return Err(damaged());
        }
        let mut content: ContentReader<'_> = Proof::new(&mut file, *size);
        each(step, &mut content)?;
        if !content.is(*oid) {
            return Err(damaged());
        }
    }
    match files.next() {
        None => Ok(manifest),
        Some(Ok(_)) => Err(foreign(
            "it has files that its list of changes does not name",
        )),
        Some(Err(error)) => Err(Error::Input(error)),
    }
}
