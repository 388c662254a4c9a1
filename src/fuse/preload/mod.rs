//! Small files that the kernel is given before it asks for them (`FUSE_NOTIFY_STORE`): whoever reads the files
//! of a directory one after the other waits for a few of them, and not for a request each.
//!
//! ```text
//! listed --> candidate --+-- read, written, cut, ... --> the kernel's own
//!                        +-- given --> on its way --+--> there
//!                                                   +-- read, written, cut, ... --> withdrawn
//! ```
//!
//! **What the kernel has is never overwritten.** It stores what it is given over any page, also one that a
//! program has changed by a map, of which we are told later. So a file is a candidate only when a listing is
//! the first that the kernel hears of it, and no more from the first request on that is about its bytes. Such a
//! request also withdraws what is on its way ([`Payload`]), before it is answered:
//!
//! - A read or a write has its pages locked until then, and so the kernel copies nothing into those meanwhile,
//!   nor into any that it locks later. What is in another page already is what was there to be read.
//! - What changes a size (`truncate`, `fallocate`, `copy_file_range`) has no page locked, and the kernel looks
//!   at the size before it copies. That is put off until the message has ended ([`Preload::later`]), and
//!   nobody else waits for it: the message may wait for a page whose read is to be served first.
//!
//! That is how `fuse_notify_store` works, from its first version (Linux 2.6.36) to 6.18; a test holds the kernel
//! that it runs on to it. To withdraw takes the lock of this process's memory, which nobody here holds while he
//! waits for the mount: we map no file of it.
//!
//! One thread of its own gives them, so that no request waits for one. It is guesswork: what is not here, or is
//! withdrawn, is read as it always is. `plan.rs` has who is given what.

mod payload;
mod plan;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::INodeNo;
use journal::failpoint;
use parking_lot::{Condvar, Mutex};

use self::payload::Payload;
use self::plan::Plan;
use super::Counters;
use super::inode::NodeId;
use super::root::VirtualRoot;
use super::wire::{Notification, notification};
use crate::overlay::Overlay;
use crate::tree::{Attributes, Ino, Kind};

/// The largest file: what the kernel asks for in one read, when a reader has read from front to back. Of larger
/// ones the requests are few for what they bring.
const FILE_BYTES_MAX: u64 = 128 << 10;
/// Files that are to be given and are not yet: more than one listing shows.
const QUEUED_MAX: usize = 1_024;
/// The most that is given of one listing, so that a reader who stops has cost little.
const LISTING_BYTES_MAX: u64 = 4 << 20;

/// Files of one listing of which the kernel may not have heard before.
#[derive(Default)]
pub(super) struct Unknown {
    files: Vec<(u64, Ino)>,
    bytes: u64,
}

impl Unknown {
    /// Adds an entry, if it is a file that may be given.
    pub(super) fn add(&mut self, node: INodeNo, attributes: &Attributes) {
        let is_small = (1..=FILE_BYTES_MAX).contains(&attributes.size);
        let bytes = self.bytes + attributes.size;
        if attributes.kind == Kind::File
            && !attributes.volatile
            && is_small
            && bytes <= LISTING_BYTES_MAX
        {
            self.bytes = bytes;
            self.files.push((node.0, attributes.ino));
        }
    }
}

/// Work that was put off.
type Job = Box<dyn FnOnce() + Send>;

/// Gives files to the kernel, on a thread of its own that ends with this.
pub(super) struct Preload {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    payload: Payload,
}

#[derive(Default)]
struct State {
    plan: Plan,
    queue: VecDeque<u64>,
    on_its_way: Option<OnItsWay>,
    put_off: VecDeque<Job>,
    /// From the mount on.
    device: Option<Arc<OwnedFd>>,
    is_closed: bool,
}

struct OnItsWay {
    file: u64,
    is_withdrawn: bool,
}

/// What the thread does next.
enum Next {
    Give(u64),
    Do(Job),
}

impl Preload {
    /// Starts the thread, which has nothing to do before [`Preload::mounted`].
    ///
    /// # Errors
    ///
    /// That of a thread that does not start, or no memory.
    pub(super) fn start(root: Arc<VirtualRoot>, counters: Arc<Counters>) -> io::Result<Preload> {
        let size = NonZeroUsize::new(FILE_BYTES_MAX as usize).unwrap_or(NonZeroUsize::MIN);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            payload: Payload::new(size)?,
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("mesa-preload".to_owned())
            .spawn(move || of_thread.run(&root, &counters))?;
        Ok(Preload {
            shared,
            thread: Some(thread),
        })
    }

    /// Says where the kernel listens.
    pub(super) fn mounted(&self, device: OwnedFd) {
        self.shared.state.lock().device = Some(Arc::new(device));
    }

    /// Notes files that a listing is about to show to the kernel, but for those that it knows.
    pub(super) fn listed(&self, directory: INodeNo, unknown: Unknown, overlay: &Overlay) {
        let Unknown { mut files, .. } = unknown;
        // The overlay's lock within this one, and nowhere the other way round. Whoever looked a file up before
        // has a reference by now, and whoever does later is not served before this is over.
        let mut state = self.shared.state.lock();
        overlay.retain_new(&mut files);
        let files = files.into_iter().map(|(file, _)| file).collect();
        state.plan.listed(directory.0, files);
    }

    /// Notes that a listing goes on or is over, so that the kernel has heard of what came before.
    pub(super) fn goes_on(&self, directory: INodeNo) {
        let mut state = self.shared.state.lock();
        let next = state.plan.heard(directory.0, Instant::now());
        self.shared.give_soon(&mut state, next);
    }

    /// Notes that a file is read, before it is.
    pub(super) fn read(&self, file: INodeNo) {
        let mut state = self.shared.state.lock();
        self.shared.withdraw(&mut state, file.0);
        let next = state.plan.read(file.0, Instant::now());
        self.shared.give_soon(&mut state, next);
    }

    /// Notes that bytes of a file change, before they do; says whether some of it are on their way all the
    /// same, to pages that nobody has locked.
    pub(super) fn changes(&self, file: INodeNo) -> bool {
        let mut state = self.shared.state.lock();
        state.plan.take(file.0);
        self.shared.withdraw(&mut state, file.0)
    }

    /// Does something on the thread, when nothing is on its way.
    pub(super) fn later(&self, job: Job) {
        self.shared.state.lock().put_off.push_back(job);
        self.shared.changed.notify_all();
    }
}

impl Drop for Preload {
    fn drop(&mut self) {
        self.shared.state.lock().is_closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It catches what panics.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, root: &VirtualRoot, counters: &Counters) {
        while let Some(next) = self.next() {
            let done = catch_unwind(AssertUnwindSafe(|| match next {
                Next::Do(job) => job(),
                Next::Give(file) => {
                    if let Some(bytes) = content(root, INodeNo(file)) {
                        self.give(file, &bytes, counters);
                    }
                }
            }));
            if done.is_err() {
                tracing::error!("what was to be given or done later panicked");
            }
        }
    }

    fn give_soon(&self, state: &mut State, files: Vec<u64>) {
        if !files.is_empty() {
            let room = QUEUED_MAX.saturating_sub(state.queue.len());
            state.queue.extend(files.into_iter().take(room));
            self.changed.notify_all();
        }
    }

    /// Waits for something to do; what was put off comes first. `None` at the end.
    fn next(&self) -> Option<Next> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.put_off.pop_front() {
                return Some(Next::Do(job));
            }
            if state.is_closed {
                return None;
            }
            while let Some(file) = state.queue.pop_front() {
                if state.plan.has(file) {
                    return Some(Next::Give(file));
                }
            }
            self.changed.wait(&mut state);
        }
    }

    /// Gives the bytes of a file to the kernel, unless it has been asked for them.
    fn give(&self, file: u64, bytes: &[u8], counters: &Counters) {
        let Some(device) = self.state.lock().device.clone() else {
            return;
        };
        // SAFETY: on the thread, and what was withdrawn is restored at the end of each message; where that
        // failed there is no device any more.
        if !unsafe { self.payload.fill(bytes) } {
            return;
        }
        {
            let mut state = self.state.lock();
            if !state.plan.take(file) {
                return;
            }
            state.on_its_way = Some(OnItsWay {
                file,
                is_withdrawn: false,
            });
        }
        let header = notification(&Notification::Store {
            node: file,
            bytes: bytes.len() as u32,
        });
        // A debug build waits here if a test says so, for requests that withdraw it.
        let wait = failpoint::limit("MESA_TEST_PRELOAD_WAIT_MS", 0);
        if wait > 0 {
            thread::sleep(Duration::from_millis(wait));
        }
        let written = self.payload.write(device.as_fd(), &header, bytes.len());
        self.ended();
        match written {
            Ok(()) => counters.count_preloaded(),
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                counters.count_withdrawn();
            }
            // The kernel has forgotten it, or nobody is mounted any more.
            Err(error) => tracing::trace!(file, %error, "a file is not given to the kernel"),
        }
    }

    fn ended(&self) {
        let mut state = self.state.lock();
        let was = state.on_its_way.take();
        if was.is_some_and(|was| was.is_withdrawn)
            && let Err(error) = self.payload.restore()
        {
            tracing::warn!(%error, "no more files are given to the kernel before it asks");
            state.device = None;
        }
    }

    /// Withdraws what is on its way of a file; says whether something was.
    fn withdraw(&self, state: &mut State, file: u64) -> bool {
        match &mut state.on_its_way {
            Some(on_its_way) if on_its_way.file == file => {
                if !on_its_way.is_withdrawn
                    && let Err(error) = self.payload.withdraw()
                {
                    tracing::error!(%error, "a file is given to the kernel that asks for it");
                }
                on_its_way.is_withdrawn = true;
                true
            }
            _ => false,
        }
    }
}

/// All bytes of a file, if they are here and few enough.
fn content(root: &VirtualRoot, file: INodeNo) -> Option<Vec<u8>> {
    let Some(NodeId::Repository(slot, ino)) = NodeId::of_kernel(file) else {
        return None;
    };
    let overlay = root.repositories.opened(slot)?;
    let mut bytes = Vec::new();
    let room = FILE_BYTES_MAX as usize + 1;
    overlay.read(ino, 0, room, &mut bytes).ok()?;
    (!bytes.is_empty() && bytes.len() < room).then_some(bytes)
}
