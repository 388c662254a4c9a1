//! `mesa serve`: Mesa's REST contract over bare Git repositories.
//!
//! ```text
//! DIR/                     0700, owned by one server at a time (flock on `lock`)
//!   admin.key              an API key to begin with, 0600; a new one when no key is left that makes others
//!   keys.json              hashes of API keys, public keys of the organization, 0600
//!   organization.json      id, name and birth of the one organization
//!   orgs/<org>/<repo>.git  bare repositories, each with a `mesa.json` of its id, name, birth, tags
//!                          and upstream; the folder keeps the name that it was made under
//!   webhooks.json          webhook targets and what their deliveries are signed with, 0600
//!   temporary/             what is being made or removed; cleared at start
//! ```
//!
//! Besides, bare repositories of others can be served where they are; see `in_place`.
//!
//! `http` speaks, `git` keeps, and nothing but `git` knows gix. A repository is made under
//! `temporary/` and renamed into place, so it exists whole or not at all. Writers of one
//! repository take turns (a ticket, not a lock: it is held while Git works); readers never wait.
//! `upkeep` packs what many small writes have left, in the background.
//! Whatever was answered with success survives kill -9 and a power cut.

mod data;
mod error;
mod events;
mod git;
mod http;
mod in_place;
mod keys;
mod listen;
mod repositories;
mod upkeep;
mod webhooks;

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use in_place::Access;

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
    /// A folder of bare repositories that are served where they are.
    pub in_place: Option<(PathBuf, Access)>,
    /// Hosts, besides this machine, that webhooks may be delivered to.
    pub webhook_hosts: Vec<String>,
    /// Encrypts connections.
    pub tls: Option<Tls>,
    /// Whether an address that other machines reach may do without TLS.
    pub allow_plaintext: bool,
    /// Most requests a second of one key, with all its tokens; twice as many may come at once.
    pub rate_limit: Option<NonZeroU32>,
}

impl Options {
    /// The organization `local`, on a free port of this machine.
    pub fn new(data: PathBuf) -> Options {
        Options {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            organization: "local".to_owned(),
            imports: Vec::new(),
            in_place: None,
            webhook_hosts: Vec::new(),
            tls: None,
            allow_plaintext: false,
            rate_limit: None,
        }
    }
}

/// A certificate chain and its private key, both PEM files; read again on SIGHUP.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A server that answers requests.
#[derive(Debug)]
pub struct Running {
    listening: listen::Listening,
}

/// Opens the data directory, imports, and begins to answer.
///
/// # Errors
///
/// What is wrong with the options, the data directory, an import, or the address.
pub async fn start(options: Options) -> Result<Running, Error> {
    let door = listen::Door::open(&options).await?;
    let stopping = CancellationToken::new();
    let token = stopping.clone();
    let service = tokio::task::spawn_blocking(move || http::Service::open(options, now(), token))
        .await
        .map_err(Error::Task)??;
    Ok(Running {
        listening: door.serve(http::router(service), stopping)?,
    })
}

impl Running {
    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The root of the REST contract.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Serves until `shutdown` is ready, then lets running requests finish within ten seconds.
    ///
    /// # Errors
    ///
    /// Why serving ended by itself.
    pub async fn wait_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        self.listening.wait_until(shutdown).await
    }
}

/// Serves until SIGTERM or SIGINT, and reads the certificate again on SIGHUP; `ready` is called with
/// the URL once it is listened on.
///
/// # Errors
///
/// As [`start`] and [`Running::wait_until`].
pub fn run(options: Options, ready: impl FnOnce(&str)) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("mesa-serve")
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(Error::Runtime)?;
        let running = start(options).await?;
        ready(&running.url());
        let certificate = running.listening.certificate();
        running
            .wait_until(async {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => break,
                        _ = interrupt.recv() => break,
                        _ = hang_up.recv() => {
                            if let Some(certificate) = &certificate
                                && let Err(error) = certificate.reload().await
                            {
                                tracing::error!(%error, "the old certificate stays in use");
                            }
                        }
                    }
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
