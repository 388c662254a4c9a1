//! What `GET diff` answers: the paths on which two changes differ, and the lines.

use serde::{Deserialize, Serialize};

use super::{ConflictHunk, ConflictedEntry, text};
use crate::tree::ChangeId;

/// The answer to `GET diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// From where.
    #[serde(with = "text")]
    pub base_change_id: ChangeId,
    /// To where.
    #[serde(with = "text")]
    pub head_change_id: ChangeId,
    /// Sums of what follows.
    pub stats: DiffStats,
    /// Whether there may be more paths than are listed.
    pub truncated: bool,
    /// The paths that differ, in order.
    pub entries: Vec<DiffEntry>,
    /// The paths that are in conflict at the head.
    pub conflicted_entries: Vec<ConflictedEntry>,
}

/// Sums of a comparison. Lines that are not shown are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStats {
    /// Paths.
    pub entries: u64,
    /// Added lines.
    pub additions: u64,
    /// Removed lines.
    pub deletions: u64,
    /// Both.
    pub changes: u64,
    /// Paths in conflict.
    pub conflicted_entries: u64,
    /// Their hunks.
    pub conflicted_hunks: u64,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiffStatus {
    /// It is new.
    Added,
    /// It is something else.
    Modified,
    /// It is gone.
    Deleted,
    /// It was somewhere else.
    Renamed,
}

/// Why a path is listed without lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffOmitted {
    /// Not text.
    Binary,
    /// Too much to compare or to show.
    TooLarge,
    /// Other paths have used up what one answer may hold.
    FileLimit,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffEntry {
    /// Where it is, or was if it is gone.
    pub path: String,
    /// What happened.
    pub status: DiffStatus,
    /// Where it was, if it was somewhere else.
    pub old_path: Option<String>,
    /// Bytes of the file or link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Always false: conflicts have a list of their own.
    pub is_conflicted: bool,
    /// Why there are no hunks.
    pub omitted_reason: Option<DiffOmitted>,
    /// The lines; none if they are omitted, and an empty list if only name or mode differ.
    pub hunks: Option<Vec<DiffHunk>>,
    /// Always none: conflicts have a list of their own.
    pub conflict_hunks: Option<Vec<ConflictHunk>>,
}

/// Lines that are near each other. Lines count from 1; a side without any is told by the line before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffHunk {
    /// The first line at the base.
    pub old_start: u64,
    /// How many lines at the base.
    pub old_lines: u64,
    /// The first line at the head.
    pub new_start: u64,
    /// How many lines at the head.
    pub new_lines: u64,
    /// The lines.
    pub lines: Vec<DiffLine>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    /// On both sides.
    Context,
    /// At the head only.
    Added,
    /// At the base only.
    Deleted,
    /// No line, but a remark about the one before.
    Annotation,
}

/// One line, without its newline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffLine {
    /// What it is.
    pub kind: LineKind,
    /// What it says; what is not UTF-8 is shown by replacement characters.
    pub text: String,
}
