//! `mesa key` and `mesa token`: the real program against a server, and what it must not let out.

use crate::harness::*;
use mesa::remote::api::token::{PrivateKey, SigningSecret};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// What a command printed.
struct Printed {
    code: i32,
    output: String,
    errors: String,
}

impl Printed {
    #[track_caller]
    fn expect(self, code: i32) -> Printed {
        assert_eq!(self.code, code, "{}{}", self.output, self.errors);
        self
    }

    fn line(&self) -> String {
        assert_eq!(self.output.lines().count(), 1, "{}", self.output);
        self.output.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap()
    }
}

/// Runs `mesa` with one credential, and an input.
fn mesa(server: &Server, credential: &str, arguments: &[&str], input: &str) -> Printed {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mesa"))
        .args(arguments)
        .env_clear()
        .env("HOME", server.folder.path())
        .env("MESA_API_URL", &server.base)
        .env("MESA_API_KEY", credential)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What is not read is no failure of ours.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Printed {
        code: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn whoami(server: &Server, credential: &str, status: u16) -> Value {
    let answer = server.with(credential, Method::GET, "/whoami", Value::Null);
    answer.await.expect(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_revoked() {
    let (_source, server) = sample_server().await;
    let run = |arguments: &[&str]| mesa(&server, &server.key, arguments, "");
    let made = run(&[
        "key",
        "create",
        "--name",
        "ci",
        "--scope",
        "read",
        "--repo",
        "app",
        "--expires",
        "90d",
        "--tag",
        "Team=x",
    ]);
    let made = made.expect(0);
    let value = made.line();
    assert!(!made.errors.contains(&value) && made.errors.contains("key_"));
    assert_eq!(
        whoami(&server, &value, 200).await["scopes"],
        json!(["read"])
    );
    let plain = run(&["key", "create", "--json"]).expect(0).json();
    assert_eq!(plain["scopes"], json!(["read", "write"]));
    assert_eq!(plain["repo_ids"], Value::Null);
    whoami(&server, &text(&plain["key"]), 200).await;

    let listed = run(&["key", "list", "--json"]).expect(0);
    let keys = listed.json();
    let ci = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["name"] == "ci")
        .unwrap();
    assert_eq!(ci["tags"], json!({"team": "x"}));
    let id = text(&ci["id"]);
    let shown = run(&["key", "list"]).expect(0).output;
    assert!(
        shown.contains(&format!("{id} ci: read on 1 repository, used at ")),
        "{shown}"
    );
    assert!(
        shown.contains("(no name): read,write on all repositories"),
        "{shown}"
    );
    for output in [&listed.output, &shown] {
        let secret = SigningSecret::of_api_key(&value);
        assert!(!output.contains(&value) && !output.contains(secret.expose()));
    }

    let revoked = run(&["key", "revoke", &id]).expect(0);
    assert!(revoked.errors.contains(&format!("revoked {id}")));
    let refused = whoami(&server, &value, 401).await;
    assert_eq!(refused["error"]["code"], "KEY_REVOKED");
    assert!(!run(&["key", "list"]).expect(0).output.contains(&id));
    let all = run(&["key", "list", "--all"]).expect(0).output;
    assert!(all.contains(&id) && all.contains("revoked at"), "{all}");

    let unknown = run(&["key", "revoke", "key_nobody"]).expect(1);
    assert!(
        unknown.errors.contains("no such thing"),
        "{}",
        unknown.errors
    );
    run(&["key", "revoke", ".."]).expect(1);
    run(&["key", "create", "--expires", "1m"]).expect(1);
    run(&["key", "create", "--repo", "nothing"]).expect(1);
    run(&["key", "create", "--scope", "root"]).expect(2);
    // Who is not an administrator is told what it takes.
    let writer = text(&plain["key"]);
    for arguments in [
        &["key", "list"][..],
        &["key", "create"],
        &["key", "revoke", &id],
    ] {
        let refused = mesa(&server, &writer, arguments, "").expect(5);
        assert!(refused.errors.contains("scope admin"), "{}", refused.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_signed_by_both_kinds_of_keys_and_read_back() {
    let (_source, server) = sample_server().await;
    let run = |arguments: &[&str]| mesa(&server, &server.key, arguments, "");
    let private = run(&["key", "create", "--private-key", "--name", "deploy"]).expect(0);
    let private = private.line();
    let public = PrivateKey::parse(&private).unwrap().public_key();
    let listed = run(&["key", "list"]).expect(0).output;
    assert!(
        listed.contains("signs tokens with a private key"),
        "{listed}"
    );
    for (key, by) in [(&server.key, "HS256"), (&private, "Ed25519")] {
        let create = [
            "token",
            "create",
            "--scope",
            "write",
            "--repo",
            "local/app",
            "--ttl",
            "10m",
            "--author",
            "Ann <ann@example.com>",
        ];
        let token = mesa(&server, key, &create, "").expect(0).line();
        assert_eq!(
            whoami(&server, &token, 200).await["scopes"],
            json!(["read", "write"])
        );
        let body = json!({"base_change_id": "z".repeat(32)});
        let made = server.with(&token, Method::POST, "/local/app/changes", body);
        assert_eq!(made.await.expect(201)["author"]["email"], "ann@example.com");

        let read = mesa(&server, key, &["token", "inspect"], &format!("{token}\n")).expect(0);
        for part in [
            by,
            "[\"write\"]",
            "[\"local/app\"]",
            "Ann",
            "signature: good",
        ] {
            assert!(read.output.contains(part), "{part}: {}", read.output);
        }
        let other = "mesa_another_key";
        let inspect = ["token", "inspect", "-", "--json"];
        let read = mesa(&server, other, &inspect, &token).expect(0).json();
        assert_eq!(read["signature"], "of-another-key");
        assert_eq!(read["expired"], false);
        assert_eq!(read["claims"]["aud"], "mesa-api");
        assert_eq!(read["problem"], Value::Null);
    }
    let json = [&["token", "create", "--json"][..]].concat();
    let made = mesa(&server, &private, &json, "").expect(0).json();
    whoami(&server, &text(&made["token"]), 200).await;
    assert!(text(&made["expires_at"]).ends_with('Z'));
    let long = mesa(&server, &private, &["token", "create", "--ttl", "5h"], "").expect(1);
    assert!(long.errors.contains("14400"), "{}", long.errors);
    let damaged = &private[..private.len() - 1];
    let damaged_key = mesa(&server, damaged, &["token", "create"], "").expect(5);
    assert!(!damaged_key.errors.contains(damaged));
    for no_token in ["mesa_key", "a.b.c", ""] {
        let refused = mesa(&server, &server.key, &["token", "inspect"], no_token);
        assert_ne!(refused.code, 0);
        assert!(refused.errors.starts_with("error: "), "{}", refused.errors);
    }
    // The server has the public half, and nothing more.
    let table = std::fs::read_to_string(server.data().join("keys.json")).unwrap();
    let encoded = private.rsplit_once("local_").unwrap().1;
    assert!(table.contains(&public.to_string()) && !table.contains(encoded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_a_credential_that_is_never_sent() {
    let (_source, server) = sample_server().await;
    let make = ["key", "create", "--private-key", "--scope", "admin"];
    let private = mesa(&server, &server.key, &make, "").expect(0).line();
    let log = server.folder.path().join("heard");
    let heard = listen(&log).await;
    for (base, code) in [(&server.base, 0), (&heard, 1)] {
        let mut elsewhere = Command::new(env!("CARGO_BIN_EXE_mesa"));
        let output = elsewhere
            .args(["repo", "create", "made", "--org", "local"])
            .env_clear()
            .env("HOME", server.folder.path())
            .env("MESA_API_URL", base)
            .env("MESA_API_KEY", &private)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{errors}");
    }
    server.get("/local/made").await.expect(200);
    let heard = std::fs::read_to_string(&log).unwrap();
    assert!(
        heard.to_lowercase().contains("authorization: bearer ey"),
        "{heard}"
    );
    let encoded = private.rsplit_once("local_").unwrap().1;
    assert!(!heard.contains("mesa_private_key") && !heard.contains(encoded));
    // What it signs is a token, which makes no keys.
    mesa(&server, &private, &["key", "create"], "").expect(5);
}

/// Somebody who writes down what a client sends, and answers nothing of use.
async fn listen(log: &std::path::Path) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let log = log.to_owned();
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut part = vec![0; 16 * 1024];
            let read = stream.read(&mut part).await.unwrap_or(0);
            all.extend_from_slice(&part[..read]);
            std::fs::write(&log, &all).unwrap();
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    base
}
