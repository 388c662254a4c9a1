//! What is known of a body that is being sent, and of the line that it goes over.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use crate::tree::GitOid;

/// Bytes per chunk of a body that is sent: on the slowest line that is worth using (16 KiB/s) one
/// goes every four seconds, so that such a line does not look like a dead one.
pub(super) const SEND_CHUNK_BYTES: usize = 64 * 1024;

/// When bytes last came or went.
pub(super) struct Activity(Mutex<Instant>);

impl Default for Activity {
    fn default() -> Activity {
        Activity(Mutex::new(Instant::now()))
    }
}

impl Activity {
    /// They do now.
    pub(super) fn note(&self) {
        *self.0.lock() = Instant::now();
    }

    /// How long they have not.
    pub(super) fn quiet(&self) -> Duration {
        self.0.lock().elapsed()
    }
}

/// What went of one body.
pub(super) struct Sent {
    pub(super) activity: Arc<Activity>,
    bytes: AtomicU64,
    moved: Mutex<Instant>,
    hash: Mutex<Sha1>,
    failed: Mutex<Option<io::Error>>,
}

impl Sent {
    pub(super) fn new(activity: Arc<Activity>) -> Sent {
        Sent {
            activity,
            bytes: AtomicU64::new(0),
            moved: Mutex::new(Instant::now()),
            hash: Mutex::default(),
            failed: Mutex::new(None),
        }
    }

    /// The same chunks of a body of this length, and a note of each.
    pub(super) fn watched<S>(
        self: &Arc<Sent>,
        chunks: S,
        length: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<S>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        self.hash.lock().update(format!("blob {length}\0"));
        let sent = Arc::clone(self);
        chunks.map(move |chunk| match chunk {
            Ok(chunk) => {
                sent.hash.lock().update(&chunk);
                let length = chunk.len() as u64;
                *sent.moved.lock() = Instant::now();
                // The first one goes into a buffer, whatever becomes of it.
                if sent.bytes.fetch_add(length, Ordering::Relaxed) > 0 {
                    sent.activity.note();
                }
                Ok(chunk)
            }
            Err(error) => {
                let kind = error.kind();
                *sent.failed.lock() = Some(error);
                Err(io::Error::from(kind))
            }
        })
    }

    /// How many bytes went.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the last of them went.
    pub(super) fn moved(&self) -> Instant {
        *self.moved.lock()
    }

    /// The id of a Git blob with these bytes.
    pub(super) fn oid(&self) -> GitOid {
        GitOid(self.hash.lock().clone().finalize().into())
    }

    /// Why the body could not be read, if that is so.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.lock().take()
    }
}

/// A body in chunks.
pub(super) fn chunks_of(bytes: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::unfold(bytes, |mut bytes| async move {
        let length = bytes.len().min(SEND_CHUNK_BYTES);
        (length > 0).then(|| (Ok(bytes.split_to(length)), bytes))
    })
}
