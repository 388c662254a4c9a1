//! API keys over REST: what they may do, who manages them, and that none that was told is lost.

use crate::harness::*;
use mesa::remote::api::token::{Lifetime, Request as TokenRequest, SigningSecret};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

const KEYS: &str = "/local/api-keys";

fn at(key: &Value) -> String {
    format!("{KEYS}/{}", text(&key["id"]))
}

/// A token for everything that the key may do.
fn token_of(key: &Value) -> String {
    let request = TokenRequest {
        scopes: &["admin"],
        repos: None,
        authors: &[],
        issued_at: now(),
        lifetime: Lifetime::default(),
        token_id: uuid::Uuid::new_v4(),
    };
    SigningSecret::of_api_key(&text(&key["key"])).sign(&text(&key["id"]), &request)
}

async fn new_key(server: &Server, body: Value) -> Value {
    server.post(KEYS, body).await.expect(201)
}

/// The names of one listing.
async fn names(server: &Server, query: &str) -> Vec<String> {
    let page = server.get(&format!("{KEYS}?{query}")).await.expect(200);
    assert_eq!(page["has_more"], false);
    let keys = page["api_keys"].as_array().unwrap().iter();
    let mut names: Vec<String> = keys.map(|key| text(&key["name"])).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_once_and_does_what_it_may() {
    let (_source, server) = sample_server().await;
    let answer = server.post(KEYS, json!({})).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let plain = answer.expect(201);
    assert_eq!(plain["name"], Value::Null);
    assert_eq!(plain["scopes"], json!(["read", "write"]));
    assert_eq!(plain["repo_ids"], Value::Null);
    let repo = server.get("/local/app").await.expect(200);
    let made = new_key(
        &server,
        json!({
            "name": "ci <prod>", "scopes": ["read", "read"], "repo_ids": [repo["id"]],
            "expires_in_seconds": 100, "tags": {"Team": "X"}, "unknown": 1,
        }),
    )
    .await;
    assert_eq!(made["scopes"], json!(["read"]));
    assert_eq!(made["tags"], json!({"team": "X"}));
    let value = text(&made["key"]);
    assert!(value.starts_with("mesa_") && value.len() == 48, "{value}");

    let whoami = server.with(&value, Method::GET, "/whoami", Value::Null);
    let whoami = whoami.await.expect(200);
    assert_eq!(whoami["key_id"], made["id"]);
    assert_eq!(whoami["key_name"], "ci <prod>");
    assert_eq!(whoami["scopes"], json!(["read"]));

    let listed = server.get(KEYS).await;
    let shown = String::from_utf8(listed.bytes.clone()).unwrap();
    let secret = SigningSecret::of_api_key(&value);
    assert!(!shown.contains(&value) && !shown.contains(secret.expose()));
    let listed = listed.expect(200);
    let keys = listed["api_keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["id"] == made["id"]).unwrap();
    assert_eq!(found["repo_ids"], json!([repo["id"]]));
    assert_eq!(found["metadata"], Value::Null);
    assert_eq!(found["revoked_at"], Value::Null);
    for date in ["created_at", "expires_at", "last_used_at"] {
        assert!(text(&found[date]).ends_with('Z'), "{date}: {found}");
    }
    let unused = keys.iter().find(|key| key["id"] == plain["id"]).unwrap();
    assert_eq!(unused["last_used_at"], Value::Null);
    assert_eq!(unused["expires_at"], Value::Null);

    // What has no author is the key's work, whatever its name is.
    let rename = json!({"name": "<x> y"});
    server.patch(&at(&plain), rename).await.expect(200);
    let body = json!({"base_change_id": "z".repeat(32), "files": [upsert("f", b"x")]});
    let key = text(&plain["key"]);
    let change = server.with(&key, Method::POST, "/local/app/changes", body);
    assert_eq!(change.await.expect(201)["author"]["name"], "x  y");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_some_repositories_sees_no_others() {
    let (_source, server) = sample_server().await;
    let other = json!({"name": "other"});
    server.post("/local/repos", other).await.expect(201);
    let id = server.get("/local/app").await.expect(200)["id"].clone();
    let body = json!({"scopes": ["read", "write", "admin"], "repo_ids": [id]});
    let made = new_key(&server, body).await;
    for credential in [text(&made["key"]), token_of(&made)] {
        let ask = async |method: Method, path: &str, status: u16| {
            let answer = server.with(&credential, method, path, json!({})).await;
            answer.expect(status)
        };
        ask(Method::GET, "/local/app", 200).await;
        for path in [
            "/local/other",
            "/local/other/content",
            "/local/other/changes",
        ] {
            ask(Method::GET, path, 404).await;
        }
        ask(Method::DELETE, "/local/other", 404).await;
        ask(Method::POST, "/local/other/changes", 404).await;
        ask(Method::POST, "/local/repos", 403).await;
        let seen = ask(Method::GET, "/local/repos", 200).await;
        assert_eq!(seen["repos"].as_array().unwrap().len(), 1);
        assert_eq!(ask(Method::GET, "/local", 200).await["num_repos"], 1);
        // It could make a key that reaches further than it does.
        ask(Method::GET, KEYS, 403).await;
        ask(Method::POST, KEYS, 403).await;
        ask(Method::DELETE, &at(&made), 403).await;
    }
    // A repository that takes the name of another one is not that one.
    let names = [("app", "gone"), ("other", "app")];
    for (from, to) in names {
        let rename = json!({"name": to});
        let path = format!("/local/{from}");
        server.patch(&path, rename).await.expect(200);
    }
    let key = text(&made["key"]);
    let ask = async |path: &str| server.with(&key, Method::GET, path, Value::Null).await;
    ask("/local/app").await.expect(404);
    ask("/local/gone").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_managed_by_administrators_keys_alone() {
    let server = Server::new(&[]).await;
    let target = new_key(&server, json!({"name": "target"})).await;
    let admin = new_key(&server, json!({"scopes": ["admin"]})).await;
    let writer = new_key(&server, json!({"scopes": ["write"]})).await;
    let changes = [
        (Method::POST, KEYS.to_owned()),
        (Method::PATCH, at(&target)),
        (Method::DELETE, at(&target)),
    ];
    for (credential, may_look) in [
        (text(&writer["key"]), false),
        (token_of(&writer), false),
        (token_of(&admin), true),
    ] {
        for (method, path) in &changes {
            let refused = server.with(&credential, method.clone(), path, json!({}));
            let refused = refused.await.expect(403);
            assert_eq!(refused["error"]["code"], "FORBIDDEN");
        }
        let status = if may_look { 200 } else { 403 };
        let listed = server.with(&credential, Method::GET, KEYS, Value::Null);
        listed.await.expect(status);
    }
    assert_eq!(
        names(&server, "query=target&status=active").await,
        ["target"]
    );
    let key = text(&admin["key"]);
    let made = server.with(&key, Method::POST, KEYS, json!({}));
    made.await.expect(201);
    for (method, path) in [
        (Method::GET, "/elsewhere/api-keys"),
        (Method::POST, "/elsewhere/api-keys"),
        (Method::DELETE, "/local/api-keys/key_nobody"),
        (Method::PATCH, "/local/api-keys/key_nobody"),
        (Method::GET, "/local/api-keys/key_nobody"),
        (Method::DELETE, "/local/api-keys"),
    ] {
        let answer = server.with(&key, method, path, json!({})).await;
        answer.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_kills_a_key_and_its_tokens_at_once_and_for_good() {
    let mut server = Server::new(&[]).await;
    let made = new_key(&server, json!({})).await;
    let credentials = [text(&made["key"]), token_of(&made)];
    for credential in &credentials {
        let answer = server.with(credential, Method::GET, "/whoami", Value::Null);
        answer.await.expect(200);
    }
    let gone = server.delete(&at(&made)).await.expect(200);
    assert_eq!(gone, json!({"success": true}));
    let since = server.get(KEYS).await.expect(200);
    for round in 0..2 {
        for credential in &credentials {
            let answer = server.with(credential, Method::GET, "/whoami", Value::Null);
            let answer = answer.await.expect(401);
            assert_eq!(answer["error"]["code"], "KEY_REVOKED");
        }
        // The second time changes nothing, not even the date, nor does a new start.
        server.delete(&at(&made)).await.expect(200);
        let listed = server.get(KEYS).await.expect(200);
        assert_eq!(
            listed["api_keys"][0]["revoked_at"],
            since["api_keys"][0]["revoked_at"]
        );
        if round == 0 {
            server.stop().await;
            server.start(&[]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_merged_in_lower_case_and_names_replaced() {
    let server = Server::new(&[]).await;
    let made = new_key(
        &server,
        json!({"name": "a", "tags": {"ONE": "1", "two": "2"}}),
    )
    .await;
    let patch = async |body: Value| server.patch(&at(&made), body).await;
    let both = patch(json!({"name": "b", "tags": {"TWO": null, "Three": "3", "none": null}}));
    let now = json!({"one": "1", "three": "3"});
    assert_eq!(both.await.expect(200), json!({"name": "b", "tags": now}));
    assert_eq!(patch(json!({})).await.expect(200)["tags"], now);
    for bad in [
        json!({"tags": {"": "x"}}),
        json!({"tags": {"x".repeat(65): "x"}}),
        json!({"tags": {"x": "x".repeat(257)}}),
        json!({"tags": {"x": 1}}),
        json!({"tags": []}),
        json!({"name": ""}),
        json!({"name": "a\nb"}),
    ] {
        patch(bad).await.expect(400);
    }
    let listed = server.get(&format!("{KEYS}?query=B")).await.expect(200);
    assert_eq!(listed["api_keys"][0]["tags"], now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_is_refused_with_what_is_wrong() {
    let (_source, server) = sample_server().await;
    let many = |count: usize| (0..count).map(|number| (number.to_string(), json!("")));
    for (body, about) in [
        (json!({"name": ""}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"name": "a\u{0}"}), "name"),
        (json!({"scopes": []}), "scope"),
        (json!({"scopes": ["root"]}), "scope"),
        (json!({"scopes": ["Admin"]}), "scope"),
        (json!({"repo_ids": []}), "repo_ids"),
        (json!({"repo_ids": ["app"]}), "repo_ids"),
        (json!({"repo_ids": ["local/app"]}), "repo_ids"),
        (json!({"expires_in_seconds": 99}), "expires_in_seconds"),
        (
            json!({"expires_in_seconds": 31_536_001}),
            "expires_in_seconds",
        ),
        (
            json!({"expires_in_seconds": u64::MAX}),
            "expires_in_seconds",
        ),
        (json!({"tags": {"A": "", "a": ""}}), "tags"),
        (json!({"tags": {"a": "x".repeat(257)}}), "tags"),
        (json!({"tags": Value::Object(many(65).collect())}), "tags"),
        (json!({"expires_in_seconds": -1}), "body"),
        (json!({"expires_in_seconds": 100.5}), "body"),
        (json!({"scopes": "read"}), "body"),
        (json!({"repo_ids": "x"}), "body"),
        (json!([]), "body"),
    ] {
        let answer = server.post(KEYS, body.clone()).await.expect(400);
        let message = text(&answer["error"]["message"]);
        assert!(message.contains(about), "{body}: {message}");
    }
    assert_eq!(names(&server, "").await, ["admin"]);
    for query in [
        "status=dead",
        "scope=root",
        "limit=0",
        "limit=101",
        "cursor=%21",
        "query=%ff",
    ] {
        server.get(&format!("{KEYS}?{query}")).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_filtered_and_come_by_pages() {
    let (_source, mut server) = sample_server().await;
    let repo = text(&server.get("/local/app").await.expect(200)["id"]);
    new_key(
        &server,
        json!({"name": "Reader", "scopes": ["read"], "repo_ids": [repo]}),
    )
    .await;
    let dead = new_key(&server, json!({"name": "dead", "scopes": ["write"]})).await;
    server.delete(&at(&dead)).await.expect(200);
    let old = new_key(&server, json!({"name": "old", "expires_in_seconds": 100})).await;
    // A key lives for 100 seconds at least, which is more than a test should take.
    server.stop().await;
    let file = server.data().join("keys.json");
    let mut table: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for row in table["keys"].as_array_mut().unwrap() {
        if row["id"] == old["id"] {
            row["expires_at"] = json!(now());
        }
    }
    fs::write(&file, table.to_string()).unwrap();
    server.start(&[]).await;
    let key = text(&old["key"]);
    let refused = server.with(&key, Method::GET, "/whoami", Value::Null);
    assert_eq!(refused.await.expect(401)["error"]["code"], "TOKEN_EXPIRED");

    let all = ["Reader", "admin", "dead", "old"];
    assert_eq!(names(&server, "status=all").await, all);
    assert_eq!(names(&server, "status=active").await, ["Reader", "admin"]);
    assert_eq!(names(&server, "status=revoked").await, ["dead"]);
    assert_eq!(names(&server, "status=expired").await, ["old"]);
    assert_eq!(names(&server, "query=reAD").await, ["Reader"]);
    assert_eq!(
        names(&server, &format!("query={}", text(&old["id"]))).await,
        ["old"]
    );
    assert_eq!(names(&server, "scope=read").await, all);
    assert_eq!(names(&server, "scope=admin").await, ["admin"]);
    assert_eq!(names(&server, &format!("repo_id={repo}")).await, all);
    assert_eq!(names(&server, "repo_id=x").await, ["admin", "dead", "old"]);
    assert_eq!(names(&server, "status=active&scope=write").await, ["admin"]);

    let mut seen = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let page = server.get(&format!("{KEYS}?{query}")).await.expect(200);
        seen.push(text(&page["api_keys"][0]["name"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("limit=1&cursor={cursor}"),
            None => break,
        }
        assert_eq!(page["has_more"], true);
    }
    seen.sort_unstable();
    assert_eq!(seen, all);
}
