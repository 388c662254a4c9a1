//! What we and the kernel agree on in the handshake.

use fuser::{InitFlags, KernelConfig};

/// The largest write in one request. Larger ones are not faster (128 KiB, 1 MiB and 16 MiB: 1.2,
/// 1.2 and 1.3 GB/s), and the kernel caps it here by default.
pub(super) const WRITE_BYTES_MAX: u32 = 1 << 20;

/// What we ask of the kernel, each only if it is offered.
///
/// Left out on purpose: `WRITEBACK_CACHE` acknowledges writes that only the kernel holds, and they
/// die with the daemon. `POSIX_LOCKS` and `FLOCK_LOCKS`: without them the kernel locks by itself.
/// `AUTO_INVAL_DATA` would drop a file's pages each time that its mtime moves, which our own writes
/// do. `DONT_MASK`: the kernel applies the umask. `ABORT_ERROR`: a connection that is aborted then
/// ends as one that is unmounted. `SETXATTR_EXT` makes fuser 0.18 panic. `ATOMIC_O_TRUNC` would save a
/// request where a file is opened and cut, but then an open for reading that cuts reaches us before the
/// kernel finds that the file is a program that runs: the open is refused, and the program is gone.
///
/// Nor is `read_ahead_kb` of the mount raised, which root could: with 128, 512 and 1024 a file of 256 MiB was
/// read in 0.21, 0.19 and 0.18 s, by a map in 0.22, 0.20 and 0.20, and its pages by chance in 0.19, 0.22 and
/// 0.20, medians of seven turns: less than they differ by themselves.
const CAPABILITIES: [InitFlags; 7] = [
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_BIG_WRITES,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_DO_READDIRPLUS,
    // Without it the kernel asks for attributes even if nobody reads them.
    InitFlags::FUSE_READDIRPLUS_AUTO,
    // Without it each write is preceded by a getxattr of `security.capability`.
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_PARALLEL_DIROPS,
];

/// Asks for what we want, as far as it is offered.
pub(super) fn negotiate(config: &mut KernelConfig) {
    for capability in CAPABILITIES {
        if config.add_capabilities(capability).is_err() {
            tracing::info!(?capability, "the kernel does not offer a capability");
        }
    }
    if let Err(most) = config.set_max_write(WRITE_BYTES_MAX) {
        tracing::info!(most, "the kernel takes smaller writes");
    }
}
