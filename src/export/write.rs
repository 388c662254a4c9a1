//! An export as a tar: the list of changes, then every new or changed file, link and empty directory
//! below `files/`, in the list's order.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use super::base::Base;
use super::changes::{Change, New};
use super::error::Error;
use super::model::Leaf;
use super::object::{Bytes, Proof};
use super::{Exported, LeftOut, Work, manifest};
use crate::lower::EntryKind;
use crate::tree::TreePath;

const SUBMODULE: &str = "a submodule, which a mount shows as an empty directory";

/// Writes the tar.
pub(super) fn write(
    work: &Work<'_>,
    changes: &[Change],
    base: Base<'_>,
    out: &mut impl Write,
) -> Result<Exported, Error> {
    let mut left_out = work.left_out.clone();
    let mut carried = Vec::new();
    for change in changes {
        match carry(change, base)? {
            Some(change) => carried.push(change),
            None => left_out.push(LeftOut::new(&change.path, SUBMODULE)),
        }
    }
    if carried.is_empty() {
        return Err(Error::Nothing);
    }
    let list = manifest::encode(work, &carried, &left_out)?;
    let mut tar = Tar {
        builder: Builder::new(out),
        seconds: work.time.seconds.max(0).unsigned_abs(),
        base,
    };
    tar.entry(
        EntryType::Regular,
        0o644,
        list.len() as u64,
        manifest::NAME,
        &list[..],
    )?;
    for change in &carried {
        match &change.new {
            None => {}
            Some(New::EmptyDirectory) => {
                tar.entry(EntryType::Directory, 0o755, 0, place(&change.path), &[][..])?;
            }
            Some(New::Leaf(leaf)) => tar.leaf(&change.path, leaf)?,
        }
    }
    tar.builder.finish().map_err(Error::Output)?;
    Ok(Exported {
        count: carried.len() as u64,
        left_out,
        commit: None,
    })
}

/// The change as a tar carries it: the target of a link is needed for the list; a new submodule
/// cannot be carried.
fn carry(change: &Change, base: Base<'_>) -> Result<Option<Change>, Error> {
    let mut change = change.clone();
    if let Some(New::Leaf(leaf)) = &mut change.new {
        match leaf.kind {
            EntryKind::Submodule => return Ok(None),
            EntryKind::Symlink => {
                let mut target = Vec::new();
                let reader = leaf.bytes.open(leaf.oid, base)?;
                let mut reader = reader.take(leaf.bytes.size());
                reader.read_to_end(&mut target).map_err(Error::Body)?;
                leaf.bytes = Bytes::Here(target);
            }
            _ => {}
        }
    }
    Ok(Some(change))
}

fn place(path: &TreePath) -> PathBuf {
    PathBuf::from("files").join(OsStr::from_bytes(path.as_bytes()))
}

struct Tar<'a, W: Write> {
    builder: Builder<W>,
    seconds: u64,
    base: Base<'a>,
}

impl<W: Write> Tar<'_, W> {
    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.seconds);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn entry(
        &mut self,
        kind: EntryType,
        mode: u32,
        size: u64,
        path: impl AsRef<std::path::Path>,
        bytes: impl Read,
    ) -> Result<(), Error> {
        let mut header = self.header(kind, mode, size);
        self.builder
            .append_data(&mut header, path, bytes)
            .map_err(Error::Output)
    }

    fn leaf(&mut self, path: &TreePath, leaf: &Leaf) -> Result<(), Error> {
        let place = place(path);
        let size = leaf.bytes.size();
        let mode = match leaf.kind {
            EntryKind::Symlink => {
                let Bytes::Here(target) = &leaf.bytes else {
                    return Err(Error::Torn);
                };
                let mut header = self.header(EntryType::Symlink, 0o777, 0);
                return self
                    .builder
                    .append_link(&mut header, place, OsStr::from_bytes(target))
                    .map_err(Error::Output);
            }
            EntryKind::Executable => 0o755,
            _ => 0o644,
        };
        let mut proof = Proof::new(leaf.bytes.open(leaf.oid, self.base)?, size);
        self.entry(EntryType::Regular, mode, size, place, &mut proof)?;
        match proof.is(leaf.oid) {
            true => Ok(()),
            false => Err(Error::Torn),
        }
    }
}
