//! Merging bookmarks: the request, its answer, and what a conflict says.

use serde::{Deserialize, Serialize};

use super::{Encoding, Expected, text};
use crate::tree::{ChangeId, GitOid};

fn is_false(value: &bool) -> bool {
    !*value
}

/// `POST bookmarks/merge`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRequest {
    /// The bookmark that moves.
    pub target: String,
    /// The bookmark that is merged into it.
    pub source: String,
    /// Whether the source is to go afterwards.
    #[serde(default, skip_serializing_if = "is_false")]
    pub delete_source: bool,
    /// Whether a conflict is to be recorded in the merge rather than to refuse it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_conflicted: bool,
    /// The description of the merge; the server's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What is wanted in place of conflicts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolutions: Vec<Resolution>,
    /// Where the target must be: the extension `cas`.
    #[serde(flatten)]
    pub expected: Expected,
}

/// One of the two sides of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Take {
    /// What the target has.
    Target,
    /// What the source has.
    Source,
}

/// What is wanted in place of a conflict: one of `content`, `take` and `hunks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Where.
    pub path: String,
    /// The whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The whole file of one side; a side without the path removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<Take>,
    /// How `content` is written; base64 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Hunk by hunk; every hunk of the conflict, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunks: Option<Vec<HunkResolution>>,
}

/// What is wanted in place of one hunk: one of `content` and `take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HunkResolution {
    /// From the conflict.
    pub hunk_id: String,
    /// The lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The lines of one side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<Take>,
    /// How `content` is written; base64 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeType {
    /// It made a change on both.
    MergeCommit,
    /// There was nothing to merge.
    NoOp,
}

/// The answer to a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeAnswer {
    /// What happened.
    pub merge_type: MergeType,
    /// Whether the result records a conflict.
    #[serde(default)]
    pub is_conflicted: bool,
    /// The commit that the target is on; zeros for the virtual root.
    #[serde(with = "text")]
    pub commit_oid: GitOid,
    /// The change that the target is on.
    #[serde(with = "text")]
    pub change_id: ChangeId,
    /// The bookmark that moved.
    pub target: String,
    /// The bookmark that was merged.
    pub source: String,
    /// Whether the source is gone.
    #[serde(default)]
    pub source_deleted: bool,
}

/// `details` of a 409 `MERGE_CONFLICT`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictDetails {
    /// The paths on which the sides disagree.
    #[serde(default)]
    pub conflict_paths: Vec<String>,
    /// The same, with the lines.
    #[serde(default)]
    pub conflicted_entries: Vec<ConflictedEntry>,
    /// Whether there may be more than are listed; not in the hosted service's schema.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// Why a conflict has no hunks although the files could have some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OmittedReason {
    /// Not text.
    Binary,
    /// Too much to show.
    TooLarge,
}

/// A path on which the sides disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictedEntry {
    /// Where.
    pub path: String,
    /// The lines; none where the sides disagree about more than lines.
    #[serde(default)]
    pub hunks: Vec<ConflictHunk>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted_reason: Option<OmittedReason>,
}

/// Lines on which the sides disagree. Lines count from 1, *old* in the base, *new* in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictHunk {
    /// Names this very disagreement in a resolution.
    pub hunk_id: String,
    /// The first line in the base.
    pub old_start: u64,
    /// How many lines in the base.
    pub old_lines: u64,
    /// The first line in the target.
    pub new_start: u64,
    /// How many lines in the target.
    pub new_lines: u64,
    /// The target's lines.
    pub target: Option<HunkContent>,
    /// The base's lines.
    pub base: Option<HunkContent>,
    /// The source's lines.
    pub source: Option<HunkContent>,
}

/// Lines, as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HunkContent {
    /// The bytes.
    pub content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_has_the_stock_fields_only() {
        let request = MergeRequest {
            target: "main".into(),
            source: "work".into(),
            delete_source: true,
            ..MergeRequest::default()
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"target":"main","source":"work","delete_source":true}"#
        );
    }

    #[test]
    fn details_of_another_server_decode() {
        let text = r#"{"conflict_paths":["a"],"conflicted_entries":[{"path":"a","size_bytes":3,"hunks":[
            {"hunk_id":"h","old_start":1,"old_lines":1,"new_start":1,"new_lines":1,"target":{"content":"eA=="},"base":null,"source":null}]}]}"#;
        let details: ConflictDetails = serde_json::from_str(text).unwrap();
        assert_eq!(details.conflict_paths, ["a"]);
        assert!(details.conflicted_entries[0].hunks[0].base.is_none());
    }
}
