//! Who gets in, and what never does: credentials, folded URLs, hostile bodies.

use crate::harness::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesa::remote::api::token::{Lifetime, Request as TokenRequest, SigningSecret};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread")]
async fn whoami_names_the_key_its_scopes_and_the_extensions() {
    let server = Server::new(&[]).await;
    let answer = server.get("/whoami").await;
    assert!(
        answer.headers["mesa-extensions"]
            .to_str()
            .unwrap()
            .contains("commit-read")
    );
    let whoami = answer.expect(200);
    assert_eq!(whoami["org"]["slug"], "local");
    assert_eq!(whoami["key_name"], "admin");
    assert_eq!(whoami["scopes"], json!(["read", "write", "admin"]));
    assert!(
        whoami["extensions"]
            .as_array()
            .unwrap()
            .contains(&json!("graft"))
    );
    for name in ["admin.key", "keys.json"] {
        let mode = fs::metadata(server.data().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(server.data()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let table = fs::read_to_string(server.data().join("keys.json")).unwrap();
    assert!(!table.contains(&server.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn folded_urls_reach_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_source, server) = sample_server().await;
    let address = server
        .base
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/v1")
        .unwrap();
    for path in [
        "/v1/local/app/",
        "/v1/local/app/bookmarks/",
        "/v1/local/app/bookmarks/..",
        "/v1/local/app/bookmarks/%2e%2e",
        "/v1/local/app/bookmarks/.",
        "/v1//local/app",
        "/v1/local/app/changes/%2E",
        "/v1/local/app/x/../../app",
        "/v1/local/app/bookmarks/%ff",
        "*",
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "DELETE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            server.key
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(
            answer.contains("\"NOT_FOUND\"") || path == "*",
            "{path}: {answer}"
        );
    }
    server.get("/local/app").await.expect(200);
    server.get("/nowhere/app").await.expect(404);
    server
        .post("/local/app/bookmarks/trunk", json!({}))
        .await
        .expect(404);
    server.get("/local/app/difference").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_malformed_are_refused() {
    let (_source, server) = sample_server().await;
    let at = "/local/app/changes";
    for body in [
        "",
        "[]",
        "{",
        "{\"base_change_id\": 1}",
        "{\"base_change_id\": \"x\"}",
    ] {
        server
            .send(server.request(Method::POST, at).body(body))
            .await
            .expect(400);
    }
    let deep = "[".repeat(100_000);
    server
        .send(server.request(Method::POST, at).body(deep))
        .await
        .expect(400);
    for (name, email) in [("a\nparent x", "b"), ("a", "b>"), ("", "")] {
        let author = json!({"name": name, "email": email});
        let body = json!({"base_change_id": "z".repeat(32), "author": author});
        server.post(at, body).await.expect(400);
    }
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = server
        .base
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/v1")
        .unwrap();
    for path in [at, "/local/app/ext/blobs"] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST /v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 99999999999\r\n\r\n",
            server.key
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 413");
    }
}

/// Signs any header and payload with the key, as only its owner can.
fn forge(key: &str, header: &Value, payload: &Value) -> String {
    use hmac::Mac;
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let secret = SigningSecret::of_api_key(key);
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.expose().as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_clamped_restricted_and_refused() {
    let (source, mut server) = sample_server().await;
    server
        .post("/local/repos", json!({"name": "other"}))
        .await
        .expect(201);
    let key_id = server.key_id().await;
    let token = |scopes: &[&str], repos: Option<&[String]>| {
        SigningSecret::of_api_key(&server.key).sign(
            &key_id,
            &TokenRequest {
                scopes,
                repos,
                authors: &[],
                issued_at: now(),
                lifetime: Lifetime::default(),
                token_id: uuid::Uuid::new_v4(),
            },
        )
    };
    let as_token = async |method: Method, token: &str, path: &str| {
        let request = server
            .client
            .request(method, format!("{}{path}", server.base));
        server
            .send(request.bearer_auth(token).json(&json!({})))
            .await
    };
    let reader = token(
        &["read"],
        Some(&["local/app".to_owned(), "local/gone".to_owned()]),
    );
    let whoami = as_token(Method::GET, &reader, "/whoami").await.expect(200);
    assert_eq!(whoami["scopes"], json!(["read"]));
    as_token(Method::GET, &reader, "/local/app")
        .await
        .expect(200);
    as_token(Method::GET, &reader, "/local/other")
        .await
        .expect(404);
    as_token(Method::DELETE, &reader, "/local/other")
        .await
        .expect(404);
    as_token(Method::DELETE, &reader, "/local/app")
        .await
        .expect(403);
    as_token(Method::POST, &reader, "/local/repos")
        .await
        .expect(403);
    let seen = as_token(Method::GET, &reader, "/local/repos")
        .await
        .expect(200);
    assert_eq!(seen["repos"].as_array().unwrap().len(), 1);
    let nobody = token(&["read", "write"], Some(&[]));
    as_token(Method::GET, &nobody, "/local/app")
        .await
        .expect(404);
    as_token(Method::POST, &nobody, "/local/repos")
        .await
        .expect(403);

    let header = json!({"alg": "HS256", "typ": "mesa-at+jwt", "kid": format!("{key_id}.v1")});
    let good = json!({"iss": key_id, "aud": "mesa-api", "scopes": ["admin"], "repos": null, "iat": now(), "exp": now() + 60});
    as_token(Method::GET, &forge(&server.key, &header, &good), "/whoami")
        .await
        .expect(200);
    let with = |value: &Value, name: &str, to: Value| {
        let mut value = value.clone();
        value[name] = to;
        value
    };
    let mut attacks = Vec::new();
    for (name, to) in [
        ("alg", json!("none")),
        ("alg", json!("HS512")),
        ("alg", Value::Null),
        ("typ", json!("JWT")),
        ("kid", json!("key_x.v1")),
        ("kid", json!(1)),
        ("crit", json!(["exp"])),
    ] {
        attacks.push((
            forge(&server.key, &with(&header, name, to), &good),
            "UNAUTHORIZED",
        ));
    }
    for (name, to, code) in [
        ("exp", json!(now() - 1), "TOKEN_EXPIRED"),
        ("exp", json!(now() + 90_000), "UNAUTHORIZED"),
        ("exp", json!(u64::MAX), "UNAUTHORIZED"),
        ("iat", json!(now() + 3_600), "UNAUTHORIZED"),
        ("iat", json!(-1), "UNAUTHORIZED"),
        ("aud", json!("other"), "UNAUTHORIZED"),
        ("iss", json!("key_x"), "UNAUTHORIZED"),
        ("scopes", json!("admin"), "UNAUTHORIZED"),
        ("repos", json!("local/app"), "UNAUTHORIZED"),
    ] {
        attacks.push((forge(&server.key, &header, &with(&good, name, to)), code));
    }
    let unsigned = forge(&server.key, &with(&header, "alg", json!("none")), &good);
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    let stored = SigningSecret::of_api_key(&server.key).expose().to_owned();
    for token in [
        unsigned,
        forge("mesa_wrong", &header, &good),
        stored,
        "..".into(),
        "\u{7f}".into(),
        "x".repeat(9_000),
    ] {
        attacks.push((token, "UNAUTHORIZED"));
    }
    for (token, code) in attacks {
        if reqwest::header::HeaderValue::from_str(&token).is_err() {
            continue;
        }
        let answer = as_token(Method::GET, &token, "/local/app")
            .await
            .expect(401);
        assert_eq!(answer["error"]["code"], code, "{token}");
    }
    let bare = server
        .send(
            server
                .client
                .get(format!("{}/local/nothing-here", server.base)),
        )
        .await;
    bare.expect(401);

    // Revoking a key kills it and every token that it signed.
    let live = token(&["read"], None);
    let dead = server.key.clone();
    server.stop().await;
    let file = server.data().join("keys.json");
    let mut table: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    table["keys"][0]["revoked_at"] = json!(now());
    fs::write(&file, table.to_string()).unwrap();
    server.start(&[("app", source.path())]).await;
    for credential in [live, dead] {
        let request = server.client.get(format!("{}/whoami", server.base));
        let answer = server
            .send(request.bearer_auth(credential))
            .await
            .expect(401);
        assert_eq!(answer["error"]["code"], "KEY_REVOKED");
    }
}
