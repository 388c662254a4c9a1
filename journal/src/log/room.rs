//! How much room a segment takes, and what the last of it is kept for.

use crate::record::Record;

/// A segment grows in steps of this, or of its own size if that is less. Zeroes of this size cost about a third of a millisecond; a
/// sync after growing costs ten ordinary ones, and this spreads it over some 8,000 records.
const GROWTH_BYTES: u64 = 1 << 20;

/// Kept free for records that let space be freed. A removal takes about 100 bytes, so this is some
/// 10,000 of them in one go, for a tree of files that have no bytes here to give back; where they
/// have, what removals free lets the segment grow again. No more than a segment's size.
const RESERVE_BYTES: u64 = 1 << 20;

/// The smallest segment that makes sense: a page. A record that is larger has a segment to itself.
const SEGMENT_BYTES_MIN: u64 = 4096;

/// How segments grow and when they are closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(super) bytes_max: u64,
    pub(super) growth: u64,
    pub(super) reserve: u64,
}

impl Shape {
    pub(crate) fn new(segment_bytes_max: u64) -> Shape {
        let bytes_max = segment_bytes_max.max(SEGMENT_BYTES_MIN);
        Shape {
            bytes_max,
            growth: GROWTH_BYTES.min(bytes_max),
            reserve: RESERVE_BYTES.min(bytes_max),
        }
    }
}

/// Whether a record may go into the reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reserve {
    Usable,
    Kept,
}

/// On a full disk deleting and pushing must still work: they make room. So must opening, and what
/// people decide.
pub(super) fn frees_space(record: &Record) -> Reserve {
    match record {
        Record::Remove { .. }
        | Record::RemoveXattr { .. }
        | Record::Pin { .. }
        | Record::ForkIntended { .. }
        | Record::Forked { .. }
        | Record::PushIntended { .. }
        | Record::Pushed { .. }
        | Record::Held { .. }
        | Record::Released { .. }
        | Record::Dropped { .. }
        | Record::ConflictFound { .. }
        | Record::ConflictPath { .. }
        | Record::ConflictResolved { .. }
        | Record::PublishIntended { .. }
        | Record::Published { .. }
        | Record::BodiesDurable { .. }
        | Record::CopyUpUndone { .. } => Reserve::Usable,
        Record::Adopt { .. }
        | Record::Create { .. }
        | Record::CopyUp { .. }
        | Record::Bytes { .. }
        | Record::Link { .. }
        | Record::Rename { .. }
        | Record::SetAttributes { .. }
        | Record::SetXattr { .. }
        | Record::Write { .. }
        | Record::InodesTaken { .. }
        | Record::Pending { .. }
        | Record::PendingLater { .. } => Reserve::Kept,
    }
}
