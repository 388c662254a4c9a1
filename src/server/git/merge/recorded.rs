//! Conflicts that a commit records: finding out what they are, and resolving them.

use super::conflict::{self, Conflicts, Resolutions};
use super::trees::{self, Referee, Trees, Unsettled};
use crate::server::git::error::Error;
use crate::server::git::staging::Staging;
use crate::server::git::{Access, Repository, commit};
use crate::tree::GitOid;

impl Repository {
    /// The conflicts that a commit records; none if it records none, and none that another program
    /// recorded in another way.
    pub(in crate::server) fn conflicts(&self, oid: GitOid) -> Result<Conflicts, Error> {
        let repo = self.local();
        if self.access() == Access::ReadOnly {
            // Working them out writes objects, if only for a moment.
            return Ok(Conflicts::default());
        }
        found(&repo, oid)
    }
}

fn found(repo: &gix::Repository, oid: GitOid) -> Result<Conflicts, Error> {
    let Some(trees) = terms(repo, oid)? else {
        return Ok(Conflicts::default());
    };
    let mut staging = Staging::new(repo)?;
    let referee = Referee::Caller(&mut Resolutions::new(), Unsettled::Refused);
    match trees::merge(&mut staging, trees, referee) {
        Err(Error::MergeConflict(conflicts)) => Ok(*conflicts),
        Ok(_) => Ok(Conflicts::default()),
        Err(error) => Err(error),
    }
}

/// The trees of which the commit records the merge, if they are there.
fn terms(repo: &gix::Repository, oid: GitOid) -> Result<Option<Trees>, Error> {
    let terms = commit::conflict(repo, oid)?;
    Ok(terms
        .filter(|terms| terms.iter().all(|term| repo.has_object(term)))
        .map(|[target, base, source]| Trees {
            base,
            target,
            source,
        }))
}

/// Refuses a commit that records a conflict.
pub(in crate::server::git) fn refuse_conflicted(
    repo: &gix::Repository,
    oid: GitOid,
) -> Result<(), Error> {
    match commit::read(repo, oid)?.is_conflicted {
        true => Err(Error::Conflicted(Box::new(found(repo, oid)?))),
        false => Ok(()),
    }
}

/// The tree of a conflicted commit with all of its conflicts resolved.
///
/// # Errors
///
/// [`Error::MergeConflict`] with those that are left.
pub(in crate::server::git) fn resolve(
    staging: &mut Staging<'_>,
    oid: GitOid,
    mut resolutions: Resolutions,
) -> Result<gix::ObjectId, Error> {
    let Some(trees) = terms(staging.repo(), oid)? else {
        conflict::check_used(&resolutions)?;
        return Err(Error::NotConflicted);
    };
    let referee = Referee::Caller(&mut resolutions, Unsettled::Refused);
    let tree = trees::merge(staging, trees, referee)?.tree;
    conflict::check_used(&resolutions)?;
    Ok(tree)
}
