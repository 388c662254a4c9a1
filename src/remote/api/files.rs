//! File operations: the body of a change.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::text;
use crate::tree::GitOid;

/// How `content` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// RFC 4648 section 4, with padding.
    #[default]
    Base64,
}

/// The Git mode of a file or symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileMode {
    /// A plain file.
    #[serde(rename = "100644")]
    Plain,
    /// A file that its owner may execute.
    #[serde(rename = "100755")]
    Executable,
    /// A symbolic link; in requests, the extension `symlinks`.
    #[serde(rename = "120000")]
    Symlink,
}

/// What a file operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The path becomes a file.
    #[default]
    Upsert,
    /// The path goes away, with everything below it.
    Delete,
    /// The path becomes a directory: the extension `directories`.
    Mkdir,
    /// The path becomes an existing tree: the extension `graft`.
    Graft,
    /// What is at `from` moves to the path: the extension `rename`.
    Rename,
    /// The file at the path gets the mode: the extension `rename`.
    Chmod,
}

/// One step of a change. Build it with the constructors; they know which fields go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOp {
    /// Where, from the repository's root.
    pub path: String,
    /// The bytes of an upsert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// How `content` is written; base64 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// What to do; upsert when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The mode of an upsert; an existing file keeps its own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// A blob of the repository in place of `content`: the extension `blobs`.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub blob: Option<GitOid>,
    /// The tree of a graft.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub tree: Option<GitOid>,
    /// Where a rename takes its file or directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl FileOp {
    fn bare(path: String, action: Option<Action>) -> FileOp {
        FileOp {
            path,
            content: None,
            encoding: None,
            action,
            mode: None,
            blob: None,
            tree: None,
            from: None,
        }
    }

    /// Writes a file, or with [`FileMode::Symlink`] a symbolic link to `bytes`.
    pub fn upsert(path: String, bytes: &[u8], mode: FileMode) -> FileOp {
        FileOp {
            content: Some(STANDARD.encode(bytes)),
            encoding: Some(Encoding::Base64),
            mode: Some(mode),
            ..FileOp::bare(path, None)
        }
    }

    /// Writes a file whose bytes the repository has already.
    pub fn upsert_blob(path: String, blob: GitOid, mode: FileMode) -> FileOp {
        FileOp {
            blob: Some(blob),
            mode: Some(mode),
            ..FileOp::bare(path, None)
        }
    }

    /// Removes whatever is there.
    pub fn delete(path: String) -> FileOp {
        FileOp::bare(path, Some(Action::Delete))
    }

    /// Makes an empty directory.
    pub fn mkdir(path: String) -> FileOp {
        FileOp::bare(path, Some(Action::Mkdir))
    }

    /// Moves what is at `from` to `path`, in place of a file that is there.
    pub fn rename(from: String, path: String) -> FileOp {
        FileOp {
            from: Some(from),
            ..FileOp::bare(path, Some(Action::Rename))
        }
    }

    /// Makes a file executable, or plain.
    pub fn chmod(path: String, mode: FileMode) -> FileOp {
        FileOp {
            mode: Some(mode),
            ..FileOp::bare(path, Some(Action::Chmod))
        }
    }

    /// Makes the path an existing tree.
    pub fn graft(path: String, tree: GitOid) -> FileOp {
        FileOp {
            tree: Some(tree),
            ..FileOp::bare(path, Some(Action::Graft))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_operations_carry_stock_fields_only() {
        let upsert = FileOp::upsert("a/b".into(), b"hi", FileMode::Plain);
        assert_eq!(
            serde_json::to_string(&upsert).unwrap(),
            r#"{"path":"a/b","content":"aGk=","encoding":"base64","mode":"100644"}"#
        );
        assert_eq!(
            serde_json::to_string(&FileOp::delete("a".into())).unwrap(),
            r#"{"path":"a","action":"delete"}"#
        );
    }
}
