//! Everything below a directory in one request, line by line as it comes.

use std::time::Duration;

use super::api::TreesRequest;
use super::call::{Call, of_repository};
use super::client::Client;
use super::exchange::Method;
use super::failure::Violation;
use super::listing::{LISTING_BYTES_MAX, decode_line};
use super::{Failure, RepositoryName};
use crate::lower::ListingEntry;
use crate::tree::GitOid;

/// Takes a directory; returns whether more are wanted.
pub(super) type Take<'a> = &'a mut (dyn FnMut(GitOid, Vec<ListingEntry>) -> bool + Send);

impl Client {
    /// Hands `tree` and the trees below it to `take`, and adds them to `taken`.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation`]s for names that cannot be.
    pub(super) async fn trees(
        &self,
        repository: &RepositoryName,
        (commit, tree): (GitOid, GitOid),
        patience: Duration,
        take: Take<'_>,
        taken: &mut u64,
    ) -> Result<(), Failure> {
        let wanted = TreesRequest {
            trees: vec![tree],
            recursive: true,
            commit_oid: Some(commit),
        };
        let target = of_repository(repository, "/ext/trees");
        let call = Call {
            patience,
            ..Call::write(Method::Post, repository.scope(), target, &wanted)?
        };
        let mut answer = self.send(&self.counts.sweeps, call).await?;
        let mut line = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            self.counts.sweeps.received(chunk.len());
            let mut rest: &[u8] = &chunk;
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (head, tail) = rest.split_at(end);
                line.extend_from_slice(head);
                rest = tail.get(1..).unwrap_or_default();
                if let Some((oid, entries)) = decode_line(&line)? {
                    *taken += 1;
                    if !take(oid, entries) {
                        return Ok(());
                    }
                }
                line.clear();
            }
            line.extend_from_slice(rest);
            if line.len() > LISTING_BYTES_MAX {
                return Err(Violation::TooLarge.into());
            }
        }
        Ok(())
    }
}
