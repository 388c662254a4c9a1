//! Bytes of files: opening, reading, copy-up, writing, truncating, syncing.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use journal::Record;

use super::dirty::Touch;
use super::error::Error;
use super::inodes::Known;
use super::locks::MutexGuard;
use super::open::{Overlay, now};
use super::state::{Purpose, State};
use crate::failpoints;
use crate::lower::Want;
use crate::tree::{Ino, Kind};
use crate::upper::{Prepared, journal_path, journal_time};

/// Largest file: what a signed 64-bit offset reaches.
pub(super) const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Where the bytes of a file are.
pub(super) enum Bytes {
    Body(Arc<File>),
    Opened(Arc<File>),
    Object(Want),
    None,
}

impl Overlay {
    /// Counts an open of a regular file; every success is undone by one [`Overlay::release`].
    ///
    /// # Errors
    ///
    /// [`Error::IsDirectory`], [`Error::Invalid`] for what has no bytes.
    pub fn open(&self, ino: Ino) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check_openable(ino)?;
        state.live.entry(ino).or_default().opens += 1;
        Ok(())
    }

    /// Undoes one open. With the last one, a file without a name is gone.
    pub fn release(&self, ino: Ino) {
        self.close_one(&mut self.state.lock(), ino);
    }

    pub(super) fn close_one(&self, state: &mut MutexGuard<'_, State>, ino: Ino) {
        if let Some(live) = state.live.get_mut(&ino) {
            live.opens = live.opens.saturating_sub(1);
            if live.opens == 0
                && let Some(held) = &mut live.held
            {
                held.body = None;
                held.object = None;
                held.passage = None;
            }
        }
        self.reap(state, ino);
    }

    /// How many opens were not released yet, of all files.
    pub fn open_files(&self) -> u64 {
        let state = self.state.lock();
        state.live.values().map(|live| u64::from(live.opens)).sum()
    }

    /// Appends up to `size` bytes from `offset` to `buffer`; fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], an unreadable body or object.
    pub fn read(
        &self,
        ino: Ino,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // Not in the scrutinee: the lock would live as long as the arms, which take it again.
        let bytes = self.bytes(&mut self.state.lock(), ino)?;
        let file = match bytes {
            Bytes::Body(file) | Bytes::Opened(file) => file,
            Bytes::Object(want) => self.object(ino, &want)?,
            Bytes::None => return Ok(()),
        };
        let start = buffer.len();
        buffer.resize(start + size, 0);
        let mut filled = start;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match file.read_at(room, offset + (filled - start) as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Body(error)),
            }
        }
        buffer.truncate(filled);
        Ok(())
    }

    /// Writes all of `data` at `offset`. On return the bytes survive the death of the daemon.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when a lower file must be copied first, [`Error::FileTooLarge`], a full
    /// disk; of a write that failed half-way the first part may be there.
    pub fn write(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), Error> {
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Error::FileTooLarge);
        }
        let bytes = data.len() as u64;
        let write = |body: &File| body.write_all_at(data, offset);
        let touch = Touch::Written { offset, bytes };
        self.change_bytes(ino, u64::MAX, Purpose::Change, touch, write)
    }

    /// Cuts or extends a file. Cutting a lower file to nothing fetches nothing.
    ///
    /// # Errors
    ///
    /// As [`Overlay::write`].
    pub fn truncate(&self, ino: Ino, size: u64) -> Result<(), Error> {
        if size > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge);
        }
        // Cutting always works, like removing: nothing grows.
        let purpose = match size {
            0 => Purpose::Freeing,
            size if size <= self.attributes(ino)?.size => Purpose::Freeing,
            _ => Purpose::Change,
        };
        let touch = Touch::Sized(size);
        self.change_bytes(ino, size, purpose, touch, |body| body.set_len(size))
    }

    /// Makes this file, and every operation before, survive a power cut.
    ///
    /// # Errors
    ///
    /// A sync that failed, which is final.
    pub fn sync(&self, ino: Ino) -> Result<(), Error> {
        self.state.lock().known(ino)?;
        self.sync_all()
    }

    /// Makes everything survive a power cut.
    ///
    /// # Errors
    ///
    /// As [`Overlay::sync`].
    pub fn sync_all(&self) -> Result<(), Error> {
        match self.sync_by_journal()? {
            true => Ok(()),
            false => self.settle_bodies(),
        }
    }

    /// Changes bytes of the body, having made one of the first `keep` bytes of the lower file, and
    /// having marked it in the journal.
    pub(super) fn change_bytes(
        &self,
        ino: Ino,
        keep: u64,
        purpose: Purpose,
        touch: Touch,
        change: impl Fn(&File) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        self.check_writable()?;
        self.check_edits()?;
        self.ensure_body(ino, keep, purpose)?;
        let _gate = self.gate.read();
        self.ledger.check_open().map_err(Error::Body)?;
        let body = {
            let mut state = self.state.lock();
            self.ledger.note_change(ino);
            self.mark(&mut state, ino, purpose)?;
            self.drop_capability(&mut state, ino, purpose)?;
            match self.bytes(&mut state, ino)? {
                Bytes::Body(body) => body,
                Bytes::Opened(_) | Bytes::Object(_) | Bytes::None => return Err(Error::Stale),
            }
        };
        failpoints::WRITE_MARKED.reach();
        let changed = self.with_room(|| change(&body));
        // Also of what failed a part may be there.
        self.ledger.note_dirty(ino, touch);
        failpoints::WRITE_DONE.reach();
        changed
    }

    /// Makes sure that a file has a body. The copy is made without any lock; if somebody else was
    /// faster, theirs counts.
    fn ensure_body(&self, ino: Ino, keep: u64, purpose: Purpose) -> Result<(), Error> {
        let want = {
            let state = self.state.lock();
            match state.known(ino)? {
                Known::Upper(node) if node.body => return Ok(()),
                _ if state.kind(ino)? != Kind::File => return Err(Error::Invalid),
                _ => state.lower_object(ino)?,
            }
        };
        let copy = match want {
            Some(want @ Want::Object { size, .. }) if size.min(keep) > 0 => {
                let object = self.object(ino, &want)?;
                let bodies = &self.ledger.bodies;
                let copy = self.with_room(|| bodies.prepare(&object, size.min(keep)))?;
                failpoints::COPY_PREPARED.reach();
                Some(copy)
            }
            _ => None,
        };
        let mut state = self.state.lock();
        self.adopt_for(&mut state, ino, purpose)?;
        if state.upper.node(ino).is_some_and(|node| node.body) {
            return Ok(());
        }
        let bodies = &self.ledger.bodies;
        let is_copy = copy.is_some();
        let body = match copy {
            Some(Prepared::Aside(copy)) => bodies.adopt(copy, ino).map_err(Error::Body),
            Some(Prepared::InMemory(bytes)) => self.with_room(|| bodies.fill(ino, &bytes)),
            None => self.with_room(|| bodies.make(ino)),
        };
        let body = Arc::new(body?);
        self.ledger.note_change(ino);
        let touch = if is_copy { Touch::Anyhow } else { Touch::Made };
        self.ledger.note_dirty(ino, touch);
        failpoints::COPY_INSTALLED.reach();
        if is_copy && !state.is_removed(ino) {
            let record = Record::CopyUp { inode: ino.0 };
            let told = self.commit_for(&mut state, &record, purpose)?;
            self.doubts.note_copy(told);
            failpoints::COPY_TOLD.reach();
        }
        self.mark(&mut state, ino, purpose)?;
        failpoints::COPY_MARKED.reach();
        keep_body(&mut state, ino, &body);
        Ok(())
    }

    /// Says in the journal that the bytes of a file are in its body and change from now on; once
    /// for each of its names, since each is a path of the remote tree; once per capture.
    pub(super) fn mark(
        &self,
        state: &mut MutexGuard<'_, State>,
        ino: Ino,
        purpose: Purpose,
    ) -> Result<(), Error> {
        if state.marked.contains(&ino) {
            return Ok(());
        }
        if state.is_removed(ino) {
            state.upper.set_nameless_body(ino);
            return Ok(());
        }
        for path in state.paths(ino)? {
            let record = Record::Write {
                path: journal_path(&path),
                inode: ino.0,
                time: journal_time(now()),
            };
            self.commit_for(state, &record, purpose)?;
        }
        state.marked.insert(ino);
        Ok(())
    }

    pub(super) fn bytes(
        &self,
        state: &mut MutexGuard<'_, State>,
        ino: Ino,
    ) -> Result<Bytes, Error> {
        let held = state.live.get(&ino).and_then(|live| live.held.as_ref());
        let opened = held.and_then(|held| held.object.clone());
        let body = held.and_then(|held| held.body.clone());
        if state.kind(ino)? != Kind::File {
            return Err(Error::Invalid);
        }
        if let Known::Upper(node) = state.known(ino)?
            && node.body
        {
            let body = match body {
                Some(body) => body,
                None => Arc::new(self.ledger.bodies.file(ino).map_err(Error::Body)?),
            };
            keep_body(state, ino, &body);
            return Ok(Bytes::Body(body));
        }
        let want = state.lower_object(ino)?;
        Ok(match (want, opened) {
            (None | Some(Want::Object { size: 0, .. }), _) => Bytes::None,
            (Some(_), Some(opened)) => Bytes::Opened(opened),
            (Some(want), None) => Bytes::Object(want),
        })
    }

    /// Opens a lower object, and keeps it open while the file is known to be: it is not evicted then.
    pub(super) fn object(&self, ino: Ino, want: &Want) -> Result<Arc<File>, Error> {
        let Want::Object { oid, path, .. } = want else {
            return Err(Error::Invalid);
        };
        let file = self.lower.object(*oid)?;
        let file = Arc::new(file.ok_or_else(|| Error::Missing(want.clone()))?);
        self.lower.reads().note(path);
        let mut state = self.state.lock();
        if let Some(live) = state.live.get_mut(&ino).filter(|live| live.opens > 0) {
            live.holding().object = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    /// As [`Overlay::lower_bytes`], for a reader.
    pub(super) fn read_bytes(&self, want: &Want, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.lower_bytes(want, bytes_max)?;
        if let Want::Object { path, .. } = want {
            self.lower.reads().note(path);
        }
        Ok(bytes)
    }

    /// All bytes of a small lower object.
    pub(super) fn lower_bytes(&self, want: &Want, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let Want::Object { oid, .. } = want else {
            return Err(Error::Invalid);
        };
        let file = self.lower.object(*oid)?;
        let file = file.ok_or_else(|| Error::Missing(want.clone()))?;
        let mut bytes = Vec::new();
        let limit = bytes_max as u64 + 1;
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(Error::Body)?;
        if bytes.len() > bytes_max {
            return Err(Error::TooLong);
        }
        Ok(bytes)
    }
}

impl State {
    /// Succeeds for a regular file.
    pub(super) fn check_openable(&self, ino: Ino) -> Result<(), Error> {
        match self.kind(ino)? {
            Kind::File => Ok(()),
            Kind::Directory => Err(Error::IsDirectory),
            _ => Err(Error::Invalid),
        }
    }
}

/// Keeps a body open.
fn keep_body(state: &mut State, ino: Ino, body: &Arc<File>) {
    // What is closed for it is closed at the end of this line: the bodies' names keep their bytes.
    let _closed = state.keep_open(ino, body);
}
