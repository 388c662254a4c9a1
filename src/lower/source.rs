//! The snapshot, and the trait through which its contents arrive.

use std::io::Write;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::{ListingEntry, SourceError};
use crate::tree::{ChangeId, GitOid, Timestamp, TreePath};

/// The snapshot that a checkout shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The change that was checked out.
    pub change: ChangeId,
    /// The commit that it had.
    pub commit: GitOid,
    /// That commit's root tree.
    pub tree: GitOid,
    /// When it was committed: the times that files of the snapshot show.
    pub time: Timestamp,
}

#[cfg(test)]
impl Pin {
    /// One for tests.
    pub(crate) const SAMPLE: Pin = Pin {
        change: ChangeId([1; 16]),
        commit: GitOid([2; 20]),
        tree: GitOid([3; 20]),
        time: Timestamp {
            seconds: 0,
            nanoseconds: 0,
        },
    };
}

/// Something of the snapshot that is not in the local store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// A directory's listing.
    Listing {
        /// Where the snapshot has it.
        path: TreePath,
        /// Its tree object.
        oid: GitOid,
    },
    /// The bytes of a file or symbolic link.
    Object {
        /// Where the snapshot has it.
        path: TreePath,
        /// Its blob object.
        oid: GitOid,
        /// Bytes, as its directory's listing says.
        size: u64,
    },
    /// Some bytes of a large file.
    Part {
        /// Where the snapshot has it.
        path: TreePath,
        /// Its blob object.
        oid: GitOid,
        /// Bytes of the whole, as its directory's listing says.
        size: u64,
        /// The wanted bytes; none beyond the end.
        range: Range<u64>,
    },
}

impl Want {
    /// The object that is wanted.
    pub fn oid(&self) -> GitOid {
        match self {
            Want::Listing { oid, .. } | Want::Object { oid, .. } | Want::Part { oid, .. } => *oid,
        }
    }
}

/// Whose word a listing is: listings are shared within a domain only.
///
/// A blob's hash proves its bytes, so blobs are shared by everyone who has the hash. A listing tells
/// sizes, which no Git hash covers, so one server must not be able to tell another server's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Domain([u8; 16]);

impl Domain {
    /// The domain that `text`, such as a server's address, names.
    pub fn of(text: &str) -> Domain {
        let mut bytes = [0; 16];
        let hash = blake3::hash(text.as_bytes());
        for (byte, source) in bytes.iter_mut().zip(hash.as_bytes()) {
            *byte = *source;
        }
        Domain(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Bytes of an object as they arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The SHA-256 of what was sent, by the word of whoever sent it.
    pub sha256: [u8; 32],
}

impl Part {
    /// Whether it is that many bytes, and what was sent.
    pub(super) fn is_sound(&self, length: u64) -> bool {
        self.bytes.len() as u64 == length && *Sha256::digest(&self.bytes) == self.sha256
    }
}

/// A file or symbolic link of a snapshot: its path, its blob object, and its bytes.
pub type Located = (TreePath, GitOid, u64);

/// Whoever takes objects as they come.
pub trait Taker: Send {
    /// Whether an object is still wanted that is about to be asked for by itself.
    fn wants(&mut self, _oid: GitOid) -> bool {
        true
    }

    /// Takes an object; says whether more are wanted.
    fn take(&mut self, oid: GitOid, bytes: &[u8]) -> bool;
}

impl<Take: FnMut(GitOid, &[u8]) -> bool + Send> Taker for Take {
    fn take(&mut self, oid: GitOid, bytes: &[u8]) -> bool {
        self(oid, bytes)
    }
}

/// Where listings and objects come from: one attempt per call, blocking, with a deadline of its own
/// (a call that makes no progress for long ends by itself).
pub trait Source: Send + Sync {
    /// The directory `tree`, which the pinned commit has at `path`.
    ///
    /// # Errors
    ///
    /// Any of [`SourceError`] but `Sink`.
    fn listing(
        &self,
        pin: &Pin,
        path: &TreePath,
        tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError>;

    /// Hands the directory `tree`, which the pinned commit has at `path`, and those below it to `take`,
    /// parents before children, each once, until `take` returns `false`, or `bytes_max` bytes have told
    /// of them; says whether the source can do that at all. Some may be left out, and a failure after
    /// some have come is no reason to give them back.
    ///
    /// # Errors
    ///
    /// As [`Source::listing`].
    fn listings_below(
        &self,
        _pin: &Pin,
        _top: (&TreePath, GitOid),
        _bytes_max: Option<u64>,
        _take: &mut (dyn FnMut(GitOid, Vec<ListingEntry>) -> bool + Send),
    ) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// Whether each of many objects costs a request of its own.
    fn asks_one_by_one(&self) -> bool {
        false
    }

    /// Hands objects of the pinned commit to `taker`, in one request or several at a time, until it wants
    /// no more; says whether the source can do that at all. Some may be left out. The caller verifies them.
    ///
    /// # Errors
    ///
    /// As [`Source::listing`].
    fn objects(
        &self,
        _pin: &Pin,
        _wanted: &[Located],
        _taker: &mut dyn Taker,
    ) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// Writes the bytes of `oid`, which the pinned commit has at `path`, into `sink`, from the
    /// first to the last. The caller verifies them.
    ///
    /// # Errors
    ///
    /// Any of [`SourceError`]; `Sink` when the sink failed.
    fn object(
        &self,
        pin: &Pin,
        path: &TreePath,
        oid: GitOid,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<(), SourceError>;

    /// A range of the bytes of `oid`, which has `size` of them; `None` when the source has no ranges. The
    /// caller verifies it.
    ///
    /// # Errors
    ///
    /// As [`Source::listing`].
    fn range(
        &self,
        _pin: &Pin,
        _oid: GitOid,
        _size: u64,
        _range: &Range<u64>,
    ) -> Result<Option<Part>, SourceError> {
        Ok(None)
    }

    /// Whose word the listings are, and the parts of objects that are not whole.
    fn domain(&self) -> Domain {
        Domain::default()
    }
}
