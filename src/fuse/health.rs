//! Which mounts of ours there are, and whether anybody serves them: for whoever looks from outside.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Error, mountinfo, unmount};

/// Whether a mount is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountHealth {
    /// It answers.
    Answers,
    /// Nobody serves it any more.
    Dead,
    /// Somebody has it, and gives no answer.
    Silent,
}

/// The mounts of this program that this process sees, each with its health, waiting at most
/// `patience` for each.
///
/// # Errors
///
/// [`Error::MountInfo`].
pub fn our_mounts(patience: Duration) -> Result<Vec<(PathBuf, MountHealth)>, Error> {
    let ours = mountinfo::read()?
        .into_iter()
        .filter(mountinfo::MountEntry::is_ours);
    Ok(ours
        .map(|entry| {
            let health = health(&entry.path, patience);
            (entry.path, health)
        })
        .collect())
}

/// Asks on a thread of its own: one that asks a mount which does not answer cannot be stopped.
fn health(path: &Path, patience: Duration) -> MountHealth {
    let (sender, answer) = mpsc::channel();
    let path = path.to_owned();
    let asked = thread::Builder::new()
        .name("mount-health".to_owned())
        .spawn(move || {
            // Not `stat`, which the kernel answers by itself while the root's attributes are fresh.
            let _too_late = sender.send(nix::sys::statvfs::statvfs(&path).err());
        });
    match asked.map(|_| answer.recv_timeout(patience)) {
        Ok(Ok(Some(errno))) if unmount::is_dead(errno) => MountHealth::Dead,
        Ok(Ok(_)) => MountHealth::Answers,
        Ok(Err(_)) | Err(_) => MountHealth::Silent,
    }
}
