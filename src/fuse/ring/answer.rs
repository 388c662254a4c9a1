//! Answers on their way back to the thread that alone may hand them to the kernel.

use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use fuser::Errno;
use nix::errno::Errno as Failure;
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;

/// What a request comes to: the bytes of its answer, or why there are none.
pub(super) type Outcome = Result<Vec<u8>, Errno>;

/// Where the answers to what came by a ring arrive, and what wakes its thread.
pub(super) struct Inbox {
    answers: Mutex<Vec<(u16, Outcome)>>,
    bell: EventFd,
    owner: OnceLock<ThreadId>,
}

impl Inbox {
    pub(super) fn new() -> Result<Inbox, Failure> {
        Ok(Inbox {
            answers: Mutex::default(),
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            owner: OnceLock::new(),
        })
    }

    /// From now on, this thread takes the answers, and needs no bell for its own.
    pub(super) fn own(&self) {
        self.owner.get_or_init(|| thread::current().id());
    }

    pub(super) fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// Takes what has arrived, by the number of the frame, in exchange for an empty list.
    pub(super) fn take(&self, into: &mut Vec<(u16, Outcome)>) {
        std::mem::swap(&mut *self.answers.lock(), into);
    }

    /// Wakes the thread.
    pub(super) fn ring(&self) {
        // It fails only if the bell has rung 2^64 times unheard.
        let _ = self.bell.write(1);
    }

    fn put(&self, frame: u16, result: Outcome) {
        self.answers.lock().push((frame, result));
        if self.owner.get() != Some(&thread::current().id()) {
            self.ring();
        }
    }
}

/// The answer that a request which came by a ring waits for. Dropped, it is EIO.
pub(in super::super) struct Answer {
    inbox: Arc<Inbox>,
    frame: u16,
    /// Entries of a listing.
    added: Vec<u8>,
    /// How much of a listing the kernel has room for.
    room: usize,
    is_sent: bool,
}

impl Answer {
    pub(super) fn new(inbox: &Arc<Inbox>, frame: u16, room: u32) -> Answer {
        Answer {
            inbox: Arc::clone(inbox),
            frame,
            added: Vec::new(),
            room: room as usize,
            is_sent: false,
        }
    }

    /// Adds an entry of a listing, in two parts; tells whether it is full, and has not taken it.
    pub(in super::super) fn add(&mut self, attributes: &[u8], entry: &[u8]) -> bool {
        let bytes = attributes.len() + entry.len();
        if self.added.len() + bytes > self.room {
            return true;
        }
        self.added.extend_from_slice(attributes);
        self.added.extend_from_slice(entry);
        false
    }

    /// Sends what was added.
    pub(in super::super) fn send_added(mut self) {
        let added = std::mem::take(&mut self.added);
        self.send(added);
    }

    pub(in super::super) fn send(mut self, bytes: Vec<u8>) {
        self.is_sent = true;
        self.inbox.put(self.frame, Ok(bytes));
    }

    pub(in super::super) fn refuse(mut self, errno: Errno) {
        self.is_sent = true;
        self.inbox.put(self.frame, Err(errno));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_sent {
            self.inbox.put(self.frame, Err(Errno::EIO));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(inbox: &Inbox) -> Vec<(u16, Result<Vec<u8>, i32>)> {
        let mut taken = Vec::new();
        inbox.take(&mut taken);
        let coded = |(frame, result): (u16, Outcome)| (frame, result.map_err(Errno::code));
        taken.into_iter().map(coded).collect()
    }

    #[test]
    fn an_answer_arrives_once_whatever_becomes_of_it() {
        let inbox = Arc::new(Inbox::new().unwrap());
        Answer::new(&inbox, 1, 0).send(vec![7]);
        Answer::new(&inbox, 2, 0).refuse(Errno::ENOENT);
        drop(Answer::new(&inbox, 3, 0));
        let expected = [
            (1, Ok(vec![7])),
            (2, Err(libc::ENOENT)),
            (3, Err(libc::EIO)),
        ];
        assert_eq!(taken(&inbox), expected);
        assert_eq!(taken(&inbox), []);
    }

    #[test]
    fn only_who_is_not_the_owner_rings() {
        let inbox = Arc::new(Inbox::new().unwrap());
        inbox.own();
        Answer::new(&inbox, 1, 0).send(Vec::new());
        assert_eq!(inbox.bell().read(), Err(Failure::EAGAIN));
        let answer = Answer::new(&inbox, 2, 0);
        thread::spawn(move || answer.send(Vec::new()))
            .join()
            .unwrap();
        assert_eq!(inbox.bell().read(), Ok(1));
        assert_eq!(taken(&inbox).len(), 2);
    }

    #[test]
    fn a_listing_takes_what_there_is_room_for() {
        let inbox = Arc::new(Inbox::new().unwrap());
        let mut answer = Answer::new(&inbox, 1, 10);
        assert!(!answer.add(&[1; 4], &[2; 4]));
        assert!(answer.add(&[1; 2], &[2; 1]));
        assert!(!answer.add(&[], &[3; 2]));
        answer.send_added();
        let bytes = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3].to_vec();
        assert_eq!(taken(&inbox), [(1, Ok(bytes))]);
    }
}
