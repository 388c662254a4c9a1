//! How many requests of each kind were sent, how they ended, and how many bytes went each way: what
//! tests of cost count, and statistics show.

use super::tally::{Count, Tally};

macro_rules! requests {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// Requests that were sent since the start, by kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Requests { $($(#[$doc])* pub $field: u64,)* }

        impl Requests {
            /// All kinds together.
            pub fn total(&self) -> u64 {
                0 $(+ self.$field)*
            }
        }

        #[derive(Default)]
        pub(super) struct Counts { $(pub(super) $field: Count,)* }

        impl Counts {
            pub(super) fn snapshot(&self) -> Requests {
                Requests { $($field: self.$field.sent(),)* }
            }

            pub(super) fn tallies(&self) -> Vec<(&'static str, Tally)> {
                vec![$((stringify!($field), self.$field.tally()),)*]
            }
        }
    };
}

requests! {
    /// Who the credential is.
    whoami,
    /// One repository, or the list of them.
    repositories,
    /// All that a checkout has to know at its beginning.
    snapshots,
    /// Where a bookmark points.
    bookmarks,
    /// What a change is.
    changes,
    /// The changes of a bookmark, by page.
    histories,
    /// A directory's entries.
    listings,
    /// Everything below a directory.
    sweeps,
    /// Many files' bytes.
    batches,
    /// A file's bytes.
    objects,
    /// Some of a large file's bytes.
    ranges,
    /// A new change.
    changes_created,
    /// An amended change.
    changes_patched,
    /// Bytes sent ahead of a change, of one file.
    blobs_uploaded,
    /// The same, of many files.
    blob_batches,
    /// Which contents the server lacks.
    blobs_asked,
    /// A bookmark made, moved or removed.
    bookmarks_written,
    /// A bookmark merged into another.
    bookmarks_merged,
    /// A new repository.
    repositories_created,
    /// API keys: listed, made or revoked.
    keys,
}
