//! One HTTP exchange: the only file that knows the HTTP client.
//!
//! One attempt per call, no redirects (a credential goes where it was meant to go, or nowhere), no
//! retries below us. Every wait is bounded: the connection, the first byte, each chunk, and the pace
//! of the whole, so that a server which drips bytes is as dead as one that sends none. Bodies are
//! bounded after decompression. Proxies are those of the usual variables, but never for this machine
//! itself.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use sha1::{Digest, Sha1};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::io::ReaderStream;

use super::Failure;
use super::failure::{Refusal, Violation};
use crate::secrets::Credential;
use crate::tree::GitOid;

/// Three round trips and two lost packets.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Slowest body that is worth waiting for, on average: a file of 1 MiB in a minute.
const PACE_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// Unacknowledged bytes for this long mean a dead connection, also while we send.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// Connections that stay open: as many as threads that fetch and push.
const CONNECTIONS_IDLE_MAX: usize = 16;
/// Shorter than the idle limits of common load balancers (60 s).
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Bytes per chunk of a body that is sent.
const SEND_CHUNK_BYTES: usize = 256 * 1024;
/// Largest error body that is read: a merge conflict lists paths, and may list lines.
const ERROR_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long silence is borne.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Within a body that comes.
    pub(super) chunk: Duration,
    /// Within a body that goes, and after it until the answer.
    pub(super) upload: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // As for the first byte of a read.
            chunk: Duration::from_secs(5),
            // A server writes and hashes hundreds of megabytes in that time.
            upload: Duration::from_secs(60),
        }
    }
}

pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    limits: Limits,
}

#[derive(Clone, Copy)]
pub(super) enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

pub(super) enum Body {
    Empty,
    Json(Vec<u8>),
    /// A file from its start, of exactly this many bytes.
    File(File, u64),
}

pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Encoded path and query, below the base address.
    pub(super) target: String,
    pub(super) credential: &'a Credential,
    pub(super) accept: &'static str,
    pub(super) header: Option<(&'static str, String)>,
    pub(super) body: Body,
    /// How long until the first byte of the answer; bodies that are sent have their own bounds.
    pub(super) patience: Duration,
}

impl Http {
    pub(super) fn new(base: &str, limits: Limits) -> Result<Http, Failure> {
        let setup = |error: reqwest::Error| Failure::Setup(error.without_url().into());
        let url = reqwest::Url::parse(base).map_err(|error| Failure::Setup(error.into()))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mesa/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .http1_only()
            .pool_max_idle_per_host(CONNECTIONS_IDLE_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_nodelay(true)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never());
        if url.scheme() == "http" {
            // No certificates are needed, and a slim image may have none to find.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        if url.host_str().is_some_and(is_this_machine) {
            builder = builder.no_proxy();
        }
        Ok(Http {
            client: builder.build().map_err(setup)?,
            base: base.trim_end_matches('/').to_owned(),
            limits,
        })
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
        let mut builder = self
            .client
            .request(method, format!("{}{}", self.base, request.target))
            .bearer_auth(request.credential.expose())
            .header(reqwest::header::ACCEPT, request.accept);
        if let Some((name, value)) = request.header {
            builder = builder.header(name, value);
        }
        let sent = Arc::new(Sent::default());
        let response = match request.body {
            Body::Empty => timeout(request.patience, builder.send())
                .await
                .map_err(|_| Failure::TimedOut)?,
            Body::Json(json) => {
                let length = json.len() as u64;
                let chunks = chunks_of(json.into());
                let builder = builder.header(reqwest::header::CONTENT_TYPE, "application/json");
                upload(builder, chunks, length, &sent, self.limits.upload).await?
            }
            Body::File(file, length) => {
                let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), length);
                let chunks = ReaderStream::with_capacity(file, SEND_CHUNK_BYTES);
                let builder =
                    builder.header(reqwest::header::CONTENT_TYPE, "application/octet-stream");
                upload(builder, chunks, length, &sent, self.limits.upload).await?
            }
        };
        if let Some(error) = sent.failed.lock().take() {
            return Err(Failure::Body(error));
        }
        let response = response.map_err(transport)?;
        let mut answer = Answer {
            response,
            begun: Instant::now(),
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
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
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

/// What is known of a body that is being sent.
#[derive(Default)]
struct Sent {
    bytes: AtomicU64,
    hash: Mutex<Sha1>,
    failed: Mutex<Option<io::Error>>,
}

fn chunks_of(bytes: Bytes) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::unfold(bytes, |mut bytes| async move {
        let length = bytes.len().min(SEND_CHUNK_BYTES);
        (length > 0).then(|| (Ok(bytes.split_to(length)), bytes))
    })
}

/// Sends a body and waits, for as long as the server keeps taking it.
async fn upload(
    builder: reqwest::RequestBuilder,
    chunks: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
    length: u64,
    sent: &Arc<Sent>,
    stall_max: Duration,
) -> Result<Result<reqwest::Response, reqwest::Error>, Failure> {
    let watched = sent.clone();
    let chunks = chunks.map(move |chunk| match chunk {
        Ok(chunk) => {
            watched.hash.lock().update(&chunk);
            let length = chunk.len() as u64;
            watched.bytes.fetch_add(length, Ordering::Relaxed);
            Ok(chunk)
        }
        Err(error) => {
            let kind = error.kind();
            *watched.failed.lock() = Some(error);
            Err(io::Error::from(kind))
        }
    });
    sent.hash.lock().update(format!("blob {length}\0"));
    let sending = builder
        .header(reqwest::header::CONTENT_LENGTH, length)
        .body(reqwest::Body::wrap_stream(chunks))
        .send();
    tokio::pin!(sending);
    let mut seen = 0;
    loop {
        if let Ok(result) = timeout(stall_max, &mut sending).await {
            return Ok(result);
        }
        let now = sent.bytes.load(Ordering::Relaxed);
        if now == seen {
            return Err(Failure::TimedOut);
        }
        seen = now;
    }
}

/// A success, whose body has yet to come.
pub(super) struct Answer {
    response: reqwest::Response,
    begun: Instant,
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
        let hash = self.sent.hash.lock().clone().finalize();
        (GitOid(hash.into()), self.sent.bytes.load(Ordering::Relaxed))
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let earned = Duration::from_secs(self.received / PACE_BYTES_PER_SECOND_MIN);
        let silence = self.silence_max;
        let deadline = (self.begun + silence + earned).min(Instant::now() + silence);
        match timeout_at(deadline, self.response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
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
