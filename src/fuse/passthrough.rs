//! Bodies that the kernel reads and writes by itself, without a request.
//!
//! Who opens a file gets the number of a body that we registered ([`fuser::BackingId`]). The kernel takes
//! one number for one inode, and refuses (EIO) who opens an inode by a number that is open without, or the
//! other way round: so the overlay decides at the first open, and the number lives until the last release.
//!
//! Registering takes `CAP_SYS_ADMIN` in the first user namespace, and a body whose file system is not
//! itself stacked on others. Where one registration is refused for such a reason all will be, so we do not
//! ask again.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::{BackingId, InitFlags, KernelConfig};

use super::{Counters, Opens};
use crate::overlay::{Passage, Way};

/// File systems that may be stacked below ours: none. So others, as overlayfs, can be stacked on ours; and
/// of a body on overlayfs the kernel does not tell us who maps it.
const STACK_DEPTH: u32 = 1;

/// Whether bodies are passed.
pub(super) struct Passthrough {
    is_wanted: bool,
    is_on: AtomicBool,
    counters: Arc<Counters>,
}

impl Passthrough {
    pub(super) fn new(opens: Opens, counters: Arc<Counters>) -> Passthrough {
        let is_on = opens == Opens::Passthrough;
        counters.pass(is_on);
        Passthrough {
            is_wanted: is_on,
            is_on: AtomicBool::new(is_on),
            counters,
        }
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
    pub(super) fn pass(&self, register: impl FnOnce() -> io::Result<BackingId>) -> Option<Passage> {
        if !self.is_on() {
            return None;
        }
        match register() {
            Ok(backing) => {
                self.counters.passed();
                Some(Arc::new(backing))
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
pub(super) fn backing(way: &Way) -> Option<&BackingId> {
    match way {
        Way::Asking(_) => None,
        Way::Through(passage) => {
            let passage: &dyn Any = passage.as_ref();
            passage.downcast_ref()
        }
    }
}
