//! Changes: what history is made of.

use serde::{Deserialize, Serialize};

use super::{FileOp, text};
use crate::tree::{ChangeId, GitOid};

/// Who wrote or committed a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ident {
    /// The name.
    pub name: String,
    /// The address, possibly empty.
    pub email: String,
    /// When, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// One of a change's authors, as newer schemas list them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The address.
    #[serde(default)]
    pub email: Option<String>,
}

/// A change: an identity that stays while the commit behind it advances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The identity.
    #[serde(with = "text")]
    pub id: ChangeId,
    /// The commit that it is now.
    #[serde(with = "text")]
    pub current_commit_oid: GitOid,
    /// Whether the commit records a conflict.
    #[serde(default)]
    pub is_conflicted: bool,
    /// The description, possibly empty.
    pub message: String,
    /// The first author; newer schemas deprecate it for `authors`.
    #[serde(default)]
    pub author: Option<Ident>,
    /// All authors.
    #[serde(default)]
    pub authors: Vec<Author>,
    /// When it was written, ISO 8601.
    #[serde(default)]
    pub authored_at: Option<String>,
    /// Who made the commit.
    pub committer: Ident,
    /// The changes that it is based on.
    #[serde(with = "text::list")]
    pub parents: Vec<ChangeId>,
    /// When the change was made, ISO 8601.
    pub created_at: String,
    /// When its commit was made, ISO 8601.
    pub updated_at: String,
}

/// `GET changes/{change_id}`: a change and the paths that it touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeDetail {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// Paths that differ from the first parent.
    #[serde(default)]
    pub files: Vec<String>,
    /// Paths in conflict.
    #[serde(default)]
    pub conflicts: Vec<String>,
}

/// `POST changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChange {
    /// The change to build on; the virtual root is allowed.
    #[serde(with = "text")]
    pub base_change_id: ChangeId,
    /// The description; empty when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who wrote it; the key's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Ident>,
    /// Who commits it; the author when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Ident>,
    /// What differs from the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileOp>,
}

/// `PATCH changes/{change_id}`: absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePatch {
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The new author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Ident>,
    /// The new committer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Ident>,
    /// What differs from the current commit; at least one when present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileOp>>,
    /// The commit that the caller saw: with any other the patch is refused.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub base_commit_oid: Option<GitOid>,
    /// How conflicts are resolved; opaque to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolutions: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_decode() {
        let common = r#""id":"zyxwvutsrqponmlkzyxwvutsrqponmlk","current_commit_oid":"4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            "message":"","committer":{"name":"a","email":"b"},"parents":["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"],
            "created_at":"2025-01-01T00:00:00Z","updated_at":"2025-01-01T00:00:00Z""#;
        let old =
            format!(r#"{{{common},"is_conflicted":false,"author":{{"name":"a","email":"b"}}}}"#);
        let new = format!(
            r#"{{{common},"authors":[{{"name":"a","email":null}}],"authored_at":"2025-01-01T00:00:00Z"}}"#
        );
        let old: Change = serde_json::from_str(&old).unwrap();
        let new: ChangeDetail = serde_json::from_str(&new).unwrap();
        assert_eq!(old.author.unwrap().name, "a");
        assert_eq!(new.change.authors[0].email, None);
        assert_eq!(new.change.parents, [ChangeId::ROOT]);
    }

    #[test]
    fn an_empty_patch_is_an_empty_object() {
        let text = serde_json::to_string(&ChangePatch::default()).unwrap();
        assert_eq!(text, "{}");
    }
}
