//! Bodies that the kernel reads and writes by itself, without a request.
//!
//! Who opens a file gets the number of a body that we registered ([`Backing`]). The kernel takes
//! one number for one inode, and refuses (EIO) who opens an inode by a number that is open without, or the
//! other way round: so the overlay decides at the first open, and the number lives until the last release.
//!
//! Registering takes `CAP_SYS_ADMIN` in the first user namespace, and a body whose file system is not
//! itself stacked on others. Where one registration is refused for such a reason all will be, so we do not
//! ask again.

use std::any::Any;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use fuser::{BackingId, InitFlags, KernelConfig};
use parking_lot::Mutex;

use super::{Counters, Opens};
use crate::overlay::{Passage, Way};

/// File systems that may be stacked below ours: none. So others, as overlayfs, can be stacked on ours; and
/// of a body on overlayfs the kernel does not tell us who maps it.
const STACK_DEPTH: u32 = 1;

mod ioctl {
    nix::ioctl_write_ptr!(
        /// `FUSE_DEV_IOC_BACKING_CLOSE`.
        backing_close,
        229,
        2,
        u32
    );
}

/// A body that the kernel has open, by its number. It outlives the mount if need be, and the device is not
/// kept open for it. (fuser's own is given by a reply that came by the device alone.)
pub(super) struct Backing {
    number: u32,
    device: Weak<OwnedFd>,
}

impl Backing {
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        let Some(device) = self.device.upgrade() else {
            return;
        };
        // SAFETY: the descriptor is open, and the number is read from where it is.
        let closed = unsafe { ioctl::backing_close(device.as_raw_fd(), &raw const self.number) };
        if let Err(error) = closed {
            tracing::debug!(%error, "the kernel keeps a body open until the mount ends");
        }
    }
}

/// Whether bodies are passed.
pub(super) struct Passthrough {
    /// From the mount on.
    device: Mutex<Option<Arc<OwnedFd>>>,
    is_wanted: bool,
    is_on: AtomicBool,
    counters: Arc<Counters>,
}

impl Passthrough {
    pub(super) fn new(opens: Opens, counters: Arc<Counters>) -> Passthrough {
        let is_on = opens == Opens::Passthrough;
        counters.pass(is_on);
        Passthrough {
            device: Mutex::default(),
            is_wanted: is_on,
            is_on: AtomicBool::new(is_on),
            counters,
        }
    }

    /// Says where bodies are registered.
    pub(super) fn mounted(&self, device: OwnedFd) {
        *self.device.lock() = Some(Arc::new(device));
    }

    /// Asks the kernel for it, in the handshake.
    pub(super) fn negotiate(&self, config: &mut KernelConfig) {
        if !self.is_on() {
            return;
        }
        let agreed = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH);
        if agreed.is_err() || config.set_max_stack_depth(STACK_DEPTH).is_err() {
            self.turn_off("the kernel does not offer it");
        }
    }

    /// Whether bodies are to be passed, and may have been.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Whether bodies are passed, as far as is known.
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Registers a body; `None` where that cannot be.
    pub(super) fn pass(&self, body: &File) -> Option<Passage> {
        if !self.is_on() {
            return None;
        }
        let device = self.device.lock().clone()?;
        match BackingId::create_raw(&*device, body) {
            Ok(number) => {
                self.counters.passed();
                let device = Arc::downgrade(&device);
                Some(Arc::new(Backing { number, device }))
            }
            Err(error) => {
                match error.raw_os_error() {
                    Some(libc::EPERM) => self.turn_off("it takes CAP_SYS_ADMIN"),
                    Some(libc::ELOOP) => {
                        self.turn_off("the data directory is on a stacked file system")
                    }
                    Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::EINVAL) => {
                        self.turn_off("the kernel cannot do it");
                    }
                    // Of this one alone: out of memory, or of descriptors.
                    _ => tracing::debug!(%error, "a body is not passed"),
                }
                None
            }
        }
    }

    fn turn_off(&self, why: &'static str) {
        if self.is_on.swap(false, Ordering::Relaxed) {
            self.counters.pass(false);
            tracing::info!(why, "no passthrough: files are opened plainly");
        }
    }
}

/// The number by which a file was opened, if it was by one.
pub(super) fn backing(way: &Way) -> Option<&Backing> {
    match way {
        Way::Asking(_) => None,
        Way::Through(passage) => {
            let passage: &dyn Any = passage.as_ref();
            passage.downcast_ref()
        }
    }
}
