//! Objects by their id, many in one request: the extensions `objects` and `trees`.

use serde::{Deserialize, Serialize};

use super::{StoredBlob, text};
use crate::tree::{ChangeId, GitOid};

/// Most ids in one request for objects or trees.
pub const OBJECTS_MAX: usize = 10_000;

/// `POST ext/objects`. The answer is a stream, for each id in order, of a line and then the bytes:
/// `<id> blob <size>\n<bytes>\n`, or `<id> missing\n`, or `<id> large <size>\n` for a blob of more
/// than [`LARGE_BYTES`], which is read by `GET ext/blobs/{sha}`: the format of
/// `git cat-file --batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsRequest {
    /// The blobs.
    #[serde(with = "text::list")]
    pub objects: Vec<GitOid>,
    /// A commit whose tree has all of them; a credential that is restricted to some repositories
    /// gets no object without.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub commit_oid: Option<GitOid>,
}

/// A blob of more bytes than this travels alone, so that it cannot hold up the small ones.
pub const LARGE_BYTES: u64 = 4 << 20;

/// Longest range of a blob that comes with a digest: the server has it in memory at once.
pub const RANGE_BYTES_MAX: u64 = 4 << 20;

/// Most bytes of a batch of blobs, without its compression.
pub const BATCH_BYTES_MAX: u64 = 64 << 20;

/// The answer to `POST ext/blobs/batch`, in the order of the blobs. The body has, for each,
/// `blob <size>\n<bytes>\n`, none over [`LARGE_BYTES`], and may be compressed (`Content-Encoding`
/// `zstd` or `gzip`). All of them are stored, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlobs {
    /// What was stored.
    pub blobs: Vec<StoredBlob>,
}

/// The answer to `POST ext/blobs/missing`, which takes an [`ObjectsRequest`]: those that would have to
/// be sent. A credential that is restricted to some repositories is told that all are missing but
/// those that the named commit has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingObjects {
    /// The blobs, in the order of the request.
    #[serde(with = "text::list")]
    pub missing: Vec<GitOid>,
}

/// `POST ext/trees`. The answer is a stream of lines, each a [`TreeListing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreesRequest {
    /// The trees.
    #[serde(with = "text::list")]
    pub trees: Vec<GitOid>,
    /// Whether the trees below them are wanted too: each once, breadth first.
    #[serde(default)]
    pub recursive: bool,
    /// As in [`ObjectsRequest`].
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub commit_oid: Option<GitOid>,
    /// How long the answer may become, without its compression: it ends before the first line that
    /// goes beyond, but always has one. Only of a server with the extension `snapshots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
}

/// The answer to `GET ext/snapshot`: all that a checkout has to know at its beginning. The query names
/// a `bookmark` or a `change_id`, else the default bookmark is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotAnswer {
    /// The bookmark, unless a change was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bookmark: Option<String>,
    /// The change.
    #[serde(with = "text")]
    pub change_id: ChangeId,
    /// The commit that it has; zeros for the root of all history, which has none.
    #[serde(with = "text")]
    pub commit_oid: GitOid,
    /// That commit's root tree.
    #[serde(with = "text")]
    pub tree: GitOid,
    /// When it was committed, in RFC 3339.
    pub committed_at: String,
    /// The root tree and those below it, breadth first, as far as the query's `bytes_max` goes (none
    /// without one, or if it is `known_tree`).
    #[serde(default)]
    pub listings: Vec<TreeListing>,
}

/// One tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeListing {
    /// The tree.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// What is in it, in Git's order; absent when the repository has no such tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<TreeEntry>>,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// The name, as far as it is UTF-8.
    pub name: String,
    /// The name's bytes in base64, when they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
    /// The Git file mode.
    pub mode: TreeMode,
    /// The object: a blob, a tree, or a submodule's commit.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// Bytes of a file or symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The Git mode of any entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeMode {
    /// A plain file.
    #[serde(rename = "100644")]
    Plain,
    /// A file that its owner may execute.
    #[serde(rename = "100755")]
    Executable,
    /// A symbolic link.
    #[serde(rename = "120000")]
    Symlink,
    /// A directory.
    #[serde(rename = "040000")]
    Directory,
    /// A commit of another repository.
    #[serde(rename = "160000")]
    Submodule,
}

/// `POST ext/uploads`: a large blob that comes in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUpload {
    /// Bytes of the whole blob.
    pub size: u64,
    /// The blob that the bytes must turn out to be.
    #[serde(with = "text")]
    pub sha: GitOid,
}

/// Where an upload is: the answer to `POST ext/uploads`, to `GET ext/uploads/{id}`, and to each
/// `PATCH ext/uploads/{id}?offset=N`, which appends its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The name for the requests that follow.
    pub id: String,
    /// Bytes that arrived and will not be lost; the next part begins here.
    pub offset: u64,
    /// Bytes of the whole blob.
    pub size: u64,
    /// The blob.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// Whether the blob is stored: it is, once the last part was checked.
    pub is_complete: bool,
}
