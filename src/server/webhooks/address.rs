//! Where a webhook may go: this machine, and hosts that whoever started the server named.
//!
//! A target's address comes from whoever has an admin key, and the server would ask it with its own
//! place in the network. So the host is checked when the target is made and before every delivery, and
//! so is what the name means at that moment: the connection goes to the address that was checked.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use crate::remote::Destination;

/// How long a name may take to be looked up.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// The hosts that deliveries may go to, besides this machine.
#[derive(Debug, Clone, Default)]
pub(super) struct AllowedHosts(BTreeSet<String>);

impl AllowedHosts {
    pub(super) fn new(hosts: &[String]) -> AllowedHosts {
        let plain = |host: &String| host.trim_matches(['[', ']']).to_ascii_lowercase();
        AllowedHosts(hosts.iter().map(plain).collect())
    }

    /// Whether deliveries to this host are allowed.
    pub(super) fn allow(&self, host: &str) -> bool {
        names_this_machine(host) || self.0.contains(host)
    }

    /// Whether a host that is allowed may be at an address. A name that means this machine must mean
    /// it; any other may be anywhere but where clouds hand out their machines' credentials, and where
    /// nobody is in particular.
    fn allow_address(host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if names_this_machine(host) {
            return address.is_loopback();
        }
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        !is_link_local && !address.is_unspecified() && !address.is_multicast()
    }

    /// Looks a destination up, and returns an address that it may be at.
    pub(super) async fn find(&self, to: &Destination) -> Result<SocketAddr, &'static str> {
        let host = to.host();
        if !self.allow(host) {
            return Err("the host is not allowed (--webhook-host)");
        }
        let looked_up = timeout(LOOKUP_MAX, tokio::net::lookup_host((host, to.port()))).await;
        let Ok(Ok(mut addresses)) = looked_up else {
            return Err("the host's name means nothing");
        };
        let allowed = addresses.find(|address| AllowedHosts::allow_address(host, address.ip()));
        allowed.ok_or("the host's name means an address that is not allowed")
    }
}

fn names_this_machine(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_named_hosts_are_told() {
        let allowed = AllowedHosts::new(&["Hooks.example.com".into(), "[2001:db8::1]".into()]);
        for host in [
            "localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "hooks.example.com",
            "2001:db8::1",
        ] {
            assert!(allowed.allow(host), "{host}");
        }
        for host in [
            "example.com",
            "10.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "::",
            "a.localhost",
        ] {
            assert!(!allowed.allow(host), "{host}");
        }
    }

    #[test]
    fn a_name_that_changes_its_meaning_is_not_followed() {
        let at =
            |host: &str, address: &str| AllowedHosts::allow_address(host, address.parse().unwrap());
        assert!(at("localhost", "127.0.0.1") && at("localhost", "::1"));
        assert!(!at("localhost", "10.0.0.1") && !at("127.0.0.1", "10.0.0.1"));
        assert!(at("hooks.example.com", "10.0.0.1") && at("hooks.example.com", "192.0.2.1"));
        for bad in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!at("hooks.example.com", bad), "{bad}");
        }
    }
}
