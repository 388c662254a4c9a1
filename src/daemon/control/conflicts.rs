//! The words for conflicts.

use serde::{Deserialize, Serialize};

/// What the command line asks about conflicts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ConflictRequest {
    /// Which are there?
    List,
    /// What is one about?
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// What would it take to have theirs in the mounted tree?
    Theirs {
        /// Its id, or the beginning of it.
        id: String,
        /// Only these paths; all when empty.
        paths: Vec<String>,
    },
    /// It is settled.
    Resolve {
        /// Its id, or the beginning of it.
        id: String,
        /// For which side.
        take: ConflictSide,
        /// Only these paths; all when empty.
        paths: Vec<String>,
    },
}

/// A side of a conflict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictSide {
    /// What this mount wrote.
    Ours,
    /// What somebody else wrote.
    Theirs,
}

/// What the daemon answers about conflicts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum ConflictAnswer {
    /// To [`ConflictRequest::List`].
    List(ConflictList),
    /// To [`ConflictRequest::Show`].
    Detail(ConflictDetail),
    /// To [`ConflictRequest::Theirs`].
    Theirs(TheirFiles),
    /// To [`ConflictRequest::Resolve`].
    Resolved(ConflictResolved),
}

/// All conflicts that nobody has settled, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConflictList {
    /// The conflicts.
    pub conflicts: Vec<ConflictEntry>,
}

/// One conflict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConflictEntry {
    /// Identifies it; the first letters do, as long as no other begins with them.
    pub id: String,
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// `edit`: somebody edited the change that took our edits. `publish`: the bookmark that was to be
    /// published to has other edits.
    pub kind: String,
    /// Whole seconds since it was found.
    pub age_seconds: u64,
    /// How many paths it is about.
    pub paths: u64,
    /// The change that has our side; `null` while it is on its way.
    pub our_change: Option<String>,
    /// The change that has theirs; `null` when only the commit is known.
    pub their_change: Option<String>,
    /// The commit that has theirs.
    pub their_commit: String,
    /// The bookmark that was to be published to.
    pub bookmark: Option<String>,
}

/// One conflict in full.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConflictDetail {
    /// What a listing shows of it.
    #[serde(flatten)]
    pub entry: ConflictEntry,
    /// The last commit before theirs; `null` when that is not known.
    pub base_commit: Option<String>,
    /// The commit that has ours.
    pub our_commit: Option<String>,
    /// The paths that it is about.
    pub conflicting: Vec<ConflictingPath>,
    /// Why nothing is said about what the paths are, if so.
    pub unknown: Option<String>,
    /// Commands that show more.
    pub commands: Vec<String>,
}

/// One path of a conflict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConflictingPath {
    /// Where; bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
    /// What it was; `null` for nothing, or when that is not known.
    pub base: Option<ConflictSpot>,
    /// What it is on their side; likewise.
    pub theirs: Option<ConflictSpot>,
    /// What it is on ours; likewise.
    pub ours: Option<ConflictSpot>,
}

/// What stands at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConflictSpot {
    /// `file`, `executable`, `symlink`, `directory` or `submodule`.
    pub kind: String,
    /// Bytes; 0 for a directory.
    pub size: u64,
    /// The Git object.
    pub oid: String,
}

/// What it takes to have their side of a conflict in the mounted tree.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TheirFiles {
    /// The mounted repository.
    pub root: String,
    /// The steps, in order.
    pub steps: Vec<TheirStep>,
}

/// What a path becomes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TheirStep {
    /// Where, as bytes.
    pub path: Vec<u8>,
    /// What.
    pub is: TheirKind,
}

/// What their side has at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TheirKind {
    /// Nothing.
    Gone,
    /// A directory.
    Directory,
    /// A file with the bytes of this one, which is outside the mount.
    File {
        /// Where the bytes are.
        staged: String,
        /// Whether it is executable.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
}

/// How a resolution went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConflictResolved {
    /// What was settled.
    pub id: String,
    /// What is left of it, under an id of its own; `null` when nothing is.
    pub left: Option<ConflictEntry>,
}
