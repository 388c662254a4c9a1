//! Requests by io_uring instead of by the device: `transport = "io-uring"`, Linux 6.14 and later.
//!
//! The kernel has a queue for each processor, and a request goes to the queue of the processor that its
//! caller is on. There a thread of ours waits that never leaves that processor, so that an answer takes two
//! switches and no other processor is woken; answer and next request are one system call.
//! (`Documentation/filesystems/fuse/fuse-io-uring.rst`, `fs/fuse/dev_uring.c`.)
//!
//! ```text
//! mount --> rings and frames are made --> handshake: agreed? --+-- yes --> every frame is lent --> served
//!                 `-- cannot be ------------------------------>+-- no ---> by the device, as ever
//! ```
//!
//! fuser goes on: the handshake is its, and what never comes by a ring (forgets, interrupts, and all until
//! every processor has a frame) it reads from the device and hands to the same handlers.

mod answer;
mod dispatch;
mod frame;
mod queue;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};

pub(super) use self::answer::Answer;
use self::frame::Frame;
use self::queue::{Queue, Seat};
use super::adapter::{Adapter, WAITING_MAX};

/// Whether the kernel is to be asked for it, which root decides.
const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
const ONLINE: &str = "/sys/devices/system/cpu/online";
/// Requests that may run or wait for a disk, beside those that wait for the network. A frame that waits is
/// not there for others, so there are more than ever wait.
const BESIDE: usize = 32;

/// Why requests do not come by io_uring.
#[derive(Debug, thiserror::Error)]
pub enum NoRings {
    /// Root has not switched it on.
    #[error("it is off")]
    Off,
    /// The kernel does not know of it.
    #[error("the kernel does not offer it: it takes Linux 6.14, with CONFIG_FUSE_IO_URING")]
    Unknown,
    /// This process may not use io_uring.
    #[error("io_uring is not allowed here ({0})")]
    Forbidden(io::Error),
    /// Something else is short.
    #[error("no ring: {0}")]
    Failed(#[from] io::Error),
}

impl NoRings {
    /// What helps.
    pub fn cure(&self) -> &'static str {
        match self {
            NoRings::Off => "as root: echo Y > /sys/module/fuse/parameters/enable_uring",
            NoRings::Forbidden(_) => {
                "sysctl kernel.io_uring_disabled=0, or another seccomp profile"
            }
            NoRings::Unknown | NoRings::Failed(_) => {
                "transport = \"device\", MESA_TRANSPORT=device"
            }
        }
    }
}

/// What a ring's thread serves, once that is known.
#[derive(Clone)]
struct Service {
    adapter: Arc<Adapter>,
    device: Arc<OwnedFd>,
    /// Aborts the connection.
    abort: Arc<dyn Fn() + Send + Sync>,
}

/// Rings whose threads wait for the handshake. Dropped, they end.
pub(super) struct Rings {
    threads: Vec<(Sender<Service>, JoinHandle<()>)>,
}

impl Rings {
    /// Makes a ring for each processor, before the handshake: what was agreed on there has to be kept.
    ///
    /// # Errors
    ///
    /// [`NoRings`].
    pub(super) fn prepare() -> Result<Rings, NoRings> {
        let switch = fs::read_to_string(SWITCH).unwrap_or_default();
        match switch.trim() {
            "Y" => {}
            "N" => return Err(NoRings::Off),
            _ => return Err(NoRings::Unknown),
        }
        let possible = numbers(&fs::read_to_string(POSSIBLE)?);
        let online = numbers(&fs::read_to_string(ONLINE)?);
        Rings::of(&possible, &online).map_err(|error| match is_forbidden(&error) {
            true => NoRings::Forbidden(error),
            false => NoRings::Failed(error),
        })
    }

    fn of(possible: &[u16], online: &[u16]) -> io::Result<Rings> {
        let seat = |processor: &u16| -> io::Result<Seat> {
            let (frame, processor) = (Frame::new()?, *processor);
            Ok(Seat { frame, processor })
        };
        // The kernel wants a frame for each processor that there may ever be; one of these sees to those.
        let absent = possible.iter().filter(|one| !online.contains(one));
        let mut absent: Vec<Seat> = absent.map(seat).collect::<io::Result<_>>()?;
        let threads = online.iter().map(|processor| {
            let mut seats = std::mem::take(&mut absent);
            for _ in 0..WAITING_MAX + BESIDE {
                seats.push(seat(processor)?);
            }
            let queue = Queue::new(seats, *processor)?;
            let (sender, services): (_, Receiver<Service>) = crossbeam_channel::bounded(1);
            let thread = thread::Builder::new()
                .name(format!("mesa-ring-{processor}"))
                .spawn(move || {
                    if let Ok(service) = services.recv() {
                        let device = service.device.as_fd();
                        queue.serve(&*service.adapter, device, &*service.abort);
                    }
                })?;
            Ok((sender, thread))
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Rings { threads })
    }

    /// Lets them serve, after the handshake.
    pub(super) fn serve(
        self,
        adapter: Arc<Adapter>,
        device: OwnedFd,
        abort: impl Fn() + Send + Sync + 'static,
    ) -> Served {
        let service = Service {
            adapter,
            device: Arc::new(device),
            abort: Arc::new(abort),
        };
        let threads = self.threads.into_iter().map(|(sender, thread)| {
            // It waits for nothing else.
            let _ = sender.send(service.clone());
            thread
        });
        Served {
            threads: threads.collect(),
        }
    }
}

/// Whether requests can come by io_uring here.
///
/// # Errors
///
/// [`NoRings`].
pub fn rings_offered() -> Result<(), NoRings> {
    Rings::prepare().map(drop)
}

/// Rings that are served until the connection ends.
pub(super) struct Served {
    threads: Vec<JoinHandle<()>>,
}

impl Served {
    /// Waits for their end, which the connection's brings about.
    pub(super) fn wait(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a ring's thread panicked");
            }
        }
    }
}

/// Whether somebody has decided that there is no io_uring here, as Docker does by default.
fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS))
}

/// A list of the kernel, as `0-3,8`.
fn numbers(list: &str) -> Vec<u16> {
    let parts = list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    parts.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0\n"), [0]);
        assert_eq!(numbers("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(numbers("\n"), [0_u16; 0]);
    }

    #[test]
    fn rings_that_nobody_needs_end() {
        let rings = match Rings::of(&[0, 1], &[0]) {
            Err(error) if is_forbidden(&error) => {
                println!("skipped: io_uring is not allowed here");
                return;
            }
            rings => rings.unwrap(),
        };
        let threads: Vec<_> = rings
            .threads
            .into_iter()
            .map(|(_, thread)| thread)
            .collect();
        assert_eq!(threads.len(), 1);
        Served { threads }.wait();
    }
}
