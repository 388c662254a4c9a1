//! A server that goes away, comes back, or leaves its connections for dead.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fake::{Fake, error, repository, whoami};
use super::*;
use crate::secrets::Scope;

const CHANGE: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
const PATIENCE: Duration = Duration::from_millis(400);

fn new_repo() -> api::NewRepo {
    api::NewRepo {
        name: Some("new".into()),
        ..api::NewRepo::default()
    }
}

#[test]
fn offline_takes_the_patience_once_and_then_fails_at_once() {
    let fake = Fake::start(|_| whoami(&[]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = fake.client("key");
    let remote = connection::Remote::with_patience(client, runtime.handle().clone(), PATIENCE);
    assert!(remote.whoami(Scope::Global).is_ok());
    fake.stop();
    let begun = Instant::now();
    let first = remote.whoami(Scope::Global).unwrap_err();
    assert!(matches!(first, Failure::Offline(_) | Failure::TimedOut));
    assert!(begun.elapsed() < PATIENCE + Duration::from_secs(2));
    assert!(remote.is_offline());
    let sent = remote.requests().whoami;
    let second = remote.whoami(Scope::Global).unwrap_err();
    assert!(matches!(second, Failure::OfflineLately));
    assert_eq!(remote.requests().whoami, sent);
    let write = remote.create_repository("acme", &new_repo());
    assert!(matches!(write, Err(Failure::OfflineLately)), "{write:?}");
}

#[test]
fn the_return_of_a_server_is_noticed_without_anybody_asking() {
    let fake = Fake::start(|_| whoami(&[]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = fake.client("key");
    let remote = connection::Remote::with_patience(client, runtime.handle().clone(), PATIENCE);
    let watch = remote.watch();
    let address = fake.address();
    fake.stop();
    assert!(remote.whoami(Scope::Global).is_err());
    assert!(remote.is_offline() && watch.try_recv().is_err());
    let _again = Fake::start_at(address, |seen| {
        // A probe needs no credential, and takes no as an answer.
        assert!(!seen.headers.contains_key("authorization"));
        error(401, "UNAUTHORIZED")
    });
    remote.hurry();
    watch.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(!remote.is_offline());
}

#[test]
fn silence_ends_the_patience_early_for_those_who_have_something_else_to_show() {
    let fake = Fake::start(|_| {
        std::thread::sleep(Duration::from_secs(2));
        whoami(&[])
    });
    let remote = fake.remote(Duration::from_secs(60));
    let begun = Instant::now();
    let target = Target::Change(CHANGE.parse().unwrap());
    let unheard = Duration::from_millis(100);
    let failure = remote
        .resolve_unless_unheard(&repository(), &target, Along::default(), unheard)
        .unwrap_err();
    assert!(failure.is_unreachable(), "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(remote.is_offline());
}

#[test]
fn refusals_end_it_earlier_still() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", nobody.local_addr().unwrap());
    drop(nobody);
    let remote = remote_at(&base, &runtime);
    let begun = Instant::now();
    let target = Target::Change(CHANGE.parse().unwrap());
    let unheard = Duration::from_secs(60);
    let failure = remote
        .resolve_unless_unheard(&repository(), &target, Along::default(), unheard)
        .unwrap_err();
    assert!(failure.is_unreachable(), "{failure:?}");
    let remote = remote_at(&base, &runtime);
    let failure = remote
        .repositories_unless_unheard("acme", unheard)
        .unwrap_err();
    assert!(
        failure.is_unreachable() && remote.is_offline(),
        "{failure:?}"
    );
    assert!(
        begun.elapsed() < retry::READ_PATIENCE / 2,
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_close_ends_what_waits() {
    let fake = Fake::start(|_| {
        std::thread::sleep(Duration::from_secs(2));
        whoami(&[])
    });
    let remote = fake.remote(Duration::from_secs(60));
    let closing = Arc::clone(&remote);
    let closer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        closing.close();
    });
    let begun = Instant::now();
    assert!(remote.whoami(Scope::Global).is_err());
    let write = remote.create_repository("acme", &new_repo());
    assert!(write.is_err());
    assert!(begun.elapsed() < Duration::from_secs(30));
    closer.join().unwrap();
}

/// Answers the first request of each connection, and on its first connection nothing after that:
/// what a gateway does that has forgotten it.
fn forgetful() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                let body = r#"{"org":{"id":"o","slug":"acme","name":"Acme"},"scopes":[]}"#;
                let mut requests = 0;
                while let Some(Ok(line)) = lines.next() {
                    if !line.is_empty() {
                        continue;
                    }
                    requests += 1;
                    if number == 0 && requests > 1 {
                        continue;
                    }
                    let length = body.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    connection.write_all(head.as_bytes()).unwrap();
                    connection.write_all(body.as_bytes()).unwrap();
                }
            });
        }
    });
    base
}

fn remote_at(base: &str, runtime: &tokio::runtime::Runtime) -> Arc<Remote> {
    let client = fake::client_at(base, "key");
    Remote::new(client, runtime.handle().clone())
}

#[test]
fn a_dead_kept_connection_does_not_cost_a_reader_its_patience() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let remote = remote_at(&forgetful(), &runtime);
    remote.whoami(Scope::Global).unwrap();
    // On the dead connection, and then on one of its own.
    remote.whoami(Scope::Global).unwrap();
    assert!(!remote.is_offline());
    assert_eq!(remote.requests().whoami, 2, "answered in the first attempt");
    // The kept ones were dropped: no more waiting.
    let begun = Instant::now();
    remote.whoami(Scope::Global).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn distrusted_connections_are_not_used_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let remote = remote_at(&forgetful(), &runtime);
    remote.whoami(Scope::Global).unwrap();
    remote.distrust_connections();
    let begun = Instant::now();
    remote.whoami(Scope::Global).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_name_that_cannot_be_resolved_is_a_server_that_is_away() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = fake::client_at("http://no-such-host.invalid/v1", "key");
    let remote = Remote::with_patience(client, runtime.handle().clone(), PATIENCE);
    let failure = remote.whoami(Scope::Global).unwrap_err();
    assert!(matches!(failure, Failure::Offline(_)), "{failure:?}");
    assert!(remote.is_offline());
}
