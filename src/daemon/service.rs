//! The connection to the server that a configuration names, with the threads it runs on.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::Error;
use crate::config::Config;
use crate::remote::{Client, Remote};

/// Threads for network I/O: transfers are bound by the network, so two keep any link busy.
const NETWORK_THREADS: usize = 2;

/// A server, and the threads that talk to it. Dropping it cuts what is under way.
pub struct Service {
    remote: Arc<Remote>,
    runtime: Option<Runtime>,
}

impl Service {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The address, the certificates, or the threads.
    pub fn new(config: &Config) -> Result<Service, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(NETWORK_THREADS)
            .thread_name("network")
            .enable_all()
            .build()
            .map_err(Error::Setup)?;
        let client = Client::new(config.api_url.as_str(), Arc::clone(&config.secrets))?;
        let remote = Remote::new(client, runtime.handle().clone());
        Ok(Service {
            remote,
            runtime: Some(runtime),
        })
    }

    /// The server.
    pub fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not a wait: a request that hangs has a deadline of its own, which is not ours.
            runtime.shutdown_background();
        }
    }
}
