//! The points of this crate at which a debug build can be made to die; see [`journal::failpoint`].
//!
//! `tests/failpoints` goes through all of them, and through the journal's.

use journal::failpoints;

failpoints! {
    /// The journal is recovered; nothing else was looked at.
    OPEN_JOURNAL = "overlay.open.journal";
    /// The index is read; the records after it are not applied.
    OPEN_INDEX = "overlay.open.index";
    /// A body that belongs to nothing is deleted; there may be others.
    BODY_SWEPT = "upper.body.swept";
    /// An index in doubt is out of the way; there is no other.
    INDEX_SET_ASIDE = "upper.index.set-aside";
    /// The snapshot that is beneath is recorded.
    PINNED = "overlay.pin.recorded";
    /// The bytes of a lower file are copied aside.
    COPY_PREPARED = "overlay.copy.prepared";
    /// The copy is the body; no record says so.
    COPY_INSTALLED = "overlay.copy.installed";
    /// A record says that the body is a copy, and none that its bytes count.
    COPY_TOLD = "overlay.copy.told";
    /// Bodies are synced; no record says so.
    BODIES_SYNCED = "overlay.bodies.synced";
    /// A record says so, and may not be durable.
    BODIES_NOTED = "overlay.bodies.noted";
    /// The journal has what an fsync is to make durable, and is not synced.
    BYTES_TOLD = "overlay.bytes.told";
    /// A record says that the bytes are in the body.
    COPY_MARKED = "overlay.copy.marked";
    /// A write is announced in the journal; the bytes are not in the body.
    WRITE_MARKED = "overlay.write.marked";
    /// The bytes are in the body; nobody was told.
    WRITE_DONE = "overlay.write.done";
    /// A body whose file is gone for good is about to be deleted.
    GRAVE_DUE = "overlay.grave.due";
    /// It is deleted.
    GRAVE_SWEPT = "overlay.grave.swept";
    /// A checkpoint is taken from the state; the journal may be behind it.
    CHECKPOINT_TAKEN = "overlay.checkpoint.taken";
    /// The journal is durable up to the checkpoint.
    CHECKPOINT_JOURNALED = "overlay.checkpoint.journaled";
    /// The index has the checkpoint in memory.
    CHECKPOINT_APPLIED = "upper.checkpoint.applied";
    /// The index has the checkpoint in its file.
    CHECKPOINT_FLUSHED = "upper.checkpoint.flushed";
    /// The index has the checkpoint for good.
    CHECKPOINT_SYNCED = "upper.checkpoint.synced";
    /// It is recorded that nothing is to be pushed; the replay does not know.
    HELD = "decision.hold.recorded";
    /// It is recorded that pushing may go on; the replay does not know.
    RELEASED = "decision.release.recorded";
    /// It is recorded that something pending is given up.
    DROPPED = "decision.drop.recorded";
    /// What is to be pushed is captured.
    CAPTURED = "overlay.capture.taken";
    /// It is recorded that a change will be asked for.
    FORK_INTENDED = "replay.fork.intended";
    /// The server has made the change.
    FORK_ANSWERED = "replay.fork.answered";
    /// The change is recorded.
    FORK_RECORDED = "replay.fork.recorded";
    /// It is recorded that a push will be sent.
    PUSH_INTENDED = "replay.push.intended";
    /// The server has a content that the push will name.
    BLOB_UPLOADED = "replay.blob.uploaded";
    /// The server has accepted the push.
    PUSH_ANSWERED = "replay.push.answered";
    /// It is recorded that it has; the state does not know.
    PUSH_RECORDED = "replay.push.recorded";
    /// The server has told what became of a push whose answer was lost.
    PUSH_SETTLED = "replay.push.settled";
    /// It is recorded that a bookmark will be given the change.
    PUBLISH_INTENDED = "publish.intended";
    /// The server has moved the bookmark.
    BOOKMARK_MOVED = "publish.moved";
    /// The change has a bookmark of its own, which is to be merged.
    MERGE_NAMED = "publish.named";
    /// The server has merged it.
    MERGED = "publish.merged";
    /// It is recorded that the bookmark has the change; a conflict that this settles is still open.
    PUBLISHED = "publish.recorded";
    /// The journal has one record more of those that a conflict takes: what it is, then its paths.
    CONFLICT_IN_PART = "conflict.part.recorded";
    /// It has them all.
    CONFLICT_RECORDED = "conflict.recorded";
    /// It is recorded that a conflict is settled.
    CONFLICT_RESOLVED = "conflict.resolved";
    /// Bodies that a damaged journal does not tell of are out of the way; it is as it was.
    REPAIR_BODIES = "repair.bodies.settled";
    /// The index is removed as well.
    REPAIR_INDEX = "repair.index.removed";
    /// A path that an import is to take away is gone; nothing came yet.
    IMPORT_REMOVED = "import.removed";
    /// A file of an import is there.
    IMPORT_PUT = "import.put";
}
