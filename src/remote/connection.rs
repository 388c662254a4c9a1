//! The blocking face of one server: retries and the breaker around reads, single attempts for
//! writes, and what the server was found to be able to do.
//!
//! Whatever waits here ends: a read with its patience, a write when nothing moves, both at once when
//! the daemon closes. While the breaker is open nothing but probes goes out, and everybody else is
//! told at once; whoever has work for the server watches for its return.

mod outage;

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OnceCell, watch};

use self::outage::Then;
use super::anticipated::Anticipated;
use super::api::{NewRepo, Repo, Whoami};
use super::breaker::Breaker;
use super::concurrency::Concurrency;
use super::patience::Patience;
use super::retry::{self, Decision, READ_PATIENCE};
use super::{Client, Extensions, Failure, RepositoryName, Requests, Tally};
use crate::secrets::Scope;

/// One server, for threads that may block. Must not be used on a thread of the runtime itself.
pub struct Remote {
    client: Client,
    handle: Handle,
    breaker: Mutex<Breaker>,
    extensions: OnceCell<Extensions>,
    patience: Duration,
    concurrency: Concurrency,
    /// Who wants to know when the server is back.
    watchers: Mutex<Vec<Sender<()>>>,
    /// Wakes the probes of an outage before their time.
    hurry: Notify,
    /// Whether a probe looks into a suspicion.
    suspecting: AtomicBool,
    closing: watch::Sender<bool>,
    anticipated: Anticipated,
    own: Weak<Remote>,
}

impl Remote {
    /// Performs calls of `client` on the runtime of `handle`, which has threads of its own.
    pub fn new(client: Client, handle: Handle) -> Arc<Remote> {
        Remote::with_patience(client, handle, READ_PATIENCE)
    }

    pub(super) fn with_patience(client: Client, handle: Handle, patience: Duration) -> Arc<Remote> {
        Arc::new_cyclic(|own| Remote {
            client,
            handle,
            breaker: Mutex::new(Breaker::default()),
            extensions: OnceCell::new(),
            patience,
            concurrency: Concurrency::new(),
            watchers: Mutex::default(),
            hurry: Notify::new(),
            suspecting: AtomicBool::new(false),
            closing: watch::Sender::new(false),
            anticipated: Anticipated::default(),
            own: own.clone(),
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

    /// What was sent so far, by kind, with what became of it.
    pub fn tallies(&self) -> Vec<(&'static str, Tally)> {
        self.client.tallies()
    }

    /// Whether the last that was heard of the server is that it cannot be reached.
    pub fn is_offline(&self) -> bool {
        !self.breaker.lock().is_closed()
    }

    /// Ends every call, now and from now on, as if the server could not be reached.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Who the credential of `scope` is.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries, as every read here.
    pub fn whoami(&self, scope: Scope<'_>) -> Result<Whoami, Failure> {
        self.block_on(async {
            let ask = async || self.ask(async || self.client.whoami(scope).await).await;
            let mut told = None;
            // Whoever wants to know meanwhile what the server can do is told by this.
            let asked = self.extensions.get_or_try_init(async || {
                let whoami = told.insert(ask().await?);
                Ok::<_, Failure>(Extensions::of_names(&whoami.extensions))
            });
            asked.await?;
            match told {
                Some(whoami) => Ok(whoami),
                None => ask().await,
            }
        })
    }

    /// The same, with what the server says that the time is.
    ///
    /// # Errors
    ///
    /// As [`Remote::whoami`].
    pub fn whoami_and_date(
        &self,
        scope: Scope<'_>,
    ) -> Result<(Whoami, Option<SystemTime>), Failure> {
        self.block_on(self.ask(async || self.client.whoami_and_date(scope).await))
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
        self.block_on(self.ask(async || self.client.repositories(organization).await))
    }

    /// The same for somebody who has an older list to show: if the server says nothing to anyone for
    /// `unheard`, that is the end of it.
    ///
    /// # Errors
    ///
    /// As [`Remote::whoami`].
    pub fn repositories_unless_unheard(
        &self,
        organization: &str,
        unheard: Duration,
    ) -> Result<Vec<Repo>, Failure> {
        let patience = self.patience().unless_heard(unheard);
        let asked = self.ask_within(patience, async || {
            self.client.repositories(organization).await
        });
        self.block_on(asked)
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

    /// How many requests at once fetch ahead.
    pub(super) fn concurrency(&self) -> &Concurrency {
        &self.concurrency
    }

    /// What the server can do, if it was asked by now.
    pub(super) fn known_extensions(&self) -> Option<Extensions> {
        self.extensions.get().copied()
    }

    pub(super) fn anticipated(&self) -> &Anticipated {
        &self.anticipated
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// The patience of one operation, from now.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(Instant::now(), self.patience)
    }

    /// What the server can do: asked once, then known.
    pub(super) async fn extensions(
        &self,
        repository: &RepositoryName,
    ) -> Result<Extensions, Failure> {
        self.extensions_within(self.patience(), repository).await
    }

    /// The same, within the patience of an operation that goes on.
    pub(super) async fn extensions_within(
        &self,
        patience: Patience,
        repository: &RepositoryName,
    ) -> Result<Extensions, Failure> {
        let ask = async || {
            let scope = repository.scope();
            let ask = async || self.client.whoami(scope).await;
            let whoami = self.ask_within(patience, ask).await?;
            Ok(Extensions::of_names(&whoami.extensions))
        };
        self.extensions.get_or_try_init(ask).await.copied()
    }

    /// A write: one attempt, whose caller has its own patience. What it finds out about the server
    /// helps the readers, and it is not sent into an outage that they know of.
    pub(super) async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if self.is_offline() {
            return Err(Failure::OfflineLately);
        }
        let mut closing = self.closing.subscribe();
        let result = tokio::select! {
            result = call => result,
            () = self.watch_quiet() => Err(Failure::TimedOut),
            _ = closing.wait_for(|closing| *closing) => Err(Failure::TimedOut),
        };
        match &result {
            Err(failure) if failure.is_unreachable() => self.suspect(Then::Nothing),
            result => self.heard(result),
        }
        result
    }

    /// A read of a small answer, which comes whole within the patience of one operation.
    pub(super) async fn ask<T>(
        &self,
        call: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.ask_within(self.patience(), call).await
    }

    /// The same, within the patience of an operation that goes on.
    pub(super) async fn ask_within<T>(
        &self,
        patience: Patience,
        mut call: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.read_within(patience, async |left| {
            let answer = tokio::time::timeout(left, call()).await;
            answer.unwrap_or(Err(Failure::TimedOut))
        })
        .await
    }

    /// A read: attempts within the patience of one operation, which `call` is told what is left of.
    pub(super) async fn read<T>(
        &self,
        call: impl AsyncFnMut(Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.read_within(self.patience(), call).await
    }

    /// The same, within the patience of an operation that goes on.
    pub(super) async fn read_within<T>(
        &self,
        patience: Patience,
        mut call: impl AsyncFnMut(Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.is_offline() {
            return Err(Failure::OfflineLately);
        }
        let mut closing = self.closing.subscribe();
        let begun = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = tokio::select! {
                result = call(patience.left(Instant::now())) => result,
                () = self.unheard(patience) => Err(Failure::TimedOut),
                _ = closing.wait_for(|closing| *closing) => return Err(Failure::OfflineLately),
            };
            self.heard(&result);
            let failure = match result {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if failure.is_overload() {
                self.concurrency.refused();
            }
            let left = self.left(patience, &failure);
            let decision = match self.is_offline() {
                // Others gave up meanwhile.
                true => Decision::GiveUp,
                false => retry::decide(attempt, &failure, left, rand::random()),
            };
            match decision {
                Decision::Wait(wait) => tokio::time::sleep(wait).await,
                Decision::GiveUp if failure.is_unreachable() => {
                    self.in_vain(begun);
                    // That nothing came from anywhere is another thing than one slow answer.
                    return Err(match failure {
                        Failure::TimedOut if self.is_offline() => {
                            Failure::Offline(Failure::TimedOut.into())
                        }
                        failure => failure,
                    });
                }
                Decision::GiveUp => return Err(failure),
            }
        }
    }

    /// What is left of the patience after a failure, given what was heard of the server meanwhile.
    fn left(&self, patience: Patience, failure: &Failure) -> Duration {
        let now = Instant::now();
        let until = match failure {
            Failure::Offline(_) => patience.refused_until(),
            _ => patience.unheard_until(),
        };
        match until {
            Some(until) if !self.breaker.lock().heard_since(patience.begun()) => {
                until.saturating_duration_since(now)
            }
            _ => patience.left(now),
        }
    }

    /// Ends when the time is over within which the server must have said anything, and it has not.
    async fn unheard(&self, patience: Patience) {
        if let Some(until) = patience.unheard_until() {
            tokio::time::sleep_until(until.into()).await;
            if !self.breaker.lock().heard_since(patience.begun()) {
                return;
            }
        }
        std::future::pending().await
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
