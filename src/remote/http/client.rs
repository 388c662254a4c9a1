//! What all our HTTP clients have in common: one attempt, no redirects, and connections that die.

use std::time::Duration;

use crate::remote::Failure;

/// Three round trips and two lost packets.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Unacknowledged bytes for this long mean a dead connection, also while we send.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// Shorter than the idle limits of common load balancers (60 s).
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A client that keeps so many connections.
pub(super) fn client(base: &str, idle_max: usize) -> Result<reqwest::Client, Failure> {
    let setup = |error: reqwest::Error| Failure::Setup(error.without_url().into());
    let url = reqwest::Url::parse(base).map_err(|error| Failure::Setup(error.into()))?;
    let mut builder = builder(&url, idle_max);
    if url.host_str().is_some_and(is_this_machine) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(setup)
}

/// What makes such a client.
pub(super) fn builder(url: &reqwest::Url, idle_max: usize) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("mesa/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_MAX)
        .http1_only()
        .pool_max_idle_per_host(idle_max)
        .pool_idle_timeout(IDLE_MAX)
        .tcp_nodelay(true)
        .tcp_user_timeout(UNACKNOWLEDGED_MAX)
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    match url.scheme() {
        // No certificates are needed, and a slim image may have none to find.
        "http" => builder.tls_certs_only(std::iter::empty()),
        _ => builder,
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
