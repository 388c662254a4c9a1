//! What the server withstands: plaintext, slow and greedy clients, and what it says of itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::harness::*;
use mesa::remote::api::token::{Lifetime, Request, SigningSecret};
use mesa::server::{Error, Options, Tls, start};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client};
use serde_json::json;

/// An authority, and files with a certificate for 127.0.0.1 that it has signed.
fn certificate(folder: &std::path::Path) -> (String, Tls) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    let files = Tls {
        certificate: folder.join("server.pem"),
        key: folder.join("server.key"),
    };
    std::fs::write(&files.certificate, own.pem()).unwrap();
    std::fs::write(&files.key, own_key.serialize_pem()).unwrap();
    (authority_pem, files)
}

#[tokio::test]
async fn other_machines_are_answered_with_tls_or_not_at_all() {
    let mut server = Server::stopped();
    let mut options = Options::new(server.data());
    options.listen = "0.0.0.0:0".parse().unwrap();
    let refused = start(options.clone()).await.unwrap_err();
    assert!(matches!(refused, Error::Plaintext(_)), "{refused}");
    assert!(refused.to_string().contains("--tls-certificate"));
    assert!(!server.data().exists());
    options.allow_plaintext = true;
    server.start_with(options.clone()).await;
    server.get("/whoami").await.expect(200);
    server.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let (authority, files) = certificate(folder.path());
    options.allow_plaintext = false;
    options.tls = Some(files.clone());
    options.listen = "127.0.0.1:0".parse().unwrap();
    server.start_with(options.clone()).await;
    assert!(server.base.starts_with("https://"));
    // Nobody trusts this authority who was not told to.
    let url = format!("{}/whoami", server.base);
    let stranger = server.client.get(&url).bearer_auth(&server.key).send();
    assert!(stranger.await.is_err());
    let trusted = Certificate::from_pem(authority.as_bytes()).unwrap();
    let friend = Client::builder()
        .no_proxy()
        .tls_certs_only([trusted])
        .build()
        .unwrap();
    let answer = friend
        .get(&url)
        .bearer_auth(&server.key)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    // Without TLS nothing is answered, and nothing breaks.
    let plain = url.replace("https:", "http:");
    assert!(server.client.get(&plain).send().await.is_err());
    server.client = friend;
    server.get("/whoami").await.expect(200);
    server.stop().await;

    std::fs::write(&files.key, "not a key").unwrap();
    let refused = start(options).await.unwrap_err();
    assert!(matches!(refused, Error::Tls { .. }), "{refused}");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let mut server = Server::stopped();
    let mut options = Options::new(server.data());
    options.rate_limit = NonZeroU32::new(5);
    server.start_with(options).await;
    let mut refused = None;
    for _ in 0..30 {
        let answer = server.get("/whoami").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.expect(200);
    }
    let refused = refused.expect("30 requests at once pass a rate of 5");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.expect(429)["error"]["code"], "RATE_LIMITED");
    // The key's tokens are no way around.
    let token = SigningSecret::of_api_key(&server.key).sign(
        &key_id_of(&server),
        &Request {
            scopes: &["read"],
            authors: &[],
            repos: None,
            issued_at: now(),
            lifetime: Lifetime::default(),
            token_id: uuid::Uuid::nil(),
        },
    );
    let request = server.client.get(format!("{}/whoami", server.base));
    let answer = server.send(request.bearer_auth(token)).await;
    answer.expect(429);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.get("/whoami").await.expect(200);
}

fn key_id_of(server: &Server) -> String {
    let keys = std::fs::read(server.data().join("keys.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&keys).unwrap();
    text(&keys["keys"][0]["id"])
}

#[tokio::test]
async fn the_server_says_how_it_is() {
    let (_source, server) = sample_server().await;
    let origin = server.base.strip_suffix("/v1").unwrap().to_owned();
    let get = |path: &str| server.client.get(format!("{origin}{path}"));
    let health = server.send(get("/healthz")).await.expect(200);
    assert_eq!(health, json!({"status": "ok"}));
    server.send(get("/metrics")).await.expect(401);
    server
        .get("/local/app/content?path=README.md")
        .await
        .expect(200);
    server
        .get("/local/app/content?path=nothing")
        .await
        .expect(404);
    let metrics = server.send(get("/metrics").bearer_auth(&server.key)).await;
    assert_eq!(metrics.status, 200);
    let text = String::from_utf8(metrics.bytes).unwrap();
    for line in [
        r#"mesa_serve_requests_total{method="GET",route="/v1/{org}/{repo}/content",status="200"} 1"#,
        r#"mesa_serve_requests_total{method="GET",route="/v1/{org}/{repo}/content",status="404"} 1"#,
        r#"mesa_serve_requests_total{method="GET",route="/metrics",status="401"} 1"#,
        r#"mesa_serve_request_seconds_count{route="/v1/{org}/{repo}/content"} 2"#,
        "mesa_serve_repositories 1",
        "mesa_serve_running_requests 1",
    ] {
        assert!(
            text.lines().any(|said| said == line),
            "no {line} in\n{text}"
        );
    }
    assert!(!text.contains("README") && !text.contains("mesa_key"));
    // A disk that takes nothing is not well.
    std::fs::remove_dir(server.data().join("temporary")).unwrap();
    server.send(get("/healthz")).await.expect(503);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let (_source, server) = sample_server().await;
    let address = server.base.trim_start_matches("http://");
    let address = address.trim_end_matches("/v1").to_owned();
    for (path, length) in [
        ("/v1/local/app/changes", 1_u64 << 30),
        ("/v1/local/app/ext/blobs", 6 << 30),
        ("/v1/local/app/changes", u64::MAX),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            server.key
        );
        let address = address.clone();
        let said = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut said = [0; 64];
            let count = stream.read(&mut said).unwrap();
            String::from_utf8_lossy(&said[..count]).into_owned()
        });
        let said = said.await.unwrap();
        let status = said.split(' ').nth(1).unwrap_or_default();
        // Of a length that no memory holds, hyper does not even ask us.
        let wanted = if length == u64::MAX { "431" } else { "413" };
        assert_eq!(status, wanted, "{path} {length}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing_keep_nobody_out_and_do_not_hold_up_the_end() {
    let (_source, mut server) = sample_server().await;
    let address = server.base.trim_start_matches("http://");
    let address = address.trim_end_matches("/v1").to_owned();
    let silent: Vec<TcpStream> = (0..300)
        .map(|n| {
            let mut stream = TcpStream::connect(&address).unwrap();
            // Some have begun to speak.
            if n % 2 == 0 {
                stream.write_all(b"GET /v1/who").unwrap();
            }
            stream
        })
        .collect();
    for _ in 0..10 {
        server.get("/whoami").await.expect(200);
    }
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    drop(silent);
}

#[tokio::test]
async fn ten_thousand_files_come_in_one_change() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let files: Vec<_> = (0..10_000)
        .map(|n| {
            upsert(
                &format!("many/{}/{n}", n % 100),
                format!("{n}\n").as_bytes(),
            )
        })
        .collect();
    let new = json!({"base_change_id": head, "message": "many", "files": files});
    let change = server.post("/local/app/changes", new).await.expect(201);
    let tree = server.tree("app", &text(&change["current_commit_oid"]));
    let files = tree.keys().filter(|path| path.starts_with("many/"));
    assert_eq!(files.count(), 10_100);
}

#[tokio::test]
async fn paths_of_any_depth_are_judged_before_they_are_walked() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    // Deeper than a path may be long, deeper than is written, and as deep as is.
    for (depth, status) in [(20_000, 400), (501, 400), (500, 201)] {
        let path = vec!["d"; depth].join("/");
        let new = json!({"base_change_id": head, "files": [upsert(&path, b"x")]});
        server.post("/local/app/changes", new).await.expect(status);
        let read = format!("/local/app/content?path={path}");
        let wanted = if depth == 20_000 { 400 } else { 404 };
        server.get(&read).await.expect(wanted);
    }
    let long = "n".repeat(256);
    for path in ["../x", "a//b", "/a", "a/", ".git/config", "a/.GIT/x", &long] {
        let new = json!({"base_change_id": head, "files": [upsert(path, b"x")]});
        server.post("/local/app/changes", new).await.expect(400);
    }
}
