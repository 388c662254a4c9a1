//! One HTTP exchange. This file and those below it are the only ones that know the HTTP client.
//!
//! One attempt per call, no redirects (a credential goes where it was meant to go, or nowhere), no
//! retries below us. Every wait is bounded: the connection, the first byte, each chunk, and the pace
//! of the whole, so that a server which drips bytes is as dead as one that sends none. Bodies are
//! bounded after decompression. Proxies are those of the usual variables, but never for this machine
//! itself.
//!
//! A kept connection may be dead without anybody having told us: the peer's machine was paused, a
//! gateway forgot it, this machine slept. So a question that one leaves unanswered, or breaks on, is
//! put once more on a connection of its own, and the kept ones are dropped when that helps.

mod client;
mod collector;
mod courier;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::io::ReaderStream;

pub use self::collector::Collector;
pub use self::courier::Destination;

use self::client::client;
use super::Failure;
use super::exchange::{Body, Limits, Method, Request};
use super::failure::{Refusal, Violation};
use super::sending::{Activity, SEND_CHUNK_BYTES, Sent, chunks_of};
use crate::secrets::ServerClock;
use crate::tree::GitOid;

/// Slowest body that is worth waiting for, on average: a file of 1 MiB in a minute.
const PACE_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// Connections that stay open: as many as threads that fetch and push.
const CONNECTIONS_IDLE_MAX: usize = 16;
/// How long a kept connection may leave a question unanswered before it is put on a new one: far more
/// than a round trip, and it leaves the larger part of a reader's patience.
const HEDGE: Duration = Duration::from_secs(2);
/// Questions that are put a second time at once: a slow server must not be asked everything twice,
/// and the first one that helps renews the connections of all.
const HEDGES_MAX: usize = 2;
/// The least that an answer has for its body after it began, however late that was.
const BODY_MIN: Duration = Duration::from_secs(1);
/// The least time that a server has for its answer to a body, once it has all of it; and how fast it
/// handles more of it. An answer that is lost because it comes later is found by asking.
const ANSWER_MIN: Duration = Duration::from_secs(15);
const HANDLED_BYTES_PER_SECOND_MIN: u64 = 1024 * 1024;
/// What a probe may take with its connection.
const PROBE_MAX: Duration = Duration::from_secs(3);
/// Largest error body that is read: a merge conflict lists paths, and may list lines.
const ERROR_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) struct Http {
    /// Whose connections are kept.
    kept: RwLock<reqwest::Client>,
    /// Whose connections are not: each exchange has a new one.
    fresh: reqwest::Client,
    base: String,
    limits: Limits,
    activity: Arc<Activity>,
    clock: Arc<ServerClock>,
    /// Counts how often the kept connections were dropped.
    renewals: watch::Sender<u64>,
    hedges: Semaphore,
}

/// Whose answer came first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Kept,
    Fresh,
}

impl Http {
    pub(super) fn new(
        base: &str,
        limits: Limits,
        clock: Arc<ServerClock>,
    ) -> Result<Http, Failure> {
        Ok(Http {
            kept: RwLock::new(client(base, CONNECTIONS_IDLE_MAX)?),
            fresh: client(base, 0)?,
            base: base.trim_end_matches('/').to_owned(),
            limits,
            activity: Arc::default(),
            clock,
            renewals: watch::Sender::new(0),
            hedges: Semaphore::new(HEDGES_MAX),
        })
    }

    /// How long nothing has come from the server, nor gone to it.
    pub(super) fn quiet(&self) -> Duration {
        self.activity.quiet()
    }

    /// Drops the connections that are kept. What is under way on them goes on, with less patience.
    pub(super) fn renew(&self) {
        match client(&self.base, CONNECTIONS_IDLE_MAX) {
            Ok(client) => *self.kept.write() = client,
            Err(failure) => tracing::warn!(error = %failure, "connections are kept"),
        }
        self.renewals.send_modify(|count| *count += 1);
    }

    /// Whether the server answers anything at all, on a connection of its own. It is told no
    /// credential: to be refused is an answer.
    pub(super) async fn probe(&self, target: &str) -> bool {
        let sending = self.fresh.get(format!("{}{target}", self.base)).send();
        let answered = matches!(timeout(PROBE_MAX, sending).await, Ok(Ok(_)));
        if answered {
            self.activity.note();
        }
        answered
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends the request; a success is an answer, everything else a failure.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let kept = self.kept.read().clone();
        let begun = Instant::now();
        let mut builder = kept
            .request(method, format!("{}{}", self.base, request.target))
            .bearer_auth(request.credential.expose())
            .header(reqwest::header::ACCEPT, request.accept);
        if let Some((name, value)) = request.header {
            builder = builder.header(name, value);
        }
        let sent = Arc::new(Sent::new(Arc::clone(&self.activity)));
        let (response, patience) = match request.body {
            Body::Empty => {
                let asked = self.ask(&kept, builder, begun + request.patience).await?;
                (asked, request.patience.saturating_sub(begun.elapsed()))
            }
            Body::Json(json) => {
                let length = json.len() as u64;
                let chunks = chunks_of(json);
                let builder = builder.header(reqwest::header::CONTENT_TYPE, "application/json");
                let sending = self.upload(builder, chunks, length, &sent).await?;
                (sending, self.limits.chunk)
            }
            Body::Batch(bytes) => {
                let length = bytes.len() as u64;
                let builder = builder
                    .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
                    .header(reqwest::header::CONTENT_ENCODING, "zstd");
                let sending = self
                    .upload(builder, chunks_of(bytes), length, &sent)
                    .await?;
                (sending, self.limits.chunk)
            }
            Body::File(file, length) => {
                let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), length);
                let chunks = ReaderStream::with_capacity(file, SEND_CHUNK_BYTES);
                let builder =
                    builder.header(reqwest::header::CONTENT_TYPE, "application/octet-stream");
                let sending = self.upload(builder, chunks, length, &sent).await?;
                (sending, self.limits.chunk)
            }
        };
        self.activity.note();
        let date = response.headers().get(reqwest::header::DATE);
        if let Some(date) = date.and_then(|date| super::exchange::date(date.as_bytes())) {
            self.clock.heard(date);
        }
        let mut answer = Answer {
            response,
            body_until: Instant::now() + patience.max(BODY_MIN).min(self.limits.chunk),
            received: 0,
            sent,
            silence_max: self.limits.chunk,
        };
        if answer.response.status().is_success() {
            Ok(answer)
        } else {
            Err(answer.refusal().await.into())
        }
    }

    /// Sends a question without a body, once more if a kept connection does not bring an answer.
    async fn ask(
        &self,
        kept: &reqwest::Client,
        builder: reqwest::RequestBuilder,
        until: Instant,
    ) -> Result<reqwest::Response, Failure> {
        let request = builder.build().map_err(transport)?;
        let again = match request.method() {
            &reqwest::Method::GET => request.try_clone(),
            _ => None,
        };
        let mut renewals = self.renewals.subscribe();
        let seen = *renewals.borrow_and_update();
        let mut first = std::pin::pin!(kept.execute(request));
        let Some(again) = again else {
            return within(until, first).await;
        };
        let doubt = async {
            tokio::select! {
                _ = renewals.changed() => None,
                permit = async {
                    tokio::time::sleep(HEDGE).await;
                    self.hedges.acquire().await.ok()
                } => permit,
            }
        };
        let permit = tokio::select! {
            result = &mut first => match result {
                // What was kept was closed; a new one may do better.
                Err(error) if !error.is_connect() => {
                    let response = within(until, self.fresh.execute(again)).await?;
                    self.renew_after(seen);
                    return Ok(response);
                }
                result => return result.map_err(transport),
            },
            () = tokio::time::sleep_until(until) => return Err(Failure::TimedOut),
            permit = doubt => permit,
        };
        let mut fresh = std::pin::pin!(self.fresh.execute(again));
        let either = async {
            tokio::select! {
                Ok(response) = &mut first => Ok((response, Answered::Kept)),
                result = &mut fresh => Ok((result?, Answered::Fresh)),
            }
        };
        let (response, by) = within(until, either).await?;
        drop(permit);
        if by == Answered::Fresh {
            self.renew_after(seen);
        }
        Ok(response)
    }

    /// Drops the connections that are kept, unless that was done meanwhile.
    fn renew_after(&self, seen: u64) {
        if *self.renewals.borrow() == seen {
            self.renew();
        }
    }

    /// Sends a body and waits, for as long as the server keeps taking it.
    async fn upload(
        &self,
        builder: reqwest::RequestBuilder,
        chunks: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
        length: u64,
        sent: &Arc<Sent>,
    ) -> Result<reqwest::Response, Failure> {
        let mut renewals = self.renewals.subscribe();
        let sending = builder
            .header(reqwest::header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(sent.watched(chunks, length)))
            .send();
        let mut sending = std::pin::pin!(sending);
        let for_its_size = ANSWER_MIN + Duration::from_secs(length / HANDLED_BYTES_PER_SECOND_MIN);
        let mut stall_max = self.limits.upload.min(for_its_size);
        let mut since = sent.moved();
        let result = loop {
            tokio::select! {
                result = &mut sending => break result,
                // Whoever holds the other end lives as long as we do.
                _ = renewals.changed() => {
                    stall_max = self.limits.upload_doubtful;
                    since = std::time::Instant::now();
                }
                () = tokio::time::sleep_until((since + stall_max).into()) => {
                    if sent.moved() <= since {
                        return Err(Failure::TimedOut);
                    }
                    since = sent.moved();
                }
            }
        };
        match sent.failure() {
            Some(error) => Err(Failure::Body(error)),
            None => result.map_err(transport),
        }
    }
}

async fn within<T>(
    until: Instant,
    sending: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, Failure> {
    match timeout_at(until, sending).await {
        Ok(result) => result.map_err(transport),
        Err(_) => Err(Failure::TimedOut),
    }
}

fn transport(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        Failure::TimedOut
    } else if error.is_builder() {
        Failure::Unsendable
    } else {
        Failure::Offline(error.into())
    }
}

/// A success, whose body has yet to come.
pub(super) struct Answer {
    response: reqwest::Response,
    /// When the body must have come, but for the time that its bytes earn.
    body_until: Instant,
    received: u64,
    sent: Arc<Sent>,
    silence_max: Duration,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The id of a Git blob with the bytes that were sent, and how many they were.
    pub(super) fn sent(&self) -> (GitOid, u64) {
        (self.sent.oid(), self.sent.bytes())
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let earned = Duration::from_secs(self.received / PACE_BYTES_PER_SECOND_MIN);
        let silence = self.silence_max;
        let deadline = (self.body_until + earned).min(Instant::now() + silence);
        match timeout_at(deadline, self.response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                self.sent.activity.note();
                Ok(chunk)
            }
            Ok(Err(error)) => Err(transport(error)),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// The whole body, of at most `bytes_max` bytes.
    pub(super) async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let announced = self.response.content_length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > bytes_max {
            return Err(Violation::TooLarge.into());
        }
        let mut bytes = Vec::with_capacity(announced);
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(Violation::TooLarge.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn refusal(&mut self) -> Refusal {
        let status = self.response.status().as_u16();
        let retry_after = self.header("retry-after").map(str::to_owned);
        let body = self.bytes(ERROR_BYTES_MAX).await.unwrap_or_default();
        Refusal::read(status, retry_after.as_deref(), &body)
    }
}
