//! Keeps credentials and file contents of the daemon out of core files and of other processes.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// No core file, no ptrace by the same user, and no file of ours that others can read.
///
/// Each step is worth having without the others, so that a sandbox that forbids one does not keep
/// the daemon from starting.
pub(super) fn harden() {
    umask(Mode::from_bits_truncate(0o077));
    if let Err(errno) = prctl::set_dumpable(false) {
        tracing::warn!(error = %errno, "core files and ptrace stay possible");
    }
    if let Err(errno) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(error = %errno, "core files stay possible");
    }
    // Every open file of the mount, and every body, is a descriptor here.
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(errno) = raised {
        tracing::warn!(error = %errno, "the number of open files stays low");
    }
}
