//! How one request is served: found its repository, tried at once, moved to a worker if it needs
//! the network, answered.
//!
//! ```text
//!             +- settled ------------------------------> finish (reply)
//! operation --+- Missing --> worker: fetch, operation --+-> finish (reply)
//!             |                     ^------ Missing ----+
//!             +- failed -------------------------------> errno
//! ```
//!
//! Nothing that is on this machine waits behind what is not: a large object that only has to be
//! hashed, a repository that has been opened before and an fsync have workers of their own, however
//! many requests stand still for the network.
//!
//! An operation may run several times, and changes nothing until it succeeds; that is the overlay's
//! promise about `Missing`. Its reply goes out exactly once: a reply that is dropped, by a panic for
//! one, answers EIO by itself.
//!
//! Every entry-bearing reply (lookup, create, mkdir, ..., each entry of readdirplus) gives the kernel
//! one lookup reference, and the overlay has counted it by then. The kernel takes back what it was
//! given by `forget`. A reply fails to reach the kernel only when the connection is already aborted,
//! since a caller that was killed still waits for it; then no `forget` will come for anything, and
//! the references of the whole mount go with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::{Errno, FileAttr, INodeNo};
use tracing::info_span;

use super::counters::{Counters, RequestKind};
use super::current::{Current, Scope};
use super::inode::NodeId;
use super::passthrough::Passthrough;
use super::preload::Preload;
use super::reply::{ReplyAttr, ReplyEntry};
use super::root::VirtualRoot;
use super::workers::{self, Job, Turn, Workers};
use super::{Opened, Opens, Slot, attributes, errno, incident};
use crate::lower::Want;
use crate::overlay::{Error, Overlay};
use crate::traced::TRACED;
use crate::tree::{Attributes, Ino};

/// Requests that wait for the network at the same time. Each costs a thread that sleeps; a listing
/// or an object takes tens of milliseconds, so 16 fill a connection of some hundred requests a
/// second, and the lower layer shares one fetch among those who want the same.
const FETCH_THREADS: usize = 16;
/// Requests that wait for one of these threads. Each is a process of the user's that stands still,
/// or one of at most 16 read-aheads; and each may hold 1 MiB that it wants to write.
const FETCH_QUEUE: usize = 256;
/// Requests that wait for the network, or for a thread that does: whatever comes beyond is refused.
pub(super) const WAITING_MAX: usize = FETCH_THREADS + FETCH_QUEUE;
/// Large cached objects that are hashed at the same time, before their first use.
const HASH_THREADS: usize = 2;
/// Repositories that are opened at the same time, whose state is here: each may ask the server for
/// something newer, for a second or so.
const OPEN_THREADS: usize = 4;
/// Requests that wait for one of either.
const HERE_QUEUE: usize = 256;
/// Fsyncs at the same time. They have threads of their own because they must not wait behind the
/// network, and more than one because the journal's group commit lets those share a disk flush that
/// wait together.
const SYNC_THREADS: usize = 4;
/// Fsyncs that wait for a thread; beyond, the event loop does the work itself.
const SYNC_QUEUE: usize = 64;

/// A reply that can say no.
pub(super) trait Refuse: Sized + Send + 'static {
    fn refuse(self, errno: Errno);

    /// What was asked for, and the reply back; or `None`, and the reply is sent.
    fn given<T>(self, result: Result<T, Errno>) -> Option<(T, Self)> {
        match result {
            Ok(value) => Some((value, self)),
            Err(errno) => {
                self.refuse(errno);
                None
            }
        }
    }
}

/// An open repository and its number.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) slot: Slot,
    pub(super) overlay: Arc<Overlay>,
}

impl From<Opened> for Place {
    fn from(opened: Opened) -> Place {
        Place {
            slot: opened.slot,
            overlay: opened.overlay,
        }
    }
}

impl Place {
    /// Attributes under the kernel's number.
    pub(super) fn file_attr(&self, attributes: &Attributes) -> Result<FileAttr, Errno> {
        let node = NodeId::Repository(self.slot, attributes.ino);
        match node.to_kernel() {
            Some(number) => Ok(attributes::file_attr(number, attributes)),
            None => {
                tracing::error!(ino = attributes.ino.0, "an inode number over 48 bits");
                Err(Errno::EIO)
            }
        }
    }
}

/// What a node id stands for.
pub(super) enum Target {
    Virtual(Ino),
    Repository(Place, Ino),
}

/// The file system. What fuser calls is in `filesystem`, what rings call in `ring::dispatch`; the handlers
/// of both are by theme in `namespace`, `content`, `ranges`, `directory`, `metadata` and `xattr`.
pub(super) struct Adapter {
    pub(super) root: Arc<VirtualRoot>,
    pub(super) passthrough: Arc<Passthrough>,
    pub(super) preload: Arc<Preload>,
    pub(super) opens: Opens,
    counters: Arc<Counters>,
    hashers: Workers,
    openers: Workers,
    fetchers: Arc<Workers>,
    syncers: Workers,
}

impl Adapter {
    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// That of a thread that does not start.
    pub(super) fn start(
        root: VirtualRoot,
        counters: Arc<Counters>,
        opens: Opens,
    ) -> std::io::Result<Adapter> {
        let root = Arc::new(root);
        Ok(Adapter {
            preload: Arc::new(Preload::start(Arc::clone(&root), Arc::clone(&counters))?),
            root,
            passthrough: Arc::new(Passthrough::new(opens, Arc::clone(&counters))),
            opens,
            counters,
            hashers: Workers::start("mesa-hash", HASH_THREADS, HERE_QUEUE)?,
            openers: Workers::start("mesa-open", OPEN_THREADS, HERE_QUEUE)?,
            fetchers: Arc::new(Workers::start("mesa-fetch", FETCH_THREADS, FETCH_QUEUE)?),
            syncers: Workers::start("mesa-sync", SYNC_THREADS, SYNC_QUEUE)?,
        })
    }

    /// Says whether the kernel takes rings.
    pub(super) fn agree_on_rings(&self, agreed: bool) {
        self.counters.agree_on_rings(agreed);
    }

    /// A request has come by a ring.
    pub(super) fn count_ring(&self) {
        self.counters.count_ring();
    }

    /// Counts and names a request, and survives a panic of its handler. `handler` owns the reply.
    pub(super) fn guard(
        &self,
        kind: RequestKind,
        unique: u64,
        node: INodeNo,
        handler: impl FnOnce(),
    ) {
        let counted = match NodeId::of_kernel(node) {
            Some(NodeId::Virtual(_)) => RequestKind::Virtual,
            _ => kind,
        };
        let current = Current::begin(kind, counted, node.0, &self.counters);
        let _scope = Scope::enter(Some(current));
        let _span =
            tracing::trace_span!("request", kind = kind.name(), unique, node = node.0).entered();
        if catch_unwind(AssertUnwindSafe(handler)).is_err() {
            tracing::error!(
                kind = kind.name(),
                "a request panicked; it was answered EIO"
            );
        }
    }

    /// Finds what a node id stands for; ESTALE when its repository is not open.
    pub(super) fn target(&self, node: INodeNo) -> Result<Target, Errno> {
        match NodeId::of_kernel(node) {
            Some(NodeId::Virtual(ino)) => Ok(Target::Virtual(ino)),
            Some(NodeId::Repository(slot, ino)) => match self.root.repositories.opened(slot) {
                Some(overlay) => Ok(Target::Repository(Place { slot, overlay }, ino)),
                None => Err(Errno::ESTALE),
            },
            None => Err(Errno::ESTALE),
        }
    }

    /// The repository of a node that is about to change; the virtual directories are read-only.
    pub(super) fn writable(&self, node: INodeNo) -> Result<(Place, Ino), Errno> {
        match self.target(node)? {
            Target::Repository(place, ino) => Ok((place, ino)),
            Target::Virtual(_) => Err(Errno::EROFS),
        }
    }

    /// Runs an operation and answers with its result, on a worker once it needs the network.
    pub(super) fn run<R: Refuse, T: 'static>(
        &self,
        place: Place,
        mut reply: R,
        mut operation: impl FnMut(&Overlay, &mut R) -> Result<T, Error> + Send + 'static,
        finish: impl FnOnce(&Place, T, R) + Send + 'static,
    ) {
        match operation(&place.overlay, &mut reply) {
            Err(Error::Missing(want)) => self.settle(place, want, reply, operation, finish),
            result => answer(&place, result, reply, finish),
        }
    }

    /// As [`Adapter::run`] for an operation that may change how large a file is.
    pub(super) fn run_resizing<R: Refuse, T: 'static>(
        &self,
        node: INodeNo,
        place: Place,
        mut reply: R,
        mut operation: impl FnMut(&Overlay, &mut R) -> Result<T, Error> + Send + 'static,
        finish: impl FnOnce(&Place, T, R) + Send + 'static,
    ) {
        if !self.preload.changes(node) {
            return self.run(place, reply, operation, finish);
        }
        self.preload.later(Box::new(carried(move || {
            let result = workers::settled(&place.overlay, |overlay| operation(overlay, &mut reply));
            answer(&place, result, reply, finish);
        })));
    }

    /// Goes on with an operation that misses something, on a worker: one of those that the network
    /// cannot hold as long as it is here.
    pub(super) fn settle<R: Refuse, T: 'static>(
        &self,
        place: Place,
        want: Want,
        reply: R,
        mut operation: impl FnMut(&Overlay, &mut R) -> Result<T, Error> + Send + 'static,
        finish: impl FnOnce(&Place, T, R) + Send + 'static,
    ) {
        let fetchers = Arc::clone(&self.fetchers);
        let (pool, first) = match place.overlay.is_here(&want) {
            true => (&self.hashers, workers::settle_here as workers::Settle<T>),
            false => (&*self.fetchers, workers::settle as workers::Settle<T>),
        };
        submit(pool, reply, move |mut reply| {
            let mut tried = |overlay: &Overlay| operation(overlay, &mut reply);
            match first(&place.overlay, want, &mut tried) {
                Err(Error::Missing(next)) => submit(&fetchers, reply, move |mut reply| {
                    let mut tried = |overlay: &Overlay| operation(overlay, &mut reply);
                    let result = workers::settle(&place.overlay, next, &mut tried);
                    answer(&place, result, reply, finish);
                }),
                result => answer(&place, result, reply, finish),
            }
        });
    }

    /// Gives a request to the workers that may wait for the network; EAGAIN when all are taken.
    pub(super) fn fetch<R: Refuse>(&self, reply: R, work: impl FnOnce(R) + Send + 'static) {
        submit(&self.fetchers, reply, work);
    }

    /// Gives a request for a repository whose state is here to workers of its own.
    pub(super) fn open_here<R: Refuse>(&self, reply: R, work: impl FnOnce(R) + Send + 'static) {
        submit(&self.openers, reply, work);
    }

    /// Gives a request to the workers that wait for the disk, or does it here when all are taken.
    pub(super) fn sync(&self, work: impl FnOnce() + Send + 'static) {
        let work = carried(work);
        self.syncers.submit(Box::new(move |_| work()));
    }
}

/// Work that takes this thread's request along to the thread that does it.
fn carried(work: impl FnOnce() + Send) -> impl FnOnce() + Send {
    let span = tracing::Span::current();
    let current = Current::take();
    move || {
        let _scope = Scope::enter(current);
        let _entered = span.entered();
        work();
    }
}

/// Gives a request to a pool; EAGAIN when it is full.
fn submit<R: Refuse>(pool: &Workers, reply: R, work: impl FnOnce(R) + Send + 'static) {
    let span = tracing::Span::current();
    let (kind, node) = Current::what().unzip();
    let kind = kind.map(RequestKind::name);
    let waiting = info_span!(target: TRACED, "waiting", otel.name = kind, mesa.node = node);
    let current = Current::take();
    let job: Job = Box::new(move |turn| {
        let _scope = Scope::enter(current);
        let _entered = (span.entered(), waiting.entered());
        match turn {
            Turn::Worker => work(reply),
            Turn::Refused => {
                tracing::warn!("too many requests wait; refused one");
                reply.refuse(Errno::EAGAIN);
            }
        }
    });
    pool.submit(job);
}

/// Sends what came out of an operation.
pub(super) fn answer<R: Refuse, T>(
    place: &Place,
    result: Result<T, Error>,
    reply: R,
    finish: impl FnOnce(&Place, T, R),
) {
    match result {
        Ok(value) => finish(place, value, reply),
        Err(error) => {
            incident::note(place, &error);
            reply.refuse(errno::of(&error));
        }
    }
}

/// Replies with an entry that is valid until further notice.
pub(super) fn reply_entry(place: &Place, attributes: Attributes, reply: ReplyEntry) {
    match place.file_attr(&attributes) {
        Ok(attr) => {
            let valid = attributes::valid(&attributes);
            reply.entry(&valid, &attributes::TTL, &attr);
        }
        Err(errno) => reply.error(errno),
    }
}

/// Replies with attributes that are valid until further notice.
pub(super) fn reply_attr(place: &Place, attributes: Attributes, reply: ReplyAttr) {
    match place.file_attr(&attributes) {
        Ok(attr) => reply.attr(&attributes::valid(&attributes), &attr),
        Err(errno) => reply.error(errno),
    }
}
