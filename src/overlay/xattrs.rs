//! Extended attributes. They stay local: no Git tree could hold them.

use journal::Record;

use super::error::Error;
use super::inodes::Known;
use super::locks::MutexGuard;
use super::open::{Overlay, now};
use super::state::{Purpose, State};
use super::types::XattrMode;
use crate::tree::Ino;
use crate::upper::{journal_path, journal_time};

/// Longest extended attribute name, as the kernel has it (XATTR_NAME_MAX).
const XATTR_NAME_BYTES_MAX: usize = 255;
/// Largest extended attribute value, as the kernel has it (XATTR_SIZE_MAX).
const XATTR_VALUE_BYTES_MAX: usize = 65_536;
/// Longest list of a file's attribute names, each with a NUL (XATTR_LIST_MAX): the kernel shows no
/// longer one, so no more names are taken.
const XATTR_LIST_BYTES_MAX: usize = 65_536;
/// Privileges that a program has by itself. Whoever changes the file must not have given them.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

impl Overlay {
    /// The value of an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttribute`].
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Error> {
        match self.state.lock().known(ino)? {
            Known::Upper(node) => node.xattrs.get(name).cloned().ok_or(Error::NoAttribute),
            Known::Lower(_) => Err(Error::NoAttribute),
        }
    }

    /// The names of a node's extended attributes.
    ///
    /// # Errors
    ///
    /// An unknown inode.
    pub fn xattr_names(&self, ino: Ino) -> Result<Vec<Vec<u8>>, Error> {
        Ok(match self.state.lock().known(ino)? {
            Known::Upper(node) => node.xattrs.keys().cloned().collect(),
            Known::Lower(_) => Vec::new(),
        })
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NoAttribute`] by mode; [`Error::ValueTooLarge`],
    /// [`Error::TooManyAttributes`].
    pub fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<(), Error> {
        if name.len() > XATTR_NAME_BYTES_MAX || value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(Error::ValueTooLarge);
        }
        let mut state = self.state.lock();
        let (there, listed) = match state.known(ino)? {
            Known::Upper(node) => (
                node.xattrs.contains_key(name),
                node.xattrs.keys().map(|name| name.len() + 1).sum(),
            ),
            Known::Lower(_) => (false, 0),
        };
        match mode {
            XattrMode::Create if there => return Err(Error::Exists),
            XattrMode::Replace if !there => return Err(Error::NoAttribute),
            XattrMode::Any | XattrMode::Create | XattrMode::Replace => {}
        }
        if !there && listed + name.len() + 1 > XATTR_LIST_BYTES_MAX {
            return Err(Error::TooManyAttributes);
        }
        self.adopt(&mut state, ino)?;
        if let Some(node) = state.upper.nameless_mut(ino) {
            node.xattrs.insert(name.to_vec(), value.to_vec());
            node.ctime = now();
            return Ok(());
        }
        let record = Record::SetXattr {
            path: journal_path(&state.path(ino)?),
            name: name.to_vec(),
            value: value.to_vec(),
        };
        self.commit(&mut state, &record)?;
        self.note_change(&mut state, ino, Purpose::Change)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttribute`].
    pub fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<(), Error> {
        self.check_edits()?;
        let mut state = self.state.lock();
        match self.take_xattr(&mut state, ino, name, Purpose::Freeing)? {
            true => Ok(()),
            false => Err(Error::NoAttribute),
        }
    }

    /// Takes the privileges that a file has by an attribute, as every change of its bytes and of its
    /// owner does.
    pub(super) fn drop_capability(
        &self,
        state: &mut MutexGuard<'_, State>,
        ino: Ino,
        purpose: Purpose,
    ) -> Result<(), Error> {
        self.take_xattr(state, ino, CAPABILITY, purpose).map(drop)
    }

    /// Removes an attribute if it is there, and says whether it was.
    fn take_xattr(
        &self,
        state: &mut MutexGuard<'_, State>,
        ino: Ino,
        name: &[u8],
        purpose: Purpose,
    ) -> Result<bool, Error> {
        match state.known(ino)? {
            Known::Upper(node) if node.xattrs.contains_key(name) => {}
            Known::Upper(_) | Known::Lower(_) => return Ok(false),
        }
        if let Some(node) = state.upper.nameless_mut(ino) {
            node.xattrs.remove(name);
            node.ctime = now();
            return Ok(true);
        }
        let record = Record::RemoveXattr {
            path: journal_path(&state.path(ino)?),
            name: name.to_vec(),
        };
        self.commit_for(state, &record, purpose)?;
        self.note_change(state, ino, purpose)?;
        Ok(true)
    }

    /// The records of attributes carry no time, so the change of the inode is told by another.
    fn note_change(
        &self,
        state: &mut MutexGuard<'_, State>,
        ino: Ino,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let record = Record::SetAttributes {
            path: journal_path(&state.path(ino)?),
            inode: ino.0,
            change: journal::AttributeChange {
                ctime: Some(journal_time(now())),
                ..journal::AttributeChange::default()
            },
        };
        self.commit_for(state, &record, purpose).map(drop)
    }
}
