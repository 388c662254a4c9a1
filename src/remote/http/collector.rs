//! The way to a collector of traces: it shares no connection, credential or thread with the server's.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderName;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::client::client;
use crate::remote::Failure;

/// What one delivery may take. Nobody waits for it but the end of a process.
const DELIVERY_MAX: Duration = Duration::from_secs(3);
/// Most of an answer that is read: a collector says in some words what it did not like.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Delivers to one address, and follows nobody to another.
#[derive(Debug)]
pub struct Collector {
    client: reqwest::Client,
    runtime: Runtime,
}

impl Collector {
    /// For deliveries to `url`. Connects when first used.
    ///
    /// # Errors
    ///
    /// [`Failure::Setup`] when it is no address, or when no root certificates are installed.
    pub fn new(url: &str) -> Result<Collector, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Collector {
            client: client(url, 1)?,
            runtime: runtime.map_err(|error| Failure::Setup(error.into()))?,
        })
    }

    /// Posts a body, and returns the status and the body of the answer. Blocks for at most 3 s.
    ///
    /// # Errors
    ///
    /// [`Failure::Offline`] and [`Failure::TimedOut`].
    pub fn post<'header>(
        &self,
        url: &str,
        headers: impl Iterator<Item = (&'header str, &'header [u8])>,
        body: Bytes,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let mut request = self.client.post(url).body(body);
        for (name, value) in headers {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                request = request.header(name, value);
            }
        }
        let delivery = async {
            let mut response = request.send().await.map_err(super::transport)?;
            let mut answer = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(super::transport)? {
                let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
                answer.extend(chunk.iter().take(room));
                if room == 0 {
                    break;
                }
            }
            Ok((response.status().as_u16(), answer))
        };
        self.runtime.block_on(async {
            let delivered = timeout(DELIVERY_MAX, delivery).await;
            delivered.unwrap_or(Err(Failure::TimedOut))
        })
    }
}
