//! `mesa serve`: Mesa's REST contract over bare Git repositories.
//!
//! ```text
//! DIR/                     0700, owned by one server at a time (flock on `lock`)
//!   admin.key              the first API key, 0600, written at the first start
//!   keys.json              hashes of the API keys, 0600
//!   organization.json      id, name and birth of the one organization
//!   orgs/<org>/<repo>.git  bare repositories, each with a `mesa.json` of its id, birth and tags
//!   temporary/             what is being made or removed; cleared at start
//! ```
//!
//! `http` speaks, `git` keeps, and nothing but `git` knows gix. A repository is made under
//! `temporary/` and renamed into place, so it exists whole or not at all. Writers of one
//! repository take turns (a ticket, not a lock: it is held while Git works); readers never wait.
//! Whatever was answered with success survives kill -9 and a power cut.

mod data;
mod error;
mod git;
mod http;
mod keys;
mod repositories;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use error::Error;

/// How long requests that are running may take after the server was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// What a server serves, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if it is not there.
    pub data: PathBuf,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The organization's slug.
    pub organization: String,
    /// Repositories to import under a name, unless the name exists.
    pub imports: Vec<(String, PathBuf)>,
}

/// A server that answers requests.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

/// Opens the data directory, imports, and begins to answer.
///
/// # Errors
///
/// What is wrong with the options, the data directory, an import, or the address.
pub async fn start(options: Options) -> Result<Running, Error> {
    let listen = options.listen;
    let service = tokio::task::spawn_blocking(move || http::Service::open(options, now()))
        .await
        .map_err(Error::Task)??;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|source| Error::Listen { listen, source })?;
    let address = listener
        .local_addr()
        .map_err(|source| Error::Listen { listen, source })?;
    // Answers are small and the client waits for each of them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let router = http::router(service);
    let served = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async {
                // A dropped sender stops the server too.
                let _ = stopped.await;
            })
            .await
    });
    tracing::info!(%address, "serving");
    Ok(Running {
        address,
        stop,
        served,
    })
}

impl Running {
    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then lets running requests finish within ten seconds.
    ///
    /// # Errors
    ///
    /// Why serving ended by itself.
    pub async fn wait_until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let ended = tokio::select! {
            ended = &mut self.served => ended,
            () = shutdown => {
                let _ = self.stop.send(());
                match tokio::time::timeout(GRACE, &mut self.served).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::warn!("requests were still running when the server stopped");
                        self.served.abort();
                        return Ok(());
                    }
                }
            }
        };
        ended.map_err(Error::Task)?.map_err(Error::Serve)
    }
}

/// Serves until SIGTERM or SIGINT; `ready` is called with the address once it is listened on.
///
/// # Errors
///
/// As [`start`] and [`Running::wait_until`].
pub fn run(options: Options, ready: impl FnOnce(SocketAddr)) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("mesa-serve")
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
        let running = start(options).await?;
        ready(running.address());
        running
            .wait_until(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await
    })
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
