//! What the kernel refers to costs memory here, and it keeps entries for as long as the machine has memory of
//! its own: after a walk over a million files all of them. Beyond a share of `cache.max-memory-size` it is
//! asked to let go of some that nobody uses; whoever looks at them again asks us, and no server.
//!
//! It also keeps what it was given of a large file whose server turned out to be wrong about one, and is told
//! to drop that.

use std::io;
use std::sync::Weak;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::repositories::OpenRepositories;
use super::rounds::Rounds;
use crate::fuse::Mounted;

/// What a node of the lower layer costs with its path and its place in the table, while that grows.
const NODE_BYTES: u64 = 256;
/// The part of the memory that is for them; as much as for listings.
const SHARE: u64 = 4;
/// How long it may be exceeded: a walk meets some 100,000 files a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts the thread. It keeps neither the repositories nor the mount alive.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn start(
    repositories: Weak<OpenRepositories>,
    mounted: Weak<Mounted>,
    memory_bytes_max: u64,
) -> io::Result<Rounds> {
    let most = usize::try_from(memory_bytes_max / SHARE / NODE_BYTES).unwrap_or(usize::MAX);
    Rounds::start("pruning", move |ended| {
        rounds(&repositories, &mounted, most, ended);
    })
}

fn rounds(
    repositories: &Weak<OpenRepositories>,
    mounted: &Weak<Mounted>,
    most: usize,
    ended: &Receiver<()>,
) {
    let mut can_prune = true;
    while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        let (Some(repositories), Some(mounted)) = (repositories.upgrade(), mounted.upgrade())
        else {
            return;
        };
        let open = repositories.all().into_iter().map(|one| one.opened());
        let open: Vec<_> = open.map(|one| (one.overlay.lower_nodes(), one)).collect();
        for (_, one) in &open {
            let disproved = one.overlay.disproved();
            if let Err(error) = mounted.drop_pages(one.slot, &disproved) {
                tracing::error!(%error, "the kernel keeps what may be wrong: mount again");
            }
        }
        let total: usize = open.iter().map(|(nodes, _)| nodes).sum();
        if total <= most || !can_prune {
            continue;
        }
        // Some more than are too many, so that the next ones have room for a while.
        let surplus = total - most / 8 * 7;
        for (nodes, one) in open {
            let idle = one.overlay.idle_nodes(nodes * surplus / total);
            match mounted.prune(one.slot, &idle) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    tracing::info!("this kernel decides by itself how much it keeps");
                    can_prune = false;
                    break;
                }
                Err(error) => tracing::debug!(%error, "the kernel keeps what it has"),
            }
        }
    }
}
