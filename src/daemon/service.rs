//! The connection to the server that a configuration names, with the threads it runs on.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::Error;
use crate::config::Config;
use crate::remote::{Client, Remote};

/// Threads for network I/O: transfers are bound by the network, so two keep any link busy.
const NETWORK_THREADS: usize = 2;

/// A server, and the threads that talk to it, which are there until the process ends: whoever still waits
/// for an answer then has a deadline, and must not find its timers gone.
pub struct Service {
    remote: Arc<Remote>,
    _runtime: ManuallyDrop<Runtime>,
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
            _runtime: ManuallyDrop::new(runtime),
        })
    }

    /// The server.
    pub fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }
}
