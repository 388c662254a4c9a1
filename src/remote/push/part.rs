//! One PATCH in the making: what still fits, and what this server wants in the next one.

use super::super::Extensions;
use super::super::api::{FileOp, LARGE_BYTES};
use super::batch::Batch;
use super::plan::{Action, Bytes, Removed, Step};

/// Contents within one PATCH; a third more as base64, and twice that while it is encoded.
const INLINE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Largest single content within a PATCH, where the server stores blobs: beyond it, a request of its
/// own costs less than the encoding.
const INLINE_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Contents of a push that travel within its PATCH, where the server takes batches: with more, a
/// batch ahead of it costs less than the encoding, in two requests more.
const INLINE_PUSH_BYTES_MAX: u64 = 256 * 1024;

/// The PATCH that is being put together.
pub(super) struct Part {
    pub(super) extensions: Extensions,
    pub(super) operations: Vec<FileOp>,
    pub(super) inline_bytes: u64,
    /// Whether contents go ahead, in batches.
    pub(super) batches: bool,
    pub(super) batch: Batch,
    removed: Removed,
}

impl Part {
    /// One of a push with so many bytes of contents.
    pub(super) fn new(extensions: Extensions, body_bytes: u64) -> Part {
        Part {
            extensions,
            operations: Vec::new(),
            inline_bytes: 0,
            batches: extensions.blob_batches && body_bytes > INLINE_PUSH_BYTES_MAX,
            batch: Batch::default(),
            removed: Removed::default(),
        }
    }

    /// Whether a body of this size goes ahead, in a request of its own.
    pub(super) fn uploads(&self, size: u64) -> bool {
        if self.batches {
            return size > LARGE_BYTES;
        }
        self.extensions.blobs
            && (size > INLINE_FILE_BYTES_MAX || self.inline_bytes + size > INLINE_BYTES_MAX)
    }

    /// Whether this server needs what there is before the step.
    pub(super) fn must_end_before(&self, step: &Step) -> bool {
        let contradicts = !self.extensions.ordered
            && !matches!(step.action, Action::Remove)
            && self.removed.forbids(&step.path);
        let size = match &step.action {
            Action::Put(_, Bytes::Body(_, body)) => body.size(),
            Action::Put(_, Bytes::Lower { size, .. }) => *size,
            _ => 0,
        };
        let overflows = !self.extensions.blobs
            && !self.operations.is_empty()
            && self.inline_bytes + size > INLINE_BYTES_MAX;
        contradicts || overflows
    }

    pub(super) fn add(&mut self, step: &Step, operation: FileOp) {
        if matches!(step.action, Action::Remove) {
            self.removed.add(&step.path);
        }
        self.operations.push(operation);
    }

    pub(super) fn take(&mut self) -> Vec<FileOp> {
        self.inline_bytes = 0;
        self.removed.clear();
        std::mem::take(&mut self.operations)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::api::FileMode;
    use super::*;
    use crate::tree::{GitOid, TreePath};

    const STORES: Extensions = Extensions {
        snapshots: false,
        blobs: true,
        blob_batches: false,
        uploads: false,
        commit_read: false,
        symlinks: false,
        directories: false,
        graft: false,
        ordered: true,
        idempotency: false,
        trees: false,
        objects: false,
        ranges: false,
    };
    const STOCK: Extensions = Extensions {
        blobs: false,
        ..STORES
    };

    fn content(size: u64) -> Step {
        let (oid, from) = (GitOid([1; 20]), TreePath::ROOT);
        let bytes = Bytes::Lower { oid, size, from };
        Step {
            path: "file".to_owned(),
            action: Action::Put(FileMode::Plain, bytes),
        }
    }

    fn part(extensions: Extensions, inline_bytes: u64) -> Part {
        let mut part = Part::new(extensions, 0);
        part.add(&content(0), FileOp::delete("other".to_owned()));
        part.inline_bytes = inline_bytes;
        part
    }

    #[test]
    fn a_body_goes_ahead_when_it_is_large_or_there_are_many_and_where_blobs_are_stored() {
        assert!(!part(STORES, 0).uploads(INLINE_FILE_BYTES_MAX));
        assert!(part(STORES, 0).uploads(INLINE_FILE_BYTES_MAX + 1));
        assert!(!part(STORES, INLINE_BYTES_MAX - 7).uploads(7));
        assert!(part(STORES, INLINE_BYTES_MAX - 7).uploads(8));
        assert!(!part(STOCK, INLINE_BYTES_MAX).uploads(INLINE_BYTES_MAX));
    }

    #[test]
    fn contents_go_in_batches_once_there_are_many_and_the_server_takes_them() {
        let takes = Extensions {
            blob_batches: true,
            ..STORES
        };
        assert!(!Part::new(takes, INLINE_PUSH_BYTES_MAX).batches);
        let part = Part::new(takes, INLINE_PUSH_BYTES_MAX + 1);
        assert!(part.batches && !part.uploads(LARGE_BYTES) && part.uploads(LARGE_BYTES + 1));
        assert!(!Part::new(STORES, u64::MAX).batches);
    }

    #[test]
    fn a_part_ends_before_what_makes_it_too_large_and_can_go_in_no_other_way() {
        let full = INLINE_BYTES_MAX - 7;
        assert!(!part(STOCK, full).must_end_before(&content(7)));
        assert!(part(STOCK, full).must_end_before(&content(8)));
        assert!(part(STOCK, full).must_end_before(&content(full)));
        assert!(!part(STORES, full).must_end_before(&content(8)));
        let empty = Part::new(STOCK, 0);
        assert!(!empty.must_end_before(&content(INLINE_BYTES_MAX + 1)));
    }
}
