//! Deliveries to addresses that somebody else has given: to the machine that was checked, or to none.
//!
//! The caller looks the name up and decides; the connection then goes to the address that was decided
//! on, whatever the name means a moment later. No redirect is followed, no proxy asked, no credential
//! sent, and of the answer only its status is of interest.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use tokio::time::timeout;

use super::client;
use crate::remote::Failure;

/// Longest address.
const URL_BYTES_MAX: usize = 2_048;

/// Where a delivery goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Url);

impl Destination {
    /// Reads an `http` or `https` address without a name, a password or a fragment.
    pub fn parse(text: &str) -> Option<Destination> {
        let url = Url::parse(text).ok()?;
        let is_plain = text.len() <= URL_BYTES_MAX
            && matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && url.host_str().is_some_and(|host| !host.is_empty());
        is_plain.then_some(Destination(url))
    }

    /// The host: a name in lower case, or an address without brackets.
    pub fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Posts a JSON body to this very address, and returns the status. One attempt of at most
    /// `patience`.
    ///
    /// # Errors
    ///
    /// [`Failure::Offline`] and [`Failure::TimedOut`]; [`Failure::Setup`] without root certificates.
    pub async fn post(
        &self,
        address: SocketAddr,
        header: (&'static str, &str),
        body: Bytes,
        patience: Duration,
    ) -> Result<u16, Failure> {
        let setup = |error: reqwest::Error| Failure::Setup(error.without_url().into());
        let client = client::builder(&self.0, 0)
            .no_proxy()
            .resolve(self.host(), address)
            .build()
            .map_err(setup)?;
        let request = client
            .post(self.0.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HeaderName::from_static(header.0), header.1)
            .body(body);
        // The answer's body is dropped unread, and the connection with it.
        match timeout(patience, request.send()).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(super::transport(error)),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Destination;

    #[test]
    fn an_address_means_one_host_and_carries_no_secret() {
        for (text, host, port) in [
            ("http://LOCALHOST:81/a?b", "localhost", 81),
            ("https://[::1]/", "::1", 443),
            ("http://0x7f.1/", "127.0.0.1", 80),
            ("http://127.0.0.1\\@example.com/", "127.0.0.1", 80),
        ] {
            let parsed = Destination::parse(text).unwrap();
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{text}");
        }
        for bad in [
            "",
            "localhost",
            "ftp://localhost/",
            "file:///etc/passwd",
            "http://u@localhost/",
            "http://u:p@localhost/",
            "http://localhost/#x",
            "http:///",
        ] {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
    }
}
