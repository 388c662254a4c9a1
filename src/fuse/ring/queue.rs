//! One ring and the thread that serves it.
//!
//! ```text
//!          register                     a request has come
//! frame: ----------> lent to the kernel ------------------> ours --> handler --> inbox
//!                          ^                                                       |
//!                          +-------------- answered, and lent again ---------------+
//! ```
//!
//! A frame is lent until the kernel says something of it; only then its memory is looked at, and only when
//! none is lent it may go.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use io_uring::types::{Fd, SubmitArgs};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::answer::{Answer, Inbox, Outcome};
use super::frame::{Arrived, Frame};

/// `FUSE_IO_URING_CMD_REGISTER` and `FUSE_IO_URING_CMD_COMMIT_AND_FETCH`.
const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;
/// What marks the bell among the frames' numbers.
const BELL: u64 = u64::MAX;
/// Where in an entry the number of vectors stands (`sqe->len`), which has no setter.
const LENGTH_OFFSET: usize = 24;

/// What serves requests.
pub(super) trait Serve {
    /// Serves one, whose answer may come later.
    fn request(&self, arrived: &Arrived, answer: Answer);
    /// How much room there is for the entries of a listing.
    fn room(&self, arrived: &Arrived) -> u32;
    /// The kernel does not take a frame: all requests come another way.
    fn untaken(&self);
}

/// A frame, and the processor whose requests it takes.
pub(super) struct Seat {
    pub(super) frame: Frame,
    pub(super) processor: u16,
}

/// A ring before and while it is served.
pub(super) struct Queue {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    seats: Vec<Seat>,
    inbox: Arc<Inbox>,
    /// Where the thread stays, if it may.
    processor: u16,
    /// How many frames the kernel has.
    lent: usize,
    /// How many it has, or may have again.
    alive: usize,
    /// Whether the connection has ended.
    is_over: bool,
}

impl Queue {
    /// As plain a ring as there is: with `SINGLE_ISSUER` and `DEFER_TASKRUN` a chmod took 27 us instead of 21
    /// and an unlink 43 instead of 44; by the device they took 40 and 64 (medians of five turns).
    ///
    /// # Errors
    ///
    /// The kernel gives no ring, or there is no descriptor for the bell.
    pub(super) fn new(seats: Vec<Seat>, processor: u16) -> io::Result<Queue> {
        let entries = seats.len() as u32 + 1;
        Ok(Queue {
            ring: IoUring::builder().build(entries.next_power_of_two())?,
            alive: seats.len(),
            seats,
            inbox: Arc::new(Inbox::new()?),
            processor,
            lent: 0,
            is_over: false,
        })
    }

    /// Serves until the connection has ended. Of a ring that breaks nobody would ever have an answer, so then
    /// the connection is aborted.
    pub(super) fn serve(mut self, server: &impl Serve, device: BorrowedFd, abort: &dyn Fn()) {
        self.stay();
        self.inbox.own();
        if let Err(error) = self.run(server, device) {
            tracing::error!(%error, "a ring of requests broke");
            abort();
        }
        if self.lent > 0 {
            // The kernel may still write there until this process ends.
            std::mem::forget(self.seats);
        }
    }

    /// Keeps this thread on its processor: so whoever waits for an answer has it without another processor
    /// being woken. Where it may not be there, nobody else of the same container is.
    fn stay(&self) {
        let mut set = CpuSet::new();
        let set = set
            .set(usize::from(self.processor))
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
        if let Err(error) = set {
            tracing::debug!(processor = self.processor, %error, "a ring's thread is anywhere");
        }
    }

    fn run(&mut self, server: &impl Serve, device: BorrowedFd) -> io::Result<()> {
        for number in 0..self.seats.len() {
            self.register(number, device)?;
        }
        self.listen()?;
        let (mut answered, mut came) = (Vec::new(), Vec::new());
        loop {
            self.inbox.take(&mut answered);
            for (number, result) in answered.drain(..) {
                self.commit(number, &result, device)?;
            }
            if self.lent == 0 && (self.is_over || self.alive == 0) {
                return Ok(());
            }
            match self.submit_and_wait() {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
            let entries = self.ring.completion();
            came.extend(entries.map(|entry| (entry.user_data(), entry.result())));
            for (number, result) in came.drain(..) {
                match number {
                    BELL => self.heard()?,
                    number => self.arrived(number as u16, result, server),
                }
            }
        }
    }

    /// Waits until the kernel has something to say. A processor is idle then; before Linux 6.15 it is counted
    /// as one that waits for a disk.
    fn submit_and_wait(&self) -> io::Result<usize> {
        let submitter = self.ring.submitter();
        match self.ring.params().is_feature_no_iowait() {
            true => {
                let nothing = SubmitArgs::new();
                submitter.submit_with_args_and_flags(1, &nothing, EnterFlags::NO_IOWAIT)
            }
            false => submitter.submit_and_wait(1),
        }
    }

    /// Lends a frame for the first time.
    fn register(&mut self, number: usize, device: BorrowedFd) -> io::Result<()> {
        let Some(seat) = self.seats.get_mut(number) else {
            return Ok(());
        };
        let vectors = seat.frame.vectors();
        let entry = command(REGISTER, number as u16, 0, seat.processor, device);
        let mut entry = entry(Some(vectors.as_ptr().expose_provenance() as u64));
        // SAFETY: an entry is `struct io_uring_sqe` (`repr(C)`, 128 bytes), whose `len` is there.
        unsafe {
            let length = (&raw mut entry).byte_add(LENGTH_OFFSET).cast::<u32>();
            length.write(vectors.len() as u32);
        }
        self.push(&entry)?;
        // The kernel reads the vectors now, while they are here.
        self.ring.submit()?;
        self.lent += 1;
        Ok(())
    }

    /// Hands an answer over, and lends the frame again.
    fn commit(&mut self, number: u16, result: &Outcome, device: BorrowedFd) -> io::Result<()> {
        let Some(seat) = self.seats.get_mut(usize::from(number)) else {
            return Ok(());
        };
        // Nobody waits any more.
        if self.is_over {
            return Ok(());
        }
        seat.frame.answer(result);
        let unique = seat.frame.unique();
        let entry = command(COMMIT_AND_FETCH, number, unique, seat.processor, device);
        self.push(&entry(None))?;
        self.lent += 1;
        Ok(())
    }

    /// Waits for the bell.
    fn listen(&mut self) -> io::Result<()> {
        let bell = Fd(self.inbox.bell().as_fd().as_raw_fd());
        let entry = opcode::PollAdd::new(bell, libc::POLLIN as u32).build();
        self.push(&entry.user_data(BELL).into())
    }

    fn heard(&mut self) -> io::Result<()> {
        // What rang since is heard as well; what rings from here on, the next time.
        let _ = self.inbox.bell().read();
        self.listen()
    }

    fn push(&mut self, entry: &squeue::Entry128) -> io::Result<()> {
        // SAFETY: what an entry points to lives long enough: vectors until they are submitted, frames until
        // none is lent, the bell and the device as long as the ring.
        let pushed = unsafe { self.ring.submission().push(entry) };
        // There is room for each frame and the bell.
        pushed.map_err(io::Error::other)
    }

    /// What the kernel says of a frame: a request is in it, or it will have none.
    fn arrived(&mut self, number: u16, result: i32, server: &impl Serve) {
        self.lent = self.lent.saturating_sub(1);
        let Some(seat) = self.seats.get_mut(usize::from(number)) else {
            return;
        };
        match -result {
            0 => {
                let arrived = seat.frame.arrived();
                let answer = Answer::new(&self.inbox, number, server.room(&arrived));
                server.request(&arrived, answer);
            }
            libc::ENOTCONN | libc::ECONNABORTED | libc::ECANCELED => self.is_over = true,
            // Its request was ended by the kernel meanwhile, or it was never taken.
            code => {
                if seat.frame.unique() == 0 {
                    server.untaken();
                }
                self.alive = self.alive.saturating_sub(1);
                let error = io::Error::from_raw_os_error(code);
                tracing::warn!(%error, number, "the kernel does not take a frame of a ring");
            }
        }
    }
}

/// Whether the next call will do: a signal came, answers wait to be taken, or memory is short for a moment.
fn is_passing(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

/// A command to the device, for a frame; still without where that is.
fn command(
    operation: u32,
    number: u16,
    unique: u64,
    processor: u16,
    device: BorrowedFd,
) -> impl FnOnce(Option<u64>) -> squeue::Entry128 {
    let mut words = [0; 80];
    // `struct fuse_uring_cmd_req`: flags, number of the request, queue.
    let (unique, queue) = (unique.to_ne_bytes(), processor.to_ne_bytes());
    let parts = [0; 8].iter().chain(&unique).chain(&queue);
    for (there, byte) in words.iter_mut().zip(parts) {
        *there = *byte;
    }
    let command = opcode::UringCmd80::new(Fd(device.as_raw_fd()), operation).cmd(words);
    move |vectors| {
        let command = command.addr(vectors);
        command.build().user_data(u64::from(number))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what is not taken; nothing else is to come.
    #[derive(Default)]
    struct Nobody(AtomicUsize);

    impl Serve for Nobody {
        fn request(&self, _: &Arrived, _: Answer) {
            panic!("a request came");
        }

        fn room(&self, _: &Arrived) -> u32 {
            0
        }

        fn untaken(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_ring_ends_whose_frames_the_kernel_does_not_take() {
        let seats = (0..3).map(|_| Seat {
            frame: Frame::new().unwrap(),
            processor: 0,
        });
        let queue = match Queue::new(seats.collect(), 0) {
            Err(error) if super::super::is_forbidden(&error) => {
                println!("skipped: io_uring is not allowed here");
                return;
            }
            queue => queue.unwrap(),
        };
        let (nobody, no_device) = (Nobody::default(), tempfile::tempfile().unwrap());
        queue.serve(&nobody, no_device.as_fd(), &|| panic!("the ring broke"));
        assert_eq!(nobody.0.load(Ordering::SeqCst), 3);
    }
}
