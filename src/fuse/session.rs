//! A mount from its start to its end.
//!
//! ```text
//! start: mount --> handshake (INIT) --> serving --+-- unmounted, by us or anyone --> ended
//!                                                 `-- connection aborted ----------> ended
//! ```
//!
//! The session's thread runs fuser's event loop and ends when the kernel has no more use for the
//! connection; then the workers finish what they have, and [`Mounted::wait`] returns.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use fuser::{Notifier, Session, SessionACL};
use parking_lot::{Condvar, Mutex};

use super::adapter::Adapter;
use super::filesystem::Device;
use super::helper::Helper;
use super::inode::{self, NodeId, Slot};
use super::mount::{self, Identity, Opens, Options, Transport};
use super::reports;
use super::ring::{Rings, Served};
use super::root::VirtualRoot;
use super::unmount::{self, Unmount, Unmounted};
use super::wire::{Notification, notification};
use super::{Counters, Error, Reports, Repositories};
use crate::tree::{Ino, Name};

/// Threads that read requests from the kernel. More than processors only add latency; with one, a
/// request that takes long on the processor (a large write) holds up all others.
///
/// On two processors 1, 2 and 4 of them, and 2 and 4 with a device of their own for each (`clone_fd`), untar
/// 3,000 files in 12 to 14 times native, make 2,000 in 7 to 9, and commit them in 4.0 to 4.2, in any order:
/// one caller that waits for each answer is no faster with more who listen.
const EVENT_LOOP_THREADS: usize = 2;

/// Inodes of one such message: the kernel takes as many at a time.
const PRUNED_MAX: usize = 512;

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The mount is off the tree and nobody uses it.
    Unmounted,
    /// The mount is still on the tree, but dead: its connection was aborted.
    Aborted,
}

/// A mount that is being served. Dropping it unmounts lazily.
pub struct Mounted {
    identity: Identity,
    helper: Helper,
    counters: Arc<Counters>,
    /// Whether the mount is known to be off the tree.
    is_detached: AtomicBool,
    end: Arc<End>,
}

#[derive(Default)]
struct End {
    /// The kernel's end of the connection, for asking whether it is alive. Given up with the
    /// session, since it would keep the connection open when nobody serves it any more.
    device: Mutex<Option<OwnedFd>>,
    /// Tells the kernel what it is to forget. Given up in the same way, for the same reason.
    notifier: Mutex<Option<Notifier>>,
    how: Mutex<Option<Ended>>,
    came: Condvar,
}

impl Mounted {
    /// Mounts, and returns once the mount answers. A dead mount of ours at the same path is cleared
    /// first.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing is mounted then.
    pub fn start(
        options: &Options,
        repositories: Arc<dyn Repositories>,
        reports: Arc<dyn Reports>,
    ) -> Result<Mounted, Error> {
        let counters = Arc::new(Counters::default());
        let root = VirtualRoot::new(repositories, reports, options.owner);
        let adapter = Adapter::start(root, counters.clone(), options.opens);
        let adapter = Arc::new(adapter.map_err(Error::Threads)?);
        let rings = rings(options.transport);
        let (device, identity) = mount::mount(options)?;
        // From here on, dropping this is what undoes the mount.
        let mounted = Mounted {
            identity,
            helper: Helper::new(options.helper.clone()),
            counters,
            is_detached: AtomicBool::new(false),
            end: Arc::default(),
        };
        let copy = device.try_clone().map_err(Error::Handshake)?;
        *mounted.end.device.lock() = Some(copy);
        let mut config = fuser::Config::default();
        config.n_threads = Some(EVENT_LOOP_THREADS);
        if adapter.passthrough.is_wanted() {
            let of_bodies = device.try_clone().map_err(Error::Handshake)?;
            adapter.passthrough.mounted(of_bodies);
        }
        let of_preload = device.try_clone().map_err(Error::Handshake)?;
        adapter.preload.mounted(of_preload);
        let of_rings = device.try_clone().map_err(Error::Handshake)?;
        let served = Device {
            adapter: Arc::clone(&adapter),
            transport: match rings {
                Some(_) => Transport::IoUring,
                None => Transport::Device,
            },
        };
        // The kernel itself checks who may use the mount, so fuser need not.
        let session =
            Session::from_fd(served, device, SessionACL::All, config).map_err(Error::Handshake)?;
        *mounted.end.notifier.lock() = Some(session.notifier());
        let (agreed, _) = mounted.counters.rings();
        let rings = rings.filter(|_| agreed);
        let (identity, end) = (mounted.identity.clone(), mounted.end.clone());
        let rings = rings.map(|rings| {
            let (identity, end) = (identity.clone(), end.clone());
            rings.serve(adapter, of_rings, move || abort(&identity, &end))
        });
        thread::Builder::new()
            .name("mesa-fuse".to_owned())
            .spawn(move || serve(session, rings, &identity, &end))
            .map_err(Error::Threads)?;
        if options.opens == Opens::Kernel {
            mounted.open_once();
        }
        Ok(mounted)
    }

    /// Opens a file, so that the kernel learns from our answer to send no opens: until then it sends a
    /// release for each file that is created, also where none is ever opened.
    fn open_once(&self) {
        let path = self.path().join(reports::PATH_OF_ANY);
        if let Err(error) = File::open(path) {
            tracing::debug!(%error, "the kernel learns later that it opens files by itself");
        }
    }

    /// The canonical path of the mount point.
    pub fn path(&self) -> &Path {
        &self.identity.path
    }

    /// The requests so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Has the kernel forget whether an organization has such a repository, and its listing: both are
    /// asked for again by whoever looks next.
    ///
    /// Waits for look-ups in that organization that are under way, so it is nothing for a thread that
    /// serves requests, or for one that holds what those need.
    pub fn forget_name(&self, organization: &Name, name: &Name) {
        let notifier = self.end.notifier.lock().clone();
        let node = NodeId::Virtual(inode::of_words(&[organization.as_bytes()]));
        let (Some(notifier), Some(node)) = (notifier, node.to_kernel()) else {
            return;
        };
        let forgotten = notifier
            .inval_entry(node, name.as_os_str())
            .and_then(|()| notifier.inval_inode(node, 0, 0));
        if let Err(error) = forgotten {
            tracing::warn!(%name, error = %error, "the kernel may show a repository as it was");
        }
    }

    /// Has the kernel let go of inodes that nobody uses; it forgets them soon after, and those above them
    /// that it kept for their sake. What is open, mapped, or a working directory stays as it is.
    ///
    /// # Errors
    ///
    /// `EINVAL` before Linux 6.18, which cannot be asked; others when the session is over.
    pub fn prune(&self, slot: Slot, inodes: &[Ino]) -> io::Result<()> {
        let device = self.end.device.lock().as_ref().map(OwnedFd::try_clone);
        let Some(device) = device.transpose()? else {
            return Ok(());
        };
        let mut device = File::from(device);
        let numbers = inodes
            .iter()
            .filter_map(|ino| NodeId::Repository(slot, *ino).to_kernel());
        let numbers: Vec<u64> = numbers.map(|number| number.0).collect();
        numbers
            .chunks(PRUNED_MAX)
            .try_for_each(|some| device.write_all(&notification(&Notification::Prune(some))))
    }

    /// Has the kernel drop all pages of files that it keeps: what is read next, we are asked for.
    ///
    /// Waits for reads of those files that are under way, so it is nothing for a thread that serves
    /// requests.
    ///
    /// # Errors
    ///
    /// Pages that are locked, or the session is over.
    pub fn drop_pages(&self, slot: Slot, inodes: &[Ino]) -> io::Result<()> {
        let Some(notifier) = self.end.notifier.lock().clone() else {
            return Ok(());
        };
        let nodes = inodes
            .iter()
            .filter_map(|ino| NodeId::Repository(slot, *ino).to_kernel());
        let dropped = nodes.map(|node| match notifier.inval_inode(node, 0, 0) {
            // Whoever has forgotten the file has no pages of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            dropped => dropped,
        });
        // All of them are told, whatever becomes of one.
        dropped.fold(Ok(()), io::Result::and)
    }

    /// Unmounts. The session goes on until nobody uses the mount any more: see [`Mounted::wait`].
    ///
    /// # Errors
    ///
    /// [`Error::Busy`], [`Error::Covered`], [`Error::Abort`] or [`Error::Unmount`]. If aborting
    /// fails, the mount is taken off the tree all the same, and the end of this process ends it.
    pub fn unmount(&self, how: Unmount) -> Result<Unmounted, Error> {
        let aborted = match how {
            Unmount::Force => self.abort(),
            Unmount::Clean | Unmount::Lazy => Ok(()),
        };
        // What we have taken off, or what has ended off the tree, cannot be there; and before Linux
        // 6.8 another mount could be taken for it.
        let is_gone = self.is_detached.load(Ordering::Acquire)
            || *self.end.how.lock() == Some(Ended::Unmounted);
        let unmounted = if is_gone {
            Unmounted::AlreadyGone
        } else {
            unmount::detach(&self.identity, &self.helper, how != Unmount::Clean)?
        };
        self.is_detached.store(true, Ordering::Release);
        aborted.map(|()| unmounted)
    }

    fn abort(&self) -> Result<(), Error> {
        match &*self.end.device.lock() {
            Some(device) => unmount::abort(&self.identity, device.as_fd()),
            None => Ok(()),
        }
    }

    /// Waits for the end of the session, whoever brings it about.
    pub fn wait(&self) -> Ended {
        let mut how = self.end.how.lock();
        loop {
            match *how {
                Some(how) => return how,
                None => self.end.came.wait(&mut how),
            }
        }
    }

    /// Waits for the end of the session, but not beyond a point in time.
    pub fn wait_until(&self, deadline: Instant) -> Option<Ended> {
        let mut how = self.end.how.lock();
        while how.is_none() && !self.end.came.wait_until(&mut how, deadline).timed_out() {}
        *how
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.unmount(Unmount::Lazy) {
            tracing::warn!(error = %error, "the mount stays behind");
        }
    }
}

/// The rings, if they are wanted and can be.
fn rings(transport: Transport) -> Option<Rings> {
    let rings = match transport {
        Transport::Device => return None,
        Transport::IoUring => Rings::prepare(),
    };
    let rings = rings.inspect_err(|why| {
        let cure = why.cure();
        tracing::warn!(%why, cure, "requests come by the device, not by io_uring");
    });
    rings.ok()
}

/// Aborts a connection that only a part of us would go on to serve.
fn abort(identity: &Identity, end: &End) {
    if let Some(device) = &*end.device.lock()
        && let Err(error) = unmount::abort(identity, device.as_fd())
    {
        tracing::error!(error = %error, "the mount is served in part");
    }
}

/// Runs the event loop, and the rings, to their end.
fn serve(session: Session<Device>, rings: Option<Served>, identity: &Identity, end: &End) {
    if let Err(error) = session.run() {
        // Seen after an abort from outside as well as after a thread of fuser's died.
        tracing::warn!(error = %error, "the FUSE session ended with an error");
        if rings.is_some() {
            abort(identity, end);
        }
    }
    // The workers have ended when the last of those is gone who own the file system.
    if let Some(rings) = rings {
        rings.wait();
    }
    *end.device.lock() = None;
    *end.notifier.lock() = None;
    let how = if unmount::is_attached(identity) {
        Ended::Aborted
    } else {
        Ended::Unmounted
    };
    *end.how.lock() = Some(how);
    end.came.notify_all();
}
