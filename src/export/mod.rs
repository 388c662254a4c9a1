//! Work on its way out of a sandbox whose server or credential is gone, and into another one.
//!
//! What is exported is everything that differs from the pinned commit, so that an export is complete
//! whatever part of it was pushed before. The edits of a capture make a tree of the pinned one
//! (`model`), opened only where they touch it; the formats are written from that:
//!
//! ```text
//! edits -> model -+-> bundle             new blobs, trees on changed paths, one commit: for git fetch
//!                 `-> changes -+-> patch  one mail: for git am and git apply
//!                              `-> tar    every changed file, its list first: for mesa journal import
//! ```
//!
//! Files are streamed; in memory are names and identifiers, and for the patch two texts of at most 4
//! MiB. Everything a tar says is checked before it is believed, and written below one folder that no
//! name and no symbolic link leads out of.

mod apply;
mod base;
mod bundle;
mod changes;
mod error;
mod folder;
mod hunks;
mod literal;
mod manifest;
mod model;
mod object;
mod patch;
mod quote;
mod read;
mod write;

use std::io::Write;

use serde::{Deserialize, Serialize};

use self::base::Base;
use crate::lower::Lower;
use crate::tree::{Content, Edit, GitOid, Timestamp, TreePath};

pub use apply::{Applied, Overwrite};
pub use error::{Error, Needed};
pub use folder::Folder;
pub use quote::{quoted, unquoted};
pub use read::Archive;

/// What work leaves as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A Git bundle of one commit.
    Bundle,
    /// One mail with a Git patch.
    Patch,
    /// A tar of the changed files.
    Tar,
}

/// What is to be exported.
#[derive(Debug)]
pub struct Work<'a> {
    /// The organization.
    pub organization: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// The bookmark that the pinned commit was found by.
    pub bookmark: Option<&'a str>,
    /// What differs from the pinned commit, in order.
    pub edits: &'a [Edit],
    /// The pinned commit.
    pub lower: &'a Lower,
    /// What no format carries.
    pub left_out: Vec<LeftOut>,
    /// When it is exported.
    pub time: Timestamp,
}

/// A path that an export does not carry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which; bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// A path and the reason.
    pub fn new(path: &TreePath, reason: &str) -> LeftOut {
        LeftOut {
            path: path.to_string(),
            reason: reason.to_owned(),
        }
    }
}

/// What was exported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// Files, links and empty directories that are new, different or gone; of a bundle, Git objects.
    pub count: u64,
    /// What the export does not carry.
    pub left_out: Vec<LeftOut>,
    /// The commit of a bundle, and its ref.
    pub commit: Option<(GitOid, String)>,
}

/// Writes an export. On an error, what was written is worth nothing.
///
/// # Errors
///
/// [`Error::Missing`] when something of the pinned commit is needed and cannot be had;
/// [`Error::Torn`] when a body changed meanwhile: capture again then.
pub fn write(work: &Work<'_>, format: Format, out: &mut impl Write) -> Result<Exported, Error> {
    let base = Base(work.lower);
    let mut root = model::build(work.edits, base)?;
    let exported = match format {
        Format::Bundle => bundle::write(work, &root, base, out),
        Format::Patch => patch::write(work, &changes::changes(&mut root, base)?, base, out),
        Format::Tar => write::write(work, &changes::changes(&mut root, base)?, base, out),
    }?;
    // Each file proved itself; all of them together are one point of the history only if none
    // changed since the capture.
    let unchanged = work.edits.iter().all(|edit| match edit {
        Edit::File {
            content: Content::Body(body),
            ..
        } => body.is_unchanged(),
        _ => true,
    });
    match unchanged {
        true => Ok(exported),
        false => Err(Error::Torn),
    }
}

const EMPTY_DIRECTORY: &str = "an empty directory, which Git cannot hold";
