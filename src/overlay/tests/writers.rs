//! Writers of the model's histories that tell us nothing of their writes, and outlive our deaths.

use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::sample::Index;

use super::map::Node;
use super::model::Run;
use super::through::{kept, kernel, tick};
use crate::overlay::{Aim, Way};
use crate::tree::Ino;

/// Who has a file open.
pub(super) struct Writer {
    number: usize,
    ino: Ino,
    body: File,
    /// Whether the process that opened it is there to hear of its close.
    is_ours: bool,
}

impl Run {
    /// The model's number of a file.
    pub(super) fn number(&self, path: &str) -> usize {
        match self.model.paths[path] {
            Node::File(number) => number,
            _ => unreachable!(),
        }
    }

    pub(super) fn note_write(&mut self, number: usize, offset: u16, data: &[u8]) {
        let bytes = &mut self.model.files[number].0;
        let end = usize::from(offset) + data.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[usize::from(offset)..end].copy_from_slice(data);
    }

    /// Opens and writes, by the kernel where it is passed; and closes unless it stays open.
    pub(super) fn write_through(&mut self, path: &str, offset: u16, data: &[u8], stays: bool) {
        let (ino, number) = (self.fixture.find(path).unwrap(), self.number(path));
        let overlay = self.fixture.overlay();
        let way = overlay.open_through(ino, Aim::Writing, &mut kept).unwrap();
        if let Way::Asking(_) = way {
            let at = u64::from(offset);
            let written = self.fixture.call(|overlay| overlay.write(ino, at, data));
            written.unwrap();
            overlay.release(ino);
        } else {
            let body = kernel(&way);
            drop(way);
            body.write_all_at(data, offset.into()).unwrap();
            match stays {
                true => self.writers.push(Writer {
                    number,
                    ino,
                    body,
                    is_ours: true,
                }),
                false => {
                    drop(body);
                    overlay.release_writer(ino);
                }
            }
        }
        self.note_write(number, offset, data);
    }

    /// Lets one who has a file open write to it.
    pub(super) fn write_unseen(&mut self, at: &Index, offset: u16, data: &[u8]) {
        if self.writers.is_empty() {
            return;
        }
        let writer = at.get(&self.writers);
        writer.body.write_all_at(data, offset.into()).unwrap();
        self.note_write(writer.number, offset, data);
    }

    /// Lets one close.
    pub(super) fn close_writer(&mut self, at: &Index) {
        if self.writers.is_empty() {
            return;
        }
        let writer = self.writers.swap_remove(at.index(self.writers.len()));
        drop(writer.body);
        if writer.is_ours {
            self.fixture.overlay().release_writer(writer.ino);
        }
    }

    /// Nobody hears of the closes of what was open.
    pub(super) fn die(&mut self) {
        for writer in &mut self.writers {
            writer.is_ours = false;
        }
    }

    /// What was written is of another tick than what comes next.
    pub(super) fn let_time_pass(&self) {
        if self.fixture.overlay().usage().written_unseen > 0 {
            tick();
        }
    }
}
