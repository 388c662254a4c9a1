//! The address: TLS, how long a client may take to say what it wants, and shutting down.
//!
//! A connection that has not sent the whole head of a request within a deadline is closed, which is
//! also how idle connections end; bodies have their own deadline where they are received.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::{TcpConfigAcceptor, TcpKeepaliveConfig, TcpSocketConfig};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::{Options, Tls};

/// How long requests that are running may take after the server was asked to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long the head of a request, or a TLS handshake, may take. Connections that wait for their
/// next request count as well, so it is as long as other servers keep them (nginx: 75 s).
const HEAD_MAX: Duration = Duration::from_secs(75);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// When to ask a peer that says nothing whether it is there: it may have lost its network.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Longest queue of connections that the kernel holds for us.
const BACKLOG: u32 = 1024;

/// An address that is listened on, before anybody is answered.
pub(super) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Certificate>,
}

/// A certificate in use, and where it is read from.
#[derive(Clone)]
pub(super) struct Certificate {
    files: Tls,
    config: RustlsConfig,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.files.fmt(formatter)
    }
}

/// An address whose requests are answered.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    tls: Option<Certificate>,
    handle: Handle<SocketAddr>,
    served: JoinHandle<std::io::Result<()>>,
    /// Told to what would not end by itself.
    stopping: CancellationToken,
}

impl Door {
    /// Reads the certificate and begins to listen.
    pub(super) async fn open(options: &Options) -> Result<Door, Error> {
        let listen = options.listen;
        if options.tls.is_none() && !options.allow_plaintext && !listen.ip().is_loopback() {
            return Err(Error::Plaintext(listen));
        }
        let tls = match &options.tls {
            Some(files) => Some(Certificate::read(files.clone()).await?),
            None => None,
        };
        let bound = listener(listen).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let (listener, address) = bound.map_err(|source| Error::Listen { listen, source })?;
        Ok(Door {
            listener,
            address,
            tls,
        })
    }

    /// Answers requests from now on.
    pub(super) fn serve(
        self,
        router: Router,
        stopping: CancellationToken,
    ) -> Result<Listening, Error> {
        let handle = Handle::new();
        // Answers are small and the client waits for each of them.
        let socket = TcpSocketConfig::new().nodelay(true).keepalive(
            TcpKeepaliveConfig::new()
                .time(KEEPALIVE)
                .interval(KEEPALIVE),
        );
        let plain = TcpConfigAcceptor::new(socket);
        let mut server = axum_server::from_tcp(self.listener)
            .map_err(Error::Serve)?
            .acceptor(plain)
            .handle(handle.clone());
        server.http_builder().http1().header_read_timeout(HEAD_MAX);
        let router = router.into_make_service();
        let served = match &self.tls {
            None => tokio::spawn(server.serve(router)),
            Some(tls) => {
                let tls = RustlsAcceptor::new(tls.config.clone()).handshake_timeout(HANDSHAKE_MAX);
                tokio::spawn(server.map(|plain| tls.acceptor(plain)).serve(router))
            }
        };
        let listening = Listening {
            address: self.address,
            tls: self.tls,
            handle,
            served,
            stopping,
        };
        tracing::info!(url = listening.url(), "serving");
        Ok(listening)
    }
}

/// As the standard library does, but with a longer queue: many sandboxes start at once.
fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

impl Listening {
    /// The root of the REST contract.
    pub(super) fn url(&self) -> String {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}/v1", self.address)
    }

    /// The certificate, to be read again while this is waited for.
    pub(super) fn certificate(&self) -> Option<Certificate> {
        self.tls.clone()
    }

    /// Serves until `shutdown` is ready, then lets running requests finish.
    pub(super) async fn wait_until(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let ended = tokio::select! {
            ended = &mut self.served => ended,
            () = shutdown => {
                let left = self.handle.connection_count();
                tracing::info!(connections = left, "stopping");
                self.stopping.cancel();
                self.handle.graceful_shutdown(Some(GRACE));
                // A little longer, for what the grace itself ends.
                match tokio::time::timeout(GRACE + GRACE / 10, &mut self.served).await {
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

impl Certificate {
    async fn read(files: Tls) -> Result<Certificate, Error> {
        // Whoever was first has chosen the same.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let _chosen_before = provider.install_default();
        let config = RustlsConfig::from_pem_file(&files.certificate, &files.key)
            .await
            .map_err(|source| tls_error(&files, source))?;
        Ok(Certificate { files, config })
    }

    /// Reads the files again; if they cannot be used, what was there stays. Connections that exist
    /// are not touched.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let Tls { certificate, key } = &self.files;
        self.config
            .reload_from_pem_file(certificate, key)
            .await
            .map_err(|source| tls_error(&self.files, source))
    }
}

fn tls_error(files: &Tls, source: std::io::Error) -> Error {
    Error::Tls {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    }
}
