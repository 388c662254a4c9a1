//! The words of Mesa's REST contract, shared by the client (`remote`) and the server (`server`).
//!
//! Plain data that serde reads and writes, nothing that does I/O. What a server may leave out is
//! optional, and fields that we do not know are ignored, so that both generations of the hosted
//! service (0.38 and 0.49) decode; we write the superset of both. Identifiers decode into the
//! checked types of [`crate::tree`], so a malformed one is a decoding error, never a path or a key.

mod change;
mod content;
mod date;
mod diff;
mod files;
mod keys;
mod merge;
mod objects;
mod organization;
mod text;
pub mod token;
mod upstream;
mod webhook;

pub use change::{Author, Change, ChangeDetail, ChangePatch, Ident, NewChange};
pub use content::{Content, DirectoryContent, Entry, FileContent, SubmoduleEntry};
pub use date::{DateError, format_date, parse_date};
pub use diff::{Diff, DiffEntry, DiffHunk, DiffLine, DiffOmitted, DiffStats, DiffStatus, LineKind};
pub use files::{Action, Encoding, FileMode, FileOp};
pub use keys::{
    ApiKey, ApiKeyPage, ApiKeyPatch, CreatedApiKey, KeyStatus, KeyText, NewApiKey, PatchedApiKey,
};
pub use merge::{
    ConflictDetails, ConflictHunk, ConflictedEntry, HunkContent, HunkResolution, MergeAnswer,
    MergeRequest, MergeType, OmittedReason, Resolution, Take,
};
pub use objects::{
    BATCH_BYTES_MAX, LARGE_BYTES, MissingObjects, NewUpload, OBJECTS_MAX, ObjectsRequest,
    RANGE_BYTES_MAX, SnapshotAnswer, StoredBlobs, TreeEntry, TreeListing, TreeMode, TreesRequest,
    Upload,
};
pub use organization::{
    Bookmark, BookmarkMove, BookmarkPage, ChangePage, ErrorBody, ErrorDetail, Expected,
    MovedBookmark, NewBookmark, NewRepo, Org, Organization, Repo, RepoPage, RepoPatch, StoredBlob,
    Success, SyncPage, TagAction, TagPatch, TagsUpdated, WebhookTargetPage, Whoami,
};
pub use upstream::{
    AuthKind, Direction, NewSync, NewUpstream, RefGlobs, Sync, Upstream, UpstreamAuth,
    UpstreamPatch,
};
pub use webhook::{
    NewTarget, TargetInput, TargetPatch, WEBHOOK_EVENTS, WEBHOOK_SIGNATURE, WebhookDelivery,
    WebhookTarget,
};

/// Names of the extensions that a server advertises in `whoami`; a client uses one only if it is
/// advertised, since a service that does not know a field ignores it in silence.
pub mod extension {
    /// `GET content?commit_oid=`: reads of one commit, so that two reads are one snapshot.
    pub const COMMIT_READ: &str = "commit-read";
    /// `POST ext/blobs` and `FileOp.blob`: contents travel as raw bytes, before the change.
    pub const BLOBS: &str = "blobs";
    /// `POST ext/blobs/batch` and `POST ext/blobs/missing`: many small contents in one request, and
    /// which ones the server lacks.
    pub const BLOB_BATCHES: &str = "blob-batches";
    /// `FileOp.mode` may be `120000`.
    pub const SYMLINKS: &str = "symlinks";
    /// `FileOp.action` may be `mkdir`; empty directories exist.
    pub const DIRECTORIES: &str = "directories";
    /// `FileOp.action` may be `graft`: a path becomes an existing tree.
    pub const GRAFT: &str = "graft";
    /// Operations apply in list order, and a path may be deleted and then written in one call.
    pub const ORDERED: &str = "ordered";
    /// `Idempotency-Key` on `POST changes` and `POST bookmarks/merge`: the same key gives the same
    /// change again.
    pub const IDEMPOTENCY: &str = "idempotency";
    /// Bytes of content answer `Range`, and carry the blob's id as their `ETag`.
    pub const RANGE: &str = "range";
    /// A range of at most [`RANGE_BYTES_MAX`](super::RANGE_BYTES_MAX) bytes carries a `Content-Digest`
    /// (RFC 9530, `sha-256`), so that what a client has of a blob is checked before it has all.
    pub const RANGE_DIGESTS: &str = "range-digests";
    /// `GET ext/blobs/{sha}` and `POST ext/objects`: blobs by their id, many in one request.
    pub const OBJECTS: &str = "objects";
    /// `POST ext/trees`: listings by their id, many in one request, with those below them.
    pub const TREES: &str = "trees";
    /// `GET ext/snapshot`: a bookmark's commit, tree and first listings in one request; and `bytes_max`
    /// of `POST ext/trees`.
    pub const SNAPSHOTS: &str = "snapshots";
    /// `ext/uploads`: a large blob in parts, which goes on after a break.
    pub const UPLOADS: &str = "uploads";
    /// `expected_change_id` and `expected_commit_oid` of bookmarks that move, merge or go away.
    pub const COMPARE_AND_SWAP: &str = "cas";
    /// `FileOp.action` may be `rename` with `from`, or `chmod` with `mode`.
    pub const RENAME: &str = "rename";
    /// `GET ext/events`: what happens in a repository, as server-sent events.
    pub const EVENTS: &str = "events";
    /// All of the above, as our server advertises them.
    pub const ALL: [&str; 17] = [
        COMMIT_READ,
        BLOBS,
        BLOB_BATCHES,
        SYMLINKS,
        DIRECTORIES,
        GRAFT,
        ORDERED,
        IDEMPOTENCY,
        RANGE,
        RANGE_DIGESTS,
        OBJECTS,
        TREES,
        SNAPSHOTS,
        UPLOADS,
        COMPARE_AND_SWAP,
        RENAME,
        EVENTS,
    ];
}

/// Names of HTTP headers that are ours.
pub mod header {
    /// On `GET changes/ID`, as RFC 7240 has it: with [`MINIMAL`] in it, `files` may stay empty.
    pub const PREFER: &str = "prefer";
    /// The preference for what is known without a walk through the repository.
    pub const MINIMAL: &str = "return=minimal";
    /// On `whoami`: the extensions, separated by `, `.
    pub const EXTENSIONS: &str = "mesa-extensions";
    /// On `ext/events`: the id of the event that was heard last.
    pub const LAST_EVENT_ID: &str = "last-event-id";
    /// On content: the commit that was read.
    pub const COMMIT_OID: &str = "mesa-commit-oid";
    /// On content: the Git object that was read.
    pub const OBJECT_SHA: &str = "mesa-object-sha";
    /// On `POST changes` and `POST bookmarks/merge`: the request's own name, for repetition after a lost answer.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
}

/// Trailers in the description of a pushed change, by which a lost answer is told from a refusal.
pub mod trailer {
    /// Names the transaction that forked the change: a uuid.
    pub const TRANSACTION: &str = "Mesa-Txn";
    /// Names the batch that was pushed last: a uuid.
    pub const BATCH: &str = "Mesa-Batch";
}

/// Error codes of the body `{"error":{"code":…}}`; an open set, so branch on the status first.
pub mod code {
    /// 400.
    pub const INVALID_REQUEST: &str = "INVALID_REQUEST";
    /// 401: no credential, or one that never was valid.
    pub const UNAUTHORIZED: &str = "UNAUTHORIZED";
    /// 401: an access token or API key whose time is over.
    pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
    /// 401: the API key, or the one that signed the token, was revoked.
    pub const KEY_REVOKED: &str = "KEY_REVOKED";
    /// 403: the scopes do not allow it.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// 404.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// 406: a directory has no bytes.
    pub const NOT_ACCEPTABLE: &str = "NOT_ACCEPTABLE";
    /// 409.
    pub const CONFLICT: &str = "CONFLICT";
    /// 409: the change has advanced past `base_commit_oid`.
    pub const STALE_CHANGE: &str = "STALE_CHANGE";
    /// 409: a bookmark is not where `expected_change_id` or `expected_commit_oid` say.
    pub const STALE_BOOKMARK: &str = "STALE_BOOKMARK";
    /// 409: a bookmark would move to what does not descend from where it is.
    pub const NOT_FORWARD: &str = "NOT_FORWARD";
    /// 409: another writer moved the same name at the same time.
    pub const LOCK_CONFLICT: &str = "LOCK_CONFLICT";
    /// 409: the change, or what a merge would make, is conflicted.
    pub const MERGE_CONFLICT: &str = "MERGE_CONFLICT";
    /// 409: the server is not set up to do this.
    pub const NOT_CONFIGURED: &str = "NOT_CONFIGURED";
    /// 413.
    pub const PAYLOAD_TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
    /// 429.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// 501: this server lacks something that it needs.
    pub const NOT_IMPLEMENTED: &str = "NOT_IMPLEMENTED";
    /// 500.
    pub const INTERNAL_ERROR: &str = "INTERNAL_ERROR";
}
