//! Mesa's REST contract as typed calls: one request each, bounded answers, checked names.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::api::{
    Change, ChangeDetail, ChangePatch, Content, NewChange, NewRepo, Repo, RepoPage, Whoami, header,
};
use super::call::{Call, encoded, of_content, of_organization, of_repository};
use super::exchange::{Limits, Method};
use super::failure::Violation;
use super::http::Http;
use super::listing::{Directory, LISTING_BYTES_MAX};
use super::repository::check_segment;
use super::requests::{Counts, Requests};
use super::tally::{Count, Tally};
use super::{At, Failure, RepositoryName};
use crate::secrets::{Scope, Secrets};
use crate::tree::{ChangeId, TreePath};

/// Largest answer about anything but a directory or a change.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest answer about a change. A server that does not know how to be brief lists the paths that it
/// touches, and the first one touches a whole repository: a million of 60 bytes each.
const CHANGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest symbolic link's answer: a target of 4 KiB, encoded.
const LINK_BYTES_MAX: usize = 64 * 1024;
/// Items per page: the contract's largest.
pub(super) const PAGE_ITEMS: u32 = 100;
/// Pages of one list: 100,000 repositories; a server that has more is endless.
pub(super) const PAGES_MAX: u32 = 1_000;

/// A connection to one server. Each call is one attempt.
pub struct Client {
    pub(super) http: Http,
    pub(super) secrets: Arc<Secrets>,
    pub(super) counts: Counts,
}

impl Client {
    /// A client of the API at `base`, such as `https://api.mesa.dev/v1`. Connects when first used.
    ///
    /// # Errors
    ///
    /// [`Failure::Setup`] when `base` is no address, or when no root certificates are installed.
    pub fn new(base: &str, secrets: Arc<Secrets>) -> Result<Client, Failure> {
        Client::with_limits(base, secrets, Limits::default())
    }

    pub(super) fn with_limits(
        base: &str,
        secrets: Arc<Secrets>,
        limits: Limits,
    ) -> Result<Client, Failure> {
        Ok(Client {
            http: Http::new(base, limits, secrets.clock())?,
            secrets,
            counts: Counts::default(),
        })
    }

    /// The API's address.
    pub fn base(&self) -> &str {
        self.http.base()
    }

    /// What was sent so far.
    pub fn requests(&self) -> Requests {
        self.counts.snapshot()
    }

    /// How long nothing has come from the server, nor gone to it.
    pub(super) fn quiet(&self) -> Duration {
        self.http.quiet()
    }

    /// Drops the connections that are kept.
    pub(super) fn renew(&self) {
        self.http.renew();
    }

    /// Whether the server answers anything at all.
    pub(super) async fn probe(&self) -> bool {
        self.http.probe("/whoami").await
    }

    /// The same, by kind, with what became of it.
    pub(super) fn tallies(&self) -> Vec<(&'static str, Tally)> {
        self.counts.tallies()
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        count: &Count,
        call: Call<'_>,
    ) -> Result<T, Failure> {
        let bytes = self
            .send(count, call)
            .await?
            .bytes(ANSWER_BYTES_MAX)
            .await?;
        count.received(bytes.len());
        Ok(serde_json::from_slice(&bytes).map_err(Violation::Shape)?)
    }

    /// Who the credential of `scope` is, and what the server can do.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], as every call here.
    pub async fn whoami(&self, scope: Scope<'_>) -> Result<Whoami, Failure> {
        let call = Call::get(scope, "/whoami".into());
        self.json(&self.counts.whoami, call).await
    }

    /// As [`Client::whoami`], with what the server says that the time is.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub async fn whoami_and_date(
        &self,
        scope: Scope<'_>,
    ) -> Result<(Whoami, Option<SystemTime>), Failure> {
        let count = &self.counts.whoami;
        let mut answer = self.send(count, Call::get(scope, "/whoami".into())).await?;
        let date = answer.header("date").map(str::as_bytes);
        let date = date.and_then(super::exchange::date);
        let bytes = answer.bytes(ANSWER_BYTES_MAX).await?;
        count.received(bytes.len());
        let whoami = serde_json::from_slice(&bytes).map_err(Violation::Shape)?;
        Ok((whoami, date))
    }

    /// One repository.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub async fn repository(&self, repository: &RepositoryName) -> Result<Repo, Failure> {
        let call = Call::get(repository.scope(), of_repository(repository, ""));
        self.json(&self.counts.repositories, call).await
    }

    /// All repositories of an organization that the credential can see.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation::Endless`] when pages do not end.
    pub async fn repositories(&self, organization: &str) -> Result<Vec<Repo>, Failure> {
        let mut repositories = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let cursor_query = cursor.as_deref().map_or_else(String::new, |cursor| {
                format!("&cursor={}", encoded(cursor.as_bytes()))
            });
            let rest = format!("/repos?limit={PAGE_ITEMS}{cursor_query}");
            let scope = Scope::Organization { organization };
            let call = Call::get(scope, of_organization(organization, &rest)?);
            let page: RepoPage = self.json(&self.counts.repositories, call).await?;
            for repo in page.repos {
                // Names become folders: what cannot be one is refused here.
                check_segment(&repo.name).map_err(|_| Violation::Elsewhere)?;
                repositories.push(repo);
            }
            match page.next_cursor {
                Some(next) if page.has_more => cursor = Some(next),
                _ => return Ok(repositories),
            }
        }
        Err(Violation::Endless.into())
    }

    /// Makes a repository.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Conflict`] when the name is taken.
    pub async fn create_repository(
        &self,
        organization: &str,
        repository: &NewRepo,
    ) -> Result<Repo, Failure> {
        let scope = Scope::Organization { organization };
        let target = of_organization(organization, "/repos")?;
        let call = Call::write(Method::Post, scope, target, repository)?;
        self.json(&self.counts.repositories_created, call).await
    }

    /// What a change is now; which files it touches is not asked for.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub async fn change(
        &self,
        repository: &RepositoryName,
        change: ChangeId,
    ) -> Result<ChangeDetail, Failure> {
        let target = of_repository(repository, &format!("/changes/{change}"));
        let mut call = Call::get(repository.scope(), target);
        call.header = Some((header::PREFER, header::MINIMAL.into()));
        let count = &self.counts.changes;
        let bytes = self
            .send(count, call)
            .await?
            .bytes(CHANGE_BYTES_MAX)
            .await?;
        count.received(bytes.len());
        Ok(serde_json::from_slice(&bytes).map_err(Violation::Shape)?)
    }

    /// A directory: its tree, and its direct children unless `depth` is 0.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation`]s for names that cannot be.
    pub(super) async fn directory(
        &self,
        repository: &RepositoryName,
        at: At,
        path: &TreePath,
        depth: u8,
        patience: Duration,
    ) -> Result<Directory, Failure> {
        let bytes = self
            .listing_bytes(repository, (at, path, depth), LISTING_BYTES_MAX, patience)
            .await?;
        super::listing::decode(path, &bytes)
    }

    /// What the server says of a directory with so many levels below it, in so many bytes at most.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub(super) async fn listing_bytes(
        &self,
        repository: &RepositoryName,
        (at, path, depth): (At, &TreePath, u8),
        bytes_max: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let target = of_content(repository, at, path, Some(depth));
        let call = Call {
            patience,
            ..Call::get(repository.scope(), target)
        };
        let mut answer = self.send(&self.counts.listings, call).await?;
        let bytes = answer.bytes(bytes_max).await?;
        self.counts.listings.received(bytes.len());
        Ok(bytes)
    }

    /// Writes a file's bytes, or a symbolic link's target, into `sink`; adds to `written`.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Sink`] when the sink fails.
    pub(super) async fn object(
        &self,
        repository: &RepositoryName,
        at: At,
        path: &TreePath,
        patience: Duration,
        sink: &mut dyn Write,
        written: &mut u64,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let target = of_content(repository, at, path, None);
        let call = Call {
            patience,
            accept: "application/octet-stream",
            ..Call::get(repository.scope(), target.clone())
        };
        let mut answer = match self.send(&self.counts.objects, call).await {
            // Whether a link has raw bytes is not said anywhere; JSON always carries them.
            Err(Failure::NotAcceptable) => {
                let call = Call {
                    patience: patience.saturating_sub(begun.elapsed()),
                    ..Call::get(repository.scope(), target)
                };
                return self.link(call, sink, written).await;
            }
            other => other?,
        };
        while let Some(chunk) = answer.chunk().await? {
            self.counts.objects.received(chunk.len());
            sink.write_all(&chunk).map_err(Failure::Sink)?;
            *written += chunk.len() as u64;
        }
        Ok(())
    }

    async fn link(
        &self,
        call: Call<'_>,
        sink: &mut dyn Write,
        written: &mut u64,
    ) -> Result<(), Failure> {
        let mut answer = self.send(&self.counts.objects, call).await?;
        let bytes = answer.bytes(LINK_BYTES_MAX).await?;
        self.counts.objects.received(bytes.len());
        let content = match serde_json::from_slice(&bytes).map_err(Violation::Shape)? {
            Content::File(content) | Content::Symlink(content) => content,
            Content::Directory(_) | Content::Submodule(_) => {
                return Err(Violation::OtherObject.into());
            }
        };
        let bytes = content
            .bytes()
            .map_err(|error| Violation::Encoding(error.into()))?;
        sink.write_all(&bytes).map_err(Failure::Sink)?;
        *written += bytes.len() as u64;
        Ok(())
    }

    /// Makes a change; with `key`, and on a server that knows keys, only once.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; see [`Failure::is_unknown_outcome`].
    pub async fn create_change(
        &self,
        repository: &RepositoryName,
        change: &NewChange,
        key: Uuid,
    ) -> Result<Change, Failure> {
        let target = of_repository(repository, "/changes");
        let call = Call {
            header: Some((header::IDEMPOTENCY_KEY, key.to_string())),
            ..Call::write(Method::Post, repository.scope(), target, change)?
        };
        self.json(&self.counts.changes_created, call).await
    }

    /// Amends a change.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Conflict`] when it has advanced past `base_commit_oid`;
    /// see [`Failure::is_unknown_outcome`].
    pub async fn patch_change(
        &self,
        repository: &RepositoryName,
        change: ChangeId,
        patch: &ChangePatch,
    ) -> Result<Change, Failure> {
        let target = of_repository(repository, &format!("/changes/{change}"));
        let call = Call::write(Method::Patch, repository.scope(), target, patch)?;
        self.json(&self.counts.changes_patched, call).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("base", &self.base())
            .finish_non_exhaustive()
    }
}
