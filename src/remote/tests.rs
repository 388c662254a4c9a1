//! Transport, source and pin against scripted servers.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{AUTHORIZATION, LOCATION};
use axum::response::IntoResponse;
use serde_json::json;
use sha1::{Digest, Sha1};

use super::fake::{Fake, Seen, change, error, ok, raw, repository, whoami};
use super::*;
use crate::lower::{Pin, Source, SourceError};
use crate::secrets::Scope;
use crate::tree::{ChangeId, GitOid, Timestamp, TreePath};

const CHANGE: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
const COMMIT: &str = "1111111111111111111111111111111111111111";
const TREE: &str = "2222222222222222222222222222222222222222";
const PATIENCE: Duration = Duration::from_millis(400);

fn pin() -> Pin {
    Pin {
        change: CHANGE.parse().unwrap(),
        commit: COMMIT.parse().unwrap(),
        tree: TREE.parse().unwrap(),
        time: Timestamp::default(),
    }
}

fn blob(bytes: &[u8]) -> GitOid {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    GitOid(hash.finalize().into())
}

fn who(fake: &Fake, credential: &str) -> Failure {
    let client = fake.client(credential);
    fake.block_on(client.whoami(Scope::Global)).unwrap_err()
}

#[test]
fn refused_credentials_are_told_apart() {
    let fake = Fake::start(|seen| {
        let credential = seen.headers[AUTHORIZATION].to_str().unwrap();
        match credential.strip_prefix("Bearer ").unwrap() {
            "expired" => error(401, "TOKEN_EXPIRED"),
            "revoked" => error(401, "KEY_REVOKED"),
            "forbidden" => error(403, "FORBIDDEN"),
            "limited" => {
                let mut answer = error(429, "RATE_LIMITED");
                answer.headers_mut().insert("retry-after", 7.into());
                answer
            }
            "text" => (axum::http::StatusCode::BAD_GATEWAY, "<html>").into_response(),
            _ => error(401, "UNAUTHORIZED"),
        }
    });
    assert!(matches!(who(&fake, "expired"), Failure::CredentialExpired));
    assert!(matches!(who(&fake, "revoked"), Failure::CredentialRevoked));
    assert!(matches!(who(&fake, "unknown"), Failure::CredentialUnknown));
    assert!(matches!(who(&fake, "forbidden"), Failure::Forbidden));
    assert!(matches!(
        who(&fake, "text"),
        Failure::Server { status: 502, .. }
    ));
    let seven = Some(Duration::from_secs(7));
    assert!(
        matches!(who(&fake, "limited"), Failure::RateLimited { retry_after } if retry_after == seven)
    );
    // exp = 1: a token that says itself that it is over.
    assert!(matches!(
        who(&fake, "e30.eyJleHAiOjF9.c2ln"),
        Failure::CredentialExpired
    ));
}

#[test]
fn a_redirect_is_not_followed_with_the_credential() {
    let fake = Fake::start(|seen| {
        assert_eq!(seen.path, "/v1/whoami");
        let mut answer = error(307, "");
        let elsewhere = "http://127.0.0.1:1/steal".parse().unwrap();
        answer.headers_mut().insert(LOCATION, elsewhere);
        answer
    });
    assert!(matches!(
        who(&fake, "key"),
        Failure::Protocol(Violation::Status(307))
    ));
}

#[test]
fn an_answer_without_end_is_refused_at_its_bound() {
    let fake = Fake::start(|_| {
        let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
        let endless =
            futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        raw(Body::from_stream(endless))
    });
    assert!(matches!(
        who(&fake, "key"),
        Failure::Protocol(Violation::TooLarge)
    ));
}

#[test]
fn a_body_that_stops_midway_times_out() {
    let fake = Fake::start(|_| {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let stuck = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        raw(Body::from_stream(stuck))
    });
    assert!(matches!(who(&fake, "key"), Failure::TimedOut));
}

#[test]
fn a_server_that_fails_is_asked_again_within_the_patience() {
    let fake = Fake::start({
        let failures = std::sync::atomic::AtomicU32::new(0);
        move |_| match failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 1 => error(503, "INTERNAL_ERROR"),
            _ => whoami(&[]),
        }
    });
    let remote = fake.remote(READ_PATIENCE);
    assert!(remote.whoami(Scope::Global).is_ok());
    assert_eq!(remote.requests().whoami, 3);
}

fn content(seen: &Seen) -> axum::response::Response {
    let listing = seen.query.contains("depth=1");
    match seen.path.as_str() {
        "/v1/acme/app/content" if listing => ok(json!({
            "type": "dir", "name": "", "path": "", "sha": TREE, "child_count": 1,
            "entries": [{"type": "file", "name": "a b", "path": "a b", "sha": COMMIT, "size": 5, "mode": "100644"}],
        })),
        "/v1/acme/app/content" if seen.query.contains("gone") => error(404, "NOT_FOUND"),
        "/v1/acme/app/content" if seen.query.contains("link") => {
            match seen.headers["accept"].to_str().unwrap() {
                "application/json" => ok(json!({
                    "type": "symlink", "name": "link", "path": "link", "sha": COMMIT, "size": 6,
                    "encoding": "base64", "content": "dGFyZ2V0", "mode": "120000",
                })),
                _ => error(406, "NOT_ACCEPTABLE"),
            }
        }
        "/v1/acme/app/content" => raw("hello"),
        _ => error(404, "NOT_FOUND"),
    }
}

#[test]
fn a_commit_is_read_where_the_server_can() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&["commit-read"]),
        _ => content(seen),
    });
    let source = RepositorySource::new(fake.remote(PATIENCE), repository());
    let entries = source
        .listing(&pin(), &TreePath::ROOT, TREE.parse().unwrap())
        .unwrap();
    assert_eq!(entries[0].name.as_bytes(), b"a b");
    let path = TreePath::try_from("a b").unwrap();
    let mut bytes = Vec::new();
    source
        .object(&pin(), &path, blob(b"hello"), 5, &mut bytes)
        .unwrap();
    assert_eq!(bytes, b"hello");
    let queries: Vec<_> = fake.seen().into_iter().map(|seen| seen.query).collect();
    assert_eq!(
        queries,
        [
            String::new(),
            format!("commit_oid={COMMIT}&path=&depth=1"),
            format!("commit_oid={COMMIT}&path=a%20b"),
        ]
    );
    let other = source.listing(&pin(), &TreePath::ROOT, GitOid([9; 20]));
    assert!(matches!(other, Err(SourceError::Protocol)));
}

#[test]
fn a_change_that_moved_on_is_noticed_by_its_hashes() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&[]),
        _ => content(seen),
    });
    let source = RepositorySource::new(fake.remote(PATIENCE), repository());
    let listing = |tree| source.listing(&pin(), &TreePath::ROOT, tree);
    let object = |name: &str, bytes: &[u8]| {
        let path = TreePath::try_from(name).unwrap();
        let mut sink = Vec::new();
        let size = bytes.len() as u64;
        source.object(&pin(), &path, blob(bytes), size, &mut sink)
    };
    assert!(listing(TREE.parse().unwrap()).is_ok());
    assert!(matches!(listing(GitOid([9; 20])), Err(SourceError::Moved)));
    assert!(object("a", b"hello").is_ok());
    assert!(matches!(object("a", b"other"), Err(SourceError::Moved)));
    assert!(matches!(object("gone", b"hello"), Err(SourceError::Moved)));
    assert!(object("link", b"target").is_ok());
    let last = fake.seen().pop().unwrap();
    assert_eq!(last.query, format!("change_id={CHANGE}&path=link"));
}

/// Half of `whole`, and then the end of the connection.
fn cut(whole: &'static [u8]) -> axum::response::Response {
    let half = Ok(Bytes::from_static(&whole[..whole.len() / 2]));
    let broken = Err(std::io::Error::other("cut"));
    // The pause lets the first half leave before the connection is cut.
    let pause = futures_util::stream::once(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Bytes::new())
    });
    let start = futures_util::stream::iter([half]);
    let end = futures_util::stream::iter([broken]);
    let whole = futures_util::StreamExt::chain(start, pause);
    raw(Body::from_stream(futures_util::StreamExt::chain(
        whole, end,
    )))
}

#[test]
fn a_large_object_that_broke_midway_is_not_sent_twice_into_the_sink() {
    static LARGE: [u8; 2 << 20] = [b'x'; 2 << 20];
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&["commit-read"]),
        _ => cut(&LARGE),
    });
    let remote = fake.remote(PATIENCE);
    let source = RepositorySource::new(remote.clone(), repository());
    let mut bytes = Vec::new();
    let path = TreePath::try_from("a").unwrap();
    let size = LARGE.len() as u64;
    let result = source.object(&pin(), &path, blob(&LARGE), size, &mut bytes);
    assert!(matches!(result, Err(SourceError::Offline)), "{result:?}");
    assert!(!bytes.is_empty() && bytes.len() <= LARGE.len() / 2);
    assert_eq!(remote.requests().objects, 1);
}

#[test]
fn a_small_object_that_broke_midway_is_asked_for_again() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::start(move |seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&["commit-read"]),
        _ if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => cut(b"hello"),
        _ => raw("hello"),
    });
    let remote = fake.remote(READ_PATIENCE);
    let source = RepositorySource::new(remote.clone(), repository());
    let mut bytes = Vec::new();
    let path = TreePath::try_from("a").unwrap();
    source
        .object(&pin(), &path, blob(b"hello"), 5, &mut bytes)
        .unwrap();
    assert_eq!(bytes, b"hello");
    assert_eq!(remote.requests().objects, 2);
    // What is too long is handed on as what it is, and costs no further request.
    let mut bytes = Vec::new();
    let other = source.object(&pin(), &path, blob(b"hell"), 4, &mut bytes);
    assert!(other.is_ok() && bytes == b"hello");
    assert_eq!(remote.requests().objects, 3);
}

#[test]
fn a_snapshot_is_found_in_four_calls() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&["commit-read"]),
        "/v1/acme/app" => ok(json!({
            "id": "r", "org": "acme", "name": "app", "default_bookmark": "main",
            "head_change_id": CHANGE, "created_at": "2025-01-01T00:00:00Z",
        })),
        "/v1/acme/app/bookmarks/feature%2Fx" => ok(json!({
            "name": "feature/x", "change_id": CHANGE, "is_default": false,
        })),
        "/v1/acme/app/content" => ok(json!({
            "type": "dir", "name": "", "path": "", "sha": TREE, "child_count": 1_000_000,
        })),
        _ => change(CHANGE, COMMIT, ""),
    });
    let remote = fake.remote(PATIENCE);
    let resolved = remote
        .resolve(&repository(), &Target::DefaultBookmark, Along::default())
        .unwrap();
    assert_eq!(resolved.bookmark.as_deref(), Some("main"));
    assert_eq!(resolved.pin.tree.to_string(), TREE);
    assert_eq!(resolved.pin.time.seconds, 1_750_000_000);
    assert_eq!(remote.requests().total(), 4);
    let target = Target::Bookmark("feature/x".into());
    let named = remote
        .resolve(&repository(), &target, Along::default())
        .unwrap();
    assert_eq!(named.pin, resolved.pin);
    // The extensions are known by now.
    assert_eq!(remote.requests().total(), 7);
    assert!(named.listings.is_empty());
    let empty = remote.resolve(
        &repository(),
        &Target::Change(ChangeId::ROOT),
        Along::default(),
    );
    assert_eq!(empty.unwrap().pin.tree, GitOid::EMPTY_TREE);
}

#[test]
fn one_call_resolves_and_brings_listings_where_the_server_can() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&["commit-read", "snapshots", "trees"]),
        "/v1/acme/app/ext/snapshot" => ok(json!({
            "bookmark": "main", "change_id": CHANGE, "commit_oid": COMMIT, "tree": TREE,
            "committed_at": "2025-06-15T15:06:40Z",
            "listings": [
                {"sha": TREE, "entries": [{"name": "a", "mode": "100755", "sha": COMMIT, "size": 3}]},
                {"sha": COMMIT},
            ],
        })),
        path => panic!("{path}"),
    });
    let remote = fake.remote(PATIENCE);
    let along = Along {
        bytes_max: 9,
        known: Some(GitOid::EMPTY_TREE),
    };
    let target = Target::Bookmark("a b".into());
    let resolved = remote.resolve(&repository(), &target, along).unwrap();
    assert_eq!(resolved.bookmark.as_deref(), Some("main"));
    assert_eq!(resolved.pin.commit.to_string(), COMMIT);
    assert_eq!(resolved.pin.time.seconds, 1_750_000_000);
    let [(tree, entries)] = &resolved.listings[..] else {
        panic!("{resolved:?}");
    };
    assert_eq!((tree.to_string().as_str(), entries.len()), (TREE, 1));
    assert_eq!(remote.requests().total(), 2);
    let query = fake.seen().pop().unwrap().query;
    let empty = GitOid::EMPTY_TREE;
    assert_eq!(
        query,
        format!("bytes_max=9&bookmark=a%20b&known_tree={empty}")
    );
}

#[test]
fn lists_of_pages_end() {
    let fake = Fake::start(|seen| {
        let last = seen.query.contains("cursor=b%2F");
        let repo = |name: &str| {
            json!({"id": name, "org": "acme", "name": name, "default_bookmark": "main",
                "head_change_id": CHANGE, "created_at": ""})
        };
        match seen.path.as_str() {
            "/v1/acme/repos" if last => ok(json!({"has_more": false, "repos": [repo("two")]})),
            "/v1/acme/repos" => {
                ok(json!({"has_more": true, "next_cursor": "b/", "repos": [repo("one")]}))
            }
            "/v1/evil/repos" => ok(json!({"has_more": false, "repos": [repo("../up")]})),
            _ => ok(json!({"has_more": true, "next_cursor": "b", "repos": []})),
        }
    });
    // A thousand pages take their time on a busy machine.
    let remote = fake.remote(Duration::from_secs(60));
    let names: Vec<_> = remote
        .repositories("acme")
        .unwrap()
        .into_iter()
        .map(|repo| repo.name)
        .collect();
    assert_eq!(names, ["one", "two"]);
    assert!(matches!(
        remote.repositories("evil"),
        Err(Failure::Protocol(Violation::Elsewhere))
    ));
    assert!(matches!(
        remote.repositories("endless"),
        Err(Failure::Protocol(Violation::Endless))
    ));
    assert!(matches!(
        remote.repositories(".."),
        Err(Failure::Unsendable)
    ));
    assert!(RepositoryName::new("acme", "..").is_err());
    assert!(RepositoryName::new("a/b", "app").is_err());
}
