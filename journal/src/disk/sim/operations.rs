//! The simulated disk as a [`Disk`]: every call is one operation, which may be made to fail.

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use super::media::{Effect, FileId};
use super::{FaultKind, Machine, SimDisk};
use crate::disk::{Disk, DiskFile};

impl Disk for SimDisk {
    fn path(&self) -> &FilePath {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.apply(|machine| Ok(machine.media.entries()), |_| {})
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.apply(|machine| machine.find(name), |_| {})?;
        Ok(self.file(id))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let create = |machine: &mut Machine| {
            let name = name.to_owned();
            machine.apply(Effect::Create { name });
            Ok(())
        };
        self.apply(create, |_| {})?;
        let id = self.machine.lock().find(name)?;
        Ok(self.file(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let rename = |machine: &mut Machine| {
            let file = machine.find(from)?;
            let (from, to) = (from.to_owned(), to.to_owned());
            machine.apply(Effect::Rename { file, from, to });
            Ok(())
        };
        self.apply(rename, |_| {})
    }

    fn set_aside(&self, name: &str, folder: &str) -> io::Result<()> {
        let to = format!("{folder}/{name}");
        if self.machine.lock().media.find(&to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(name, &to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let remove = |machine: &mut Machine| {
            machine.find(name)?;
            let name = name.to_owned();
            machine.apply(Effect::Remove { name });
            Ok(())
        };
        self.apply(remove, |_| {})
    }

    fn sync(&self) -> io::Result<()> {
        let sync = |machine: &mut Machine| {
            machine.apply(Effect::SyncNames);
            Ok(())
        };
        self.apply(sync, |_| {})
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let random = |machine: &mut Machine| {
            let words = [machine.random.next(), machine.random.next()];
            Ok(u128::from(words[0]) << 64 | u128::from(words[1]))
        };
        self.apply(random, |_| {}).map(u128::to_le_bytes)
    }
}

/// An open file; it stays the same one when its name changes.
pub(super) struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, id: FileId) -> SimFile {
        SimFile { disk, id }
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let size = |machine: &mut Machine| Ok(machine.media.content(self.id).len() as u64);
        self.disk.apply(size, |_| {})
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = |machine: &mut Machine| {
            let content = machine.media.content(self.id);
            let end = offset.saturating_add(buffer.len() as u64);
            let spoiled = machine.spoiled.iter();
            if spoiled
                .filter(|(file, _)| *file == self.id)
                .any(|(_, bytes)| bytes.start < end && offset < bytes.end)
            {
                return Err(FaultKind::Broken.error());
            }
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let bytes = content
                .get(from..)
                .and_then(|rest| rest.get(..buffer.len()))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        };
        self.disk.apply(read, |_| {})
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let write = |machine: &mut Machine| {
            let size = machine.media.content(self.id).len() as u64;
            let growth = (offset + bytes.len() as u64).saturating_sub(size);
            let room = machine
                .space
                .map_or(u64::MAX, |space| space.saturating_sub(machine.media.used()));
            if growth > room {
                let fits = bytes.len() as u64 - growth.min(bytes.len() as u64) + room;
                let fits = usize::try_from(fits).unwrap_or(0);
                machine.write(self.id, bytes.get(..fits).unwrap_or_default(), offset);
                return Err(FaultKind::Full.error());
            }
            machine.write(self.id, bytes, offset);
            Ok(())
        };
        self.disk.apply(write, |machine| {
            machine.write_in_part(self.id, bytes, offset);
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let resize = |machine: &mut Machine| {
            let file = self.id;
            machine.apply(Effect::Resize { file, bytes });
            Ok(())
        };
        self.disk.apply(resize, |_| {})
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = |machine: &mut Machine| {
            machine.apply(Effect::Sync { file: self.id });
            Ok(())
        };
        self.disk.apply(sync, |machine| {
            let seed = machine.random.next();
            machine.apply(Effect::SyncLost {
                file: self.id,
                seed,
            });
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}
