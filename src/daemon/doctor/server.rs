//! The server: the way to it, step by step, its clock and ours, and what it thinks of the credential.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Finding;
use crate::config::Config;
use crate::daemon::failure::in_a_line;
use crate::daemon::status::{Credential, CredentialState};
use crate::daemon::{Error, Service, credentials};
use crate::remote::Failure;
use crate::secrets::Scope;

/// How long a connection may take: a slow link, and a lost packet.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A difference of clocks beyond this makes tokens live too long or too short to those who judge them.
const SKEW_MAX: Duration = Duration::from_secs(60);
/// Where certificates of authorities are, on the usual systems.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Looks at the server.
///
/// # Errors
///
/// There are no threads to talk with it.
pub(super) fn examine(config: &Config) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let address = config.api_url.as_str();
    if address.starts_with("https://") {
        let named = std::env::var_os("SSL_CERT_FILE").map(|path| Path::new(&path).exists());
        let usual = || CERTIFICATES.iter().any(|path| Path::new(path).exists());
        findings.push(judge_certificates(named.unwrap_or_else(usual)));
    }
    let scope = credentials::scope_of(config);
    let asked = ask(config, scope)?;
    // After the question, which may have had a command bring one.
    let credential = credentials::described(config, scope);
    let way = match &asked {
        Ok(_) => Way::Http,
        Err(failure) if failure.is_answer() => Way::Http,
        Err(failure) => match look_for_way(address, &in_a_line(failure)) {
            // Nothing was asked of it.
            Way::NoAnswer { .. } if failure.needs_credential() => Way::Unasked,
            way => way,
        },
    };
    findings.push(judge_way(address, &way));
    if let Ok(Answer {
        date: Some(date), ..
    }) = &asked
        && let Some(skew) = skew(*date, SystemTime::now())
    {
        findings.push(judge_clock(skew));
    }
    findings.push(judge_credential(
        &credential,
        &asked.map(|answer| answer.scopes),
    ));
    Ok(findings)
}

/// What the server said.
struct Answer {
    scopes: Vec<String>,
    date: Option<SystemTime>,
}

fn ask(config: &Config, scope: Scope<'_>) -> Result<Result<Answer, Failure>, Error> {
    let service = match Service::new(config) {
        Ok(service) => service,
        Err(Error::Remote(failure)) => return Ok(Err(failure)),
        Err(error) => return Err(error),
    };
    let asked = service.remote().whoami_and_date(scope);
    Ok(asked.map(|(whoami, date)| Answer {
        scopes: whoami.scopes,
        date,
    }))
}

/// How far the way to the server goes.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Way {
    /// The name has no address.
    NoName { host: String, why: String },
    /// Nothing answers at the address.
    NoConnection { at: String, why: String },
    /// Something answers, and is not believed, or speaks no TLS.
    NoTls { why: String },
    /// It is believed, and does not answer as a server of ours.
    NoAnswer { why: String },
    /// It takes connections; there is no credential to ask it with.
    Unasked,
    /// All the way.
    Http,
}

fn look_for_way(address: &str, why: &str) -> Way {
    let Some((host, port)) = host_and_port(address) else {
        return Way::NoAnswer {
            why: why.to_owned(),
        };
    };
    let found: Vec<SocketAddr> = match (host.as_str(), port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            let why = error.to_string();
            return Way::NoName { host, why };
        }
    };
    let mut refused = "it has no address".to_owned();
    for address in &found {
        match TcpStream::connect_timeout(address, CONNECT_MAX) {
            Ok(_) => return beyond_tcp(address_is_tls(port, why), why),
            Err(error) => refused = error.to_string(),
        }
    }
    Way::NoConnection {
        at: format!("{host}:{port}"),
        why: refused,
    }
}

/// Whether what went wrong was the trust in the server, in the words of the TLS library.
fn address_is_tls(port: u16, why: &str) -> bool {
    let words = ["certificate", "tls", "TLS", "handshake", "UnknownIssuer"];
    port != 80 && words.iter().any(|word| why.contains(word))
}

fn beyond_tcp(is_tls: bool, why: &str) -> Way {
    let why = why.to_owned();
    match is_tls {
        true => Way::NoTls { why },
        false => Way::NoAnswer { why },
    }
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (rest, usual) = match address.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (address.strip_prefix("http://")?, 80),
    };
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?))
        }
        _ => {
            let host = authority.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), usual))
        }
    }
}

fn judge_certificates(found: bool) -> Finding {
    const CHECK: &str = "certificates";
    match found {
        true => Finding::ok(CHECK, "certificates of authorities are installed"),
        false => Finding::problem(
            CHECK,
            "no certificates of authorities are installed, and the server's address is https",
            "apt-get install ca-certificates",
        ),
    }
}

fn judge_way(address: &str, way: &Way) -> Finding {
    const CHECK: &str = "server";
    match way {
        Way::Http => Finding::ok(CHECK, format!("{address} answers")),
        Way::Unasked => Finding::ok(
            CHECK,
            format!("{address} takes connections; what it is, it tells a credential"),
        ),
        Way::NoName { host, why } => Finding::problem(
            CHECK,
            format!("DNS: {host} has no address: {why}"),
            format!("check MESA_API_URL; getent hosts {host}; cat /etc/resolv.conf"),
        ),
        Way::NoConnection { at, why } => Finding::problem(
            CHECK,
            format!("TCP: {at} takes no connection: {why}"),
            "start the server, or check MESA_API_URL, firewall and proxy; local work goes on meanwhile",
        ),
        Way::NoTls { why } => Finding::problem(
            CHECK,
            format!("TLS: the server is not believed: {why}"),
            "apt-get install ca-certificates; check the clock, and who stands between (a proxy)",
        ),
        Way::NoAnswer { why } => Finding::problem(
            CHECK,
            format!("HTTP: {address} does not answer as a Mesa server: {why}"),
            format!("check MESA_API_URL; curl -i {address}/whoami"),
        ),
    }
}

/// How far our clock is from the server's, and whether it is before it.
fn skew(theirs: SystemTime, ours: SystemTime) -> Option<(Duration, &'static str)> {
    match ours.duration_since(theirs) {
        Ok(ahead) => Some((ahead, "ahead of")),
        Err(behind) => Some((behind.duration(), "behind")),
    }
}

fn judge_clock((skew, side): (Duration, &'static str)) -> Finding {
    const CHECK: &str = "clock";
    match skew > SKEW_MAX {
        true => Finding::warning(
            CHECK,
            format!("this clock is {} s {side} the server's", skew.as_secs()),
            "timedatectl set-ntp true, or set the clock: credentials are judged by it",
        ),
        false => Finding::ok(CHECK, "as the server's, within a minute"),
    }
}

fn judge_credential(known: &Credential, asked: &Result<Vec<String>, Failure>) -> Finding {
    const CHECK: &str = "credential";
    const CURE: &str = "mesa auth set-key, which also reaches a mount that is running";
    let until = known.expires_at.as_deref();
    let until_text = until.map_or_else(String::new, |until| format!(", until {until}"));
    let origin = known.origin.as_deref().unwrap_or("nowhere");
    match (known.state, asked) {
        (CredentialState::Missing, _) => Finding::problem(CHECK, "there is none", CURE),
        (CredentialState::Expired, _) | (_, Err(Failure::CredentialExpired)) => {
            let when = until.map_or_else(String::new, |until| format!(" at {until}"));
            Finding::problem(CHECK, format!("it expired{when}"), CURE)
        }
        (_, Err(Failure::CredentialRevoked)) => Finding::problem(CHECK, "it was revoked", CURE),
        (_, Err(Failure::CredentialUnknown)) => {
            Finding::problem(CHECK, "the server does not know it", CURE)
        }
        (_, Err(Failure::Forbidden)) => {
            Finding::problem(CHECK, "the server does not allow it anything", CURE)
        }
        (_, Ok(scopes))
            if !scopes
                .iter()
                .any(|scope| scope == "write" || scope == "admin") =>
        {
            Finding::warning(
                CHECK,
                format!(
                    "it may read and not write ({}){until_text}",
                    scopes.join(", ")
                ),
                "edits stay on this machine; a token with the scope `write` gets them out",
            )
        }
        (_, Ok(scopes)) => Finding::ok(
            CHECK,
            format!(
                "the server takes that of {origin} ({}){until_text}",
                scopes.join(", ")
            ),
        ),
        (_, Err(_)) => Finding::warning(
            CHECK,
            format!("there is one{until_text}; the server could not be asked about it"),
            "mesa doctor, once the server answers",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Verdict, is};
    use super::*;
    use crate::secrets::Missing;

    #[test]
    fn each_part_of_the_way_is_told_apart() {
        let why = || "words".to_owned();
        let judge = |way| judge_way("https://h/v1", &way);
        is(&judge(Way::Http), Verdict::Ok, "answers");
        is(&judge(Way::Unasked), Verdict::Ok, "takes connections");
        let no_name = Way::NoName {
            host: "h".into(),
            why: why(),
        };
        is(&judge(no_name), Verdict::Problem, "DNS: h");
        let refused = Way::NoConnection {
            at: "h:1".into(),
            why: why(),
        };
        is(&judge(refused), Verdict::Problem, "TCP: h:1");
        is(&judge(Way::NoTls { why: why() }), Verdict::Problem, "TLS: ");
        is(
            &judge(Way::NoAnswer { why: why() }),
            Verdict::Problem,
            "HTTP: ",
        );
        is(
            &judge_certificates(false),
            Verdict::Problem,
            "apt-get install ca-certificates",
        );
        is(&judge_certificates(true), Verdict::Ok, "installed");
    }

    #[test]
    fn the_way_is_looked_for_step_by_step() {
        let found = look_for_way("http://no-such-host.invalid/v1", "words");
        assert!(matches!(found, Way::NoName { .. }), "{found:?}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}/v1", listener.local_addr().unwrap());
        let found = look_for_way(&address, "invalid peer certificate: UnknownIssuer");
        assert!(matches!(found, Way::NoTls { .. }), "{found:?}");
        let found = look_for_way(&address, "connection reset");
        assert!(matches!(found, Way::NoAnswer { .. }), "{found:?}");
        drop(listener);
        let found = look_for_way(&address, "words");
        assert!(matches!(found, Way::NoConnection { .. }), "{found:?}");
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for (address, host, port) in [
            ("https://api.mesa.dev/v1", "api.mesa.dev", 443),
            ("http://localhost", "localhost", 80),
            ("http://127.0.0.1:8080/v1", "127.0.0.1", 8080),
            ("http://[::1]:81/v1", "::1", 81),
            ("https://[::1]/v1", "::1", 443),
        ] {
            assert_eq!(
                host_and_port(address),
                Some((host.to_owned(), port)),
                "{address}"
            );
        }
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        let now = SystemTime::now();
        let judge = |theirs, ours| judge_clock(skew(theirs, ours).unwrap());
        is(&judge(now, now + SKEW_MAX), Verdict::Ok, "as the server's");
        let late = now + SKEW_MAX * 2;
        is(&judge(now, late), Verdict::Warning, "120 s ahead of");
        is(&judge(late, now), Verdict::Warning, "120 s behind");
    }

    #[test]
    fn a_credential_is_judged_by_itself_and_by_the_server() {
        let known = |state| Credential {
            state,
            expires_at: Some("2026-01-01T00:00:00Z".into()),
            ..Credential::missing()
        };
        let valid = known(CredentialState::Valid);
        let scopes = |scope: &str| Ok(vec![scope.to_owned()]);
        is(
            &judge_credential(&valid, &scopes("write")),
            Verdict::Ok,
            "until 2026",
        );
        is(
            &judge_credential(&valid, &scopes("read")),
            Verdict::Warning,
            "not write",
        );
        let problem = |known: &Credential, failure, word| {
            is(
                &judge_credential(known, &Err(failure)),
                Verdict::Problem,
                word,
            );
        };
        problem(
            &known(CredentialState::Missing),
            Failure::CredentialMissing(Missing {
                organization: None,
                troubles: Vec::new(),
                hint: None,
            }),
            "none",
        );
        problem(
            &known(CredentialState::Expired),
            Failure::TimedOut,
            "expired at 2026",
        );
        problem(&valid, Failure::CredentialExpired, "expired");
        problem(&valid, Failure::CredentialRevoked, "revoked");
        problem(&valid, Failure::CredentialUnknown, "does not know");
        problem(&valid, Failure::Forbidden, "allow");
        let unknown = judge_credential(&valid, &Err(Failure::TimedOut));
        is(&unknown, Verdict::Warning, "could not be asked");
    }
}
