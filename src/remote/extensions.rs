//! What a server can do beyond the stock contract; none of it is used unless advertised, but for one snapshot
//! that is asked for meanwhile (`anticipated`), and that a server may refuse.

use journal::failpoint::limit;

use super::api::extension;

/// Advertised extensions; see [`extension`] for what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Reads of one commit.
    pub commit_read: bool,
    /// Contents uploaded before the change that uses them.
    pub blobs: bool,
    /// Many contents in one request, and the question which are missing.
    pub blob_batches: bool,
    /// Large contents in parts, which go on after a break.
    pub uploads: bool,
    /// Symbolic links in changes.
    pub symlinks: bool,
    /// Empty directories in changes.
    pub directories: bool,
    /// Existing trees in changes.
    pub graft: bool,
    /// A path removed and written in one change.
    pub ordered: bool,
    /// Creation of a change repeated without a second change.
    pub idempotency: bool,
    /// Many listings in one request.
    pub trees: bool,
    /// A snapshot with its first listings in one request, and listings up to a size.
    pub snapshots: bool,
    /// Many objects in one request.
    pub objects: bool,
    /// Ranges of a blob, each with its digest.
    pub ranges: bool,
}

impl Extensions {
    /// What a server of ours can do.
    #[cfg(test)]
    pub(super) const ALL: Extensions = Extensions {
        commit_read: true,
        blobs: true,
        blob_batches: true,
        uploads: true,
        symlinks: true,
        directories: true,
        graft: true,
        ordered: true,
        idempotency: true,
        trees: true,
        snapshots: true,
        objects: true,
        ranges: true,
    };

    /// How many of a server's extensions there are for us: so that tests can have one with nothing but the
    /// contract.
    fn most() -> usize {
        usize::try_from(limit("MESA_TEST_EXTENSIONS", u64::MAX)).unwrap_or(usize::MAX)
    }

    /// Whether a server that has not said anything yet may have some.
    pub(super) fn may_be() -> bool {
        Extensions::most() > 0
    }

    /// The known ones among the advertised names.
    pub fn of_names(names: &[String]) -> Extensions {
        let most = Extensions::most();
        let has = |name: &str| names.iter().take(most).any(|other| other == name);
        Extensions {
            commit_read: has(extension::COMMIT_READ),
            blobs: has(extension::BLOBS),
            blob_batches: has(extension::BLOB_BATCHES),
            uploads: has(extension::UPLOADS),
            symlinks: has(extension::SYMLINKS),
            directories: has(extension::DIRECTORIES),
            graft: has(extension::GRAFT),
            ordered: has(extension::ORDERED),
            idempotency: has(extension::IDEMPOTENCY),
            trees: has(extension::TREES),
            snapshots: has(extension::SNAPSHOTS),
            objects: has(extension::OBJECTS),
            ranges: has(extension::OBJECTS) && has(extension::RANGE_DIGESTS),
        }
    }
}
