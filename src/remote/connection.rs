//! The blocking face of one server: retries and the breaker around reads, single attempts for
//! writes, and what the server was found to be able to do.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::api::{NewRepo, Repo, Whoami};
use super::breaker::{Admission, Breaker};
use super::retry::{self, Decision, READ_PATIENCE};
use super::{Client, Extensions, Failure, RepositoryName, Requests};
use crate::secrets::Scope;

/// One server, for threads that may block. Must not be used on a thread of the runtime itself.
pub struct Remote {
    client: Client,
    handle: Handle,
    breaker: Mutex<Breaker>,
    extensions: OnceCell<Extensions>,
    patience: Duration,
}

impl Remote {
    /// Performs calls of `client` on the runtime of `handle`, which has threads of its own.
    pub fn new(client: Client, handle: Handle) -> Arc<Remote> {
        Remote::with_patience(client, handle, READ_PATIENCE)
    }

    pub(super) fn with_patience(client: Client, handle: Handle, patience: Duration) -> Arc<Remote> {
        Arc::new(Remote {
            client,
            handle,
            breaker: Mutex::new(Breaker::default()),
            extensions: OnceCell::new(),
            patience,
        })
    }

    /// The API's address.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// What was sent so far.
    pub fn requests(&self) -> Requests {
        self.client.requests()
    }

    /// Whether the last that was heard of the server is that it cannot be reached.
    pub fn is_offline(&self) -> bool {
        !self.breaker.lock().is_closed()
    }

    /// Who the credential of `scope` is.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries, as every read here.
    pub fn whoami(&self, scope: Scope<'_>) -> Result<Whoami, Failure> {
        self.block_on(self.ask(async || self.client.whoami(scope).await))
    }

    /// One repository.
    ///
    /// # Errors
    ///
    /// As [`Remote::whoami`].
    pub fn repository(&self, repository: &RepositoryName) -> Result<Repo, Failure> {
        self.block_on(self.ask(async || self.client.repository(repository).await))
    }

    /// All repositories of an organization that the credential can see.
    ///
    /// # Errors
    ///
    /// As [`Remote::whoami`].
    pub fn repositories(&self, organization: &str) -> Result<Vec<Repo>, Failure> {
        self.block_on(self.read(async |_| self.client.repositories(organization).await))
    }

    /// Makes a repository, in one attempt.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; [`Failure::Conflict`] when the name is taken.
    pub fn create_repository(
        &self,
        organization: &str,
        repository: &NewRepo,
    ) -> Result<Repo, Failure> {
        self.block_on(self.write(self.client.create_repository(organization, repository)))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// What the server can do: asked once, then known.
    pub(super) async fn extensions(
        &self,
        repository: &RepositoryName,
    ) -> Result<Extensions, Failure> {
        let ask = async || {
            let scope = repository.scope();
            let whoami = self.ask(async || self.client.whoami(scope).await).await?;
            Ok(Extensions::of_names(&whoami.extensions))
        };
        self.extensions.get_or_try_init(ask).await.copied()
    }

    /// A write: one attempt, never refused by the breaker (its caller has its own patience), but what
    /// it finds out about the server helps the readers.
    pub(super) async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let result = call.await;
        self.heard(&result);
        result
    }

    fn heard<T>(&self, result: &Result<T, Failure>) {
        if result.as_ref().map_or_else(Failure::is_answer, |_| true) {
            self.breaker.lock().answered();
        }
    }

    /// A read of a small answer, which comes whole within the patience.
    pub(super) async fn ask<T>(
        &self,
        mut call: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.read(async |left| {
            let answer = tokio::time::timeout(left, call()).await;
            answer.unwrap_or(Err(Failure::TimedOut))
        })
        .await
    }

    /// A read: attempts within the patience, which `call` is told what is left of.
    pub(super) async fn read<T>(
        &self,
        mut call: impl AsyncFnMut(Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let admission = self.breaker.lock().admit(begun);
        if admission == Admission::Refused {
            return Err(Failure::OfflineLately);
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let left = self.patience.saturating_sub(begun.elapsed());
            let result = call(left).await;
            self.heard(&result);
            let failure = match result {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let left = self.patience.saturating_sub(begun.elapsed());
            let others_gave_up = !self.breaker.lock().is_closed();
            let decision = match admission {
                Admission::Probe => Decision::GiveUp,
                _ if others_gave_up => Decision::GiveUp,
                _ => retry::decide(attempt, &failure, left, rand::random()),
            };
            match decision {
                Decision::Wait(wait) => tokio::time::sleep(wait).await,
                Decision::GiveUp => {
                    if failure.is_unreachable() {
                        self.breaker.lock().unreachable(Instant::now());
                    }
                    return Err(failure);
                }
            }
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Remote")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
