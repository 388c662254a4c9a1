//! Why work could not leave, or could not be taken in.

use std::io;

use crate::lower;
use crate::tree::{GitOid, NameError, TreePath};

/// What of the pinned commit an export needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// The names in a directory.
    Listing,
    /// The bytes of a file.
    Content,
}

impl std::fmt::Display for Needed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Needed::Listing => "the listing",
            Needed::Content => "the content",
        })
    }
}

fn place(needed: Needed, from: &TreePath) -> String {
    match needed {
        Needed::Listing if from.is_root() => "the root directory".to_owned(),
        Needed::Listing => format!("the directory {from}"),
        Needed::Content => format!("the file {from}"),
    }
}

/// Why work could not leave, or could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the pinned commit is neither here nor to be had.
    #[error("{needed} of {} is not here, and cannot be fetched", place(*needed, from))]
    Missing {
        /// What of it.
        needed: Needed,
        /// Where the pinned commit has it.
        from: TreePath,
        /// Why it cannot be fetched.
        #[source]
        source: lower::Error,
    },
    /// A directory whose Git tree the server did not tell in full.
    #[error("the listing of the directory {path} does not prove its Git tree")]
    Unproven {
        /// Which, in the pinned commit; empty for the root.
        path: TreePath,
    },
    /// Nothing differs that this format could carry.
    #[error("nothing differs from the pinned commit that this format can carry")]
    Nothing,
    /// A file changed while it was read.
    #[error("a file changed while it was exported")]
    Torn,
    /// More changes than the list of them may have bytes.
    #[error("too many changes for one tar")]
    TooMany,
    /// A local body could not be read.
    #[error("a local body cannot be read")]
    Body(#[source] io::Error),
    /// The local store could not be read.
    #[error("the local store cannot be read")]
    Store(#[source] lower::Error),
    /// The export could not be written.
    #[error("the export cannot be written")]
    Output(#[source] io::Error),
    /// A path became too long.
    #[error("a path below a moved directory would be over 4096 bytes")]
    Path(#[from] NameError),
    /// The file to import cannot be read.
    #[error("the export cannot be read")]
    Input(#[source] io::Error),
    /// The file is no tar of ours.
    #[error("this is not a tar that `mesa journal export` wrote: {what}")]
    Foreign {
        /// What gives it away.
        what: &'static str,
    },
    /// The manifest cannot be understood.
    #[error("the list of changes in the export cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// The manifest is of another version.
    #[error("the export is of format version {version}, and this program reads version 1")]
    Version {
        /// Which.
        version: u64,
    },
    /// The manifest wants something that no export of ours wants.
    #[error("the export is refused: its list of changes has {what}: {path:?}")]
    Hostile {
        /// What is wrong.
        what: &'static str,
        /// Where, as text.
        path: String,
    },
    /// A file in the export is not the one that its list of changes names.
    #[error("the export is damaged or cut short: the content of {path} is not object {oid}")]
    Damaged {
        /// Where it would go.
        path: TreePath,
        /// What it should be.
        oid: GitOid,
    },
    /// The mounted repository could not be read or changed.
    #[error("{path} in the mounted repository")]
    Folder {
        /// Where; empty for the root.
        path: TreePath,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Missing {
                needed: Needed::Content,
                ..
            } => Some(
                "--format bundle needs no content that was not edited; or mount with a server and \
                 a credential, and read that file first",
            ),
            Error::Missing {
                needed: Needed::Listing,
                ..
            } => Some(
                "--format bundle needs the fewest listings; or mount with a server and a \
                 credential, and look at that directory first (MESA_API_URL and MESA_CACHE_PATH \
                 must be those of the mount)",
            ),
            Error::Unproven { .. } => Some("--format patch and --format tar do without it"),
            Error::Nothing => Some(
                "--format tar also carries empty directories; `mesa status` shows what is pending",
            ),
            Error::Torn => Some("export again when the files stand still"),
            Error::TooMany | Error::Path(_) => Some("use --format bundle"),
            Error::Input(_) | Error::Damaged { .. } => {
                Some("it may be cut short: copy it once more, or export again")
            }
            Error::Version { .. } => Some("import it with a newer mesa"),
            _ => None,
        }
    }
}
