//! What `GET content` answers: a file, a symbolic link, or a directory with its entries.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Encoding, FileMode, text};
use crate::tree::GitOid;

/// The answer to `GET content`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Content {
    /// A regular file with its bytes.
    File(FileContent),
    /// A symbolic link; its bytes are the target.
    Symlink(FileContent),
    /// A directory.
    #[serde(rename = "dir")]
    Directory(DirectoryContent),
    /// A submodule, which only names a commit of another repository: an extension.
    Submodule(SubmoduleEntry),
}

/// A file or symbolic link with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// The last component of the path.
    pub name: String,
    /// The path from the repository's root.
    pub path: String,
    /// The Git blob.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// Bytes.
    pub size: u64,
    /// Always base64.
    #[serde(default)]
    pub encoding: Encoding,
    /// The bytes, encoded.
    pub content: String,
    /// The Git file mode.
    pub mode: FileMode,
    /// Whether the text carries conflict markers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_conflicted: Option<bool>,
}

impl FileContent {
    /// Decodes the bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with the base64 text.
    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.content)
    }
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryContent {
    /// The last component of the path; empty for the root.
    pub name: String,
    /// The path from the repository's root; empty for the root.
    pub path: String,
    /// The Git tree.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// How many direct children it has.
    pub child_count: u64,
    /// Everything below it to the depth that was asked for, flat, with full paths; parents come
    /// before their children.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

/// One entry of a listing. A name that is not UTF-8 is shown with replacement characters, and
/// `name_base64` has its true bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Entry {
    /// A regular file.
    File {
        /// The last component of the path.
        name: String,
        /// The path from the repository's root.
        path: String,
        /// The Git blob.
        #[serde(with = "text")]
        sha: GitOid,
        /// Bytes.
        size: u64,
        /// Plain or executable.
        mode: FileMode,
        /// The name's bytes if they are not UTF-8: an extension.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name_base64: Option<String>,
    },
    /// A symbolic link.
    Symlink {
        /// The last component of the path.
        name: String,
        /// The path from the repository's root.
        path: String,
        /// The Git blob, whose bytes are the target.
        #[serde(with = "text")]
        sha: GitOid,
        /// Bytes of the target.
        size: u64,
        /// Always `120000`.
        mode: FileMode,
        /// The name's bytes if they are not UTF-8: an extension.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name_base64: Option<String>,
    },
    /// A directory.
    #[serde(rename = "dir")]
    Directory {
        /// The last component of the path.
        name: String,
        /// The path from the repository's root.
        path: String,
        /// The Git tree.
        #[serde(with = "text")]
        sha: GitOid,
        /// The name's bytes if they are not UTF-8: an extension.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name_base64: Option<String>,
    },
    /// A submodule: an extension.
    Submodule(SubmoduleEntry),
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A submodule, by the commit of another repository that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmoduleEntry {
    /// The last component of the path.
    pub name: String,
    /// The path from the repository's root.
    pub path: String,
    /// The commit, which is not in this repository.
    #[serde(with = "text")]
    pub sha: GitOid,
    /// The name's bytes if they are not UTF-8: an extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    #[test]
    fn a_directory_decodes_with_fields_and_kinds_that_we_do_not_know() {
        let text = format!(
            r#"{{"type":"dir","name":"","path":"","sha":"{SHA}","child_count":3,"metadata":{{"a":"b"}},"entries":[
                {{"type":"file","name":"a","path":"a","sha":"{SHA}","size":3,"mode":"100755","metadata":{{}}}},
                {{"type":"submodule","name":"s","path":"s","sha":"{SHA}"}},
                {{"type":"hologram","name":"h","path":"h","sha":"{SHA}"}}]}}"#
        );
        let Content::Directory(directory) = serde_json::from_str(&text).unwrap() else {
            panic!("not a directory");
        };
        assert!(matches!(
            &directory.entries[0],
            Entry::File {
                mode: FileMode::Executable,
                size: 3,
                ..
            }
        ));
        assert!(matches!(&directory.entries[1], Entry::Submodule(_)));
        assert_eq!(directory.entries[2], Entry::Unknown);
    }

    #[test]
    fn a_file_carries_its_bytes() {
        let text = format!(
            r#"{{"type":"file","name":"a","path":"d/a","sha":"{SHA}","size":2,"encoding":"base64","content":"aGk=","mode":"100644"}}"#
        );
        let content: Content = serde_json::from_str(&text).unwrap();
        let Content::File(file) = &content else {
            panic!("not a file")
        };
        assert_eq!(file.bytes().unwrap(), b"hi");
        assert_eq!(serde_json::to_string(&content).unwrap(), text);
    }
}
